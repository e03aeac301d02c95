"""Charts of live metrics as inline SVG. Labels stay in HTML beside the drawing, so that they never shrink.

A drawing is 1000 wide and 100 high, stretched to its box; lines keep their width. Time runs evenly from
the window's start to its end. Where there is no sample the line breaks: a gap is never drawn over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from markupsafe import Markup, escape

from holdfast.availability.views import Sample
from holdfast.interfaces.site.i18n import Translator
from holdfast.kernel.windows import Window

WIDTH, HEIGHT = 1000, 100
MOST_POINTS = 360
MOST_BANDS = 120
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and its axes: `heights` from the top line to the bottom one, `times` evenly spaced."""

    drawing: Markup
    heights: Sequence[str]
    times: Sequence[str]


def spacing(samples: Sequence[Sample], least: timedelta) -> timedelta:
    """The length of time that one sample stands for: the smallest step between two, never below `least`."""
    steps = (later.at - earlier.at for earlier, later in pairwise(samples))
    return max(min(steps, default=least), least)


def thinned(samples: Sequence[Sample], window: Window, length: timedelta) -> tuple[list[Sample], timedelta]:
    """At most MOST_POINTS samples, each the worst of the ones that it stands for; and their new length."""
    span = max(1, ceil(window.duration / length / MOST_POINTS))
    if span == 1:
        return list(samples), length
    stride = length * span
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.at - window.start) // stride, []).append(sample)
    return [_worst(window.start + place * stride, group) for place, group in sorted(groups.items())], stride


def _worst(at: datetime, group: Sequence[Sample]) -> Sample:
    return Sample(
        at,
        _highest(each.p50_us for each in group),
        _highest(each.p95_us for each in group),
        _highest(each.p99_us for each in group),
        sum(each.good for each in group),
        sum(each.degraded for each in group),
        sum(each.failed for each in group),
    )


def _highest(values: Iterator[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def nice_ceiling(value: float, steps: int = 4) -> float:
    """The least of 1, 2, 2.5, 5 x 10^n times `steps` that is not below `value`."""
    step = max(value, 1e-9) / steps
    scale = 10.0 ** (len(str(int(step))) - 1) if step >= 1 else 1.0
    for nice in (1, 2, 2.5, 5, 10):
        if nice * scale >= step:
            return nice * scale * steps
    return 10 * scale * steps


def latency(
    samples: Sequence[Sample], window: Window, length: timedelta, t: Translator, label: str
) -> Chart | None:
    """p50, p95 and p99 over the window; None where nothing answered at all."""
    points, stride = thinned(samples, window, length)
    peak = _highest(each.p99_us for each in points)
    if peak is None:
        return None
    ceiling = nice_ceiling(peak)
    lines = "".join(
        f'<path class={name} d="{_line(points, name + "_us", window, stride, ceiling)}"/>'
        for name in ("p99", "p95", "p50")
    )
    heights = [t.latency(ceiling * part / 4) for part in (4, 3, 2, 1)] + ["0"]
    return Chart(drawing(lines + _bands(points, window, stride, t), label), heights, time_labels(window, t))


def _line(points: Sequence[Sample], field: str, window: Window, stride: timedelta, ceiling: float) -> str:
    """An SVG path. A point without a value, or a hole of more than one stride, begins a new stroke."""
    parts: list[str] = []
    previous: datetime | None = None
    for point in points:
        value = getattr(point, field)
        if value is None:
            previous = None
            continue
        x = WIDTH * ((point.at + stride / 2 - window.start) / window.duration)
        y = HEIGHT * (1 - value / ceiling)
        joined = previous is not None and point.at - previous <= stride * 1.5
        # A lone point is drawn as a dot: a stroke of no length with round ends.
        parts.append(f"L{x:.1f} {y:.1f}" if joined else f"M{x:.1f} {y:.1f}h0")
        previous = point.at
    return "".join(parts)


def _bands(points: Sequence[Sample], window: Window, stride: timedelta, t: Translator) -> str:
    """Invisible columns whose titles tell the numbers under the pointer."""
    span = max(1, ceil(len(points) / MOST_BANDS))
    parts = []
    for first in range(0, len(points), span):
        group = points[first : first + span]
        worst = _worst(group[0].at, group)
        x = WIDTH * ((worst.at - window.start) / window.duration)
        width = WIDTH * ((group[-1].at + stride - worst.at) / window.duration)
        parts.append(
            f"<rect class=band x={x:.1f} y=0 width={width:.1f} height={HEIGHT}>"
            f"<title>{escape(_told(worst, t))}</title></rect>"
        )
    return "".join(parts)


def _told(sample: Sample, t: Translator) -> str:
    text = f"{t.short_moment(sample.at)}: p50 {t.latency(sample.p50_us)}, p95 {t.latency(sample.p95_us)}"
    text += f", p99 {t.latency(sample.p99_us)}"
    if sample.failed:
        runs = sample.good + sample.degraded + sample.failed
        text += ", " + t.gettext("%(failed)s of %(runs)s checks failed") % {
            "failed": sample.failed,
            "runs": runs,
        }
    return text


def errors(
    samples: Sequence[Sample], window: Window, length: timedelta, t: Translator, label: str
) -> Chart | None:
    """The share of failed checks as columns; None where no check ran."""
    points, stride = thinned(samples, window, length)
    shares = [(each, error_share(each)) for each in points]
    if all(share is None for _, share in shares):
        return None
    width = max(WIDTH * (stride / window.duration), 1.5)
    parts = []
    for each, share in shares:
        x = WIDTH * ((each.at - window.start) / window.duration)
        if share:
            height = max(share * HEIGHT, 3)
            parts.append(
                f"<rect class=mj x={x:.1f} y={HEIGHT - height:.1f} width={width:.1f} height={height:.1f}>"
                f"<title>{escape(_told(each, t))}</title></rect>"
            )
    heights = [t.percent(100), t.percent(0)]
    return Chart(drawing("".join(parts), label), heights, time_labels(window, t))


def error_share(sample: Sample) -> float | None:
    """Failed runs among all runs, 0 to 1; None when none ran."""
    runs = sample.good + sample.degraded + sample.failed
    return sample.failed / runs if runs else None


def drawing(content: str, label: str) -> Markup:
    """The SVG around `content`, which is markup; `label` is text."""
    return Markup(  # noqa: S704 - the label is escaped here, the content by those who made it
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio=none role=img '
        f'aria-label="{escape(label)}">{content}</svg>'
    )


def time_labels(window: Window, t: Translator, count: int = 6) -> list[str]:
    """Evenly spaced labels from the start to the end: hours on a short window, days, or months."""
    step = window.duration / (count - 1)
    moments = [window.start + step * place for place in range(count)]
    if window.duration <= timedelta(days=2):
        return [t.clock(each) for each in moments]
    days = [t.local(each).date() for each in moments]
    if window.duration <= timedelta(days=200):
        return [t.short_day(day) for day in days]
    return [t.short_month(day) for day in days]


def proportions(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """One bar cut in proportion, such as a window by state: (class, share of 1) from left to right."""
    x, content = 0.0, []
    for look, share in parts:
        width = share * 100
        if width > 0:
            # A sliver is still drawn: what happened must not vanish because it was short.
            content.append(f"<rect x={x:.2f}% y=0 width={max(width, 0.4):.2f}% height=12 class={look} />")
        x += width
    return Markup(  # noqa: S704 - the label is escaped, the rest are numbers and class names
        f'<svg class=share width=100% height=12 role=img aria-label="{escape(label)}">'
        f"{''.join(content)}</svg>"
    )
