"""Metrics on PostgreSQL. The statements stand in `metrics.sql`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.availability.metrics import MetricPoint
from holdfast.availability.ports import Resolution
from holdfast.availability.views import MetricSample
from holdfast.estate.model import Retention
from holdfast.kernel.windows import Window

SQL = Queries.beside(__file__)

_STATEMENTS = {Resolution.MINUTE: SQL.minutes, Resolution.HOUR: SQL.hours, Resolution.DAY: SQL.days}


class PostgresMetrics:
    """MetricStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._made: set[tuple[int, int]] = set()

    async def record(self, points: Sequence[MetricPoint]) -> None:
        if not points:
            return
        for at in {(point.at.year, point.at.month): point.at for point in points}.values():
            await self._make_partitions(at)
        parameters = {
            "components": [point.component_id for point in points],
            "keys": [point.key for point in points],
            "times": [point.at for point in points],
            "values": [float(point.value) for point in points],
        }
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.record_points, parameters)

    async def samples(
        self, component_id: int, keys: Sequence[str], window: Window, resolution: Resolution
    ) -> Mapping[str, Sequence[MetricSample]]:
        parameters = {
            "component": component_id,
            "keys": list(keys),
            "start": window.start,
            "end": window.end,
        }
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(_STATEMENTS[resolution], parameters)
            rows = await cursor.fetchall()
        found: dict[str, list[MetricSample]] = {}
        for key, *sample in rows:
            found.setdefault(key, []).append(MetricSample(*sample))
        return found

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        for ahead in (timedelta(), timedelta(days=7)):
            await self._make_partitions(now + ahead)
        kept = {
            "metric_minute": retention.minutes,
            "metric_hour": retention.hours,
            "metric_day": retention.days,
        }
        async with borrowed(self._pool) as connection:
            for table, age in kept.items():
                # A reader holds a partition for milliseconds; if longer, the next round drops it.
                async with connection.transaction():
                    await connection.execute("SET LOCAL lock_timeout = '2s'")
                    await connection.execute(SQL.drop_partitions, (table, now - age))
        self._made.clear()

    async def _make_partitions(self, at: datetime) -> None:
        if (at.year, at.month) not in self._made:
            async with borrowed(self._pool) as connection:
                await connection.execute(SQL.make_partitions, (at,))
            self._made.add((at.year, at.month))
