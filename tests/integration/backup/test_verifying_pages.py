"""Damaged pages are found, torn ones are known, and a bad disk here accuses nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.protected import DEBIAN_15, Protected
from tests.restorable import CLOCK, DATABASE, Restorable
from tests.verified import Verified

from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.ports import BackupBegins, BackupEvent
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.take.taking import Taker
from holdfast.backup.verify.verification import How, Standing, Subject


class Passing(PostgresSource):
    """What the server sends, with one bit of a page flipped on the way: as by a machine with bad memory.

    `begun` is called when the backup has begun.
    """

    def __init__(self, server: Protected, needle: bytes, begun: Callable[[], object] = lambda: None) -> None:
        super().__init__(server.params)
        self._needle, self._begun, self.flipped = needle, begun, 0

    @contextmanager
    def base_backup(self, **wanted: Any) -> Iterator[Iterator[BackupEvent]]:
        with super().base_backup(**wanted) as events:
            yield self._damaged(events)

    def _damaged(self, events: Iterator[BackupEvent]) -> Iterator[BackupEvent]:
        for event in events:
            if isinstance(event, BackupBegins):
                self._begun()
            if isinstance(event, bytes | memoryview) and self._needle in bytes(event) and not self.flipped:
                at = bytes(event).index(self._needle)
                self.flipped += 1
                yield bytes(event[:at]) + bytes([event[at] ^ 1]) + bytes(event[at + 1 :])
            else:
                yield event


def with_needle(server: Protected) -> bytes:
    """A table of one page, on the disk, with something to look for."""
    server.sql("CREATE TABLE haystack AS SELECT 'a-needle-that-is-found' AS what; CHECKPOINT")
    return b"a-needle-that-is-found"


def test_a_bit_that_flipped_in_a_page_before_it_was_stored_is_found(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    source = Passing(protected, with_needle(protected))
    stored.taker = Taker(source, stored.regions, stored.packer, CLOCK)
    stored.take()
    stored.store_wal()
    path = protected.value("SELECT pg_relation_filepath('haystack')")
    verified = Verified(stored, tmp_path / "copies")

    record = verified.newest()

    assert source.flipped == 1
    assert record.standing is Standing.FAILED
    assert record.pages.bad == (f"{path} block 0",)
    assert {each.subject for each in record.problems} == {Subject.PAGES, Subject.TABLE}
    assert "backup.suspicion_raised" in verified.told
    (mark,) = holdings_of(stored.regions[0], DATABASE, CLOCK).suspects
    assert f"{path} block 0" in mark.reason
    # A copy that was found wrong is no base for the next.
    assert verified.newest().how is How.FRESH


def test_a_page_that_was_torn_while_it_was_backed_up_is_whole_in_wal(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    needle = with_needle(protected)
    source = Passing(protected, needle, lambda: protected.sql("INSERT INTO haystack VALUES ('more')"))
    stored.taker = Taker(source, stored.regions, stored.packer, CLOCK)
    stored.take()
    stored.store_wal()

    record = Verified(stored, tmp_path / "copies").newest({"both": "SELECT count(*) = 2 FROM haystack"})

    assert source.flipped == 1
    assert record.standing is Standing.PASSED, record.problems
    assert record.pages.healed == 1
    assert record.pages.bad_count == 0


def test_a_warm_copy_that_this_machine_has_damaged_is_laid_out_afresh(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE orders AS SELECT i, md5(i::text) AS what FROM generate_series(1, 2000) i")
    stored.take()
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies")
    verified.newest(None)
    path = verified.verifier.warm.copy / protected.value("SELECT pg_relation_filepath('orders')")
    content = bytearray(path.read_bytes())
    content[8192 + 8000] ^= 4
    path.write_bytes(content)

    record = verified.newest()

    assert record.standing is Standing.PASSED, record.problems
    assert record.how is How.FRESH
    assert any("the warm copy was damaged" in each for each in record.remarks)
    assert holdings_of(stored.regions[0], DATABASE, CLOCK).suspects == ()


def test_an_index_that_lost_a_row_is_found_where_amcheck_is_installed(tmp_path: Path) -> None:
    server = Protected(tmp_path / "server", bin_dir=DEBIAN_15).start()
    try:
        server.sql("CREATE EXTENSION amcheck; CREATE TABLE t AS SELECT i FROM generate_series(1, 2000) i")
        server.sql("CREATE INDEX t_i ON t (i)")
        stored = Restorable(server)
        stored.take()
        stored.store_wal()
        verified = Verified(stored, tmp_path / "copies")

        sound = verified.newest()

        assert sound.standing is Standing.PASSED, sound.problems
        assert not any("amcheck" in each for each in sound.remarks)
        # The order of what an index holds is another one than it was sorted by.
        server.sql("UPDATE pg_index SET indoption = '1' WHERE indexrelid = 't_i'::regclass")
        stored.store_wal()

        wrong = verified.newest()

        assert wrong.how is How.FRESH
        assert [(each.subject, "t_i" in each.text) for each in wrong.problems] == [(Subject.STRUCTURE, True)]
    finally:
        server.remove()
