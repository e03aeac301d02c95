"""Planned work in the controller's process: what happens to it by the clock."""

import asyncio

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.bootstrap.leading import ControllerPart
from holdfast.bootstrap.maintenance import maintenance_desk
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.upkeep import Upkeep

ROUND_EVERY_S = 2.0
PLAN_AHEAD_EVERY_S = 60.0


class Maintenances(ControllerPart):
    """Reminds, starts, ends and plans ahead while this controller leads."""

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
                group.create_task(self._repeat("maintenance", upkeep.run_once, ROUND_EVERY_S))
                group.create_task(self._repeat("maintenance", upkeep.plan_ahead, PLAN_AHEAD_EVERY_S))

    def _directory(self) -> Directory:
        inventory = self._in_force()
        return directory_of(inventory.estate, inventory.registered)
