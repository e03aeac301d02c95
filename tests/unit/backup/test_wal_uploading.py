"""WAL from a spool into regions that are away, full, slow, or lose what they were given."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.receiving_parts import DATABASE, PACKER, Events, pieces_in, until, wal_in

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import RegionAway
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.wal.leaving import DELETED_AT_ONCE, SUPERSEDED_AFTER_S
from holdfast.backup.wal.pieces import Covers, PackedOnce
from holdfast.backup.wal.spool import Spool, Spooled
from holdfast.backup.wal.uploading import RegionUpload
from holdfast.kernel.clock import Clock, ManualClock, SystemClock

MIB = 1 << 20
ONE, TWO = Timeline(1), Timeline(2)


class Uploads:
    """A spool, and one region's upload from it."""

    def __init__(
        self, spool: Spool, region: MemoryRegion, events: Events, *, at_once: bool, clock: Clock | None = None
    ) -> None:
        self.spool, self.region, self.events = spool, region, events
        self.changed = threading.Condition()
        self.upload = RegionUpload(
            DATABASE,
            region,
            spool,
            PACKER,
            clock or SystemClock(),
            covers=Covers(),
            packed=PackedOnce(),
            changed=self.changed,
            stored=lambda: None,
            on_event=events,
            at_once=at_once,
            partial_every_s=0.05,
        )

    def write(self, timeline: Timeline, start: int, content: bytes) -> None:
        self.spool.append(timeline, Lsn(start), content)
        self.spool.flush()
        with self.changed:
            self.changed.notify_all()

    def until_it_has(self, timeline: Timeline, end: int) -> None:
        until(lambda: self.upload.has_on(timeline) >= end, f"{end} in the region")


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[[], Spool]]:
    opened: list[Spool] = []

    def again() -> Spool:
        for each in opened:
            each.close()
        spool = Spool(tmp_path / "spool", 64 * MIB)
        spool.adopt(1, MIB)
        opened.append(spool)
        return spool

    yield again
    for each in opened:
        each.close()


@contextmanager
def uploading(spool: Spool, region: MemoryRegion, *, at_once: bool = False) -> Iterator[Uploads]:
    uploads = Uploads(spool, region, Events(), at_once=at_once)
    uploads.upload.start()
    try:
        yield uploads
    finally:
        uploads.upload.stop(10)


def test_parts_then_the_whole_segment(open_spool: Callable[[], Spool]) -> None:
    region = MemoryRegion("eu")
    with uploading(open_spool(), region) as uploads:
        uploads.write(ONE, 0, b"a" * 100)
        uploads.until_it_has(ONE, 100)
        uploads.write(ONE, 100, b"b" * 100)
        uploads.until_it_has(ONE, 200)
        uploads.write(ONE, 200, b"c" * (MIB - 200))
        uploads.until_it_has(ONE, MIB)
    assert {(each.start, each.end) for each in pieces_in(region)} == {(0, 100), (100, 200), (0, MIB)}
    assert wal_in(region)[Segment(ONE, 0, MIB)] == b"a" * 100 + b"b" * 100 + b"c" * (MIB - 200)


def test_a_restart_stores_nothing_twice(open_spool: Callable[[], Spool]) -> None:
    region = MemoryRegion("eu")
    with uploading(open_spool(), region) as uploads:
        uploads.write(ONE, 0, b"a" * (MIB + 100))
        uploads.until_it_has(ONE, MIB + 100)
    stored = region.keys
    with uploading(open_spool(), region) as uploads:
        uploads.until_it_has(ONE, MIB + 100)
        assert region.keys == stored
        uploads.write(ONE, MIB + 100, b"b" * 10)
        uploads.until_it_has(ONE, MIB + 110)
    assert set(stored) < set(region.keys)


@pytest.mark.parametrize("fault", ["away", "refusing", "full"])
def test_a_region_that_fails_is_tried_again_and_says_so(open_spool: Callable[[], Spool], fault: str) -> None:
    region = MemoryRegion("eu")
    setattr(region.faults, fault, True)
    with uploading(open_spool(), region) as uploads:
        uploads.write(ONE, 0, b"a" * 100)
        until(lambda: uploads.upload.state().error, "an error")
        assert uploads.upload.state().failing_for_s >= 0
        setattr(region.faults, fault, False)
        uploads.until_it_has(ONE, 100)
        until(lambda: not uploads.upload.state().error, "no error any more")
    assert uploads.events.names == ["region_failed", "region_well_again"]
    assert wal_in(region) == {Segment(ONE, 0, MIB): b"a" * 100}


def test_a_put_that_arrived_and_was_not_heard_of_is_not_stored_twice(open_spool: Callable[[], Spool]) -> None:
    class Unheard(MemoryRegion):
        """Its answers to puts get lost now and then."""

        def put(self, key: str, content: bytes | memoryview) -> None:
            MemoryRegion.put(self, key, content)
            if len(self.keys) % 2:
                raise RegionAway("no answer")

    region = Unheard("eu")
    with uploading(open_spool(), region) as uploads:
        for number in range(3):
            uploads.write(ONE, number * 10, b"0123456789")
            uploads.until_it_has(ONE, number * 10 + 10)
    spans = sorted((each.start, each.end) for each in pieces_in(region))
    assert spans == [(0, 10), (10, 20), (20, 30)]


def test_a_history_comes_before_wal_of_its_timeline(open_spool: Callable[[], Spool]) -> None:
    region = MemoryRegion("eu")
    spool = open_spool()
    spool.keep_history(TWO, "1\t0/50\tpromoted\n")
    with uploading(spool, region) as uploads:
        uploads.write(ONE, 0, b"a" * 0x50)
        uploads.write(TWO, 0, b"a" * 0x50 + b"b")
        uploads.until_it_has(TWO, 0x51)
    puts = [key for call, key in region.calls if call == "put"]
    assert "/timelines/00000002-" in puts[0]
    # What of the old timeline was not stored yet goes there too, and before.
    assert wal_in(region) == {
        Segment(ONE, 0, MIB): b"a" * 0x50,
        Segment(TWO, 0, MIB): b"a" * 0x50 + b"b",
    }


def test_what_the_spool_let_go_of_is_said_and_the_rest_goes_on(open_spool: Callable[[], Spool]) -> None:
    region = MemoryRegion("eu")
    region.faults.away = True
    spool = open_spool()
    with uploading(spool, region) as uploads:
        uploads.write(ONE, 0, b"a" * (2 * MIB + 5))
        until(lambda: uploads.upload.state().error, "an error")
        uploads.upload.leave_behind(Segment(ONE, 0, MIB))
        assert spool.release(Spooled(Segment(ONE, 0, MIB), MIB))
        region.faults.away = False
        uploads.until_it_has(ONE, 2 * MIB + 5)
        assert uploads.upload.state().left_behind == 0
    assert {each.number for each in wal_in(region)} == {1, 2}


def test_for_sync_every_part_goes_at_once(open_spool: Callable[[], Spool]) -> None:
    region = MemoryRegion("eu")
    uploads = Uploads(open_spool(), region, Events(), at_once=True)
    uploads.upload._partial_every_s = 3600.0
    uploads.upload.start()
    try:
        for number in range(20):
            uploads.write(ONE, number * 10, b"0123456789")
            uploads.until_it_has(ONE, number * 10 + 10)
    finally:
        uploads.upload.stop(10)
    assert len(pieces_in(region)) == 20


def test_many_parts_are_deleted_a_few_at_a_time_so_that_commits_do_not_wait(
    open_spool: Callable[[], Spool],
) -> None:
    region, clock = MemoryRegion("eu"), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    uploads = Uploads(open_spool(), region, Events(), at_once=True, clock=clock)
    step, count = uploads.upload._step, DELETED_AT_ONCE + 200
    for number in range(count):
        uploads.spool.append(ONE, Lsn(number * 8), b"12345678")
        assert step()
    uploads.write(ONE, count * 8, b"x" * (MIB - count * 8))
    assert step()
    assert len(region.keys) == count + 1
    clock.advance(SUPERSEDED_AFTER_S - 1)
    assert not step(), "a restore that listed them may be reading them"
    clock.advance(1)
    assert step()
    assert len(region.keys) == 201
    assert step()
    assert [(each.start, each.end) for each in pieces_in(region)] == [(0, MIB)]
    assert not step()


def test_parts_of_a_region_that_is_away_are_deleted_when_it_is_back(open_spool: Callable[[], Spool]) -> None:
    region, clock = MemoryRegion("eu"), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    uploads = Uploads(open_spool(), region, Events(), at_once=True, clock=clock)
    for start, end in ((0, 8), (8, MIB)):
        uploads.write(ONE, start, b"x" * (end - start))
        assert uploads.upload._step()
    clock.advance(SUPERSEDED_AFTER_S)
    region.faults.away = True
    with pytest.raises(RegionAway):
        uploads.upload._step()
    region.faults.away = False
    assert uploads.upload._step()
    assert [(each.start, each.end) for each in pieces_in(region)] == [(0, MIB)]


def test_for_sync_those_who_were_released_are_waited_for_and_put_together(
    open_spool: Callable[[], Spool],
) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))

    class Slow(MemoryRegion):
        """Each put takes 4 ms, and four others commit meanwhile."""

        def put(self, key: str, content: bytes | memoryview) -> None:
            clock.advance(0.004)
            uploads.write(ONE, uploads.spool.end[1] if uploads.spool.end else 0, b"c" * 400)
            MemoryRegion.put(self, key, content)

    region = Slow("eu")
    uploads = Uploads(open_spool(), region, Events(), at_once=True, clock=clock)
    step = uploads.upload._step
    uploads.write(ONE, 0, b"c" * 400)
    assert step()
    assert not step(), "the first four are on their way back"
    uploads.write(ONE, 800, b"c" * 400)
    assert step()
    assert [(each.start, each.end) for each in pieces_in(region)] == [(0, 400), (400, 1200)]
    # Nobody comes back: what has waited is not left to wait.
    assert not step()
    clock.advance(0.0021)
    assert step()
    assert uploads.upload.has_on(ONE) == 1600


def test_a_region_that_deletes_nothing_is_still_fed(open_spool: Callable[[], Spool]) -> None:
    class Keeping(MemoryRegion):
        def delete(self, keys: Sequence[str]) -> None:
            raise RegionAway(f"{len(keys)} cannot be deleted now")

    region, clock = Keeping("eu"), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    uploads = Uploads(open_spool(), region, Events(), at_once=True, clock=clock)
    for start, end in ((0, 8), (8, MIB)):
        uploads.write(ONE, start, b"x" * (end - start))
        assert uploads.upload._step()
    clock.advance(SUPERSEDED_AFTER_S)
    uploads.write(ONE, MIB, b"x" * 8)
    assert uploads.upload._step()
    assert uploads.upload.has_on(ONE) == MIB + 8
