"""Asking for metrics in the controller's process."""

import asyncio
from collections.abc import Callable

import structlog

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.metrics import PrometheusQueries
from holdfast.availability.polling import MetricPolls
from holdfast.bootstrap.leading import LOOK_EVERY_S, ControllerPart, Note
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

EVERY_S = 60.0
KEEP_EVERY_S = 3600.0

log = structlog.get_logger()


class Metrics(ControllerPart):
    """Asks every metric of the estate once a minute while this controller leads."""

    def __init__(
        self,
        conninfo: Conninfo,
        probes: Probes,
        clock: Clock,
        *,
        leading: Callable[[], bool],
        note: Note,
    ) -> None:
        super().__init__(conninfo, clock, leading=leading, note=note)
        self._queries = PrometheusQueries(probes)

    async def run(self) -> None:
        """Run until cancelled. The database and every Prometheus may be away at any time."""
        async with open_pool(self._conninfo, "metrics", max_size=3) as pool:
            store = PostgresMetrics(pool)
            polls = MetricPolls(self._queries, store, self._clock, self._in_force, on_event=self._note)
            kept_at: float | None = None
            while True:
                if not self._has_work():
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                began = self._clock.monotonic()
                try:
                    await polls.run_once()
                    if kept_at is None or began - kept_at >= KEEP_EVERY_S:
                        await store.keep_partitions(self._clock.now(), self._in_force().estate.retention)
                        kept_at = began
                except HoldfastError as error:
                    log.warning("metrics_not_recorded", error=str(error))
                # A round may take most of its minute; the next one begins a minute after this one began.
                await asyncio.sleep(max(1.0, EVERY_S - (self._clock.monotonic() - began)))

    def _has_work(self) -> bool:
        if self._is_idle():
            return False
        clusters = self._in_force().estate.clusters.values()
        return any(component.metrics for cluster in clusters for component in cluster.components.values())
