"""Metrics that the estate names: asked once a minute, stored as they were, charted with their gaps.

A minute in which a value could not be had is a gap. It is never a zero, and never the last value again.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from holdfast.availability.errors import AvailabilityError
from holdfast.availability.ports import Resolution
from holdfast.availability.views import MetricSample
from holdfast.estate.model import Metric, Retention
from holdfast.kernel.windows import Window

LARGEST = 1e100
"""Beyond this a value is no measurement, and sums of it would overflow."""


class MetricUnknown(AvailabilityError):  # noqa: N818  a state of affairs more than an error
    """The value could not be had. The message is one line without secrets."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """A metric's value in the minute that begins at `at` (aware, UTC). It is finite."""

    component_id: int
    key: str
    at: datetime
    value: float


class MetricQueries(Protocol):
    """Asks a Prometheus."""

    async def value(self, metric: Metric) -> float:
        """The one value that the query gives now. Raises MetricUnknown; always ends within some seconds."""
        ...


class MetricStore(Protocol):
    """Where values are kept."""

    async def record(self, points: Sequence[MetricPoint]) -> None:
        """Append them, and add them to their hours and UTC days. A minute that is there is absorbed."""
        ...

    async def samples(
        self, component_id: int, keys: Sequence[str], window: Window, resolution: Resolution
    ) -> Mapping[str, Sequence[MetricSample]]:
        """What begins inside `window`, by key and ordered by time; keys without anything are left out."""
        ...

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        """Make room for the near future, and drop what is past retention."""
        ...


def usable(value: float) -> float:
    """The value. Raises MetricUnknown for what is none: NaN, an infinity, or beyond measure."""
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise MetricUnknown("the value is not a number")
    return value


def merged_samples(samples: Iterable[MetricSample], window: Window, step: timedelta) -> list[MetricSample]:
    """One sample for each `step` from the window's start; steps without any are left out."""
    bins: dict[int, list[MetricSample]] = defaultdict(list)
    for each in samples:
        bins[(each.at - window.start) // step].append(each)
    return [_merged(window.start + index * step, bins[index]) for index in sorted(bins)]


def _merged(at: datetime, samples: Sequence[MetricSample]) -> MetricSample:
    count = sum(each.count for each in samples)
    average = math.fsum(each.average * (each.count / count) for each in samples)
    return MetricSample(
        at, count, min(each.lowest for each in samples), average, max(each.highest for each in samples)
    )
