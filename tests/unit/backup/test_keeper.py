"""One database's keeper: what trips over something odd ends nothing else, and what is new is looked at."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tests.held import DB, at, backup, wal
from tests.proven import put_backup
from tests.stored_held import stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.model import BackupKind, Holdings, Suspicion
from holdfast.backup.ports import Listed, Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import tell
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.take.scheduling import Due
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.keeper import Keeper
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

DAYS = 30
NOW = at(DAYS * 24)
KEEP = Keep(window=timedelta(days=2), daily=0, weekly=0, monthly=0, minimum=1)


@dataclass
class OddRegion(MemoryRegion):
    """It answers what nobody thought of."""

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        del prefix, after
        raise TypeError("what is that")


@dataclass
class ScriptedDuties:
    """Duties of which one does something while the others go on. `ended` is set by a round's last step."""

    while_taking: Callable[[], object] = lambda: None
    held: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def receiver(self) -> tuple[Spool, Receiver] | None:
        return None

    def bring_pushed(self) -> None: ...

    def due(self, held: Sequence[Holdings]) -> Due | None:
        self.held = [each.region for each in held]
        return Due(BackupKind.FULL, "it is asked for")

    def take(self, due: Due) -> str:
        del due
        self.while_taking()
        return ""

    def points(self, region: Region) -> RegionPoints:
        return RegionPoints(DB, region.name, NOW)

    def report(self, points: RegionPoints) -> None: ...

    def keep(self, region: str) -> Keep | None:
        del region
        return KEEP

    def verify_due(self) -> None:
        self.ended.set()


def round_of(regions: Sequence[Region], duties: ScriptedDuties) -> list[tuple[str, Mapping[str, object]]]:
    """What a keeper tells of its first round."""
    told: list[tuple[str, Mapping[str, object]]] = []
    keeper = Keeper(DB, regions, duties, ManualClock(NOW), lambda event, facts: told.append((event, facts)))
    keeper.start()
    try:
        assert duties.ended.wait(60)
    finally:
        keeper.stop()
    return told


def filled(name: str) -> MemoryRegion:
    taken = [backup(day * 24) for day in range(DAYS)]
    return stored(MemoryRegion(name, clock=ManualClock(NOW)), taken, wal(0, DAYS * 24))


def test_what_expired_goes() -> None:
    events = [event for event, _ in round_of([filled("eu")], ScriptedDuties())]
    assert "backup.expired" in events


def test_a_region_that_answers_oddly_takes_nothing_from_the_others() -> None:
    duties = ScriptedDuties()
    told = round_of([filled("eu"), OddRegion("us")], duties)
    assert duties.held == ["eu"]
    assert [facts["region"] for event, facts in told if event == "backup.expired"] == ["eu"]
    failed = [str(facts["error"]) for event, facts in told if event == "backup.step_failed"]
    assert any("what is that" in each for each in failed)


def test_a_step_that_trips_over_something_ends_no_other() -> None:
    def trip() -> None:
        raise ZeroDivisionError

    events = [event for event, _ in round_of([filled("eu")], ScriptedDuties(while_taking=trip))]
    assert {"backup.step_failed", "backup.expired"} <= set(events)


def test_a_suspicion_that_was_raised_while_a_backup_was_taken_is_heeded() -> None:
    region = filled("eu")
    mark = Suspicion("m", at(DAYS * 24 - 1), NOW, "somebody looked")
    duties = ScriptedDuties(while_taking=lambda: tell([region], DB, mark))
    assert "backup.expired" not in [event for event, _ in round_of([region], duties)]


def test_a_region_that_refuses_keeps_no_other_from_being_tidied() -> None:
    first, second = filled("eu"), filled("us")
    duties = ScriptedDuties(while_taking=lambda: setattr(first.faults, "refusing", True))
    told = round_of([first, second], duties)
    assert [facts["region"] for event, facts in told if event == "backup.expired"] == ["us"]


def test_what_one_region_has_damaged_is_copied_from_another() -> None:
    first, second, third = (MemoryRegion(name) for name in ("eu", "us", "au"))
    made = put_backup([first, second], 0)
    first.replace(made.index.key, b"\0" * made.index.stored_bytes)
    told = round_of([first, second, third], ScriptedDuties())
    copied = [(facts["from"], facts["damaged"]) for event, facts in told if event == "backup.copied"]
    assert copied == [("eu", 1), ("us", 0)]
    assert [each.id for each in holdings_of(third, DB, ManualClock(NOW)).backups] == [made.id]
