"""Frozen months as an agreement's page shows them: each row beside the one that it corrects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.sla import percent_text
from holdfast.interfaces.site.i18n import Translator
from holdfast.kernel.windows import MICROSECOND

MOST_FROZEN = 12


@dataclass(frozen=True, slots=True)
class FrozenRow:
    """One row of the chain. `corrects` says in words which figure it replaced; empty for the first."""

    at: datetime
    availability: str
    formula: str
    downtime: timedelta
    unknown: timedelta
    budget_left: timedelta
    credit: Decimal
    sha256: str
    corrects: str
    sample: bool


def frozen_rows(newest_first: Sequence[FrozenMonth], t: Translator) -> list[FrozenRow]:
    """The rows of one month's chain, in its order."""
    return [_row(row, before, t) for row, before in zip_longest(newest_first, newest_first[1:])]


def differs(newest: Sequence[FrozenMonth], availability: Fraction | None) -> bool:
    """Whether the row in force, if there is one, has another figure than the page's own."""
    shown = percent_text(availability, 5)
    return any(row.figures["total"]["availability_percent"] != shown for row in newest)


def _row(row: FrozenMonth, before: FrozenMonth | None, t: Translator) -> FrozenRow:
    total = row.figures["total"]
    return FrozenRow(
        row.frozen_at or row.window.end,
        _availability(row, t),
        row.formula,
        total["downtime_us"] * MICROSECOND,
        total["unknown_us"] * MICROSECOND,
        row.figures["budget_left_us"] * MICROSECOND,
        Decimal(row.figures["credit_percent"]),
        row.intervals_sha256,
        _corrects(row, before, t) if before else "",
        row.figures["sample"],
    )


def _corrects(row: FrozenMonth, before: FrozenMonth, t: Translator) -> str:
    return t.gettext("corrects the %(old)s of %(time)s to %(new)s") % {
        "old": _availability(before, t),
        "time": t.moment(before.frozen_at or before.window.end),
        "new": _availability(row, t),
    }


def _availability(row: FrozenMonth, t: Translator) -> str:
    percent = row.figures["total"]["availability_percent"]
    return t.gettext("no figure") if percent is None else t.availability(Fraction(percent) / 100)
