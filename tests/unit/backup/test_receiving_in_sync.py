"""In sync mode: what a commit waits for, and how little is done for many of them. The server is made up."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.receiving_parts import DATABASE, PACKER, Events, pieces_in, until, wal_in

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import SourceAway
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.model import Mode
from holdfast.backup.ports import Slot, SourceIdentity, WalData, WalEvent
from holdfast.backup.wal.acknowledging import place_asked_again
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.reception import ReceiverSettings
from holdfast.backup.wal.spool import Spool
from holdfast.kernel.clock import SystemClock

MIB = 1 << 20
ONE = Timeline(1)
START = Lsn(MIB)
COMMIT = 100
"""Bytes that each commit writes."""


@dataclass
class Server:
    """A server, its source and its stream: what is committed comes at once, and acknowledgements are kept."""

    sent: int = START
    told: list[tuple[int, int]] = field(default_factory=list)
    judge: Callable[[int], None] | None = None
    """Asked before each acknowledgement is believed."""
    broken: bool = False
    _coming: deque[WalEvent] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def commit(self, count: int = 1) -> None:
        """So many commits at once, a message each."""
        with self._changed:
            for _ in range(count):
                end = Lsn(self.sent + COMMIT)
                self._coming.append(WalData(Lsn(self.sent), b"c" * COMMIT, end, datetime.now(UTC)))
                self.sent = end
            self._changed.notify_all()

    @property
    def released(self) -> int:
        """Commits before that place are not waited for any more."""
        return max((flushed for _, flushed in self.told), default=0)

    # the source

    def identify(self) -> SourceIdentity:
        return SourceIdentity(7, ONE, Lsn(self.sent), 180000, MIB)

    def slot(self, name: str) -> Slot:
        return Slot(name, START, ONE)

    make_slot = slot

    @contextmanager
    def stream(self, *_: object, **__: object) -> Iterator["Server"]:
        yield self

    # the stream

    def receive(self, timeout_s: float) -> WalEvent | None:
        with self._changed:
            if not self._coming and timeout_s:
                self._changed.wait(timeout_s)
            return self._coming.popleft() if self._coming else None

    def acknowledge(self, written: Lsn, flushed: Lsn, **_: object) -> None:
        if self.broken:
            raise SourceAway("the stream broke off")
        if self.judge is not None:
            self.judge(flushed)
        self.told.append((written, flushed))

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class CountingSpool(Spool):
    """A spool whose flushes are counted, and wait while `closed`."""

    def __init__(self, folder: Path) -> None:
        self.flushes = 0
        self.meanwhile: Callable[[], None] | None = None
        self.open = threading.Event()
        self.open.set()
        super().__init__(folder, 64 * MIB)

    def flush(self) -> None:
        self.open.wait(60)
        self.flushes += 1
        if self.meanwhile is not None:
            time.sleep(0.01)  # longer than it takes to be back
            self.meanwhile()
        super().flush()


class GatedRegion(MemoryRegion):
    """A region whose puts are under way until the gate is open."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.open = threading.Event()
        self.open.set()
        self.under_way = threading.Event()

    def put(self, key: str, content: bytes | memoryview) -> None:
        self.under_way.set()
        self.open.wait(60)
        MemoryRegion.put(self, key, content)

    @property
    def end(self) -> int:
        return max((each.segment.start + each.end for each in pieces_in(self)), default=0)


@dataclass
class Kept:
    """Everything around one receiver."""

    server: Server
    spool: CountingSpool
    region: GatedRegion
    events: Events
    receiver: Receiver


@contextmanager
def keeping(
    folder: Path, *, regions: int, server: Server | None = None, region: GatedRegion | None = None
) -> Iterator[Kept]:
    server, region = server or Server(), region or GatedRegion("eu")
    spool, events = CountingSpool(folder / "spool"), Events()
    settings = ReceiverSettings(
        "holdfast_orders", mode=Mode.SYNC, sync_regions=regions, stall_limit_s=1000.0, heartbeat_s=0.0
    )
    receiver = Receiver(
        DATABASE,
        server,  # type: ignore[arg-type]  what of a source is asked
        spool,
        [region],
        PACKER,
        SystemClock(),
        settings,
        on_event=events,
    )
    receiver.start()
    try:
        until(lambda: receiver.state().connected, "a stream")
        yield Kept(server, spool, region, events, receiver)
    finally:
        spool.open.set()
        region.open.set()
        receiver.stop()
        spool.close()


@pytest.fixture
def by_region(tmp_path: Path) -> Iterator[Kept]:
    with keeping(tmp_path, regions=1) as kept:
        yield kept


def test_a_commit_waits_for_the_region_and_not_for_this_machines_disk(by_region: Kept) -> None:
    server, spool, region = by_region.server, by_region.spool, by_region.region
    spool.open.clear()
    server.commit()
    until(lambda: server.released == server.sent, "an acknowledgement beside a flush that is not finished")
    assert region.end == server.sent
    spool.open.set()
    region.open.clear()
    server.commit()
    until(
        lambda: by_region.receiver.state().flushed == server.sent, "a flush beside a put that is not finished"
    )
    assert server.released < server.sent, "no region has it"
    region.open.set()
    until(lambda: server.released == server.sent, "an acknowledgement after the put")


def test_nothing_is_acknowledged_beyond_the_segment_that_the_server_keeps_for_us(by_region: Kept) -> None:
    """Else what a power cut takes from the spool could be gone from the server as well."""
    server, spool, region = by_region.server, by_region.spool, by_region.region
    server.commit()
    until(lambda: server.released == server.sent)
    spool.open.clear()
    server.commit(11_000)
    until(lambda: region.end == server.sent, "all of it in the region, and nothing of it flushed")
    until(lambda: server.released == START + MIB - 1, "an acknowledgement within the segment")
    time.sleep(0.05)
    assert server.released == START + MIB - 1
    spool.open.set()
    until(lambda: server.released == server.sent, "the rest, behind the flush")


def test_nothing_is_ever_acknowledged_that_no_region_has_or_that_would_leave_a_hole(by_region: Kept) -> None:
    server, spool, region = by_region.server, by_region.spool, by_region.region
    wrong: list[int] = []

    def judge(flushed: int) -> None:
        # The files and the objects themselves, and not what the receiver says of them.
        here, end = spool.flushed, spool.end
        if flushed and (
            here is None
            or end is None
            or flushed > region.end
            or flushed > place_asked_again(here[1], end[1], MIB)
        ):
            wrong.append(flushed)

    server.judge = judge
    for count in (1, 8, 3, 1, 30, 2, 8, 11_000, 8, 8, 1):
        server.commit(count)
        until(lambda: server.released == server.sent, "an acknowledgement")
    assert not wrong
    assert len(server.told) >= 10


class NearRegion(GatedRegion):
    """Lies where the spool does. Who puts into it is noted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.put_by: list[str] = []

    def lies_with(self, folder: Path) -> bool:
        return folder.exists()

    def put_part(self, key: str, content: bytes | memoryview) -> None:
        self.put_by.append(threading.current_thread().name)
        self.put(key, content)


def test_into_a_region_beside_the_spool_the_receiving_thread_puts_by_itself(tmp_path: Path) -> None:
    region = NearRegion("eu")
    with keeping(tmp_path, regions=1, region=region) as kept:
        server = kept.server
        for _ in range(30):
            server.commit(3)
            until(lambda: server.released == server.sent)
        assert region.put_by.count(f"wal of {DATABASE}") >= 28
        region.faults.away = True
        server.commit()
        until(lambda: "region_failed" in kept.events.names, "a failure")
        assert server.released < server.sent
        region.faults.away = False
        until(lambda: server.released == server.sent, "another try, by the region's thread")
        assert region.put_by[-1] == "wal to eu"
        region.put_by.clear()
        for _ in range(10):
            server.commit(3)
            until(lambda: server.released == server.sent)
        assert region.put_by[-1] == f"wal of {DATABASE}", "it is as before"
    assert wal_in(region)[Segment(ONE, 1, MIB)] == b"c" * (server.sent - START)


def test_the_end_of_a_segment_is_a_part_and_then_it_is_stored_whole(tmp_path: Path) -> None:
    region = NearRegion("eu")
    with keeping(tmp_path, regions=1, region=region) as kept:
        server = kept.server
        for _ in range(106):
            server.commit(100)
            until(lambda: server.released == server.sent)
        until(lambda: Segment(ONE, 1, MIB) not in {each.segment for each in kept.spool.segments()}, "release")
    spans = [(each.start, each.end) for each in pieces_in(region) if each.segment.number == 1]
    assert (0, MIB) in spans
    assert any(end == MIB and start > 0 for start, end in spans)
    assert wal_in(region)[Segment(ONE, 1, MIB)] == b"c" * MIB


def test_what_came_during_a_put_is_one_put_and_what_came_at_once_is_one_flush(by_region: Kept) -> None:
    server, spool, region = by_region.server, by_region.spool, by_region.region
    server.commit()
    until(lambda: server.released == server.sent)
    region.open.clear()
    region.under_way.clear()
    server.commit()
    assert region.under_way.wait(60)
    puts, flushes = len(pieces_in(region)), spool.flushes
    for _ in range(50):
        server.commit(20)
    until(lambda: by_region.receiver.state().flushed == server.sent, "flushing all of it")
    assert spool.flushes - flushes <= 51
    region.open.set()
    until(lambda: server.released == server.sent)
    # One was under way, and the 1,000 commits behind it are the next.
    assert len(pieces_in(region)) - puts == 2


def test_many_commits_at_once_cost_one_flush_and_one_acknowledgement(tmp_path: Path) -> None:
    with keeping(tmp_path, regions=0) as kept:
        server, spool = kept.server, kept.spool
        server.commit()
        until(lambda: server.released == server.sent)
        flushes, told = spool.flushes, len(server.told)
        server.commit(500)
        until(lambda: server.released == server.sent)
        # What comes at once comes under one lock: the first of it may be taken before the rest is there.
        assert spool.flushes - flushes <= 2
        assert len(server.told) - told <= 2 + 1


def test_the_region_acknowledges_while_the_receiving_thread_is_busy(by_region: Kept) -> None:
    server, spool, region = by_region.server, by_region.spool, by_region.region
    region.open.clear()
    server.commit()
    until(lambda: by_region.receiver.state().flushed == server.sent, "a flush")
    # The next flush hangs, as on a disk that is busy: what is put meanwhile is told by the region's thread.
    spool.open.clear()
    server.commit()
    until(lambda: (by_region.spool.end or (ONE, Lsn(0)))[1] == server.sent, "receiving more")
    region.open.set()
    until(lambda: server.released == server.sent, "an acknowledgement by the region's thread")


def test_a_stream_that_broke_off_is_no_fault_of_the_region(by_region: Kept) -> None:
    server, region = by_region.server, by_region.region
    region.open.clear()
    server.commit()
    until(lambda: by_region.receiver.state().flushed == server.sent, "a flush")
    server.broken = True
    region.open.set()
    until(lambda: region.end == server.sent, "the put")
    until(lambda: "wal_stream_failed" in by_region.events.names, "the receiving thread to notice")
    assert "region_failed" not in by_region.events.names
    server.broken = False
    until(lambda: server.released == server.sent, "an acknowledgement over the next stream")


def test_what_the_spool_could_not_flush_is_received_again(by_region: Kept) -> None:
    server, spool, region = by_region.server, by_region.spool, by_region.region
    spool.open.clear()
    server.commit()
    until(lambda: region.end == server.sent, "the put")
    with spool._turn:
        spool._cut_back({Segment(ONE, 1, MIB): 0})  # as after an fsync that failed
    spool.open.set()
    server.told.clear()
    server.sent = START
    server.commit()  # a stream sends it again
    until(lambda: server.released == server.sent, "an acknowledgement")
    assert spool.flushed == (1, server.sent)


class Clients(Server):
    """Each commits again when its last one was acknowledged: while it is waited for, or others flushed."""

    working = True

    def __init__(self) -> None:
        super().__init__()
        self._on_their_way = 0

    def acknowledge(self, written: Lsn, flushed: Lsn, **_: object) -> None:
        before = max(self.released, START)
        super().acknowledge(written, flushed)
        if self.working:
            self._on_their_way += (max(flushed, before) - before) // COMMIT

    def receive(self, timeout_s: float) -> WalEvent | None:
        if timeout_s:
            self.arrive()
        return super().receive(timeout_s)

    def arrive(self) -> None:
        self.commit(self._on_their_way)
        self._on_their_way = 0


def test_by_the_disk_alone_two_groups_that_take_turns_become_one(tmp_path: Path) -> None:
    server = Clients()
    with keeping(tmp_path, regions=0, server=server) as kept:
        spool = kept.spool
        spool.meanwhile = server.arrive
        spool.open.clear()
        server.commit(4)
        until(lambda: (spool.end or (ONE, Lsn(0)))[1] == server.sent, "the first four, being flushed")
        server.commit(4)
        flushes = spool.flushes
        spool.open.set()
        until(lambda: server.released >= START + 400 * COMMIT, "fifty commits of each")
        # In two groups they would be a hundred.
        assert spool.flushes - flushes <= 75
        server.working = False
