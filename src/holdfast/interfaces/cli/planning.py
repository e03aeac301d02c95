"""What the maintenance commands ask for, and what they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from holdfast.communication.lead_times import LeadTime
    from holdfast.communication.model import Maintenance
    from holdfast.communication.series import Series

Step = Literal["plan", "change", "extend", "start", "finish", "cancel", "post"]
SeriesStep = Literal["plan", "change", "end"]


@dataclass(frozen=True, slots=True)
class MaintenanceRequest:
    """One step with a maintenance. What a step does not need, or what is to stay as it is, is None.

    `at` is a new end, or when it was over. A dry run tells nobody and stores nothing.
    """

    step: Step
    maintenance_id: str = ""
    components: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    at: datetime | None = None
    title: str | None = None
    body: str | None = None
    stage: str | None = None
    starts_by_clock: bool | None = None
    ends_by_clock: bool | None = None
    remind: tuple[timedelta, ...] | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """One step with a recurring plan; as MaintenanceRequest. `lasts` and the rule make its windows."""

    step: SeriesStep
    series_id: str = ""
    components: tuple[str, ...] | None = None
    rule: str | None = None
    time_zone: str | None = None
    first_at: datetime | None = None
    lasts: timedelta | None = None
    title: str | None = None
    body: str | None = None
    starts_by_clock: bool | None = None
    ends_by_clock: bool | None = None
    remind: tuple[timedelta, ...] | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A maintenance after a step, or as it would be: the names of its components, and who is told what.

    `told` counts subscribers by channel; None when nobody is told anything. `lead_times` are those of time
    that the step announces, for every agreement that it concerns.
    """

    maintenance: Maintenance
    components: Sequence[str]
    event: str | None = None
    told: Mapping[str, int] = field(default_factory=dict)
    lead_times: Sequence[LeadTime] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class SeriesOutcome:
    """A recurring plan after a step, and the maintenance that it has planned, or would; as Outcome."""

    series: Series
    components: Sequence[str]
    planned: Sequence[Maintenance] = ()
    told: Mapping[str, int] = field(default_factory=dict)
    lead_times: Sequence[LeadTime] = ()
    dry_run: bool = False
