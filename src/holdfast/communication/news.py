"""What readers are told now and were told lately: the incidents and the maintenance of one moment.

Drafts are never news. What was merged is found under the incident that it was merged into. Who may know of
what is decided by who shows it (`Directory.audience_of`): all of it is read here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast.communication.incidents import as_readers_see
from holdfast.communication.model import ComponentState, Incident, Maintenance, Stage
from holdfast.communication.ports import IncidentStore, MaintenanceStore
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import Window

BACK = timedelta(days=90)
AHEAD = timedelta(days=366)
MOST_INCIDENTS = 200
MOST_OF_A_MONTH = 2000
_MOST_MERGES = 8
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class News:
    """Everything told as of `at`. Incidents by their beginning, newest first; maintenance by its start.

    It holds all that is open or planned, and all that began at `since` or later.
    """

    at: datetime = _NEVER
    incidents: Sequence[Incident] = ()
    maintenance: Sequence[Maintenance] = ()
    since: datetime = _NEVER

    @property
    def open_incidents(self) -> list[Incident]:
        return [each for each in self.incidents if each.is_open]

    @property
    def under_way(self) -> list[Maintenance]:
        return [each for each in self.maintenance if each.is_under_way]

    @property
    def planned(self) -> list[Maintenance]:
        return [each for each in self.maintenance if each.stage is Stage.SCHEDULED]

    @property
    def versions(self) -> tuple[tuple[str, int], ...]:
        """Another value whenever anything that is told has changed."""
        told = [(each.id, each.version) for each in self.incidents]
        return tuple(told + [(each.id, each.version) for each in self.maintenance])

    def incident(self, incident_id: str) -> Incident | None:
        return next((each for each in self.incidents if each.id == incident_id), None)

    def maintenance_of(self, maintenance_id: str) -> Maintenance | None:
        return next((each for each in self.maintenance if each.id == maintenance_id), None)

    def within(self, window: Window) -> "News":
        """What was going on in that window, finished or not."""
        return News(
            self.at,
            [each for each in self.incidents if lasted(each, self.at).overlaps(window)],
            [each for each in self.maintenance if worked(each, self.at).overlaps(window)],
            window.start,
        )


class NewsReader:
    """Reads the news. Raises what its stores raise."""

    def __init__(self, incidents: IncidentStore, maintenance: MaintenanceStore, clock: Clock) -> None:
        self._incidents = incidents
        self._maintenance = maintenance
        self._clock = clock

    async def news(self) -> News:
        """The last 90 days, and all that is open or planned."""
        now = self._clock.now()
        since = now - BACK
        incidents = await self._incidents.incidents(since=since, limit=MOST_INCIDENTS, public_only=True)
        maintenance = await self._maintenance.maintenances(Window(since, now + AHEAD))
        if len(incidents) >= MOST_INCIDENTS:
            # The store had more: what began before the oldest of these is not all here.
            since = max(since, min(each.began_at for each in incidents))
        return News(now, _public(incidents), list(maintenance), since)

    async def incident(self, incident_id: str) -> Incident | None:
        """The public incident of that id, or the one that it was merged into; None when there is none."""
        for _ in range(_MOST_MERGES):
            found = await self._incidents.incident(incident_id)
            if found is None or found.draft:
                return None
            if found.merged_into is None:
                return as_readers_see(found)
            incident_id = found.merged_into
        return None

    async def maintenance(self, maintenance_id: str) -> Maintenance | None:
        return await self._maintenance.maintenance(maintenance_id)

    async def month(self, window: Window) -> News:
        """What was going on in that window, of the past as well."""
        now = self._clock.now()
        incidents = await self._incidents.incidents(
            since=window.start, limit=MOST_OF_A_MONTH, public_only=True
        )
        maintenance = await self._maintenance.maintenances(window)
        return News(now, _public(incidents), list(maintenance), window.start).within(window)


def _public(incidents: Iterable[Incident]) -> list[Incident]:
    newest_first = sorted(incidents, key=lambda each: (each.began_at, each.id), reverse=True)
    return [as_readers_see(each) for each in newest_first if each.is_public]


def lasted(incident: Incident, now: datetime) -> Window:
    """From its beginning to its end, or until `now`; never empty, so that it has a place in a calendar."""
    end = incident.resolved_at if incident.phase.is_over and incident.resolved_at else now
    return Window(incident.began_at, max(end, incident.began_at + timedelta(microseconds=1)))


def worked(maintenance: Maintenance, now: datetime) -> Window:
    """When work was or will be done: as planned, or as it really happened where that is known."""
    start = maintenance.began_at or maintenance.window.start
    end = maintenance.ended_at or (
        max(now, maintenance.window.end) if maintenance.is_under_way else maintenance.window.end
    )
    return Window(start, max(end, start + timedelta(microseconds=1)))


def mentioned(told: Incident | Maintenance) -> frozenset[int]:
    """Every component that it ever spoke of: also one that an update named and later ones do not."""
    return told.component_ids.union(*(each.affected for each in told.updates))


_BADNESS = (
    ComponentState.OPERATIONAL,
    ComponentState.UNDER_MAINTENANCE,
    ComponentState.DEGRADED,
    ComponentState.UNKNOWN,
    ComponentState.PARTIAL_OUTAGE,
    ComponentState.MAJOR_OUTAGE,
)


def told_states(incidents: Iterable[Incident]) -> dict[int, tuple[ComponentState, Incident]]:
    """The worst state that an open incident tells of each component, and which incident that is."""
    found: dict[int, tuple[ComponentState, Incident]] = {}
    for component_id, state, incident in _told(incidents):
        known = found.get(component_id)
        if known is None or _BADNESS.index(state) > _BADNESS.index(known[0]):
            found[component_id] = state, incident
    return found


def _told(incidents: Iterable[Incident]) -> Iterator[tuple[int, ComponentState, Incident]]:
    for incident in incidents:
        if incident.is_open:
            for component_id, state in incident.affected.items():
                yield component_id, state, incident
