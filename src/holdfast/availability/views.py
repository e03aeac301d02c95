"""What readers see: the estate's status, a component's history, an agreement's statement. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.model import Interval, Maintenance, Outcome, State
from holdfast.availability.ports import Resolution
from holdfast.availability.sla import Figure, Statement
from holdfast.estate.model import Agreement
from holdfast.kernel.windows import Window


@dataclass(frozen=True, slots=True)
class Cause:
    """A component whose trouble explains another's."""

    cluster_key: str
    key: str
    name: str
    cluster_name: str

    @property
    def full_name(self) -> str:
        return f"{self.cluster_name} {self.name}"


@dataclass(frozen=True, slots=True)
class Event(Interval):
    """What happened to a component, and because of what: the dependencies that explain it, to their roots."""

    because_of: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """A component now. `since` is None while nothing is known.

    `maintenance` is the planned window that is under way, if any; `state` stays the measured one.
    `because_of` names the dependencies that explain its state. `told` is what people say of it in an open
    incident, laid over by who shows it; nothing that is measured depends on it.
    """

    id: int
    cluster_key: str
    key: str
    name: str
    description: str
    state: State
    since: datetime | None
    reason: str = ""
    maintenance: Maintenance | None = None
    check_ids: tuple[int, ...] = ()
    because_of: tuple[Cause, ...] = ()
    told: State | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return self.cluster_key, self.key


@dataclass(frozen=True, slots=True)
class Day:
    """A local day of one component: its tally (as a Figure), and what happened, clipped to the day.

    `events` are the intervals in a state other than operational, unknown ones included.
    """

    day: date
    figure: Figure
    worst: State
    events: Sequence[Event] = ()
    maintenance: bool = False
    sample: bool = False


@dataclass(frozen=True, slots=True)
class ComponentHistory:
    """A component with its days, oldest first, and the figure over the same window."""

    status: ComponentStatus
    window: Window
    days: Sequence[Day]
    figure: Figure


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    key: str
    name: str
    region: str
    state: State
    components: Sequence[ComponentHistory]

    @property
    def under_maintenance(self) -> bool:
        return any(each.status.maintenance for each in self.components)


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole estate as of `at`. `sample` says that sample history is in it."""

    at: datetime
    state: State
    clusters: Sequence[ClusterStatus]
    maintenance: Sequence[Maintenance] = ()
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One point of the live metrics: latency percentiles in microseconds, and counts of runs by outcome."""

    at: datetime
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None
    good: int
    degraded: int
    failed: int


@dataclass(frozen=True, slots=True)
class MetricSample:
    """A metric over a stretch of time from `at` on: how many minutes had a value, and what they were."""

    at: datetime
    count: int
    lowest: float
    average: float
    highest: float


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """A metric that the estate names, over a window. Stretches without a value have no sample: gaps."""

    key: str
    name: str
    unit: str
    samples: Sequence[MetricSample]
    length: timedelta


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of one check, for the component's page.

    `place` is the name of the vantage point that ran it; empty for the controllers' own.
    """

    check_key: str
    at: datetime
    outcome: Outcome
    total_us: int
    phases_us: Mapping[str, int]
    reason: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class ComponentReport:
    """A component over a window: days, events newest first, latency samples, and the newest runs."""

    history: ComponentHistory
    cluster_name: str
    region: str
    events: Sequence[Event]
    resolution: Resolution
    samples: Sequence[Sample]
    overall: Sample | None
    runs: Sequence[LastRun]
    maintenance: Sequence[Maintenance] = ()
    metrics: Sequence[MetricHistory] = ()


@dataclass(frozen=True, slots=True)
class MonthHistory:
    """A calendar month: the components, a figure for each by its id, and what happened, newest first."""

    year: int
    month: int
    window: Window
    components: Sequence[ComponentStatus]
    figures: Mapping[int, Figure]
    events: Sequence[tuple[ComponentStatus, Event]]
    maintenance: Sequence[Maintenance] = ()


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """A customer's agreement over one of its windows, with every event that counted or was excluded.

    `frozen` is the month as it was written down when it closed, newest correction first; empty before that.
    """

    key: str
    agreement: Agreement
    customer_name: str
    components: Sequence[ComponentStatus]
    statement: Statement
    events: Sequence[tuple[ComponentStatus, Event]]
    maintenance: Sequence[Maintenance]
    sample: bool = False
    frozen: Sequence[FrozenMonth] = ()
