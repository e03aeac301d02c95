"""SLA figures, by the formula `holdfast-1`. Pure functions over intervals; all arithmetic is exact.

    availability = 1 - weighted downtime / counted time

- A major outage weighs 1, a partial outage 1/2, degraded 0.
- Maintenance leaves counted time when it was announced at least the agreement's notice before it began.
- Unknown time is reported beside the figure and counts as the agreement says: left out of counted time,
  as downtime, or as uptime.
- Several components: `average` adds their downtimes and their counted times before it divides; `worst`
  first lays the components over each other and takes the worst state of each moment. Unknown is worse than
  degraded and better than a partial outage, but where it counts as downtime, worse than a partial outage.

The formula is versioned: a change that moves any figure gets a new name. A figure is rounded down for
display, never up: 99.9996 % is not 100 %.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Literal

from holdfast.availability.model import BADNESS, Interval, Maintenance, State
from holdfast.availability.timeline import completed, without, worst_of
from holdfast.estate.model import Agreement, CreditTier
from holdfast.kernel.windows import Window, merged

FORMULA = "holdfast-1"

WEIGHTS: Mapping[State, Fraction] = {
    State.MAJOR_OUTAGE: Fraction(1),
    State.PARTIAL_OUTAGE: Fraction(1, 2),
    State.DEGRADED: Fraction(0),
    State.OPERATIONAL: Fraction(0),
}

MEASURED = (State.OPERATIONAL, State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE, State.UNKNOWN)
"""The states that a window is made of, besides excluded maintenance."""

Unknown = Literal["excluded", "downtime", "uptime"]

_UNKNOWN_AS_DOWNTIME: Mapping[State, int] = {
    **BADNESS,
    State.UNKNOWN: BADNESS[State.PARTIAL_OUTAGE],
    State.PARTIAL_OUTAGE: BADNESS[State.UNKNOWN],
}
_ZERO = timedelta()
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Tally:
    """Where the time of a window went: by state outside excluded maintenance, and what was excluded.

    `sum(by_state) + excluded` is the window, for each component; of several components, their sum.
    """

    by_state: Mapping[State, timedelta] = field(default_factory=dict)
    excluded: timedelta = _ZERO

    def of(self, state: State) -> timedelta:
        return self.by_state.get(state, _ZERO)

    @property
    def total(self) -> timedelta:
        return sum(self.by_state.values(), self.excluded)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            {state: self.of(state) + other.of(state) for state in MEASURED}, self.excluded + other.excluded
        )


def tally(intervals: Sequence[Interval], window: Window, excluded: Sequence[Window] = ()) -> Tally:
    """Where the time of `window` went for one component. Moments without an interval are unknown."""
    by_state = _spent(intervals, window)
    if not excluded:
        return Tally(by_state)
    holes = merged(hole for each in excluded if (hole := each.clipped_to(window)) is not None)
    for hole in holes:
        for state, length in _spent(intervals, hole).items():
            by_state[state] -= length
    return Tally(by_state, sum((hole.duration for hole in holes), _ZERO))


def _spent(intervals: Sequence[Interval], window: Window) -> dict[State, timedelta]:
    """The time of `window` by state; all that no interval speaks of is unknown."""
    by_state = dict.fromkeys(MEASURED, _ZERO)
    left = window.duration
    for interval in intervals:
        length = min(interval.window.end, window.end) - max(interval.window.start, window.start)
        if length > _ZERO:
            by_state[interval.state] += length
            left -= length
    by_state[State.UNKNOWN] += left
    return by_state


@dataclass(frozen=True, slots=True)
class Figure:
    """An availability figure with all that it was made of, so that anyone can recompute it."""

    window: Window
    tally: Tally
    unknown_counts_as: Unknown = "excluded"
    formula: str = FORMULA

    @property
    def counted(self) -> timedelta:
        """The denominator: the window without excluded maintenance, and without unknown if so agreed."""
        counted = self.tally.total - self.tally.excluded
        return counted - self.tally.of(State.UNKNOWN) if self.unknown_counts_as == "excluded" else counted

    @property
    def downtime(self) -> timedelta:
        """Weighted downtime, the numerator, to the microsecond (rounded down)."""
        return int(self._downtime_us) * _MICROSECOND

    @property
    def _downtime_us(self) -> Fraction:
        weighted = sum(
            (weight * (self.tally.of(state) // _MICROSECOND) for state, weight in WEIGHTS.items()), Fraction()
        )
        if self.unknown_counts_as == "downtime":
            weighted += self.tally.of(State.UNKNOWN) // _MICROSECOND
        return weighted

    @property
    def availability(self) -> Fraction | None:
        """Between 0 and 1, exact; None when no time counted, so that there is nothing to say."""
        counted_us = self.counted // _MICROSECOND
        return 1 - self._downtime_us / counted_us if counted_us else None

    @property
    def percent(self) -> Fraction | None:
        return None if self.availability is None else self.availability * 100


def percent_text(availability: Fraction | None, digits: int = 3) -> str | None:
    """Availability as percent for people, rounded down; None where there is no figure."""
    if availability is None:
        return None
    if availability == 1:
        return "100"
    scale = 10**digits
    scaled = availability * 100 * scale
    floor = scaled.numerator // scaled.denominator
    return str((Decimal(floor) / scale).quantize(Decimal(1) / scale, rounding=ROUND_DOWN))


@dataclass(frozen=True, slots=True)
class Budget:
    """The error budget: how much weighted downtime the objective allows over the whole window."""

    allowed: timedelta
    spent: timedelta

    @property
    def left(self) -> timedelta:
        """Negative once the objective is missed."""
        return self.allowed - self.spent

    @property
    def share_left(self) -> Fraction:
        """Of the budget, 1 to 0 and below; 0 when the objective allows no downtime at all."""
        allowed = self.allowed // _MICROSECOND
        return Fraction(self.left // _MICROSECOND, allowed) if allowed else Fraction(0)


def credit_owed(percent: Fraction | None, tiers: Iterable[CreditTier]) -> Decimal:
    """The share of the fee, in percent, that the lowest tier above `percent` grants; 0 when none does."""
    if percent is None:
        return Decimal(0)
    for tier in sorted(tiers, key=lambda tier: tier.below):
        if percent < Fraction(tier.below):
            return tier.credit
    return Decimal(0)


@dataclass(frozen=True, slots=True)
class Terms:
    """What of an agreement moves a figure."""

    objective: Decimal
    combine: Literal["average", "worst"] = "average"
    unknown: Unknown = "excluded"
    notice: timedelta = timedelta(hours=72)
    credits: tuple[CreditTier, ...] = ()

    @classmethod
    def of(cls, agreement: Agreement) -> "Terms":
        return cls(
            agreement.objective, agreement.combine, agreement.unknown, agreement.notice, agreement.credits
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """What an agreement's window came to: one figure over all components, and one for each.

    `elapsed` is the part of `window` that the figures cover; the budget is that of the whole window.
    """

    window: Window
    elapsed: Window
    terms: Terms
    figure: Figure
    by_component: Mapping[int, Figure]
    budget: Budget
    credit: Decimal

    @property
    def met(self) -> bool | None:
        """Whether the objective holds so far; None while there is no figure."""
        percent = self.figure.percent
        return None if percent is None else percent >= Fraction(self.terms.objective)


def statement(
    timelines: Mapping[int, Sequence[Interval]],
    maintenance: Sequence[Maintenance],
    terms: Terms,
    window: Window,
    now: datetime,
) -> Statement:
    """Account for `window` as of `now`. `timelines` has an entry, maybe an empty one, for every component."""
    elapsed = Window(window.start, max(window.start, min(window.end, now)))
    holes = {each: _excluded(each, maintenance, terms.notice) for each in timelines}
    by_component = {
        component: Figure(elapsed, tally(line, elapsed, holes[component]), terms.unknown)
        for component, line in timelines.items()
    }
    if terms.combine == "worst":
        figure = Figure(elapsed, _worst_tally(timelines, holes, elapsed, terms.unknown), terms.unknown)
        planned = _worst_tally(dict.fromkeys(timelines, ()), holes, window, terms.unknown)
    else:
        figure = Figure(elapsed, sum((f.tally for f in by_component.values()), Tally()), terms.unknown)
        planned = sum((tally((), window, holes[each]) for each in timelines), Tally())
    allowance = 1 - Fraction(terms.objective) / 100
    lost = figure.tally.of(State.UNKNOWN) if terms.unknown == "excluded" else _ZERO
    countable_us = (planned.total - planned.excluded - lost) // _MICROSECOND
    allowed = int(allowance * countable_us) * _MICROSECOND
    return Statement(
        window,
        elapsed,
        terms,
        figure,
        by_component,
        Budget(allowed, figure.downtime),
        credit_owed(figure.percent, terms.credits),
    )


def _excluded(component: int, maintenance: Iterable[Maintenance], notice: timedelta) -> list[Window]:
    return merged(each.window for each in maintenance if each.excludes(component, notice))


def _worst_tally(
    timelines: Mapping[int, Sequence[Interval]],
    holes: Mapping[int, Sequence[Window]],
    window: Window,
    unknown: Unknown,
) -> Tally:
    """The tally of the worst state at each moment.

    A component under excluded maintenance is not looked at; a moment is excluded when that leaves none.
    """
    remaining = [without(completed(line, window), holes[each]) for each, line in timelines.items()]
    by_state: dict[State, timedelta] = dict.fromkeys(MEASURED, _ZERO)
    # Otherwise a partial outage of one component would hide the full downtime that unknown is for another.
    badness = _UNKNOWN_AS_DOWNTIME if unknown == "downtime" else BADNESS
    for interval in worst_of(remaining, badness):
        by_state[interval.state] += interval.duration
    return Tally(by_state, window.duration - sum(by_state.values(), _ZERO))
