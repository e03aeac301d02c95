"""What a report is made of: a component, a cluster or an agreement, over a window and by month. Pure.

A month of an agreement that is frozen stands as it was written down, under the terms of that day; everything
else is accounted for from the stored intervals. The figures of components and clusters are the site's own:
all announced maintenance is left out of them, whatever notice an agreement asks for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from holdfast.availability.freezing import FrozenMonth, in_force
from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import (
    FORMULA,
    MEASURED,
    Budget,
    Figure,
    Statement,
    Tally,
    Terms,
    statement,
    tally,
)
from holdfast.availability.views import Day, Event, Sample
from holdfast.kernel.windows import MICROSECOND, Window, merged, month_window

LONGEST = timedelta(days=5 * 366)
"""The longest window that a report may have."""

DRAWN_DAYS = 92

_ZERO = timedelta()


class Subject(StrEnum):
    """What a report may be about."""

    COMPONENT = "component"
    CLUSTER = "cluster"
    AGREEMENT = "agreement"


class Counting(StrEnum):
    """What became of a maintenance in the figures."""

    EXCLUDED = "excluded"
    TOO_LATE = "too_late"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Part:
    """One component of the subject, with its own figure. One that was removed since is known by its keys.

    `days` are its local days, for a drawing; empty for a window of more than DRAWN_DAYS.
    """

    id: int
    cluster_key: str
    key: str
    name: str
    figure: Figure
    latency: Sequence[Sample] = ()
    days: Sequence[Day] = ()

    @property
    def identity(self) -> tuple[str, str]:
        return self.cluster_key, self.key


@dataclass(frozen=True, slots=True)
class Trouble:
    """A stretch in which a component was not operational. `excluded` of it was excluded maintenance."""

    part: Part
    event: Event
    excluded: timedelta = _ZERO

    @property
    def is_downtime(self) -> bool:
        """Whether something was measured to be wrong. Unknown is no downtime: nobody can say what it was."""
        return self.event.state is not State.UNKNOWN


@dataclass(frozen=True, slots=True)
class Planned:
    """A maintenance inside the window: which of the subject's components it covers, and whether it counts."""

    maintenance: Maintenance
    parts: Sequence[Part]
    counting: Counting


@dataclass(frozen=True, slots=True)
class MonthLine:
    """One local month of the window. `whole` is False where the window, or the present, cuts it.

    `frozen` is the row in force, if there is one: the line's figures are then its own. `budget`, `credit`
    and `met` are an agreement's; credits are owed for whole months only.
    """

    first: date
    window: Window
    figure: Figure
    whole: bool
    frozen: FrozenMonth | None = None
    budget: Budget | None = None
    credit: Decimal | None = None
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A subject over `window`, of which `elapsed` is past.

    `statement` is an agreement's; its credit stands only where `has_credit`. `frozen` holds every row of the
    months inside, newest first, corrected ones too. `step` is what one point of the latency stands for.
    """

    subject: Subject
    key: str
    name: str
    at: datetime
    time_zone: str
    window: Window
    elapsed: Window
    figure: Figure
    parts: Sequence[Part]
    months: Sequence[MonthLine]
    troubles: Sequence[Trouble]
    planned: Sequence[Planned]
    step: timedelta
    sample: bool = False
    customer: str = ""
    customer_name: str = ""
    statement: Statement | None = None
    has_credit: bool = False
    frozen: Sequence[FrozenMonth] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a review is made from: what was read of the subject's components, by their ids."""

    lines: Mapping[int, Sequence[Interval]]
    maintenance: Sequence[Maintenance] = ()
    frozen: Sequence[FrozenMonth] = field(default_factory=tuple)


def months_within(window: Window, zone: ZoneInfo) -> list[tuple[date, Window]]:
    """The local months that `window` touches, oldest first, each with its whole window."""
    local = window.start.astimezone(zone).date()
    first, found = local.replace(day=1), []
    while (whole := month_window(first.year, first.month, zone)).start < window.end:
        found.append((first, whole))
        first = (first + timedelta(days=31)).replace(day=1)
    return found


def is_whole_month(window: Window, zone: ZoneInfo) -> bool:
    """Whether `window` is exactly one local month."""
    months = months_within(window, zone)
    return len(months) == 1 and months[0][1] == window


def figure_over(ids: Sequence[int], reading: Reading, window: Window) -> Figure:
    """The site's figure over several components: their times added up."""
    together = sum((_site_tally(each, reading, window) for each in ids), Tally())
    return Figure(window, together)


def site_months(ids: Sequence[int], reading: Reading, elapsed: Window, zone: ZoneInfo) -> list[MonthLine]:
    """The months of a component or a cluster."""
    lines = []
    for first, whole in months_within(elapsed, zone):
        part = whole.clipped_to(elapsed) or whole
        lines.append(MonthLine(first, part, figure_over(ids, reading, part), part == whole))
    return lines


def agreed_months(
    ids: Sequence[int],
    reading: Reading,
    terms: Terms,
    elapsed: Window,
    zone: ZoneInfo,
    *,
    credits_by_month: bool,
) -> list[MonthLine]:
    """The months of an agreement, frozen ones as they were frozen."""
    rows = {row.window: row for row in in_force(reading.frozen).values() if row.formula == FORMULA}
    lines = []
    for first, whole in months_within(elapsed, zone):
        part = whole.clipped_to(elapsed) or whole
        row = rows.get(whole) if part == whole else None
        made = statement_of(row) if row else stated(ids, reading, terms, part, part.end)
        owed = made.credit if credits_by_month and part == whole else None
        lines.append(MonthLine(first, part, made.figure, part == whole, row, made.budget, owed, made.met))
    return lines


def stated(ids: Sequence[int], reading: Reading, terms: Terms, window: Window, now: datetime) -> Statement:
    """What the present terms make of `window`."""
    lines = {each: reading.lines.get(each, ()) for each in ids}
    return statement(lines, reading.maintenance, terms, window, now)


def statement_of(row: FrozenMonth) -> Statement:
    """A frozen month as it was written down, not as it would be accounted for now."""
    promise = row.promise

    def figure(plain: Mapping[str, int]) -> Figure:
        by_state = {state: plain[f"{state.label}_us"] * MICROSECOND for state in MEASURED}
        spent = Tally(by_state, plain["excluded_us"] * MICROSECOND)
        return Figure(row.window, spent, promise.terms.unknown, row.formula)

    allowed = row.figures["budget_allowed_us"] * MICROSECOND
    return Statement(
        row.window,
        row.window,
        promise.terms,
        figure(row.figures["total"]),
        {promise.components[name]: figure(plain) for name, plain in row.figures["components"].items()},
        Budget(allowed, allowed - row.figures["budget_left_us"] * MICROSECOND),
        Decimal(row.figures["credit_percent"]),
    )


def excluded_within(
    window: Window, component_id: int, planned: Sequence[Maintenance], notice: timedelta
) -> timedelta:
    """How much of `window` was maintenance of that component that left counted time."""
    holes = merged(
        hole
        for each in planned
        if each.excludes(component_id, notice) and (hole := each.window.clipped_to(window)) is not None
    )
    return sum((hole.duration for hole in holes), _ZERO)


def planned_within(
    parts: Sequence[Part], planned: Sequence[Maintenance], window: Window, notice: timedelta
) -> list[Planned]:
    """The maintenance that overlaps `window`, by start, with what became of it."""
    found = []
    for each in sorted(planned, key=lambda one: one.window):
        covered = [part for part in parts if part.id in each.component_ids]
        if covered and each.window.overlaps(window):
            found.append(Planned(each, covered, _counting(each, covered[0], notice)))
    return found


def _counting(planned: Maintenance, covered: Part, notice: timedelta) -> Counting:
    if planned.cancelled_at is not None:
        return Counting.CANCELLED
    return Counting.EXCLUDED if planned.excludes(covered.id, notice) else Counting.TOO_LATE


def _site_tally(component_id: int, reading: Reading, window: Window) -> Tally:
    holes = [each.window for each in reading.maintenance if each.excludes(component_id, _ZERO)]
    return tally(reading.lines.get(component_id, ()), window, holes)
