import threading
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
from tests.installation import eventually

from holdfast.adapters.memory.regions import Faults, MemoryRegion
from holdfast.backup.errors import RegionAway, RegionError, RegionRefused
from holdfast.backup.ports import Region
from holdfast.backup.take.fanout import FanOut
from holdfast.kernel.clock import SystemClock

MIB = 1024 * 1024
LIMIT = 4 * MIB


@dataclass(slots=True)
class HangingRegion(MemoryRegion):
    """Its puts do not return until they are let go."""

    let_go: threading.Event = field(default_factory=threading.Event)

    def put(self, key: str, content: bytes | memoryview) -> None:
        self.let_go.wait(60)
        # Not `super()`: a dataclass with slots is another class than the one that was written.
        MemoryRegion.put(self, key, content)


def fan_over(*regions: Region, patience_s: float = 60.0) -> FanOut:
    return FanOut(
        regions,
        SystemClock(),
        limit_bytes=LIMIT,
        workers=2,
        patience_s=patience_s,
        retry_after_s=(0.01, 0.01),
    )


def put_many(fan: FanOut, count: int, size: int = MIB) -> None:
    for number in range(count):
        fan.reserve(size)
        fan.put(f"db/{number}", bytes(size))
    fan.settle()


def test_every_region_gets_everything() -> None:
    one, two = MemoryRegion("one"), MemoryRegion("two")
    with fan_over(one, two) as fan:
        put_many(fan, 20)
        assert fan.complete == ("one", "two")
    assert len(one.keys) == 20
    assert one.keys == two.keys


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        (Faults(away=True), "nobody answers"),
        (Faults(refusing=True), "access denied"),
        (Faults(full=True), "no space left"),
        (Faults(away_after=7), "nobody answers"),
    ],
)
def test_a_region_that_fails_is_left_behind_and_the_other_goes_on(faults: Faults, why: str) -> None:
    good, bad = MemoryRegion("good"), MemoryRegion("bad", faults=faults)
    with fan_over(good, bad) as fan:
        put_many(fan, 20)
        assert fan.complete == ("good",)
        assert why in fan.behind["bad"]
    assert len(good.keys) == 20


def test_what_is_away_for_a_moment_is_asked_again() -> None:
    @dataclass(slots=True)
    class Flickering(MemoryRegion):
        left: int = 2

        def put(self, key: str, content: bytes | memoryview) -> None:
            if self.left:
                self.left -= 1
                raise RegionAway("for a moment")
            MemoryRegion.put(self, key, content)

    region = Flickering("one")
    with fan_over(region) as fan:
        put_many(fan, 1)
    assert region.keys == ["db/0"]


class LaterClock(SystemClock):
    """Much later than it was, once it is told."""

    passed_s = 0.0

    def monotonic(self) -> float:
        return SystemClock.monotonic(self) + self.passed_s


@pytest.mark.parametrize(
    ("passed_s", "others", "waited_for"), [(3600.0, 0, True), (3600.0, 1, False), (0.0, 0, False)]
)
def test_the_last_region_of_a_long_backup_may_restart(passed_s: float, others: int, waited_for: bool) -> None:
    @dataclass(slots=True)
    class Restarting(MemoryRegion):
        left: int = 50

        def put(self, key: str, content: bytes | memoryview) -> None:
            if self.left:
                self.left -= 1
                raise RegionAway("it restarts")
            MemoryRegion.put(self, key, content)

    clock, region = LaterClock(), Restarting("one")
    regions = [region, *(MemoryRegion(f"other-{number}") for number in range(others))]
    with FanOut(regions, clock, limit_bytes=LIMIT, workers=1, retry_after_s=(0.001,)) as fan:
        clock.passed_s = passed_s
        fan.put("db/0", b"")
        with nullcontext() if waited_for or others else pytest.raises(RegionAway, match="it restarts"):
            fan.settle()
        assert ("one" in fan.complete) is waited_for
    assert (region.keys == ["db/0"]) is waited_for


def test_an_answer_that_was_lost_counts_as_success() -> None:
    @dataclass(slots=True)
    class LosingAnswers(MemoryRegion):
        def put(self, key: str, content: bytes | memoryview) -> None:
            MemoryRegion.put(self, key, content)
            if [each for each in self.calls if each == ("put", key)] == [("put", key)]:
                raise RegionAway("the answer was lost")

    region = LosingAnswers("one")
    with fan_over(region) as fan:
        put_many(fan, 5)
        assert fan.complete == ("one",)
    assert len(region.keys) == 5


def test_a_region_that_hangs_neither_stops_the_others_nor_takes_their_room() -> None:
    good, hanging = MemoryRegion("good"), HangingRegion("hanging")
    try:
        with fan_over(good, hanging, patience_s=0.2) as fan:
            put_many(fan, 40)
            assert fan.complete == ("good",)
            assert "held the others up" in fan.behind["hanging"]
        assert len(good.keys) == 40
    finally:
        hanging.let_go.set()


def test_regions_that_are_all_slow_are_waited_for() -> None:
    slow = [MemoryRegion(name, faults=Faults(slow_s=0.03)) for name in ("one", "two")]
    with fan_over(*slow, patience_s=30.0) as fan:
        put_many(fan, 10)
        assert fan.complete == ("one", "two")


def test_no_more_than_the_limit_is_held() -> None:
    hanging = HangingRegion("hanging")
    sent: list[int] = []
    ended: list[RegionError] = []

    def fill() -> None:
        try:
            for number in range(100):
                fan.reserve(MIB)
                fan.put(f"db/{number}", bytes(MIB))
                sent.append(number)
        except RegionError as error:
            ended.append(error)

    try:
        with fan_over(hanging) as fan:
            thread = threading.Thread(target=fill)
            thread.start()
            eventually(lambda: len(sent) == LIMIT // MIB, "all room is taken")
            thread.join(0.2)
            assert thread.is_alive()
            assert len(sent) == LIMIT // MIB
        thread.join(60)
        assert len(ended) == 1
    finally:
        hanging.let_go.set()


def test_when_no_region_is_left_it_says_what_each_said() -> None:
    away, full = (
        MemoryRegion("away", faults=Faults(away=True)),
        MemoryRegion("full", faults=Faults(full=True)),
    )
    with fan_over(away, full) as fan, pytest.raises(RegionAway, match=r"away: .*nobody.*; full: .*no space"):
        put_many(fan, 20)
    with fan_over(full) as fan, pytest.raises(RegionRefused, match="no space"):
        put_many(fan, 20)


def test_a_mistake_in_a_store_leaves_that_region_behind_alone() -> None:
    @dataclass(slots=True)
    class Broken(MemoryRegion):
        def put(self, key: str, content: bytes | memoryview) -> None:
            raise ZeroDivisionError("a bug" if key and content else "")

    with fan_over(MemoryRegion("good"), Broken("broken")) as fan:
        put_many(fan, 3)
        assert fan.behind == {"broken": "a bug"}


def test_something_is_done_in_each_region_that_is_still_good() -> None:
    good, bad = MemoryRegion("good"), MemoryRegion("bad", faults=Faults(full=True))
    done: list[str] = []
    with fan_over(good, bad) as fan:
        put_many(fan, 1)
        fan.each(lambda region: done.append(region.name))
        fan.settle()
    assert done == ["good"]
