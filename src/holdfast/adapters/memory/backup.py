"""The backup stores in memory, for tests. Everything ends with the process."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.recoverable.standing import Reported, document_of, points_from
from holdfast.backup.retention.approvals import (
    Approval,
    Change,
    InForce,
    NotApproved,
    Settled,
    approving,
    settling,
)
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import Clock
from holdfast.kernel.people import person_of


@dataclass(slots=True)
class _Place:
    keep: Keep
    change: Change | None = None


class MemoryKeeping:
    """KeepingStore over a dictionary. No step awaits anything, so none comes between another's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: dict[tuple[str, str], _Place] = {}
        self._numbers = count(1)
        self.journal: list[str] = []

    async def in_force(self, database: str) -> Sequence[InForce]:
        return [self._known(*place) for place in sorted(self._places) if place[0] == database]

    async def settle(
        self, database: str, region: str, decide: Callable[[InForce], Settled]
    ) -> tuple[InForce, Settled]:
        before = self._known(database, region)
        decided = decide(before)
        self.journal += [event for event, _ in settling(before, decided)]
        place = self._places.setdefault((database, region), _Place(decided.keep))
        place.keep = decided.keep
        if place.change is not None and place.change.id in (decided.done, decided.withdrawn):
            place.change = None
        if decided.asked is not None:
            place.change = Change(next(self._numbers), decided.asked, self._clock.now())
        return self._known(database, region), decided

    async def approve(
        self, database: str, region: str, change: int, who: str, refused: Callable[[InForce], str]
    ) -> InForce:
        known = self._known(database, region)
        if known.change is None or known.change.id != change:
            raise NotApproved(f"change {change} is not open any more")
        if why := refused(known):
            raise NotApproved(why)
        if all(person_of(each.who) != person_of(who) for each in known.change.approvals):
            approvals = (*known.change.approvals, Approval(who, self._clock.now()))
            self._places[database, region].change = replace(known.change, approvals=approvals)
            self.journal.append(approving(self._known(database, region))[0])
        return self._known(database, region)

    def _known(self, database: str, region: str) -> InForce:
        place = self._places.get((database, region))
        keep, change = (place.keep, place.change) if place else (None, None)
        return InForce(database, region, keep, self._clock.now(), change)


class MemoryBackupStatus:
    """StatusStore over a dictionary."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reports: dict[tuple[str, str], tuple[str, datetime]] = {}

    async def report(self, points: RegionPoints) -> None:
        self._reports[points.database, points.region] = (document_of(points), self._clock.now())

    async def statuses(self) -> Sequence[Reported]:
        now = self._clock.now()
        return [Reported(points_from(text), at, now) for _, (text, at) in sorted(self._reports.items())]

    async def forget(self, declared: Collection[tuple[str, str]]) -> int:
        gone = [place for place in self._reports if place not in declared]
        for place in gone:
            del self._reports[place]
        return len(gone)
