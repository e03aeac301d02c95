"""A keeper and whoever receives: gaps are answered at once, what fills up is told of, regions catch up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.held import DB, at
from tests.installation import eventually
from tests.proven import put_backup, put_wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.copies.behind import BEHIND_AFTER_S
from holdfast.backup.lsn import Lsn
from holdfast.backup.model import BackupKind, Holdings
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.take.scheduling import SOONEST, Due
from holdfast.backup.wal.reception import ReceiverState
from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.uploading import RegionState
from holdfast.bootstrap.backup.keeper import GAP_FOUND, ROUND_EVERY_S, Keeper
from holdfast.bootstrap.backup.keeping import Heard, Receiving
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

NOW = at(10)
LIMIT = 100 << 20
SOON_S = ROUND_EVERY_S * 0.6
"""In less than a round: whoever only looks once in a round is later."""
AT_REST = ReceiverState(
    True,
    "",
    None,
    None,
    None,
    Lsn(0),
    Lsn(0),
    None,
    0,
    LIMIT,
    spool_is_full=False,
    sync="off",
    backup_wanted="",
    regions=(),
)


@dataclass
class ScriptedReceiver:
    """A receiver whose state the test says."""

    now: ReceiverState = AT_REST
    heard: Heard = lambda _: None
    cleared: int = 0
    caught: list[str] = field(default_factory=list)

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def state(self) -> ReceiverState:
        return self.now

    def backup_taken(self) -> None:
        self.cleared += 1
        self.now = replace(self.now, backup_wanted="")

    def caught_up(self, region: str) -> None:
        self.caught.append(region)
        self.now = replace(self.now, regions=())

    def find_gap(self, why: str) -> None:
        self.now = replace(self.now, backup_wanted=why)
        self.heard(GAP_FOUND)


@dataclass
class GapDuties:
    """A backup is due when it is wanted, and for no other reason."""

    spool: Spool
    own: ScriptedReceiver = field(default_factory=ScriptedReceiver)
    taken: list[str] = field(default_factory=list)
    asked: int = 0
    looked_at: list[str] = field(default_factory=list)
    while_taking: Callable[[], None] = lambda: None

    def receiver(self, heard: Heard) -> tuple[Spool, Receiving] | None:
        self.own.heard = heard
        return self.spool, self.own

    def bring_pushed(self) -> None: ...

    def due(self, held: Sequence[Holdings], wanted: str) -> Due | None:
        del held
        self.asked += 1
        return Due(BackupKind.INCREMENTAL, wanted) if wanted else None

    def take(self, due: Due, go_on: Callable[[], None]) -> str:
        del go_on
        self.while_taking()
        self.taken.append(due.why)
        return ""

    def points(self, region: Region) -> RegionPoints:
        return RegionPoints(DB, region.name, NOW)

    def report(self, points: RegionPoints) -> None: ...

    def keep(self, region: str) -> Keep | None:
        del region
        return None

    def known_keep(self, region: str) -> Keep:
        self.looked_at.append(region)
        return Keep()

    def unverified(self, held: Sequence[Holdings]) -> Sequence[str]:
        del held
        return []

    def verify(self, region: str, go_on: Callable[[], None]) -> None: ...


@dataclass
class Kept:
    duties: GapDuties
    clock: ManualClock
    keeper: Keeper
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def next_round(self, job: str) -> None:
        self.keeper._jobs.wake(job)

    def of(self, event: str) -> list[Mapping[str, object]]:
        return [facts for each, facts in list(self.told) if each == event]


@pytest.fixture
def duties(tmp_path: Path) -> GapDuties:
    return GapDuties(Spool(tmp_path / "spool", LIMIT))


@contextmanager
def keeping(duties: GapDuties, *regions: MemoryRegion) -> Iterator[Kept]:
    clock, told = ManualClock(NOW), []
    there = regions or (MemoryRegion("eu"),)
    keeper = Keeper(DB, there, duties, clock, lambda event, facts: told.append((event, facts)))
    keeper.start()
    try:
        eventually(lambda: duties.asked, "the first look")
        yield Kept(duties, clock, keeper, told)
    finally:
        keeper.stop(60)


def test_a_gap_is_answered_before_the_next_round(duties: GapDuties) -> None:
    with keeping(duties):
        duties.own.find_gap("the slot is lost")
        eventually(lambda: duties.taken == ["the slot is lost"], "it is answered", SOON_S)
        eventually(lambda: duties.own.cleared == 1, "it is wanted no more")


def test_of_many_gaps_not_each_is_answered_but_the_last_one_is(duties: GapDuties) -> None:
    with keeping(duties) as kept:
        duties.own.find_gap("one")
        eventually(lambda: duties.own.cleared == 1, "the first is answered", SOON_S)
        asked = duties.asked
        for _ in range(5):
            duties.own.find_gap("another")
        kept.next_round("take")
        eventually(lambda: duties.asked > asked, "it looks")
        assert duties.taken == ["one"]
        kept.clock.advance(SOONEST.total_seconds())
        duties.own.find_gap("the last")
        eventually(lambda: duties.taken == ["one", "the last"], "it is answered later", SOON_S)


def test_a_gap_that_is_found_while_a_backup_is_taken_is_not_answered_by_that(duties: GapDuties) -> None:
    def found() -> None:
        if not duties.taken:
            duties.own.find_gap("a second one")

    duties.while_taking = found
    with keeping(duties) as kept:
        duties.own.find_gap("the first one")
        eventually(lambda: duties.taken == ["the first one"], "it is answered", SOON_S)
        eventually(lambda: kept.of("backup.taken"), "it is told")
        assert duties.own.cleared == 0
        assert duties.own.now.backup_wanted == "a second one"


def test_a_backup_that_failed_answers_nothing(duties: GapDuties) -> None:
    def fail() -> None:
        duties.while_taking = lambda: None
        raise ZeroDivisionError

    duties.while_taking = fail
    with keeping(duties) as kept:
        duties.own.find_gap("the slot is lost")
        eventually(lambda: kept.of("backup.step_failed"), "it fails", SOON_S)
        assert duties.own.cleared == 0
        kept.next_round("take")
        eventually(lambda: duties.taken == ["the slot is lost"], "it is answered", SOON_S)


def test_a_spool_that_fills_up_is_told_of_and_that_it_is_over(duties: GapDuties) -> None:
    with keeping(duties) as kept:
        duties.own.now = replace(AT_REST, spool_bytes=LIMIT * 85 // 100)
        facts = eventually(lambda: kept.of("backup.spool_filling"), "it is told")[0]
        assert facts["percent"] == 85
        assert facts["bytes"] == LIMIT * 85 // 100
        assert facts["room_bytes"] == LIMIT - LIMIT * 85 // 100
        duties.own.now = replace(AT_REST, spool_bytes=LIMIT // 2)
        eventually(lambda: kept.of("backup.spool_emptied"), "it is over")


def test_a_region_that_was_left_behind_has_caught_up_when_it_lacks_nothing(duties: GapDuties) -> None:
    first, second = MemoryRegion("eu"), MemoryRegion("us")
    put_backup([first, second], 1)
    for hour in range(6):
        put_wal([first, second] if hour < 4 else [first], hour)
    left = RegionState("us", None, None, True, "", 0.0, Lsn(5), 0)
    duties.own.now = replace(AT_REST, regions=(left,))

    def look(kept: Kept) -> None:
        looks = duties.looked_at.count("us")
        kept.next_round("copy us")
        eventually(lambda: duties.looked_at.count("us") > looks, "it looks")

    with keeping(duties, first, second) as kept:
        look(kept)
        assert not duties.own.caught
        kept.clock.advance(BEHIND_AFTER_S)
        look(kept)
        eventually(lambda: kept.of("backup.copied"), "it is copied")
        assert not duties.own.caught
        look(kept)
        eventually(lambda: duties.own.caught == ["us"], "it has caught up")
        assert kept.of("backup.region_caught_up") == [{"database": DB, "region": "us"}]
