"""How fast an error budget burns, over pairs of windows. Pure functions over intervals; exact arithmetic.

    burn rate = (weighted downtime / counted time) / (1 - objective)

The figure is that of sla.py over the window: the same weights, the same announced maintenance left out, and
unknown time counted as the agreement says. At a burn rate of 1 the budget lasts exactly for the agreement's
window; at 14.4 it is gone after a 14.4th of it.

The pairs are those of Google's SRE workbook, chapter 5 (multiwindow, multi-burn-rate alerts), for 30 days:

    long    short    burn    budget spent    severity
    1 h     5 min    14.4    2 %             page
    6 h     30 min   6       5 %             page
    24 h    2 h      3       10 %            ticket
    72 h    6 h      1       10 %            ticket

A pair fires while both of its windows burn at its rate or faster: the long one says that it matters, the
short one that it still goes on. For an agreement whose window is W long (a calendar month: that month), both
lengths are scaled by W / 30 d. The budget spent in the long window when a pair begins to fire, which is
burn * long / W, stays the same. No long window is shorter than 5 min and no short one than 1 min, so that
there is something to measure; where that makes a long window longer, its burn falls to keep the budget spent.

With little to go by:
- A window of which less than half counts (maintenance, or unknown time that is left out) is judged as if half
  of it counted. A minute of outage after a long maintenance is not an hour's burn.
- An objective of 100 % has no budget: any downtime burns infinitely fast, and fires every pair.
- Below an objective of 93.06 % (at 30 d) not even a total outage burns 14.4 times too fast: the pair cannot
  fire. The slower pairs, and the alert that a component is down, still do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from holdfast.availability.alerting.model import Severity
from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import Figure, Terms, statement, tally
from holdfast.kernel.windows import Window

BASE = timedelta(days=30)
SHORTEST_LONG = timedelta(minutes=5)
SHORTEST_SHORT = timedelta(minutes=1)
_MICROSECOND = timedelta(microseconds=1)

Timelines = Mapping[int, Sequence[Interval]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows that end now, and the burn rate that both must reach."""

    long: timedelta
    short: timedelta
    burn: Fraction
    severity: Severity

    def spent(self, window: timedelta) -> Fraction:
        """The share of the budget of `window` that burning at this rate for `long` spends."""
        return self.burn * Fraction(self.long // _MICROSECOND, window // _MICROSECOND)


GOOGLE = (
    Pair(timedelta(hours=1), timedelta(minutes=5), Fraction(72, 5), Severity.PAGE),
    Pair(timedelta(hours=6), timedelta(minutes=30), Fraction(6), Severity.PAGE),
    Pair(timedelta(hours=24), timedelta(hours=2), Fraction(3), Severity.TICKET),
    Pair(timedelta(hours=72), timedelta(hours=6), Fraction(1), Severity.TICKET),
)


def pairs_for(window: timedelta) -> tuple[Pair, ...]:
    """The four pairs for an agreement whose window is that long, the most urgent first."""
    return tuple(_scaled(pair, window) for pair in GOOGLE)


def _scaled(pair: Pair, window: timedelta) -> Pair:
    scale = Fraction(window // _MICROSECOND, BASE // _MICROSECOND)
    long = max(_times(pair.long, scale), SHORTEST_LONG)
    # Exactly proportional but for the microsecond that the length is rounded to.
    burn = (
        pair.burn
        if long > SHORTEST_LONG
        else pair.spent(BASE) * Fraction(window // _MICROSECOND, long // _MICROSECOND)
    )
    return Pair(long, max(_times(pair.short, scale), SHORTEST_SHORT), burn, pair.severity)


def _times(length: timedelta, scale: Fraction) -> timedelta:
    return round(length // _MICROSECOND * scale) * _MICROSECOND


@dataclass(frozen=True, slots=True)
class Burn:
    """What a window burned: `downtime` of `counted`, in microseconds; `allowance` is 1 - objective."""

    downtime_us: Fraction
    counted_us: int
    allowance: Fraction

    @property
    def rate(self) -> Fraction | None:
        """How many times too fast; None where there is no budget and so no number for it."""
        if not self.downtime_us:
            return Fraction(0)
        return self.downtime_us / self.counted_us / self.allowance if self.allowance else None

    def reaches(self, factor: Fraction) -> bool:
        """True when it burns at `factor` or faster. Without downtime nothing burns."""
        return self.downtime_us > 0 and self.downtime_us >= factor * self.allowance * self.counted_us

    @property
    def text(self) -> str:
        """The rate for people, rounded down."""
        rate = self.rate
        if rate is None:
            return "infinitely fast"
        return f"{int(rate)}x" if rate >= 100 else f"{int(rate * 10) / 10:g}x"


@dataclass(frozen=True, slots=True)
class Unknown:
    """The share of a window, 0 to 1, about which nothing is known of `component`, the worst one in that."""

    share: Fraction = Fraction(0)
    component: int | None = None


@dataclass(frozen=True, slots=True)
class PairReading:
    """One pair as of now: what both windows burned, and what of both is unknown."""

    pair: Pair
    long: Burn
    short: Burn
    unknown: Unknown
    short_unknown: Unknown

    @property
    def firing(self) -> bool:
        return self.long.reaches(self.pair.burn) and self.short.reaches(self.pair.burn)

    def quiet(self, limit: Fraction) -> bool:
        """True when one of its windows is known, but for a share of `limit`, and does not burn too fast."""
        return (self.unknown.share <= limit and not self.long.reaches(self.pair.burn)) or (
            self.short_unknown.share <= limit and not self.short.reaches(self.pair.burn)
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """An agreement's components with what is known of them.

    `watched_from` says since when each component is expected to be heard of: what lies before its first
    recorded moment and before that time is a past that nobody watched, and counts as no unknown share.
    """

    timelines: Timelines
    maintenance: Sequence[Maintenance]
    terms: Terms
    watched_from: Mapping[int, datetime]


def readings(watch: Watch, pairs: Sequence[Pair], now: datetime) -> list[PairReading]:
    """Each of `pairs` as of `now`, in their order."""
    calm = Burn(Fraction(0), 1, Fraction(0))
    longest = max(pairs, key=lambda pair: pair.long).long
    # All windows end now, so that each lies in the longest: when that has no downtime, none has.
    burning = _burn(watch, longest, now).downtime_us > 0
    blind = _unknown_share(watch, longest, now).share > 0
    return [
        PairReading(
            pair,
            _burn(watch, pair.long, now) if burning else calm,
            _burn(watch, pair.short, now) if burning else calm,
            _unknown_share(watch, pair.long, now) if blind else Unknown(),
            _unknown_share(watch, pair.short, now) if blind else Unknown(),
        )
        for pair in pairs
    ]


def _burn(watch: Watch, length: timedelta, now: datetime) -> Burn:
    window = Window(now - length, now)
    figure: Figure = statement(watch.timelines, watch.maintenance, watch.terms, window, now).figure
    half = figure.tally.total // _MICROSECOND // 2
    allowance = 1 - Fraction(watch.terms.objective) / 100
    return Burn(
        Fraction(figure.downtime // _MICROSECOND), max(figure.counted // _MICROSECOND, half, 1), allowance
    )


def _unknown_share(watch: Watch, length: timedelta, now: datetime) -> Unknown:
    """The largest share of any component, and whose it is."""
    window = Window(now - length, now)
    worst = Unknown()
    for component, line in watch.timelines.items():
        watched_from = min(now, watch.watched_from.get(component, now))
        watched = _from_when_watched(line, window.start, watched_from)
        planned = [each.window for each in watch.maintenance if each.excludes(component, watch.terms.notice)]
        spent = tally(watched, window, planned)
        counted = (spent.total - spent.excluded) // _MICROSECOND
        share = Fraction(spent.of(State.UNKNOWN) // _MICROSECOND, counted) if counted else Fraction(0)
        if share > worst.share:
            worst = Unknown(share, component)
    return worst


def _from_when_watched(line: Sequence[Interval], start: datetime, watched_from: datetime) -> list[Interval]:
    """`line` with the time that nobody watched filled in as if it had been good."""
    first = next((each.window.start for each in line if each.window.end > start), watched_from)
    until = min(first, watched_from)
    if until <= start:
        return list(line)
    return [
        Interval(Window(start, until), State.OPERATIONAL),
        *(each for each in line if each.window.end > start),
    ]
