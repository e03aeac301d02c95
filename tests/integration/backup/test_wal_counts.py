"""What was deleted and dropped, counted in a real server's log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protected import Protected

from holdfast.backup.lsn import Lsn, Segment, Timeline, parse_lsn
from holdfast.backup.search.commits import CommitReader
from holdfast.backup.verify.tallying import FIRST_USER_FILE, Tallied, Tally
from holdfast.backup.wal.wal_folder import WalFolder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    settings = {"wal_keep_size": "1GB", "max_prepared_transactions": "4", "wal_level": "logical"}
    made = Protected(tmp_path_factory.mktemp("wal-counts"), settings=settings, segment_mb=1).start()
    yield made
    made.remove()


class Log:
    """The server's log from now on."""

    def __init__(self, server: Protected) -> None:
        self._server = server
        self.start = self._now()

    def _now(self) -> Lsn:
        return parse_lsn(self._server.value("SELECT pg_current_wal_insert_lsn()::text"))

    def read(self) -> bytes:
        self._server.sql("SELECT pg_switch_wal()")
        folder = WalFolder(Path(self._server.data) / "pg_wal", 1024 * 1024)
        end, place, parts = self._now(), self.start, []
        while place < Segment.holding(Timeline(1), end, 1024 * 1024).start:
            parts.append(folder.read(Timeline(1), place, 1024 * 1024))
            place = Lsn(place + len(parts[-1]))
        return b"".join(parts)


def slowly(content: bytes, start: Lsn) -> Tallied:
    """The same by the reader that proves every record, which is held to what pg_waldump tells."""
    told = Tallied()
    for commit in CommitReader(start, 1024 * 1024).read(content):
        told.commits += 1
        told.deletes += sum(each.deleted for each in commit.changes if each.locator.number >= FIRST_USER_FILE)
        replaced = min(len(commit.made), len(commit.dropped))
        told.truncates += replaced
        told.drops += len(commit.dropped) - replaced
    return told


def quickly(content: bytes, start: Lsn, at_once: int) -> Tally:
    tally = Tally(start, 1024 * 1024)
    for at in range(0, len(content), at_once):
        tally.count(content[at : at + at_once])
    assert not tally.problem
    return tally


def test_rows_deleted_and_files_dropped_are_counted(server: Protected) -> None:
    server.sql("CREATE TABLE counted_rows AS SELECT i FROM generate_series(1, 1000) i")
    server.sql("CREATE TABLE counted_gone (i int); CREATE TABLE counted_empty (i int)")
    log = Log(server)
    server.sql("DELETE FROM counted_rows WHERE i <= 700")
    server.sql("DROP TABLE counted_gone")
    server.sql("TRUNCATE counted_empty")
    content = log.read()

    told = quickly(content, log.start, 1000).tallied

    assert (told.deletes, told.drops, told.truncates) == (700, 1, 1)
    assert told.commits >= 3
    assert told == slowly(content, log.start)


def test_passing_over_records_counts_what_reading_each_does(server: Protected) -> None:
    server.sql(
        "CREATE TABLE busy (i int PRIMARY KEY, t text) WITH (fillfactor = 40); CREATE TABLE wide (t text);"
        "INSERT INTO busy SELECT n, repeat('x', n % 300) FROM generate_series(1, 3000) n; CHECKPOINT"
    )
    server.sql("ALTER TABLE busy REPLICA IDENTITY FULL")
    log = Log(server)
    server.sql(
        # The first change of a page after a checkpoint comes with all of the page.
        "DELETE FROM busy WHERE i % 7 = 0;"
        "INSERT INTO wide SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n"
    )
    server.sql("INSERT INTO busy SELECT n FROM generate_series(1, 100) n ON CONFLICT (i) DO NOTHING")
    with server.connect() as connection:
        connection.execute("BEGIN; DELETE FROM busy WHERE i % 11 = 0; ROLLBACK")
        connection.execute(
            "BEGIN; SAVEPOINT kept; DELETE FROM busy WHERE i % 13 = 0; RELEASE kept;"
            "SAVEPOINT undone; DELETE FROM busy WHERE i % 17 = 0; ROLLBACK TO undone; COMMIT"
        )
        connection.execute("BEGIN; DELETE FROM busy WHERE i % 19 = 0; PREPARE TRANSACTION 'later'")
    for each in ("DELETE FROM wide", "SELECT pg_switch_wal()", "COMMIT PREPARED 'later'"):
        server.sql(each)
    for each in ("VACUUM busy", "CLUSTER busy USING busy_pkey"):
        server.sql(each)
    server.sql("DROP TABLE busy, wide")
    content = log.read()
    expected = slowly(content, log.start)
    assert expected.deletes > 3000 // 7 + 3000 // 19
    assert expected.drops >= 4
    assert expected.truncates >= 1

    for at_once in (len(content), 8192, 1023):
        assert quickly(content, log.start, at_once).tallied == expected


def test_what_had_not_ended_is_counted_when_it_does(server: Protected) -> None:
    server.sql("CREATE TABLE halves AS SELECT i FROM generate_series(1, 1000) i")
    log = Log(server)
    with server.connect() as connection:
        connection.execute("BEGIN; DELETE FROM halves WHERE i <= 600")
        first = log.read()
        connection.execute("DELETE FROM halves; COMMIT")
    content = log.read()
    assert content.startswith(first)

    begun = quickly(first, log.start, 4096)
    assert begun.tallied.deletes == 0
    (left,) = begun.still_open(10)
    assert left.deletes == 600
    ended = Tally(begun.reached, 1024 * 1024, [left])
    ended.count(content[begun.reached - log.start :])

    assert ended.tallied.deletes == 1000


def test_a_log_that_goes_wrong_ends_there(server: Protected) -> None:
    log = Log(server)
    server.sql("CREATE TABLE foreign_bytes AS SELECT i FROM generate_series(1, 20000) i")
    content = log.read()
    whole = quickly(content, log.start, len(content))
    # The same bytes, from a place that is not theirs: the page's own header fits, the records' links do not.
    moved = bytearray(content)
    border = -log.start % 8192 + 8192 * 20
    moved[border + 24 : border + 8192] = content[border + 24 + 8192 : border + 2 * 8192]

    tally = Tally(log.start, 1024 * 1024)
    tally.count(bytes(moved))

    assert tally.problem
    assert tally.reached <= log.start + border + 8192 < whole.reached
