"""Metrics in memory, for tests and simulation. They end with the process."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdfast.availability.metrics import MetricPoint, merged_samples
from holdfast.availability.ports import Resolution
from holdfast.availability.views import MetricSample
from holdfast.estate.model import Retention
from holdfast.kernel.windows import Window

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class MemoryMetrics:
    """MetricStore over a dictionary. Each resolution forgets what is past its retention by itself."""

    def __init__(self) -> None:
        self._points: dict[Resolution, dict[tuple[int, str, datetime], float]] = {
            resolution: {} for resolution in Resolution
        }

    async def record(self, points: Sequence[MetricPoint]) -> None:
        for kept in self._points.values():
            for point in points:
                kept.setdefault((point.component_id, point.key, point.at), point.value)

    async def samples(
        self, component_id: int, keys: Sequence[str], window: Window, resolution: Resolution
    ) -> Mapping[str, Sequence[MetricSample]]:
        by_key: dict[str, list[MetricSample]] = defaultdict(list)
        for (component, key, at), value in sorted(self._points[resolution].items()):
            if component == component_id and key in keys:
                by_key[key].append(MetricSample(at, 1, value, value, value))
        found: dict[str, Sequence[MetricSample]] = {}
        for key, samples in by_key.items():
            merged = merged_samples(samples, Window(_EPOCH, _EPOCH), resolution.length)
            if inside := [each for each in merged if window.contains(each.at)]:
                found[key] = inside
        return found

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        ages = {
            Resolution.MINUTE: retention.minutes,
            Resolution.HOUR: retention.hours,
            Resolution.DAY: retention.days,
        }
        for resolution, age in ages.items():
            kept = self._points[resolution]
            # Whole months, as partitions are.
            oldest = (now - age).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            self._points[resolution] = {each: value for each, value in kept.items() if each[2] >= oldest}
