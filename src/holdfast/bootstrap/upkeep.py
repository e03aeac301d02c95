"""Planned work in the controller's process: what happens to it by the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.maintenance import maintenance_desk
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.upkeep import Upkeep
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

ROUND_EVERY_S = 2.0
PLAN_AHEAD_EVERY_S = 60.0
LOOK_EVERY_S = 1.0

Note = Callable[[str, Mapping[str, object]], None]

log = structlog.get_logger()


class Maintenances:
    """Reminds, starts, ends and plans ahead while this controller leads."""

    def __init__(self, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool], note: Note) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._leading = leading
        self._note = note
        self._inventory: Inventory | None = None

    def put_in_force(self, inventory: Inventory) -> None:
        """From now on this estate counts. Before the first call there is nothing to tell anybody of."""
        self._inventory = inventory

    async def run(self) -> None:
        """Run until cancelled. The database may be away at any time."""
        async with open_pool(self._conninfo, "maintenance", max_size=2) as pool:
            upkeep = Upkeep(
                PostgresMaintenances(pool),
                maintenance_desk(pool, self._clock, self._in_force),
                self._clock,
                self._directory,
                on_event=self._note,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat(upkeep.run_once, ROUND_EVERY_S))
                group.create_task(self._repeat(upkeep.plan_ahead, PLAN_AHEAD_EVERY_S))

    async def _repeat(self, act: Callable[[], Awaitable[object]], every_s: float) -> None:
        told = ""
        while True:
            if self._inventory is None or not self._leading():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                await act()
                told = ""
            except HoldfastError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("maintenance_postponed", error=told)
            except Exception as error:  # noqa: BLE001  a fault here must not end the checks with it
                log.error("maintenance_broke", error=f"{type(error).__name__}: {error}")  # noqa: TRY400
            await asyncio.sleep(every_s)

    def _in_force(self) -> Inventory:
        assert self._inventory is not None, "nothing runs before an estate is in force"  # noqa: S101
        return self._inventory

    def _directory(self) -> Directory:
        inventory = self._in_force()
        return directory_of(inventory.estate, inventory.registered)
