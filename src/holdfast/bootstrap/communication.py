"""Incidents in the processes that need them, and the rules in the controller's."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Interval, State
from holdfast.availability.ports import ReadingStore
from holdfast.bootstrap.leading import ControllerPart, Note
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.incident_desk import IncidentDesk
from holdfast.communication.model import ComponentState, Maintenance, Stage
from holdfast.communication.ports import MaintenanceStore
from holdfast.communication.rules import TROUBLE, Measured, RuleBook, Stretch
from holdfast.communication.watching import Watch
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import MICROSECOND, Window

WATCH_EVERY_S = 5.0
LOOK_BACK = timedelta(days=1)
LOOK_FAR_BACK = timedelta(days=90)
"""Only for what has been in trouble for all of LOOK_BACK."""

_IN_TROUBLE = frozenset({State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE})


def directory_in(inventory: Inventory) -> Directory:
    """Which component is which, of the estate in force."""
    return directory_of(inventory.estate, inventory.registered)


def incident_desk(pool: Pool, clock: Clock, directory: Callable[[], Directory]) -> IncidentDesk:
    """Incidents over a pool, of a login that may write them."""
    return IncidentDesk(PostgresIncidents(pool), PostgresAnnouncements(pool), clock, directory)


class StoredMeasurements:
    """Measurements out of the availability that is recorded, and the work that was really done meanwhile."""

    def __init__(
        self, store: ReadingStore, maintenance: MaintenanceStore, inventory: Callable[[], Inventory]
    ) -> None:
        self._store = store
        self._maintenance = maintenance
        self._inventory = inventory

    async def measured(self, also: Collection[int], now: datetime) -> Mapping[int, Measured]:
        inventory = self._inventory()
        known = frozenset(inventory.registered.components.values())
        ids = sorted(await self._in_trouble(inventory) | (known & frozenset(also)))
        found = await self._read(ids, Window(now - LOOK_BACK, now), now)
        long = [
            each
            for each, measured in found.items()
            if (run := measured.run(TROUBLE, now)) is not None and run.start <= now - LOOK_BACK
        ]
        return found | await self._read(long, Window(now - LOOK_FAR_BACK, now), now)

    async def _in_trouble(self, inventory: Inventory) -> frozenset[int]:
        """Components of which any check says so. What their intervals say, which are read next, counts."""
        states = await self._store.check_states()
        return frozenset(
            component_id
            for pair, component_id in inventory.registered.components.items()
            if any(
                check in states and states[check].state in _IN_TROUBLE for check in inventory.check_ids(*pair)
            )
        )

    async def _read(self, ids: Sequence[int], window: Window, now: datetime) -> dict[int, Measured]:
        if not ids:
            return {}
        lines = await self._store.intervals(ids, window, now)
        known = await self._maintenance.maintenances(Window(window.start, now + MICROSECOND))
        work = [(one.component_ids, worked) for one in known if (worked := _worked(one, now)) is not None]
        return {
            each: Measured(
                tuple(_stretch(interval) for interval in lines.get(each, ())),
                tuple(worked for concerned, worked in work if each in concerned),
            )
            for each in ids
        }


def _worked(maintenance: Maintenance, now: datetime) -> Window | None:
    """When it was really worked on, which may be longer than what counts; None when it was not."""
    if not (maintenance.is_under_way or maintenance.stage is Stage.COMPLETED):
        return None
    start = maintenance.began_at or maintenance.window.start
    end = maintenance.ended_at or maintenance.window.end
    if maintenance.is_under_way:
        end = now + MICROSECOND
    return Window(start, max(start, end))


def _stretch(interval: Interval) -> Stretch:
    state = ComponentState(interval.state.label)
    return Stretch(interval.window.start, interval.window.end, state, interval.reason, interval.sample)


class Communication(ControllerPart):
    """Rules that declare and resolve incidents, and notices of degradations, while this controller leads."""

    def __init__(self, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool], note: Note) -> None:
        super().__init__(conninfo, clock, leading=leading, note=note)
        self._book: tuple[RuleBook, timedelta] | None = None

    def put_in_force(self, inventory: Inventory) -> None:
        """With its rules, made once for all rounds."""
        super().put_in_force(inventory)
        book = RuleBook.of(inventory.estate, directory_in(inventory))
        degradation_after = inventory.estate.communication.subscriptions.degradation_after
        self._book = book, degradation_after

    async def run(self) -> None:
        """Run until cancelled. The database may be away at any time."""
        async with open_pool(self._conninfo, "communication", max_size=2) as pool:
            watch = Watch(
                StoredMeasurements(PostgresReadingStore(pool), PostgresMaintenances(pool), self._in_force),
                incident_desk(pool, self._clock, lambda: self._rules()[0].directory),
                PostgresAnnouncements(pool),
                self._clock,
                self._rules,
                on_event=self._note,
            )
            await self._repeat("rules", watch.run_once, WATCH_EVERY_S)

    def _rules(self) -> tuple[RuleBook, timedelta]:
        assert self._book is not None, "nothing runs before an estate is in force"  # noqa: S101
        return self._book
