"""Frozen months: what an agreement's month came to, written down when it closed, with a hash of its lines.

A frozen month is never changed. When what it was made of is mended afterwards, a new one is appended that
names the one it corrects. Both the terms and the components are those of the day on which the month was
frozen: an agreement that is changed later changes no month that has closed.

The hash is the SHA-256 over one line for each interval of each component,

    <component id> <start> <end> <state>

with times in microseconds since 1970 UTC, and one line with the word `excluded` for each stretch of
maintenance that left counted time. The lines are sorted by their bytes, and each ends with a newline. The
figures follow from these lines and the terms alone: anybody who has both can recompute them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from holdfast.availability.model import Interval, Maintenance
from holdfast.availability.sla import Figure, Statement, Terms, percent_text, statement
from holdfast.availability.timeline import completed
from holdfast.estate.model import Agreement, CreditTier
from holdfast.kernel.windows import MICROSECOND, Window, merged, month_window

SETTLE = timedelta(minutes=15)
"""How long after a month's end it is frozen: results that were under way have arrived by then."""
MENDABLE = timedelta(days=100)
"""How far back late results are still looked for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Promise:
    """All of an agreement that moves a month's figures. `components` maps `cluster/component` to its id."""

    agreement: str
    time_zone: str
    terms: Terms
    components: Mapping[str, int]

    @classmethod
    def of(cls, key: str, agreement: Agreement, components: Mapping[str, int]) -> "Promise":
        return cls(key, agreement.time_zone, Terms.of(agreement), components)


@dataclass(frozen=True, slots=True)
class FrozenMonth:
    """One agreement's month as it was written down. `id` and `frozen_at` are None until it is stored.

    `month` is its name in the agreement's time zone, such as 2026-10. `terms` and `figures` are plain:
    lengths in microseconds, percentages as text, those of figures rounded down. `corrects` is the id of the
    row that this one replaces.
    """

    agreement: str
    month: str
    window: Window
    formula: str
    terms: Mapping[str, Any]
    figures: Mapping[str, Any]
    intervals_sha256: str
    corrects: int | None = None
    id: int | None = None
    frozen_at: datetime | None = None

    @property
    def promise(self) -> Promise:
        """What it was made by. Raises KeyError or ValueError for terms that no version of Holdfast wrote."""
        terms = self.terms
        return Promise(
            self.agreement,
            terms["time_zone"],
            Terms(
                Decimal(terms["objective"]),
                terms["combine"],
                terms["unknown"],
                terms["notice_us"] * MICROSECOND,
                tuple(CreditTier(below=below, credit=credit) for below, credit in terms["credits"]),
            ),
            terms["components"],
        )


@dataclass(frozen=True, slots=True)
class Account:
    """A month's figures with the lines that they follow from."""

    month: FrozenMonth
    lines: Sequence[str]


def account(
    promise: Promise,
    window: Window,
    timelines: Mapping[int, Sequence[Interval]],
    maintenance: Sequence[Maintenance],
    corrects: FrozenMonth | None = None,
) -> Account:
    """Account for a month that has closed. Components without a timeline are unknown throughout."""
    ids = promise.components.values()
    known = {each: timelines.get(each, ()) for each in ids}
    excluded = {each: _excluded(each, maintenance, promise.terms.notice) for each in ids}
    lines = lines_of(known, excluded, window)
    made = statement(known, maintenance, promise.terms, window, window.end)
    sample = any(
        interval.sample and interval.window.overlaps(window) for line in known.values() for interval in line
    )
    row = FrozenMonth(
        promise.agreement,
        month_name(window, promise.time_zone),
        window,
        made.figure.formula,
        _plain_terms(promise),
        _plain_figures(made, promise, sample=sample),
        digest(lines),
        corrects.id if corrects else None,
    )
    return Account(row, lines)


def lines_of(
    timelines: Mapping[int, Sequence[Interval]], excluded: Mapping[int, Sequence[Window]], window: Window
) -> list[str]:
    """The lines that the hash is over, in its order.

    Where an interval is split, or why it was in its state, is not in them.
    """
    lines: list[str] = []
    for component, line in timelines.items():
        joined: list[tuple[Window, str]] = []
        for interval in completed(line, window):
            stretch, state = interval.window, interval.state.label
            if joined and joined[-1][1] == state:
                stretch = Window(joined.pop()[0].start, stretch.end)
            joined.append((stretch, state))
        holes = (hole.clipped_to(window) for hole in excluded.get(component, ()))
        joined += [(hole, "excluded") for hole in holes if hole is not None]
        lines += [
            f"{component} {_micros(stretch.start)} {_micros(stretch.end)} {state}\n"
            for stretch, state in joined
        ]
    return sorted(lines)


def digest(lines: Iterable[str]) -> str:
    """The hash over these lines."""
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def due_months(agreement: Agreement, since: datetime, now: datetime) -> list[Window]:
    """The agreement's calendar months that have closed and settled by `now`, from the one that holds `since`.

    Oldest first. Empty for an agreement with a rolling window: nothing of it ever closes.
    """
    if agreement.window != "calendar_month":
        return []
    zone = ZoneInfo(agreement.time_zone)
    local = since.astimezone(zone)
    months: list[Window] = []
    year, month = local.year, local.month
    while is_settled(window := month_window(year, month, zone), now):
        months.append(window)
        year, month = year + month // 12, month % 12 + 1
    return months


def is_settled(window: Window, now: datetime) -> bool:
    """Whether the month has closed, and what was under way then has arrived."""
    return window.end + SETTLE <= now


def month_name(window: Window, time_zone: str) -> str:
    """`2026-10`: the local month that `window` is."""
    return f"{window.start.astimezone(ZoneInfo(time_zone)):%Y-%m}"


def in_force(rows: Iterable[FrozenMonth]) -> dict[tuple[str, str], FrozenMonth]:
    """The newest row of each agreement's month."""
    return {(row.agreement, row.month): row for row in sorted(rows, key=lambda row: row.id or 0)}


def _excluded(component: int, maintenance: Iterable[Maintenance], notice: timedelta) -> list[Window]:
    return merged(each.window for each in maintenance if each.excludes(component, notice))


def _plain_terms(promise: Promise) -> dict[str, Any]:
    terms = promise.terms
    return {
        "objective": str(terms.objective),
        "combine": terms.combine,
        "unknown": terms.unknown,
        "notice_us": terms.notice // MICROSECOND,
        "credits": [[str(tier.below), str(tier.credit)] for tier in terms.credits],
        "time_zone": promise.time_zone,
        "components": dict(promise.components),
    }


def _plain_figures(made: Statement, promise: Promise, *, sample: bool) -> dict[str, Any]:
    return {
        "total": _plain_figure(made.figure),
        "components": {
            name: _plain_figure(made.by_component[component])
            for name, component in promise.components.items()
        },
        "budget_allowed_us": made.budget.allowed // MICROSECOND,
        "budget_left_us": made.budget.left // MICROSECOND,
        "credit_percent": str(made.credit),
        "met": made.met,
        "sample": sample,
    }


def _plain_figure(figure: Figure) -> dict[str, Any]:
    return {
        "availability_percent": percent_text(figure.availability, 5),
        "counted_us": figure.counted // MICROSECOND,
        "downtime_us": figure.downtime // MICROSECOND,
        "excluded_us": figure.tally.excluded // MICROSECOND,
        **{f"{state.label}_us": length // MICROSECOND for state, length in figure.tally.by_state.items()},
    }


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // MICROSECOND
