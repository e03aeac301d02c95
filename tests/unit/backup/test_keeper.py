"""One database's keeper: each duty goes on by itself, whatever the others do, and what harms waits."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.held import DB, at, backup, wal
from tests.installation import eventually
from tests.proven import put_backup
from tests.stored_held import stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import SpoolTaken
from holdfast.backup.model import BackupKind, Holdings, Suspicion
from holdfast.backup.ports import Listed, Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import tell
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.take.scheduling import Due
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.keeper import Keeper
from holdfast.bootstrap.backup.keeping import Heard, Receiving
from holdfast.bootstrap.backup.turns import Turns
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


def nothing(go_on: Callable[[], None]) -> None:
    del go_on


@dataclass
class ScriptedDuties:
    """Duties of which some do something while the others go on. What was done is counted by its name."""

    while_taking: Callable[[Callable[[], None]], object] = nothing
    while_verifying: Callable[[Callable[[], None]], object] = nothing
    parent: str = ""
    takes: int = 1
    """How many backups are due, one behind the other."""
    verifications: int = 1
    knows_what_is_in_force: bool = True
    spool_is_taken: bool = False
    held: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def receiver(self, heard: Heard) -> tuple[Spool, Receiving] | None:
        del heard
        self.done.append("receiver")
        if self.spool_is_taken:
            raise SpoolTaken("another process works there")
        return None

    def bring_pushed(self) -> None: ...

    def due(self, held: Sequence[Holdings], wanted: str) -> Due | None:
        assert not wanted
        self.held = [each.region for each in held]
        if self.done.count("take") >= self.takes:
            return None
        parents = {each.id: each for one in held for each in one.backups}
        return Due(BackupKind.FULL, "it is asked for", parents.get(self.parent))

    def take(self, due: Due, go_on: Callable[[], None]) -> str:
        del due
        self.done.append("take")
        self.while_taking(go_on)
        return ""

    def points(self, region: Region) -> RegionPoints:
        return RegionPoints(DB, region.name, NOW)

    def report(self, points: RegionPoints) -> None:
        self.done.append(f"report {points.region}")

    def keep(self, region: str) -> Keep | None:
        del region
        return KEEP if self.knows_what_is_in_force else None

    def known_keep(self, region: str) -> Keep:
        del region
        return KEEP

    def unverified(self, held: Sequence[Holdings]) -> Sequence[str]:
        done = sum(1 for each in self.done if each.startswith("verify"))
        return [each.region for each in held][:1] if done < self.verifications else []

    def verify(self, region: str, go_on: Callable[[], None]) -> None:
        self.done.append(f"verify {region}")
        self.while_verifying(go_on)


@dataclass
class Told:
    """What a keeper told, in order."""

    entries: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        self.entries.append((event, facts))

    def of(self, event: str) -> list[Mapping[str, object]]:
        return [facts for each, facts in list(self.entries) if each == event]


@contextmanager
def keeping(
    regions: Sequence[Region],
    duties: ScriptedDuties,
    *,
    turns: Turns | None = None,
    stopped_at_once: bool = True,
) -> Iterator[Told]:
    told = Told()
    keeper = Keeper(DB, regions, duties, ManualClock(NOW), told, turns)
    keeper.start()
    try:
        yield told
    finally:
        before = threading.active_count()
        keeper.stop(60)
        if stopped_at_once:
            assert threading.active_count() < before, "nothing of it ended"


class Gate:
    """Work that goes on until it is let through, or given up."""

    def __init__(self, *, heeds: bool = True) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._heeds = heeds

    def __call__(self, go_on: Callable[[], None]) -> None:
        self.entered.set()
        while not self.open.wait(0.01):
            if self._heeds:
                go_on()


def filled(name: str) -> MemoryRegion:
    taken = [backup(day * 24) for day in range(DAYS)]
    return stored(MemoryRegion(name, clock=ManualClock(NOW)), taken, wal(0, DAYS * 24))


# --- none holds up another


def test_while_a_backup_is_taken_for_hours_all_else_goes_on() -> None:
    gate = Gate()
    first, second = filled("eu"), MemoryRegion("us")
    duties = ScriptedDuties(while_taking=gate)
    with keeping([first, second], duties) as told:
        assert gate.entered.wait(60)
        eventually(lambda: told.of("backup.expired"), "what expired goes")
        eventually(lambda: told.of("backup.copied"), "the region that has nothing gets it")
        eventually(lambda: "verify eu" in duties.done, "it is verified")
        eventually(lambda: "report us" in duties.done, "it is reported")
        assert not told.of("backup.taken")
        gate.open.set()
        eventually(lambda: told.of("backup.taken"), "the backup is there")


def test_while_a_copy_is_verified_for_hours_backups_are_taken() -> None:
    gate = Gate()
    with keeping([filled("eu")], ScriptedDuties(while_verifying=gate)) as told:
        assert gate.entered.wait(60)
        eventually(lambda: told.of("backup.taken"), "the backup is there")
        gate.open.set()


def test_nothing_expires_while_it_is_read_and_goes_later() -> None:
    gate, tidied = Gate(), threading.Event()
    region = filled("eu")

    @dataclass
    class Slow(ScriptedDuties):
        def keep(self, region: str) -> Keep | None:
            # Not before the verification has begun.
            assert gate.entered.wait(60)
            tidied.set()
            return super().keep(region)

    duties = Slow(while_verifying=gate)
    before = len(region.keys)
    with keeping([region], duties) as told:
        assert tidied.wait(60)
        time.sleep(0.2)
        assert len(region.keys) == before
        assert not told.of("backup.expired")
        gate.open.set()


def test_what_an_increment_is_being_taken_of_stays() -> None:
    region = filled("eu")
    oldest = holdings_of(region, DB, ManualClock(NOW)).backups[0]
    gate, waits = Gate(), Gate()

    @dataclass
    class InOrder(ScriptedDuties):
        def keep(self, region: str) -> Keep | None:
            assert gate.entered.wait(60)
            return super().keep(region)

    duties = InOrder(while_taking=gate, while_verifying=waits, parent=oldest.id, verifications=0)
    with keeping([region], duties) as told:
        eventually(lambda: told.of("backup.expired"), "what expired goes")
        left = [each.id for each in holdings_of(region, DB, ManualClock(NOW)).backups]
        assert oldest.id in left
        assert len(left) < DAYS
        gate.open.set()


# --- none ends another


def test_a_region_that_answers_oddly_takes_nothing_from_the_others() -> None:
    duties = ScriptedDuties()
    with keeping([filled("eu"), OddRegion("us")], duties) as told:
        eventually(lambda: told.of("backup.expired"), "what expired goes")
        assert duties.held == ["eu"]
        eventually(
            lambda: [each for each in told.of("backup.step_failed") if "what is that" in str(each["error"])],
            "it is told",
        )
    assert [facts["region"] for facts in told.of("backup.expired")] == ["eu"]


@pytest.mark.parametrize("job", ["take", "verify"])
def test_a_job_that_trips_over_something_ends_no_other(job: str) -> None:
    def trip(go_on: Callable[[], None]) -> None:
        del go_on
        raise ZeroDivisionError

    duties = ScriptedDuties()
    setattr(duties, {"take": "while_taking", "verify": "while_verifying"}[job], trip)
    with keeping([filled("eu")], duties) as told:
        eventually(lambda: told.of("backup.expired"), "what expired goes")
        eventually(lambda: told.of("backup.step_failed"), "it is told")
        other = "verify eu" if job == "take" else "take"
        eventually(lambda: other in duties.done, "the other is done")
    assert [facts["step"] for facts in told.of("backup.step_failed")] == [job]


def test_a_suspicion_that_one_region_knows_of_is_heeded_in_all() -> None:
    first, second = filled("eu"), filled("us")
    tell([second], DB, Suspicion("m", at(DAYS * 24 - 1), NOW, "somebody looked"))
    duties = ScriptedDuties()
    with keeping([first, second], duties) as told:
        # It is told to the region that was away then, before anything goes there.
        eventually(lambda: [key for key in first.keys if "/marks/" in key], "the mark is there")
    # What was begun has ended.
    assert not told.of("backup.expired")


def test_a_region_that_refuses_keeps_no_other_from_being_tidied() -> None:
    first, second = filled("eu"), filled("us")
    first.faults.refusing = True
    with keeping([first, second], ScriptedDuties()) as told:
        eventually(lambda: told.of("backup.expired"), "what expired goes")
    assert [facts["region"] for facts in told.of("backup.expired")] == ["us"]


def test_what_one_region_has_damaged_is_copied_from_another() -> None:
    first, second, third = (MemoryRegion(name) for name in ("eu", "us", "au"))
    made = put_backup([first, second], 0)
    first.replace(made.index.key, b"\0" * made.index.stored_bytes)
    with keeping([first, second, third], ScriptedDuties()) as told:
        eventually(lambda: [each for each in told.of("backup.copied") if not each["damaged"]], "it is copied")
    copied = [(facts["from"], facts["damaged"]) for facts in told.of("backup.copied")]
    assert copied == [("eu", 1), ("us", 0)]
    assert [each.id for each in holdings_of(third, DB, ManualClock(NOW)).backups] == [made.id]


# --- Holdfast's own database is away


def test_a_suspicion_that_was_lifted_long_ago_is_forgotten_in_all_regions() -> None:
    regions = [filled("eu"), filled("us")]
    long_ago = NOW - timedelta(days=1000)
    mark = Suspicion("20200101T000000Z-aaaaaa", long_ago, long_ago, "it jumped")
    tell(regions, DB, mark)
    tell(regions, DB, replace(mark, lifted_at=long_ago, lifted_by="ada"))
    with keeping(regions, ScriptedDuties()) as told:
        eventually(lambda: told.of("backup.pruned"), "what is old goes")
    assert [dict(each["objects"]) for each in told.of("backup.pruned")] == [{"eu": 2, "us": 2}]  # type: ignore[call-overload]
    assert not [key for region in regions for key in region.keys if "/marks/" in key]


def test_without_what_is_in_force_it_is_locked_and_copied_and_nothing_expires() -> None:
    first, second = filled("eu"), MemoryRegion("us")
    before = set(first.keys)
    with keeping([first, second], ScriptedDuties(knows_what_is_in_force=False)) as told:
        eventually(lambda: told.of("backup.copied"), "it is copied")
        eventually(lambda: [what for what, _ in list(first.calls) if what == "lock"], "it is locked")
    assert not told.of("backup.expired")
    assert set(first.keys) >= before


# --- beginning and ending


def test_a_database_that_another_process_keeps_is_left_to_it() -> None:
    duties = ScriptedDuties(spool_is_taken=True)
    with keeping([filled("eu")], duties, stopped_at_once=False) as told:
        eventually(lambda: "receiver" in duties.done, "it tries")
        time.sleep(0.1)
    assert set(duties.done) == {"receiver"}
    assert not told.entries


def test_work_that_is_given_up_ends_soon_and_is_no_failure() -> None:
    gate = Gate()
    with keeping([filled("eu")], ScriptedDuties(while_taking=gate, while_verifying=gate)) as told:
        assert gate.entered.wait(60)
    assert not told.of("backup.step_failed")
    assert not told.of("backup.taken")


def test_work_that_does_not_listen_is_not_waited_for() -> None:
    gate = Gate(heeds=False)
    told = Told()
    keeper = Keeper(DB, [filled("eu")], ScriptedDuties(while_taking=gate), ManualClock(NOW), told)
    keeper.start()
    assert gate.entered.wait(60)
    began = time.monotonic()
    keeper.stop(1.0)
    assert time.monotonic() - began < 30
    gate.open.set()


def test_of_many_databases_only_so_many_are_taken_at_once() -> None:
    turns, gates = Turns(), [Gate() for _ in range(3)]
    with (
        keeping([filled("a")], ScriptedDuties(while_taking=gates[0]), turns=turns) as first,
        keeping([filled("b")], ScriptedDuties(while_taking=gates[1]), turns=turns),
        keeping([filled("c")], ScriptedDuties(while_taking=gates[2]), turns=turns),
    ):
        # All are of one name here, as if the estate had changed: one is never taken twice at a time.
        eventually(lambda: sum(gate.entered.is_set() for gate in gates) == 1, "one is taken")
        time.sleep(0.2)
        assert sum(gate.entered.is_set() for gate in gates) == 1
        for gate in gates:
            gate.open.set()
        eventually(lambda: all(gate.entered.is_set() for gate in gates), "the others had their turn")
        eventually(lambda: first.of("backup.taken"), "it is there")
