"""A component's days as inline SVG: a row of bars, or one small calendar per month.

A bar stands 22 high while all is well. Trouble puts a cap on it, taller the worse it was, and reaching
further down the longer it took, so that a day can be read without telling its colours apart. A day
without data is a stub. Positions are percentages: the row fits any width without distorting a thing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from markupsafe import Markup, escape

from holdfast.availability.model import State
from holdfast.availability.sla import Figure, Tally
from holdfast.availability.views import Day
from holdfast.interfaces.site.wording import SHOWN, Shown, Words
from holdfast.kernel.windows import Window

HEIGHT = 36
_BASE = 22
_STUB = 7
_RISE = {
    Shown.OPERATIONAL: 0,
    Shown.MAINTENANCE: 0,
    Shown.DEGRADED: 4,
    Shown.UNKNOWN: 2,
    Shown.PARTIAL_OUTAGE: 9,
    Shown.MAJOR_OUTAGE: 14,
}
_LEAST_CAP = 7


@dataclass(frozen=True, slots=True)
class Bar:
    """How one day is drawn: what is on top, and the share of the day that it took (0 to 1)."""

    top: Shown
    share: float
    empty: bool


def bar_of(day: Day) -> Bar:
    """The look of a day: its worst state, or maintenance when nothing else happened."""
    tally = day.figure.tally
    total = tally.total or timedelta(days=1)
    if tally.of(State.UNKNOWN) + tally.excluded >= total and not tally.excluded:
        return Bar(Shown.UNKNOWN, 1.0, empty=True)
    top = SHOWN[day.worst]
    if top is Shown.OPERATIONAL:
        maintained = day.maintenance or bool(tally.excluded)
        return Bar(Shown.MAINTENANCE if maintained else top, max(tally.excluded / total, 0.1), empty=False)
    return Bar(top, tally.of(day.worst) / total, empty=False)


Titled = Callable[[Day], str]
"""What is said of a day: its story, and the incidents that were told of."""


def row(days: Sequence[Day], words: Words, label: str, titled: Titled | None = None) -> Markup:
    """The days side by side, oldest first, each with its title: its story, where none is given."""
    titled = titled or words.day_title
    count = max(len(days), 1)
    step = 100 / count
    width = f"{step * 0.72:.3g}%"
    parts = [
        f'<svg class="bars n{len(days)}" width=100% height={HEIGHT} role=img aria-label="{escape(label)}">'
    ]
    for place, day in enumerate(days):
        title = f"<title>{escape(titled(day))}</title>"
        parts.append(_bar(bar_of(day), f"{place * step + step * 0.14:.4g}%", width, title))
    parts += _sample_hatch(days, step)
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text in it was escaped above


def _bar(bar: Bar, x: str, width: str, title: str) -> str:
    if bar.empty:
        return _rect(x, HEIGHT - _STUB, width, _STUB, bar.top, title)
    top = HEIGHT - _BASE - _RISE[bar.top]
    whole = HEIGHT - top
    cap = min(whole, max(_LEAST_CAP + _RISE[bar.top], round(whole * bar.share**0.5)))
    if bar.top is Shown.OPERATIONAL or cap == whole:
        return _rect(x, top, width, whole, bar.top, title)
    base = _rect(x, top + cap, width, HEIGHT - top - cap, Shown.OPERATIONAL, "")
    return f"<g>{title}{_rect(x, top, width, cap, bar.top, '')}{base}</g>"


def _rect(x: str, y: int, width: str, height: int, look: Shown, title: str) -> str:
    # The hatch of unknown is a pattern of the page (parts.html), which a class cannot name portably.
    paint = "fill=url(#u)" if look is Shown.UNKNOWN else f"class={look.value}"
    return f"<rect x={x} y={y} width={width} height={height} {paint}>{title}</rect>"


def _sample_hatch(days: Sequence[Day], step: float) -> Iterator[str]:
    """Stripes over each run of sample days. They let the pointer through to the days' titles."""
    for sample, run in groupby(enumerate(days), key=lambda each: each[1].sample):
        if sample:
            places = [place for place, _ in run]
            x, width = places[0] * step, len(places) * step
            yield f"<rect class=h x={x:.4g}% y=0 width={width:.4g}% height={HEIGHT} fill=url(#h) />"


@dataclass(frozen=True, slots=True)
class MonthOfDays:
    """One month of a calendar: its first day, its figure, its picture."""

    first: date
    figure: Figure
    drawing: Markup


def calendar(days: Sequence[Day], words: Words, titled: Titled | None = None) -> list[MonthOfDays]:
    """One drawing for each month that the days touch, oldest first. Weeks begin on Monday."""
    months = []
    for _, grouped in groupby(days, key=lambda day: (day.day.year, day.day.month)):
        month = list(grouped)
        first = month[0].day.replace(day=1)
        label = words.t.month(first)
        months.append(
            MonthOfDays(first, figure_over(month), _month(month, first, titled or words.day_title, label))
        )
    return months


_CELL = 14
_MARKS = {
    Shown.DEGRADED: "M4 7h6",
    Shown.PARTIAL_OUTAGE: "M4 10 10 4",
    Shown.MAJOR_OUTAGE: "M4 4l6 6M10 4l-6 6",
    Shown.MAINTENANCE: "M4.5 5h5M4.5 9h5",
}


def _month(days: Sequence[Day], first: date, titled: Titled, label: str) -> Markup:
    offset = first.weekday()
    size = f"0 0 {7 * _CELL} {6 * _CELL}"
    parts = [f'<svg class=month viewBox="{size}" role=img aria-label="{escape(label)}">']
    for day in days:
        week, weekday = divmod(offset + day.day.day - 1, 7)
        bar = bar_of(day)
        place = f'transform="translate({weekday * _CELL} {week * _CELL})"'
        parts.append(f"<g {place}><title>{escape(titled(day))}</title>")
        parts += _cell(bar)
        if day.sample:
            parts.append(f"<rect class=h width={_CELL} height={_CELL} fill=url(#h) />")
        parts.append("</g>")
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text in it was escaped above


def _cell(bar: Bar) -> Iterator[str]:
    """A square in the colour of the day, with a mark in it that says the same without colour."""
    square = "x=1 y=1 width=12 height=12 rx=2.5"
    if bar.top is Shown.UNKNOWN:
        yield f"<rect {square} fill=url(#u) />"
        return
    yield f"<rect {square} class={bar.top.value} />"
    if bar.top in _MARKS:
        yield f'<path d="{_MARKS[bar.top]}"/>'


def figure_over(days: Sequence[Day]) -> Figure:
    """The figure of consecutive days together, from theirs."""
    window = Window(days[0].figure.window.start, days[-1].figure.window.end)
    counted_as = days[0].figure.unknown_counts_as
    return Figure(window, sum((day.figure.tally for day in days), Tally()), counted_as)


def eventful(days: Sequence[Day], told_of: Callable[[date], object] = lambda _: ()) -> list[Day]:
    """The days that have something to tell, newest first: for those who cannot hover."""
    return [
        day
        for day in reversed(days)
        if told_of(day.day) or (not bar_of(day).empty and (day.events or day.maintenance))
    ]
