"""The words of communication, and the rules that hold between them.

    incident | maintenance --told by--> updates --announced as--> notices --fanned out--> deliveries

Rules:
1. What was published is never taken back silently: an update's text and time keep every revision, and
   whatever else changes of an incident is listed with it, with who did it and when.
2. An update shows the components as they were then, not as they are now.
3. Times that readers rely on (announced, recorded) are the database's. Times that a person may set (began,
   an update's own) may be back-dated, never into the future, and keep what they were before.
4. A notice is complete: a message that goes out late says what was true when it was announced.

Times are aware and in UTC. Texts are Markdown (markdown.py), titles are one line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.kernel.windows import Window

LONGEST_TITLE = 200
LONGEST_BODY = 20_000
MOST_UPDATES = 500


class ComponentState(StrEnum):
    """A component as readers are told of it. The values are those of the states that are measured."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"
    UNDER_MAINTENANCE = "under_maintenance"
    UNKNOWN = "unknown"


class Impact(StrEnum):
    """How bad an incident is, as a whole."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class Phase(StrEnum):
    """How far an incident is. It may go back (a fix that did not hold), except from the postmortem."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    POSTMORTEM = "postmortem"

    @property
    def is_over(self) -> bool:
        return self in {Phase.RESOLVED, Phase.POSTMORTEM}


class Stage(StrEnum):
    """How far a maintenance is."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in {Stage.COMPLETED, Stage.CANCELLED}


@dataclass(frozen=True, slots=True)
class Revision:
    """What an update said before it was edited: replaced at `at` by `actor`."""

    body: str
    shown_at: datetime
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Update:
    """One thing that was said. `at` is the time shown, `recorded_at` when it was really written.

    `step` is the Phase or Stage that it brought, by value; `affected` the components' states then, by id.
    """

    id: str
    at: datetime
    step: str
    body: str
    author: str
    affected: Mapping[int, ComponentState] = field(default_factory=dict)
    recorded_at: datetime | None = None
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """Something of an incident or maintenance that was changed: which field, from what, to what, by whom."""

    at: datetime
    actor: str
    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong, and all that was said about it, oldest update first.

    `id` is twelve letters and digits, stable and public. `version` counts stored changes. `affected` is the
    components' state as told last. `rule` is the key of the estate's rule that opened it, or empty. A draft
    is seen by nobody outside. One that is merged lives on as `merged_into` only.
    """

    id: str
    title: str
    impact: Impact
    phase: Phase
    began_at: datetime
    affected: Mapping[int, ComponentState]
    updates: tuple[Update, ...] = ()
    draft: bool = False
    declared_by: str = ""
    declared_at: datetime | None = None
    published_at: datetime | None = None
    resolved_at: datetime | None = None
    merged_into: str | None = None
    rule: str = ""
    changes: tuple[Change, ...] = ()
    version: int = 0

    @property
    def is_open(self) -> bool:
        return not self.phase.is_over and self.merged_into is None

    @property
    def is_public(self) -> bool:
        return not self.draft and self.merged_into is None

    @property
    def component_ids(self) -> frozenset[int]:
        return frozenset(self.affected)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Planned work. `window` is what is planned now; `began_at` and `ended_at` what really happened.

    `starts_by_clock`, `ends_by_clock`: without a person. `remind` is how long before the start readers are
    reminded, each once. `series` is the recurring plan that it came from, `occurs_at` the start that the plan
    gave it, `series_version` the plan's version that it follows. `version` counts stored changes.
    """

    id: str
    title: str
    body: str
    window: Window
    stage: Stage
    component_ids: frozenset[int]
    updates: tuple[Update, ...] = ()
    announced_at: datetime | None = None
    announced_by: str = ""
    starts_by_clock: bool = True
    ends_by_clock: bool = True
    remind: tuple[timedelta, ...] = ()
    reminded: tuple[timedelta, ...] = ()
    began_at: datetime | None = None
    ended_at: datetime | None = None
    series: str | None = None
    occurs_at: datetime | None = None
    series_version: int = 0
    changes: tuple[Change, ...] = ()
    version: int = 0

    @property
    def is_under_way(self) -> bool:
        return self.stage in {Stage.IN_PROGRESS, Stage.VERIFYING}


class Topic(StrEnum):
    """What a reader may subscribe to."""

    INCIDENT = "incident"
    MAINTENANCE = "maintenance"
    DEGRADATION = "degradation"


class Event(StrEnum):
    """What a notice tells. The part before the dot is its topic's value."""

    INCIDENT_DECLARED = "incident.declared"
    INCIDENT_UPDATED = "incident.updated"
    INCIDENT_RESOLVED = "incident.resolved"
    INCIDENT_POSTMORTEM = "incident.postmortem"
    MAINTENANCE_PLANNED = "maintenance.planned"
    MAINTENANCE_CHANGED = "maintenance.changed"
    MAINTENANCE_REMINDER = "maintenance.reminder"
    MAINTENANCE_STARTED = "maintenance.started"
    MAINTENANCE_UPDATED = "maintenance.updated"
    MAINTENANCE_COMPLETED = "maintenance.completed"
    MAINTENANCE_CANCELLED = "maintenance.cancelled"
    DEGRADATION_BEGAN = "degradation.began"
    DEGRADATION_ENDED = "degradation.ended"

    @property
    def topic(self) -> Topic:
        return Topic(self.value.partition(".")[0])


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """A component whose measured state changed, without anybody having said so: a degradation."""

    component_id: int
    before: ComponentState
    after: ComponentState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A component as notices name it: its cluster's key and name, its own key and name."""

    cluster_key: str
    cluster: str
    key: str
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.cluster} {self.name}"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell subscribers, with everything that a message about it needs.

    Exactly one of `incident`, `maintenance` and `component` is given; the first two as they were at `at`.
    `places` names every component that is spoken of, by id. `audience` is None when everybody may know, else
    the keys of the customers who may.
    """

    event: Event
    at: datetime
    places: Mapping[int, Place]
    incident: Incident | None = None
    maintenance: Maintenance | None = None
    component: ComponentChange | None = None
    audience: tuple[str, ...] | None = None

    @property
    def topic(self) -> Topic:
        return self.event.topic

    @property
    def subject_id(self) -> str:
        if self.incident is not None:
            return self.incident.id
        if self.maintenance is not None:
            return self.maintenance.id
        return str(self.component.component_id) if self.component is not None else ""


class Channel(StrEnum):
    """How a subscriber is reached."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    SLACK = "slack"
    TEAMS = "teams"


class Standing(StrEnum):
    """What became of a subscription. Only an active one is told anything."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody subscribes to: these topics, of these components or clusters; both empty: of all."""

    topics: frozenset[Topic] = frozenset(Topic)
    component_ids: frozenset[int] = frozenset()
    cluster_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber on one channel. The address is not in here: only what sends ever reads it.

    `customer` is the key of the customer whose private page it was made on; None of the public site.
    """

    id: str
    channel: Channel
    language: str
    scope: Scope
    standing: Standing
    created_at: datetime
    customer: str | None = None
    confirmed_at: datetime | None = None
    failing_since: datetime | None = None
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Who would be told: subscribers by channel."""

    by_channel: Mapping[Channel, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.by_channel.values())


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a letter."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one recipient that no announcement goes with: a request to confirm, a report."""

    to: str
    subject: str
    text: str
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
