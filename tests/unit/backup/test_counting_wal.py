"""Deletes are counted from backup to backup, over as many runs as it takes, wherever the log comes from."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import held
from tests.written_wal import SEGMENT, START, Writer

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup import layout
from holdfast.backup.errors import Damaged
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.model import Backup, StoredObject, WalPiece
from holdfast.backup.recoverable.lines import Line, line_of
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.verify.tallying import Open, Tally
from holdfast.backup.verify.wal_counts import WalCounts, begun_at, counted_on
from holdfast.backup.verify.wal_log import Here, StoredLog
from holdfast.backup.wal.wal_folder import WalFolder
from holdfast.backup.wal.wal_pages import PAGE, RECORD

T1 = Timeline(1)
LINE = line_of(T1, ())
DELETES = (300, 7, 10_000, 40)
"""Before each of the backups but the first, and behind the last one."""


class Written:
    """A log with backups in it."""

    def __init__(self) -> None:
        writer = Writer()
        self.backups: list[Backup] = []
        for number, count in enumerate(DELETES):
            writer.record(0, 0x20, bytes(200))
            self.backups.append(_placed(held.backup(number), writer.place))
            for row in range(count):
                writer.delete(xid=100 + number)
                if row % 50 == 0:
                    writer.delete(xid=7, table=1259)
                if row % 5 == 0:
                    writer.record(10, 0, bytes(250))
            # What one backup's beginning cuts in two counts where it commits.
            if number + 1 == len(DELETES):
                writer.commit(100 + number)
            else:
                writer.delete(xid=200 + number)
                writer.commit(100 + number)
            if number:
                writer.commit(200 + number - 1)
        self.log = writer.log()
        self.end = Lsn(START + len(self.log))

    def read(self, start: Lsn, end: Lsn) -> Iterator[bytes]:
        yield self.log[start - START : end - START]


def _placed(backup: Backup, place: Lsn) -> Backup:
    return replace(backup, start_lsn=place, stop_lsn=Lsn(place + 1))


WRITTEN = Written()


def told(counts: Sequence[WalCounts]) -> list[tuple[str, int]]:
    return [(each.backup, each.deletes) for each in counts]


def expected() -> list[tuple[str, int]]:
    ids = [*(each.id for each in WRITTEN.backups[1:]), ""]
    return list(zip(ids, (300, 7 + 1, 10_000 + 1, 40 + 1), strict=True))


def begun() -> WalCounts:
    found = begun_at([], LINE, WRITTEN.backups[:1], WRITTEN.end)
    assert found is not None
    return found


def test_each_stretch_between_two_backups_has_its_own_count() -> None:
    counts = counted_on(begun(), LINE, WRITTEN.backups, WRITTEN.end, WRITTEN.read, SEGMENT)
    assert told(counts) == expected()
    assert [each.at for each in counts[:-1]] == [each.started_at for each in WRITTEN.backups[1:]]
    assert counts[-1].figures == {"deletes": 41.0, "drops": 0.0, "truncates": 0.0}


@settings(max_examples=25, deadline=None)
@given(most=st.integers(min_value=20_000, max_value=500_000))
def test_in_several_runs_it_comes_to_the_same(most: int) -> None:
    kept: list[WalCounts] = []
    for _ in range(len(WRITTEN.log) // most + 60):
        start = begun_at(kept, LINE, WRITTEN.backups[:1], WRITTEN.end)
        assert start is not None
        kept += counted_on(start, LINE, WRITTEN.backups, WRITTEN.end, WRITTEN.read, SEGMENT, most)
    ended = [each for each in kept if each.backup]
    assert told([*ended, kept[-1]]) == expected()


def test_a_run_reads_no_more_than_it_may() -> None:
    read: list[int] = []

    def log(start: Lsn, end: Lsn) -> Iterator[bytes]:
        read.append(end - start)
        yield from WRITTEN.read(start, end)

    counted_on(begun(), LINE, WRITTEN.backups, WRITTEN.end, log, SEGMENT, 100_000)
    assert sum(read) <= 100_000 < len(WRITTEN.log)


def test_nothing_is_said_of_a_stretch_with_a_hole_and_what_follows_is_counted() -> None:
    hole = Lsn(WRITTEN.backups[2].start_lsn + 100_000)
    assert hole < WRITTEN.backups[3].start_lsn - 100_000

    def log(start: Lsn, end: Lsn) -> Iterator[bytes]:
        yield from WRITTEN.read(start, hole if start <= hole < end else end)

    counts = counted_on(begun(), LINE, WRITTEN.backups, WRITTEN.end, log, SEGMENT)
    assert told(counts) == [*expected()[:2], ("", 40)]


def test_a_backup_that_begins_where_counting_ended_ends_the_stretch() -> None:
    place = WRITTEN.backups[1].start_lsn
    (so_far,) = counted_on(begun(), LINE, WRITTEN.backups[:1], place, WRITTEN.read, SEGMENT)
    assert (so_far.until, so_far.deletes) == (place, 300)
    ended, opened = counted_on(so_far, LINE, WRITTEN.backups[:2], place, WRITTEN.read, SEGMENT)
    assert told([ended, opened]) == [(WRITTEN.backups[1].id, 300), ("", 0)]
    assert counted_on(opened, LINE, WRITTEN.backups[:2], place, WRITTEN.read, SEGMENT) == (opened,)


def test_it_goes_on_where_it_ended_on_this_line_of_timelines() -> None:
    first = WalCounts(held.lsn(1), held.lsn(3), T1, deletes=5)
    left = WalCounts(held.lsn(3), held.lsn(6), T1, deletes=9)
    promoted = line_of(Timeline(2), [held.history(2, (1, 4))])
    assert begun_at([first, left], LINE, [], held.lsn(9)) == left
    assert begun_at([first, left], promoted, [], held.lsn(9)) == first, "what was left is another history"
    assert begun_at([first, left], LINE, [], held.lsn(5)) == first, (
        "a log that ends before knows nothing of it"
    )
    other: Line = line_of(Timeline(3), ())
    newest = held.backup(9, timeline=3)
    assert begun_at([first, left], other, [held.backup(8), newest], held.lsn(9)) == WalCounts(
        newest.start_lsn, newest.start_lsn, Timeline(3)
    )
    assert begun_at([], LINE, [], held.lsn(9)) is None


def test_a_record_that_was_never_finished_is_passed_over() -> None:
    writer, deletes = Writer(), 1
    while writer.room > 200:
        writer.delete()
        deletes += 1
    unfinished = writer.record(0, 0x20, bytes(250))
    writer.cut(unfinished // PAGE * PAGE + PAGE)
    # XLOG_OVERWRITE_CONTRECORD, which is always the first thing there.
    writer.record(0, 0xD0, bytes(16), xid=0)
    writer.delete()
    writer.commit()
    log = writer.log()
    for at_once in (len(log), 777):
        tally = Tally(START, SEGMENT)
        for at in range(0, len(log), at_once):
            tally.count(log[at : at + at_once])
        assert (tally.problem, tally.tallied.commits, tally.tallied.deletes) == ("", 1, deletes)


@pytest.mark.parametrize("total", [0, 1, 23, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_impossible_length_ends_the_log(total: int) -> None:
    writer = Writer()
    first = writer.commit()
    writer.text += RECORD.pack(total, 1, first, 0, 1, 0, 0) + bytes(40)
    tally = Tally(START, SEGMENT)
    tally.count(writer.log())
    assert tally.tallied.commits == 1
    assert tally.problem


@given(content=st.binary(max_size=3000), after_a_page=st.booleans())
def test_foreign_bytes_raise_nothing(content: bytes, after_a_page: bool) -> None:
    tally = Tally(START, SEGMENT, [Open(1, 1, 1)])
    if after_a_page:
        tally.count(WRITTEN.log[:PAGE])
    tally.count(content)
    assert tally.tallied.commits <= 1


def test_what_never_ends_is_not_remembered_for_ever() -> None:
    still_open = [Open(xid, 1, 0) for xid in range(60_000)]
    tally = Tally(START, SEGMENT, still_open)
    tally.count(WRITTEN.log)
    assert len(tally.still_open(100_000)) <= 50_000
    assert [each.xid for each in Tally(START, SEGMENT, [Open(1, 3, 0), Open(2, 9, 1)]).still_open(1)] == [2]


class Stored:
    """The log in a region: whole segments, the third one in parts, the last one begun."""

    def __init__(self, folder: Path) -> None:
        self.region = MemoryRegion("eu")
        self.packer = ZstdPacker()
        self.pieces: list[WalPiece] = []
        self.folder = WalFolder(folder, SEGMENT)
        for at in range(0, len(WRITTEN.log), SEGMENT):
            content = WRITTEN.log[at : at + SEGMENT]
            segment = Segment.holding(T1, Lsn(START + at), SEGMENT)
            half = len(content) // 2
            bounds = [(0, half), (half - 100, len(content)), (0, half // 2)]
            for start, end in bounds if at == 0 else [(0, len(content))]:
                self._put(segment, start, end, content[start:end])

    def _put(self, segment: Segment, start: int, end: int, content: bytes) -> None:
        packed = self.packer.pack(content)
        sha256 = hashlib.sha256(packed).hexdigest()
        key = layout.piece_key(
            held.DB, segment, start, end, StoredObject("", 0, len(packed), sha256), None, None
        )
        self.region.put(key, packed)
        piece = layout.piece_of(key, len(packed))
        assert piece is not None
        self.pieces.append(piece)

    def log(self, here: Here | None = None) -> StoredLog:
        nothing = Here(self.folder, Lsn(0), Lsn(0))
        return StoredLog(LINE, self.pieces, Fetcher([self.region], self.packer), here or nothing)


def test_the_log_is_read_from_the_region_and_from_a_copy_as_one(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    assert b"".join(stored.log()(START, WRITTEN.end)) == WRITTEN.log
    within = Lsn(START + 12_345)
    assert b"".join(stored.log()(within, Lsn(within + 700_000))) == WRITTEN.log[12_345:712_345]

    here = Lsn(START - START % SEGMENT)
    (tmp_path / Segment.holding(T1, here, SEGMENT).name).write_bytes(
        WRITTEN.log[:SEGMENT].ljust(SEGMENT, b"\0")
    )
    before = sum(what == "get" for what, _ in stored.region.calls)
    mixed = stored.log(Here(stored.folder, here, Lsn(here + SEGMENT)))
    assert b"".join(mixed(START, WRITTEN.end)) == WRITTEN.log
    fetched = sum(what == "get" for what, _ in stored.region.calls) - before
    assert fetched == len({each.segment for each in stored.pieces}) - 1, "what lies here is not fetched"


def test_a_hole_in_the_region_ends_the_log_and_damage_is_told(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    (third,) = [
        each for each in stored.pieces if (each.start, each.segment.start) == (SEGMENT // 2 - 100, START)
    ]
    stored.pieces.remove(third)
    assert b"".join(stored.log()(START, WRITTEN.end)) == WRITTEN.log[: SEGMENT // 2]
    stored = Stored(tmp_path)
    stored.region.damage(stored.pieces[0].key)
    with pytest.raises(Damaged):
        list(stored.log()(START, WRITTEN.end))
