"""Recurring work: a plan that makes maintenance ahead of time, each a maintenance of its own. Pure.

A change of the plan reaches what it made and what has not begun; one of those that was moved by hand follows
it again. What was cancelled by hand is not planned again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible
from holdfast.communication.incidents import audience_of
from holdfast.communication.maintenance import (
    Changes,
    Decided,
    NewMaintenance,
    cancelled,
    changed,
    planned,
)
from holdfast.communication.model import Maintenance, Stage
from holdfast.communication.planning import LONGEST_WORK
from holdfast.communication.recurrence import check, starts, zone_of
from holdfast.kernel.windows import Window

MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class NewSeries:
    """What a person or a program plans to happen again and again.

    `rule` is an RRULE without DTSTART; `first_at` gives the time of day in `time_zone`, and nothing happens
    before it. `lasts` is real time, also over a change of the clocks.
    """

    title: str
    body: str
    component_ids: frozenset[int]
    rule: str
    time_zone: str
    first_at: datetime
    lasts: timedelta
    starts_by_clock: bool = True
    ends_by_clock: bool = True
    remind: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesChanges:
    """What of a series is to be another; None: as it is."""

    title: str | None = None
    body: str | None = None
    component_ids: frozenset[int] | None = None
    rule: str | None = None
    time_zone: str | None = None
    first_at: datetime | None = None
    lasts: timedelta | None = None
    starts_by_clock: bool | None = None
    ends_by_clock: bool | None = None
    remind: tuple[timedelta, ...] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A recurring plan. `version` counts its stored changes; `ended_at` is when somebody ended it."""

    id: str
    plan: NewSeries
    version: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Following:
    """What follows from a series now: maintenance to plan, to change and to cancel, by start."""

    planned: Sequence[Decided] = ()
    changed: Sequence[Decided] = ()
    cancelled: Sequence[Decided] = field(default_factory=tuple)


def series_of(new: NewSeries, directory: Directory, series_id: str, actor: str, now: datetime) -> Series:
    """A new series; raises NotPossible and NotThere for what could not be planned by it."""
    made = Series(series_id, _checked(new, directory, now), created_by=actor)
    if next_start(made, now) is None:
        raise NotPossible("by that rule it never happens again", hint="look at its end, and at the year")
    return made


def series_changed(series: Series, changes: SeriesChanges, directory: Directory, now: datetime) -> Series:
    """It with what is given changed."""
    if series.is_over:
        raise NotPossible("the series has ended", hint="plan another one")
    given = {
        name: getattr(changes, name) for name in SeriesChanges.__slots__ if getattr(changes, name) is not None
    }
    plan = _checked(replace(series.plan, **given), directory, now)
    if audience_of(series.plan.component_ids, directory) != audience_of(plan.component_ids, directory):
        raise NotPossible(
            "not everybody who knows of this series may know of all these components",
            hint="plan a series of its own for what is private",
        )
    return replace(series, plan=plan)


def series_ended(series: Series, actor: str, now: datetime) -> Series:
    """From now on nothing is planned by it; what has not begun is cancelled."""
    return series if series.is_over else replace(series, ended_at=now, ended_by=actor)


def next_start(series: Series, now: datetime) -> datetime | None:
    """When it happens next; None when it does not any more."""
    plan = series.plan
    window = Window(now, max(now, plan.first_at) + timedelta(days=3653))
    following = starts(plan.rule, plan.time_zone, plan.first_at, window)
    return following[0] if following and not series.is_over else None


def following(
    series: Series,
    known: Sequence[Maintenance],
    directory: Directory,
    ids: Iterable[str],
    now: datetime,
    until: datetime,
) -> Following:
    """What is to become of its maintenance that has not begun, and what is to be planned up to `until`.

    `known` is what it made that is not over, or was to begin after `now`. `ids` are fresh ones, as many as
    are needed at most: what finds none is planned in the next round.
    """
    fresh = iter(ids)
    due = _due(series, now, until)
    changes: list[Decided] = []
    cancellations: list[Decided] = []
    for each in sorted(known, key=lambda each: each.window):
        if each.stage is not Stage.SCHEDULED or each.window.start <= now:
            continue
        if series.is_over or (each.series_version != series.version and each.occurs_at not in due):
            update_id = next(fresh, None)
            if update_id is not None:
                gone = cancelled(each, "", update_id, ACTOR, now)
                cancellations += [_freed(gone)] if gone is not None else []
        elif each.series_version != series.version:
            changes.append(_following(series, each, directory, now))
    taken = {each.occurs_at for each in known}
    plans = [
        _planned(series, at, directory, fresh_id, now)
        for at, fresh_id in zip((at for at in sorted(due) if at not in taken), fresh, strict=False)
    ]
    return Following(plans, changes, cancellations)


ACTOR = "series"


def with_dates(body: str, maintenance: Sequence[Maintenance], time_zone: str) -> str:
    """`body` and when else the same is told of: one message speaks for all of a series."""
    zone = zone_of(time_zone)
    lines: list[str] = []
    for each in maintenance[:MOST_LISTED]:
        start, end = each.window.start.astimezone(zone), each.window.end.astimezone(zone)
        last = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
        lines.append(f"- {start:%Y-%m-%d %H:%M} – {last} ({time_zone})")  # noqa: RUF001  an en dash is meant
    if len(maintenance) > MOST_LISTED:
        lines.append("- …")
    return "\n\n".join(part for part in (body, "\n".join(lines)) if part)


def _due(series: Series, now: datetime, until: datetime) -> set[datetime]:
    plan = series.plan
    if series.is_over or until <= now:
        return set()
    found = starts(plan.rule, plan.time_zone, plan.first_at, Window(now, until))
    return {at for at in found if at > now}


def _planned(
    series: Series, at: datetime, directory: Directory, maintenance_id: str, now: datetime
) -> Decided:
    plan = series.plan
    new = NewMaintenance(
        plan.title,
        plan.body,
        plan.component_ids,
        Window(at, at + plan.lasts),
        plan.starts_by_clock,
        plan.ends_by_clock,
        plan.remind,
    )
    decided = planned(new, directory, maintenance_id, series.created_by, now)
    made = replace(decided.maintenance, series=series.id, occurs_at=at, series_version=series.version)
    return replace(decided, maintenance=made, facts={**decided.facts, "series": series.id})


def _following(series: Series, maintenance: Maintenance, directory: Directory, now: datetime) -> Decided:
    plan = series.plan
    at = maintenance.occurs_at or maintenance.window.start
    changes = Changes(
        plan.title,
        plan.body,
        Window(at, at + plan.lasts),
        plan.component_ids,
        plan.starts_by_clock,
        plan.ends_by_clock,
        plan.remind,
    )
    decided = changed(maintenance, changes, directory, ACTOR, now)
    decided = decided or Decided(maintenance, "maintenance.changed")
    after = replace(decided.maintenance, series_version=series.version)
    return replace(decided, maintenance=after, facts={**decided.facts, "series": series.id})


def _freed(decided: Decided) -> Decided:
    """Its place in the series is free: a later version may plan there again."""
    return replace(decided, maintenance=replace(decided.maintenance, occurs_at=None))


def _checked(new: NewSeries, directory: Directory, now: datetime) -> NewSeries:
    if new.first_at.tzinfo is None:
        raise NotPossible("a time needs its time zone", hint="such as 2026-10-01T14:30:00+02:00")
    if not timedelta() < new.lasts <= LONGEST_WORK:
        raise NotPossible("it lasts at least a moment, at most a month", hint="such as 2h")
    at = check(new.rule, new.time_zone, new.first_at, new.lasts)
    # A maintenance like those that it will make: what is wrong with it is said now, not some night.
    soon = max(at, now)
    sample = NewMaintenance(
        new.title, new.body, new.component_ids, Window(soon, soon + new.lasts), remind=new.remind
    )
    made = planned(sample, directory, "", "", now).maintenance
    rule = new.rule.strip().upper().removeprefix("RRULE:")
    first_at = new.first_at.astimezone(UTC)
    return replace(new, title=made.title, body=made.body, remind=made.remind, rule=rule, first_at=first_at)
