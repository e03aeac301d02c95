"""The incident of a move: opened at the incident desk, which tells subscribers of it."""

import re
from collections.abc import Callable
from datetime import datetime

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.communication import directory_in, incident_desk
from holdfast.communication.directory import Directory
from holdfast.communication.incident_steps import NewIncident
from holdfast.communication.model import ComponentState, Impact, Phase
from holdfast.kernel.clock import Clock
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import StepFailed

ACTOR = "holdfast recovery"
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")


class DeskIncidents:
    """Incidents over a pool, of the estate in force."""

    def __init__(self, pool: Pool, registry: PostgresRegistry, clock: Clock) -> None:
        self._pool = pool
        self._registry = registry
        self._clock = clock

    async def opened(self, move: str) -> str | None:
        made = _id(move)
        return None if await PostgresIncidents(self._pool).incident(made) is None else made

    async def open(self, move: str, cluster: str, title: str, body: str, began: datetime | None) -> None:
        found = await self._registry.in_force()
        if found is None:
            raise StepFailed("no estate is in force", hint="it is once a controller applied one")
        inventory = Inventory(*found)
        affected = {
            inventory.component_id(cluster, key): ComponentState.OPERATIONAL
            for key in inventory.estate.clusters[cluster].components
        }
        now = self._clock.now()
        new = NewIncident(
            title=title,
            impact=Impact.CRITICAL,
            phase=Phase.MONITORING,
            body=_ISO.sub(r"\1 \2", body),
            affected=affected,
            began_at=began if began is not None and began <= now else None,
        )
        await incident_desk(self._pool, self._clock, _directory(inventory)).declare(
            new, ACTOR, incident_id=_id(move)
        )


def _directory(inventory: Inventory) -> Callable[[], Directory]:
    return lambda: directory_in(inventory)


def _id(move: str) -> str:
    return id_from("recovery incident", move)
