"""Frozen months: what an agreement's month came to, written down when it closed, with a hash of its intervals.

A frozen month is never changed. When late results mend an interval afterwards, a new one is appended that
names the one it corrects. Anybody with the intervals can recompute the hash; the hash is over one line per
interval, `component start end state` with times in microseconds since 1970 UTC, sorted, each line ended by a
newline, SHA-256.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.availability.model import Interval
from holdfast.availability.sla import Figure, Statement, percent_text
from holdfast.availability.timeline import completed
from holdfast.availability.views import AgreementReport
from holdfast.estate.model import Agreement
from holdfast.kernel.windows import Window, month_window

SETTLE = timedelta(minutes=15)
"""How long after a month's end it is frozen: results that were under way have arrived by then."""
MENDABLE = timedelta(days=100)
"""How far back late results are still looked for."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class FrozenMonth:
    """One agreement's month as it was written down. `id` is None until it is stored.

    `figures` is plain: numbers in microseconds, percentages as text rounded down. `corrects` is the id of the
    row that this one replaces.
    """

    agreement: str
    window: Window
    formula: str
    terms: Mapping[str, object]
    figures: Mapping[str, object]
    intervals_sha256: str
    corrects: int | None = None
    id: int | None = None
    frozen_at: datetime | None = None


def digest(timelines: Mapping[int, Sequence[Interval]], window: Window) -> str:
    """The hash over the intervals of `window`; splitting an interval, or its reason, does not change it."""
    lines: list[str] = []
    for component, line in timelines.items():
        joined: list[tuple[int, int, str]] = []
        for interval in completed(line, window):
            start, end = _micros(interval.window.start), _micros(interval.window.end)
            if joined and joined[-1][1:] == (start, interval.state.label):
                start = joined.pop()[0]
            joined.append((start, end, interval.state.label))
        lines += [f"{component} {start} {end} {state}\n" for start, end, state in joined]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def due_months(agreement: Agreement, since: datetime, now: datetime) -> list[Window]:
    """The agreement's calendar months that have closed and settled by `now`, from the one that holds `since`.

    Empty for an agreement with a rolling window: nothing of it ever closes.
    """
    if agreement.window != "calendar_month":
        return []
    zone = ZoneInfo(agreement.time_zone)
    local = since.astimezone(zone)
    months: list[Window] = []
    year, month = local.year, local.month
    while (window := month_window(year, month, zone)).end + SETTLE <= now:
        months.append(window)
        year, month = year + month // 12, month % 12 + 1
    return months


def frozen(report: AgreementReport, sha256: str, corrects: FrozenMonth | None = None) -> FrozenMonth:
    """The row to append for a closed month."""
    statement = report.statement
    return FrozenMonth(
        report.key,
        statement.window,
        statement.figure.formula,
        _terms(statement, report.agreement.time_zone),
        _figures(report),
        sha256,
        corrects.id if corrects else None,
    )


def in_force(rows: Iterable[FrozenMonth]) -> dict[tuple[str, datetime], FrozenMonth]:
    """The newest row of each agreement's month, by agreement and the month's start."""
    return {(row.agreement, row.window.start): row for row in sorted(rows, key=lambda row: row.id or 0)}


def _terms(statement: Statement, time_zone: str) -> dict[str, object]:
    terms = statement.terms
    return {
        "objective": str(terms.objective),
        "combine": terms.combine,
        "unknown": terms.unknown,
        "notice_us": terms.notice // _MICROSECOND,
        "credits": [[str(tier.below), str(tier.credit)] for tier in terms.credits],
        "time_zone": time_zone,
    }


def _figures(report: AgreementReport) -> dict[str, object]:
    statement = report.statement
    return {
        "total": _figure(statement.figure),
        "components": {
            f"{each.cluster_key}/{each.key}": {"id": each.id, **_figure(statement.by_component[each.id])}
            for each in report.components
        },
        "budget_allowed_us": statement.budget.allowed // _MICROSECOND,
        "budget_left_us": statement.budget.left // _MICROSECOND,
        "credit_percent": str(statement.credit),
        "met": statement.met,
        "sample": report.sample,
    }


def _figure(figure: Figure) -> dict[str, object]:
    return {
        "availability_percent": percent_text(figure.availability, 5),
        "counted_us": figure.counted // _MICROSECOND,
        "downtime_us": figure.downtime // _MICROSECOND,
        "excluded_us": figure.tally.excluded // _MICROSECOND,
        **{f"{state.label}_us": length // _MICROSECOND for state, length in figure.tally.by_state.items()},
    }


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
