"""Columns of a report as inline SVG: a column for each time, in it the greatest members and all others.

The names stand in HTML beside the drawing, and the same numbers in a table: nothing is told by colour alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape

from holdfast.interfaces.site.charts import HEIGHT, WIDTH, drawing, nice_ceiling
from holdfast.interfaces.site.i18n import Translator
from holdfast.ledger.reports.reporting import Per

MOST_SERIES = 7
MOST_TIMES = 400
MOST_LABELS = 7
_SLIVER = 0.6


@dataclass(frozen=True, slots=True)
class Series:
    """A member and its values by time. `look` is a class of the stylesheet."""

    name: str
    look: str
    values: Mapping[date, int]


@dataclass(frozen=True, slots=True)
class UsageChart:
    """A drawing, its axes, and what its colours mean: in the order of the legend."""

    drawing: Markup
    heights: Sequence[str]
    times: Sequence[str]
    legend: Sequence[Series]


def columns(
    series: Sequence[Series], times: Sequence[date], per: Per, t: Translator, label: str
) -> UsageChart | None:
    """None where there is nothing to draw, or too much to be looked at. What is below zero is not drawn."""
    if not times or len(times) > MOST_TIMES:
        return None
    totals = [sum(max(each.values.get(start, 0), 0) for each in series) for start in times]
    if not any(totals):
        return None
    ceiling = nice_ceiling(max(totals))
    step = WIDTH / len(times)
    parts = list[str]()
    for place, start in enumerate(times):
        base = 0.0
        for each in series:
            value = each.values.get(start, 0)
            if value <= 0:
                continue
            # What is small beside the others is drawn all the same: it happened.
            height = max(HEIGHT * value / ceiling, _SLIVER)
            text = f"{time_text(start, per, t)}, {each.name}: {t.number(value)}"
            parts.append(
                f'<rect class="{each.look}" x="{place * step + step * 0.08:.2f}" '
                f'y="{HEIGHT - base - height:.2f}" width="{step * 0.84:.2f}" height="{height:.2f}">'
                f"<title>{escape(text)}</title></rect>"
            )
            base += height
    heights = [t.number(round(ceiling * part / 4)) for part in (4, 3, 2, 1)] + ["0"]
    shown = [each for each in series if any(value > 0 for value in each.values.values())]
    return UsageChart(drawing("".join(parts), label), heights, _labels(times, per, t), shown)


def time_text(start: date, per: Per, t: Translator) -> str:
    """What a row or a column is about."""
    match per:
        case Per.DAY:
            return f"{t.short_day(start)} {start.year:04d}"
        case Per.WEEK:
            year, week, _ = start.isocalendar()
            return t.gettext("week %(week)s of %(year)s") % {"week": week, "year": year}
        case Per.MONTH:
            return t.month(start)
        case Per.YEAR:
            return f"{start.year:04d}"


def _labels(times: Sequence[date], per: Per, t: Translator) -> list[str]:
    """A few, from the first time to the last one."""
    count = min(len(times), MOST_LABELS)
    places = [round(place * (len(times) - 1) / max(count - 1, 1)) for place in range(count)]
    short = {Per.DAY: t.short_day, Per.WEEK: t.short_day, Per.MONTH: t.short_month}.get(per)
    return [short(times[place]) if short else f"{times[place].year:04d}" for place in places]
