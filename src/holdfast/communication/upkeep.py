"""What happens to planned work by the clock: reminders, starts, ends, and the next of what recurs."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, CommunicationError
from holdfast.communication.incident_desk import fresh_id
from holdfast.communication.maintenance import (
    Decided,
    cancelled,
    finished,
    notice_of,
    passed,
    reminded,
    started,
)
from holdfast.communication.maintenance_desk import MaintenanceDesk
from holdfast.communication.model import Maintenance, Stage
from holdfast.communication.ports import MaintenanceStore
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry

ACTOR = "controller"
OVERDUE_AFTER = timedelta(minutes=5)
"""How long after a planned time operators are told that somebody has not started or finished something."""

Tell = Callable[[str, Mapping[str, object]], None]


def by_clock(maintenance: Maintenance, update_id: str, now: datetime) -> Decided | None:
    """The next thing that the clock does to it, if its time has come.

    What somebody was to start and nobody did, did not take place: it is cancelled when its window is over.
    """
    window = maintenance.window
    if maintenance.stage is Stage.SCHEDULED:
        if not maintenance.starts_by_clock:
            if now >= window.end:
                return cancelled(maintenance, "", update_id, ACTOR, now)
        elif now >= window.end and maintenance.ends_by_clock:
            return passed(maintenance, update_id, ACTOR, now)
        elif now >= window.start:
            return started(maintenance, update_id, ACTOR, now, by_clock=True)
        return reminded(maintenance, now)
    if maintenance.is_under_way and maintenance.ends_by_clock and now >= window.end:
        return finished(maintenance, update_id, ACTOR, now, by_clock=True)
    return None


def overdue(maintenance: Maintenance, now: datetime) -> str:
    """`start` or `end` when somebody should have started or finished it by now, else nothing."""
    window = maintenance.window
    if maintenance.stage is Stage.SCHEDULED and not maintenance.starts_by_clock:
        return "start" if now >= window.start + OVERDUE_AFTER else ""
    if maintenance.is_under_way and not maintenance.ends_by_clock:
        return "end" if now >= window.end + OVERDUE_AFTER else ""
    return ""


class Upkeep:
    """Rounds over all that is not over. Repeating one changes nothing, and two may do it at once.

    A round goes by the slower of two clocks, its own and the store's: one that runs ahead ends nothing early.
    Raises what the store raises when it is away; what was done until then stays.
    """

    def __init__(
        self,
        store: MaintenanceStore,
        desk: MaintenanceDesk,
        clock: Clock,
        directory: Callable[[], Directory],
        *,
        on_event: Tell = lambda *_: None,
        make_id: Callable[[], str] = fresh_id,
    ) -> None:
        self._store = store
        self._desk = desk
        self._clock = clock
        self._directory = directory
        self._tell = on_event
        self._make_id = make_id
        self._told: set[tuple[str, str]] = set()

    async def run_once(self) -> int:
        """Do what is due; returns how many maintenances that changed."""
        now = min(self._clock.now(), await self._store.now())
        unfinished = await self._store.unfinished()
        self._told_once(unfinished, now)
        done = 0
        for each in unfinished:
            try:
                done += await self._step(each, now)
            except ChangedMeanwhile:
                continue  # somebody was faster, and the next round looks at what that made of it
            except CommunicationError as error:
                self._tell_once(each.id, str(error), "maintenance_postponed", {"error": str(error)})
        return done

    async def plan_ahead(self) -> int:
        """Let every series be followed; returns how many maintenances that changed."""
        done = 0
        for series in await self._desk.series():
            try:
                done += await self._desk.follow(series)
            except CommunicationError as error:
                self._tell_once(series.id, str(error), "series_postponed", {"error": str(error)})
        return done

    async def _step(self, maintenance: Maintenance, now: datetime) -> bool:
        decided = by_clock(maintenance, self._make_id(), now)
        if decided is None:
            return False
        notices = []
        if decided.told is not None:
            notices = [notice_of(decided.maintenance, decided.told, self._directory(), now)]
        facts = {"maintenance": maintenance.id, **decided.facts}
        await self._store.record(
            decided.maintenance, notices, JournalEntry(now, ACTOR, decided.journalled, facts)
        )
        return True

    def _told_once(self, unfinished: Sequence[Maintenance], now: datetime) -> None:
        for each in unfinished:
            if what := overdue(each, now):
                planned = each.window.start if what == "start" else each.window.end
                facts = {"title": each.title, "waits_for": what, "planned": planned.isoformat()}
                self._tell_once(each.id, f"{what} {planned.isoformat()}", "maintenance_overdue", facts)

    def _tell_once(self, key: str, what: str, event: str, facts: Mapping[str, object]) -> None:
        if (key, what) not in self._told:
            self._told.add((key, what))
            self._tell(event, {"maintenance": key, **facts})
