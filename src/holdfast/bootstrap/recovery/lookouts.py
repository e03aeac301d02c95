"""The vantage points of a cluster: this process looks itself, and agents' checks have been stored."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.adapters.service.looking import HttpLook
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Outcome
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.estate.ports import check_and_vantage
from holdfast.estate.recovery import ClusterRecovery
from holdfast.estate.values import LOCAL
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.outage import Seen, Sight

log = structlog.get_logger()


def lookouts_of(around: Surroundings, key: str, declared: ClusterRecovery) -> "StoredLookouts":
    """Those of a cluster."""
    here = HttpLook(
        LOCAL,
        {region: edge.health for region, edge in declared.edges.items()},
        around.clock,
        within_s=declared.watch.within.total_seconds(),
    )
    checks = {region: edge.check for region, edge in declared.edges.items() if edge.check is not None}
    others = set[str]()
    components = around.estate.clusters[key].components
    for check in checks.values():
        component, _, name = check.partition("/")
        others |= set(components[component].checks[name].seen_from)
    return StoredLookouts(key, here, checks, sorted(others - {LOCAL}), around)


class StoredLookouts:
    """Lookouts: one voice here, and one of each vantage point that runs the edges' checks."""

    def __init__(
        self, key: str, here: HttpLook, checks: dict[str, str], others: Sequence[str], around: Surroundings
    ) -> None:
        self._key = key
        self._here = here
        self._checks = checks
        self._others = others
        self._pool: Pool = around.pool
        self._registry = PostgresRegistry(around.conninfo)
        self._inventory: Inventory | None = None

    @property
    def vantages(self) -> Sequence[str]:
        return (LOCAL, *self._others)

    async def look(self) -> Sequence[Sight]:
        sights = [await self._here.look()]
        if self._others:
            try:
                sights += await self._stored()
            except HoldfastError as error:
                log.warning("lookouts_not_read", cluster=self._key, error=str(error))
        return sights

    async def _stored(self) -> Sequence[Sight]:
        """The newest result of each vantage point and region. A sight is as old as its oldest result."""
        ids = await self._probes()
        results = await PostgresReadingStore(self._pool).results(list(ids), 1)
        seen: dict[str, dict[str, tuple[datetime, Seen]]] = {}
        for result in results:
            region, vantage = ids[result.check_id]
            up = Seen.DOWN if result.outcome is Outcome.FAILED else Seen.UP
            seen.setdefault(vantage, {})[region] = (result.at, up)
        return [
            Sight(
                vantage,
                min(at for at, _ in regions.values()),
                {region: each for region, (_, each) in regions.items()},
            )
            for vantage, regions in seen.items()
        ]

    async def _probes(self) -> dict[int, tuple[str, str]]:
        if self._inventory is None:
            found = await self._registry.in_force()
            if found is None:
                return {}
            self._inventory = Inventory(*found)
        ids = dict[int, tuple[str, str]]()
        for region, check in self._checks.items():
            component, _, name = check.partition("/")
            for check_id, probe in self._inventory.check_ids(self._key, component).items():
                check_key, vantage = check_and_vantage(probe)
                if check_key == name and vantage in self._others:
                    ids[check_id] = (region, vantage)
        return ids
