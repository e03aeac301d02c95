"""Maintenance and series, as requests plan them and answers tell them."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, StrictInt

from holdfast.communication.directory import Directory
from holdfast.communication.maintenance_desk import NewMaintenance, NewSeries, Series, SeriesChanges
from holdfast.communication.model import LONGEST_BODY, Maintenance, Stage
from holdfast.interfaces.api.problems import INVALID, Fault, Problem
from holdfast.interfaces.api.shapes.common import Changed, Concerned, NoticeGiven, Previewed, concerned
from holdfast.interfaces.api.shapes.incidents import UpdateTold
from holdfast.interfaces.api.words import (
    MOST_COMPONENTS,
    Asked,
    Markdown,
    Moment,
    Pattern,
    Text,
    Title,
    Told,
    component_ids,
)
from holdfast.kernel.windows import Window

Components = Annotated[
    list[Pattern],
    Field(
        min_length=1,
        max_length=MOST_COMPONENTS,
        description="what is worked on: cluster/component with * for all, or numbers",
        examples=[["eu/api", "eu/website"]],
    ),
]
Body = Annotated[
    Text, Field(max_length=LONGEST_BODY, description="Markdown; may be empty: the title says it all then")
]
Reminders = Annotated[
    list[Annotated[StrictInt, Field(ge=1, le=60 * 86400)]],
    Field(
        max_length=5,
        description="how many seconds before the start subscribers are reminded, each once",
        examples=[[86400, 3600]],
    ),
]
ByClock = Annotated[StrictBool, Field(description="without a person")]


class Plan(Asked):
    """Work to announce."""

    title: Title = Field(examples=["Database upgrade"])
    body: Body = ""
    components: Components
    starts_at: Moment
    ends_at: Moment = Field(examples=["2026-11-02T10:30:00Z"])
    starts_by_clock: ByClock = True
    ends_by_clock: ByClock = True
    remind_before_s: Reminders = Field(default_factory=list)

    def maintenance(self, directory: Directory) -> NewMaintenance:
        return NewMaintenance(
            self.title,
            self.body,
            frozenset(component_ids(self.components, directory, "body/components")),
            window_of(self.starts_at, self.ends_at),
            self.starts_by_clock,
            self.ends_by_clock,
            durations(self.remind_before_s),
        )


def window_of(starts_at: Any, ends_at: Any) -> Window:
    """Raises Problem when it ends before it starts."""
    if ends_at <= starts_at:
        detail = "it ends after it starts"
        raise Problem(INVALID, detail, errors=[Fault(where="body/ends_at", detail=detail)])
    return Window(starts_at, ends_at)


def durations(seconds: list[int]) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=each) for each in seconds)


class Replan(Asked):
    """What is to be changed; the rest stays as it is. Time that is added counts as announced now."""

    title: Title | None = None
    body: Body | None = None
    components: Components | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    starts_by_clock: ByClock | None = None
    ends_by_clock: ByClock | None = None
    remind_before_s: Reminders | None = None

    def asked(self, before: Maintenance, directory: Directory) -> dict[str, Any]:
        """What MaintenanceDesk.change takes."""
        if not any(value is not None for value in self.__dict__.values()):
            raise Problem(INVALID, "nothing is to be changed")
        window = None
        if self.starts_at is not None or self.ends_at is not None:
            window = window_of(self.starts_at or before.window.start, self.ends_at or before.window.end)
        chosen = None
        if self.components is not None:
            chosen = frozenset(component_ids(self.components, directory, "body/components"))
        return {
            "title": self.title,
            "body": self.body,
            "window": window,
            "component_ids": chosen,
            "starts_by_clock": self.starts_by_clock,
            "ends_by_clock": self.ends_by_clock,
            "remind": None if self.remind_before_s is None else durations(self.remind_before_s),
        }


class Extend(Asked):
    """Until when."""

    until: Moment


class Finish(Asked):
    """The end of the work."""

    at: Moment | None = Field(None, description="when it really ended; now when left out")
    body: Body = ""


class Cancel(Asked):
    """Why it does not take place."""

    reason: Text = Field("", max_length=LONGEST_BODY, description="Markdown, for readers")


class Say(Asked):
    """Something more to say of it."""

    body: Markdown
    stage: Stage = Field(description="another stage than its own moves it there")


class MaintenanceTold(BaseModel):
    """Planned work with all that was said, oldest first."""

    id: str = Field(examples=["k3x9q2m7w1zd"])
    title: str
    body: str = Field(description="Markdown")
    stage: Stage
    starts_at: Told = Field(description="as planned now")
    ends_at: Told
    began_at: Told | None = Field(description="when it really began")
    ended_at: Told | None
    components: list[Concerned]
    announced_at: Told | None
    announced_by: str
    starts_by_clock: bool
    ends_by_clock: bool
    remind_before_s: list[int]
    series: str | None = Field(description="the recurring plan that made it")
    updates: list[UpdateTold]
    changes: list[Changed]
    version: int = Field(description="counts stored changes; the ETag", examples=[3])

    @classmethod
    def of(cls, maintenance: Maintenance, directory: Directory) -> "MaintenanceTold":
        return cls(
            id=maintenance.id,
            title=maintenance.title,
            body=maintenance.body,
            stage=maintenance.stage,
            starts_at=maintenance.window.start,
            ends_at=maintenance.window.end,
            began_at=maintenance.began_at,
            ended_at=maintenance.ended_at,
            components=concerned(maintenance.component_ids, directory),
            announced_at=maintenance.announced_at,
            announced_by=maintenance.announced_by,
            starts_by_clock=maintenance.starts_by_clock,
            ends_by_clock=maintenance.ends_by_clock,
            remind_before_s=[int(each.total_seconds()) for each in maintenance.remind],
            series=maintenance.series,
            updates=[UpdateTold.of(each, directory) for each in maintenance.updates],
            changes=Changed.all_of(maintenance.changes),
            version=maintenance.version,
        )


class MaintenancePage(BaseModel):
    """Maintenance, by start."""

    items: list[MaintenanceTold]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class MaintenancePreviewed(Previewed):
    """What would be told of a maintenance, and to whom."""

    maintenance: MaintenanceTold
    agreements: list[NoticeGiven] = Field(
        description="of planning and changing: for which agreements the notice of its start suffices"
    )


Rule = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=500,
        description="an RRULE (RFC 5545) without DTSTART",
        examples=["FREQ=WEEKLY;BYDAY=SU"],
    ),
]
Zone = Annotated[Text, Field(min_length=1, max_length=64, examples=["Europe/Berlin"])]
Lasts = Annotated[StrictInt, Field(ge=1, le=31 * 86400, description="in seconds", examples=[7200])]


class PlanSeries(Asked):
    """Work that happens again and again."""

    title: Title = Field(examples=["Weekly patches"])
    body: Body = ""
    components: Components
    rule: Rule
    time_zone: Zone = "UTC"
    first_at: Moment = Field(description="gives the time of day in `time_zone`; nothing happens before it")
    lasts_s: Lasts
    starts_by_clock: ByClock = True
    ends_by_clock: ByClock = True
    remind_before_s: Reminders = Field(default_factory=list)

    def plan(self, directory: Directory) -> NewSeries:
        return NewSeries(
            self.title,
            self.body,
            frozenset(component_ids(self.components, directory, "body/components")),
            self.rule,
            self.time_zone,
            self.first_at,
            timedelta(seconds=self.lasts_s),
            self.starts_by_clock,
            self.ends_by_clock,
            durations(self.remind_before_s),
        )


class ReplanSeries(Asked):
    """What is to be changed, of the series and of all that it planned that has not begun."""

    title: Title | None = None
    body: Body | None = None
    components: Components | None = None
    rule: Rule | None = None
    time_zone: Zone | None = None
    first_at: Moment | None = None
    lasts_s: Lasts | None = None
    starts_by_clock: ByClock | None = None
    ends_by_clock: ByClock | None = None
    remind_before_s: Reminders | None = None

    def asked(self, directory: Directory) -> SeriesChanges:
        if not any(value is not None for value in self.__dict__.values()):
            raise Problem(INVALID, "nothing is to be changed")
        chosen = None
        if self.components is not None:
            chosen = frozenset(component_ids(self.components, directory, "body/components"))
        return SeriesChanges(
            self.title,
            self.body,
            chosen,
            self.rule,
            self.time_zone,
            self.first_at,
            None if self.lasts_s is None else timedelta(seconds=self.lasts_s),
            self.starts_by_clock,
            self.ends_by_clock,
            None if self.remind_before_s is None else durations(self.remind_before_s),
        )


class SeriesTold(BaseModel):
    """A recurring plan."""

    id: str
    title: str
    body: str
    components: list[Concerned]
    rule: str
    time_zone: str
    first_at: Told
    lasts_s: int
    starts_by_clock: bool
    ends_by_clock: bool
    remind_before_s: list[int]
    created_at: Told | None
    created_by: str
    ended_at: Told | None = Field(description="when somebody ended it")
    ended_by: str
    version: int

    @classmethod
    def of(cls, series: Series, directory: Directory) -> "SeriesTold":
        plan = series.plan
        return cls(
            id=series.id,
            title=plan.title,
            body=plan.body,
            components=concerned(plan.component_ids, directory),
            rule=plan.rule,
            time_zone=plan.time_zone,
            first_at=plan.first_at,
            lasts_s=int(plan.lasts.total_seconds()),
            starts_by_clock=plan.starts_by_clock,
            ends_by_clock=plan.ends_by_clock,
            remind_before_s=[int(each.total_seconds()) for each in plan.remind],
            created_at=series.created_at,
            created_by=series.created_by,
            ended_at=series.ended_at,
            ended_by=series.ended_by,
            version=series.version,
        )


class SeriesPage(BaseModel):
    """Every recurring plan, oldest first."""

    items: list[SeriesTold]
    next: str | None


class SeriesPreviewed(Previewed):
    """What a series would plan first, and whom that would be told."""

    maintenance: list[MaintenanceTold]
    agreements: list[NoticeGiven] = Field(description="for which the notice of the first one suffices")
