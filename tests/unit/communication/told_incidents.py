"""A small directory, a desk over memory, and what tests of incidents say again and again."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.communication.directory import Directory
from holdfast.communication.incident_desk import IncidentDesk, NewIncident
from holdfast.communication.model import ComponentState, Event, Impact, Phase, Place
from holdfast.kernel.clock import ManualClock

NOW = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
API, WEB, US_API, SECRET, HIDDEN = 1, 2, 3, 4, 5
DIRECTORY = Directory(
    {
        API: Place("eu", "EU", "api", "API"),
        WEB: Place("eu", "EU", "web", "Website"),
        US_API: Place("us", "USA", "api", "API"),
        SECRET: Place("acme", "Acme", "api", "API"),
        HIDDEN: Place("acme", "Acme", "web", "Website"),
    },
    {SECRET: frozenset({"acme"}), HIDDEN: frozenset({"acme", "other"})},
)
DOWN = ComponentState.MAJOR_OUTAGE
DEGRADED = ComponentState.DEGRADED
WELL = ComponentState.OPERATIONAL


def new(title: str = "API down", **given: object) -> NewIncident:
    values: dict[str, object] = {
        "title": title,
        "impact": Impact.MAJOR,
        "phase": Phase.INVESTIGATING,
        "body": "We look.",
        "affected": {API: DOWN},
    }
    return NewIncident(**{**values, **given})  # type: ignore[arg-type]


@dataclass
class Told:
    """A desk with everything behind it."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    announcements: MemoryAnnouncements = field(default_factory=MemoryAnnouncements)
    store: MemoryIncidents = field(init=False)
    desk: IncidentDesk = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryIncidents(self.clock, self.announcements)
        self.desk = IncidentDesk(self.store, self.announcements, self.clock, lambda: DIRECTORY)

    @property
    def events(self) -> list[Event]:
        return [each.notice.event for each in self.announcements.announced]
