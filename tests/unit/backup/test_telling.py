"""What the server is told over one stream after the other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.receiving_parts import DATABASE, Events

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Mode
from holdfast.backup.wal.acknowledging import Standing
from holdfast.backup.wal.reception import ReceiverSettings
from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.telling import TELL_EVERY_S, Telling
from holdfast.kernel.clock import ManualClock

MIB = 1 << 20
ONE = Timeline(1)


class Stream:
    """Keeps what is acknowledged: written, flushed."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def acknowledge(self, written: Lsn, flushed: Lsn, *, reply_wanted: bool = False) -> None:
        del reply_wanted
        self.told.append((written, flushed))


class Teller:
    """A spool with so many bytes, one region, and what tells of them."""

    def __init__(self, spool: Spool, mode: Mode = Mode.SYNC) -> None:
        self.spool, self.clock, self.events = spool, ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), Events()
        self.region = 0
        settings = ReceiverSettings("holdfast_orders", mode=mode, sync_regions=1, stall_limit_s=10.0)
        self.telling = Telling(
            DATABASE,
            spool,
            self.clock,
            settings,
            lambda _: [Standing(Lsn(self.region), answers=True)],
            self.events,
        )

    def begin(self, floor: int = 0, timeline: Timeline = ONE) -> Stream:
        stream = Stream()
        self.telling.begin(stream, timeline, Lsn(floor))  # type: ignore[arg-type]  what of a stream is used
        return stream

    def receive(self, count: int) -> None:
        end = self.spool.end
        self.spool.append(ONE, end[1] if end else Lsn(0), b"x" * count)
        self.spool.flush()
        self.telling.kept_here(Lsn((end[1] if end else 0) + count))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", 64 * MIB) as spool:
        spool.adopt(1, MIB)
        yield spool


def test_news_are_told_at_once_and_nothing_twice_within_a_second(spool: Spool) -> None:
    teller = Teller(spool)
    stream = teller.begin()
    teller.receive(100)
    teller.region = 60
    for _ in range(3):
        teller.telling.tell()
    assert stream.told == [(100, 60)]
    teller.clock.advance(TELL_EVERY_S)
    teller.telling.tell()
    assert stream.told == [(100, 60)] * 2


def test_without_sync_it_is_told_now_and_then(spool: Spool) -> None:
    teller = Teller(spool, Mode.STREAM)
    stream = teller.begin()
    for end in (100, 200, 300):
        teller.receive(100)
        teller.region = end
        teller.telling.tell()
    assert stream.told == [(100, 100)]


def test_the_number_never_goes_down_and_never_below_what_the_slot_keeps(spool: Spool) -> None:
    teller = Teller(spool)
    stream = teller.begin(floor=50)
    teller.receive(100)
    teller.region = 40
    teller.telling.tell(now=True)
    teller.region = 80
    teller.telling.tell(now=True)
    teller.region = 60
    teller.telling.tell(now=True)
    assert [flushed for _, flushed in stream.told] == [0, 80, 80]


def test_of_another_timeline_nothing_is_told(spool: Spool) -> None:
    teller = Teller(spool)
    teller.receive(100)
    teller.region = 100
    stream = teller.begin(timeline=Timeline(2))
    teller.telling.tell(now=True)
    assert stream.told == [(0, 0)]


def test_nobody_speaks_over_a_stream_that_ended(spool: Spool) -> None:
    teller = Teller(spool)
    first = teller.begin()
    teller.receive(100)
    teller.region = 100
    teller.telling.end()
    teller.telling.tell(now=True)
    teller.telling.wake()
    assert not first.told
    second = teller.begin()
    teller.telling.tell()
    assert second.told == [(100, 100)]
    assert teller.telling.acknowledged == 100


def test_what_stalls_is_let_go_of_and_that_is_said(spool: Spool) -> None:
    teller = Teller(spool)
    stream = teller.begin()
    teller.receive(100)
    teller.telling.tell()
    assert teller.telling.sync == "on"
    teller.clock.advance(10)
    teller.telling.tell()
    assert stream.told[-1] == (100, 100)
    assert (teller.telling.sync, teller.events.names) == ("let go", ["sync_let_go"])
    teller.region = 100
    teller.telling.tell()
    assert (teller.telling.sync, teller.events.names) == ("on", ["sync_let_go", "sync_resumed"])
