"""Metrics that the estate names, as charts with their table: quantities in their units, gaps as gaps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import escape

from holdfast.availability.views import MetricHistory, MetricSample
from holdfast.interfaces.site.charts import HEIGHT, MOST_BANDS, MOST_ROWS, WIDTH, Chart, drawing, time_labels
from holdfast.interfaces.site.i18n import Translator
from holdfast.kernel.windows import Window

_LINES: Sequence[tuple[str, Callable[[MetricSample], float]]] = (
    ("p99", lambda sample: sample.highest),
    ("p95", lambda sample: sample.lowest),
    ("p50", lambda sample: sample.average),
)
_PREFIXES = ("bytes", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class ShownMetric:
    """One metric for the page. `chart` is None where no value is known; `told` adds the unit to a value."""

    key: str
    name: str
    unit: str
    chart: Chart | None
    rows: Sequence[MetricSample]
    length: timedelta
    told: Callable[[float], str]


def metrics_shown(metrics: Sequence[MetricHistory], window: Window, t: Translator) -> list[ShownMetric]:
    """All of them, in the file's order."""
    return [_shown(each, window, t) for each in metrics]


def _shown(metric: MetricHistory, window: Window, t: Translator) -> ShownMetric:
    def told(value: float) -> str:
        return quantity(value, metric.unit, t)

    return ShownMetric(
        metric.key,
        metric.name,
        # The others have their unit beside every number.
        metric.unit if metric.unit == "/s" else "",
        chart(metric, window, t),
        list(reversed(metric.samples))[:MOST_ROWS],
        metric.length,
        told,
    )


def quantity(value: float, unit: str, t: Translator) -> str:
    """`23 ms`, `1.42 s`, `99.9%`, `12.3 MB`, `17 /s`, `1,234`: as many digits as say something."""
    match unit:
        case "ms" if value == 0 or value >= 0.1:
            return t.latency(value * 1000)
        case "s" if value == 0 or 0.0001 <= value < 1000:
            return t.latency(value * 1_000_000)
        case "%":
            return t.percent(round(value, 3))
        case "bytes":
            place = min(max(int(math.log10(max(abs(value), 1)) // 3), 0), len(_PREFIXES) - 1)
            return f"{_number(value / 1000**place, t)} {_PREFIXES[place]}"
        case "count":
            return _number(value, t)
    return f"{_number(value, t)} {unit}"


def _number(value: float, t: Translator) -> str:
    """With three digits that say something; whole numbers below a million whole."""
    if value == 0 or (value == int(value) and abs(value) < 1e6):
        return t.number(int(value))
    if not 1e-6 <= abs(value) < 1e15:
        return f"{value:.2e}"
    return t.significant(value)


def chart(metric: MetricHistory, window: Window, t: Translator) -> Chart | None:
    """Average, lowest and highest over the window; None where no value is known."""
    samples = metric.samples
    if not samples:
        return None
    floor, step = axis(min(each.lowest for each in samples), max(each.highest for each in samples))
    ceiling = floor + 4 * step
    lines = "".join(
        f'<path class={name} d="{_line(samples, value, window, metric.length, (floor, ceiling))}"/>'
        for name, value in _LINES
    )
    heights = [quantity(floor + part * step, metric.unit, t) for part in (4, 3, 2, 1, 0)]
    content = lines + _bands(metric, window, t)
    return Chart(drawing(content, _label(metric, t)), heights, time_labels(window, t))


def axis(lowest: float, highest: float) -> tuple[float, float]:
    """Where the axis begins, and a quarter of its length: round numbers. Zero is always on it."""
    low, high = min(lowest, 0.0), max(highest, 0.0)
    step = _nice(max(high - low, abs(high) * 1e-9, 1e-12) / 4)
    floor = math.floor(low / step) * step
    while floor + 4 * step < high:
        step = _nice(step * 1.01)
        floor = math.floor(low / step) * step
    return floor, step


def _nice(step: float) -> float:
    """The least of 1, 2, 2.5, 5 x 10^n that is not below `step`."""
    scale = 10.0 ** math.floor(math.log10(step))
    return next((nice * scale for nice in (1, 2, 2.5, 5) if nice * scale >= step), 10 * scale)


def _line(
    samples: Sequence[MetricSample],
    value: Callable[[MetricSample], float],
    window: Window,
    length: timedelta,
    between: tuple[float, float],
) -> str:
    """An SVG path. A hole of more than one length begins a new stroke: it is never drawn over."""
    floor, ceiling = between
    parts: list[str] = []
    previous: datetime | None = None
    for each in samples:
        x = WIDTH * ((each.at + length / 2 - window.start) / window.duration)
        y = HEIGHT * (1 - (value(each) - floor) / (ceiling - floor))
        joined = previous is not None and each.at - previous <= length * 1.5
        # A lone point is drawn as a dot: a stroke of no length with round ends.
        parts.append(f"L{x:.1f} {y:.1f}" if joined else f"M{x:.1f} {y:.1f}h0")
        previous = each.at
    return "".join(parts)


def _bands(metric: MetricHistory, window: Window, t: Translator) -> str:
    """Invisible columns whose titles tell the numbers under the pointer."""
    span = max(1, math.ceil(len(metric.samples) / MOST_BANDS))
    parts = []
    for each in metric.samples[::span]:
        x = WIDTH * ((each.at - window.start) / window.duration)
        width = WIDTH * (metric.length * span / window.duration)
        told = f"{t.short_moment(each.at)}: {quantity(each.average, metric.unit, t)}"
        parts.append(
            f"<rect class=band x={x:.1f} y=0 width={width:.1f} height={HEIGHT}>"
            f"<title>{escape(told)}</title></rect>"
        )
    return "".join(parts)


def _label(metric: MetricHistory, t: Translator) -> str:
    """The chart in one sentence, for those who do not see it."""
    samples = metric.samples
    return t.gettext("%(name)s: between %(lowest)s and %(highest)s, %(newest)s at the end") % {
        "name": metric.name,
        "lowest": quantity(min(each.lowest for each in samples), metric.unit, t),
        "highest": quantity(max(each.highest for each in samples), metric.unit, t),
        "newest": quantity(samples[-1].average, metric.unit, t),
    }
