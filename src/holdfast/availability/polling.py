"""Asking every metric of the estate once a minute."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from holdfast.availability.inventory import Inventory
from holdfast.availability.metrics import MetricPoint, MetricQueries, MetricStore, MetricUnknown, usable
from holdfast.estate.model import Estate, Metric
from holdfast.estate.ports import ComponentIdentity
from holdfast.kernel.clock import Clock

AT_ONCE = 8
"""How many queries one Prometheus is asked at the same time."""
ROUND_S = 50.0
"""When a round is cut off: what has no answer by then is a gap, and the next minute has its own round."""


class MetricPolls:
    """Asks every metric of the estate once a round. What fails is told when it begins and when it ends."""

    def __init__(
        self,
        queries: MetricQueries,
        store: MetricStore,
        clock: Clock,
        inventory: Callable[[], Inventory],
        *,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda *_: None,
        round_s: float = ROUND_S,
    ) -> None:
        self._queries = queries
        self._store = store
        self._clock = clock
        self._inventory = inventory
        self._tell = on_event
        self._round_s = round_s
        self._failing: dict[tuple[ComponentIdentity, str], str] = {}

    async def run_once(self) -> int:
        """One round; returns how many values were recorded. Raises what the store raises.

        Each Prometheus is asked and recorded by itself, so that one that hangs delays no other.
        """
        inventory = self._inventory()
        at = minute_of(self._clock.now())
        servers = by_server(inventory.estate)
        wanted = {(pair, key) for each in servers.values() for pair, key, _ in each}
        self._failing = {each: why for each, why in self._failing.items() if each in wanted}
        done = await asyncio.gather(
            *(self._server(inventory, each, at) for each in servers.values()), return_exceptions=True
        )
        for failed in done:
            if isinstance(failed, BaseException):
                raise failed
        return sum(each for each in done if isinstance(each, int))

    async def _server(
        self,
        inventory: Inventory,
        metrics: Sequence[tuple[ComponentIdentity, str, Metric]],
        at: datetime,
    ) -> int:
        points: list[MetricPoint] = []
        turn = asyncio.Semaphore(AT_ONCE)

        async def ask(pair: ComponentIdentity, key: str, metric: Metric) -> None:
            async with turn:
                try:
                    value = usable(await self._queries.value(metric))
                except MetricUnknown as error:
                    self._failed(pair, key, str(error))
                    return
            self._answered(pair, key)
            points.append(MetricPoint(inventory.component_id(*pair), key, at, value))

        asked = {asyncio.create_task(ask(*each)): each for each in metrics}
        try:
            _, late = await asyncio.wait(asked, timeout=self._round_s)
        finally:
            for task in asked:
                task.cancel()
            done = await asyncio.gather(*asked, return_exceptions=True)
        for task in late:
            self._failed(*asked[task][:2], "no answer in time")
        if points:
            await self._store.record(points)
        for outcome in done:
            # A defect of ours must not look like a gap of theirs.
            if isinstance(outcome, Exception):
                raise outcome
        return len(points)

    def _failed(self, pair: ComponentIdentity, key: str, why: str) -> None:
        if self._failing.get((pair, key)) != why:
            self._failing[pair, key] = why
            self._tell("metric_unknown", {"component": "/".join(pair), "metric": key, "error": why})

    def _answered(self, pair: ComponentIdentity, key: str) -> None:
        if self._failing.pop((pair, key), None) is not None:
            self._tell("metric_known_again", {"component": "/".join(pair), "metric": key})


def by_server(estate: Estate) -> Mapping[str, Sequence[tuple[ComponentIdentity, str, Metric]]]:
    """Every metric of the estate, by the Prometheus that is asked for it."""
    found: dict[str, list[tuple[ComponentIdentity, str, Metric]]] = defaultdict(list)
    for cluster_key, cluster in estate.clusters.items():
        for key, component in cluster.components.items():
            for metric_key, metric in component.metrics.items():
                found[urlsplit(metric.url).netloc].append(((cluster_key, key), metric_key, metric))
    return found


def minute_of(moment: datetime) -> datetime:
    """The minute that `moment` is in."""
    return moment.replace(second=0, microsecond=0)
