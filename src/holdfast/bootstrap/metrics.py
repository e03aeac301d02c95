"""Asking for metrics in the controller's process."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.metrics import PrometheusQueries
from holdfast.availability.inventory import Inventory
from holdfast.availability.polling import MetricPolls
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

EVERY_S = 60.0
KEEP_EVERY_S = 3600.0
LOOK_EVERY_S = 1.0
"""How soon a new leader, or a first metric, is noticed."""

log = structlog.get_logger()


class Metrics:
    """Asks every metric of the estate once a minute while this controller leads."""

    def __init__(
        self,
        conninfo: Conninfo,
        probes: Probes,
        clock: Clock,
        *,
        leading: Callable[[], bool],
        note: Callable[[str, Mapping[str, object]], None],
    ) -> None:
        self._conninfo = conninfo
        self._queries = PrometheusQueries(probes)
        self._clock = clock
        self._leading = leading
        self._note = note
        self._inventory: Inventory | None = None

    def put_in_force(self, inventory: Inventory) -> None:
        """From now on this estate counts."""
        self._inventory = inventory

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
        if self._inventory is None or not self._leading():
            return False
        clusters = self._inventory.estate.clusters.values()
        return any(component.metrics for cluster in clusters for component in cluster.components.values())

    def _in_force(self) -> Inventory:
        assert self._inventory is not None, "nothing runs before an estate is in force"  # noqa: S101
        return self._inventory
