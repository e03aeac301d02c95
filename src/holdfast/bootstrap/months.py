"""Freezing months in the controller's process, and verifying them for the command line."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.months import MonthKeeper, Verified, verified
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

FREEZE_EVERY_S = 60.0
MEND_EVERY_S = 600.0
LOOK_EVERY_S = 1.0
"""How soon a new leader, or a first estate, is noticed."""

Note = Callable[[str, Mapping[str, object]], None]

log = structlog.get_logger()


class Months:
    """Freezes and corrects months while this controller leads."""

    def __init__(self, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool], note: Note) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._leading = leading
        self._note = note
        self._inventory: Inventory | None = None

    def put_in_force(self, inventory: Inventory) -> None:
        """From now on this estate counts. Before the first call there is nothing to freeze."""
        self._inventory = inventory

    async def run(self) -> None:
        """Run until cancelled. The database may be away at any time."""
        async with open_pool(self._conninfo, "months", max_size=2) as pool:
            keeper = MonthKeeper(
                PostgresReadingStore(pool),
                PostgresMonths(pool),
                self._clock,
                self._in_force,
                on_event=self._note,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self._repeat(keeper.freeze_due, FREEZE_EVERY_S))
                group.create_task(self._repeat(keeper.mend, MEND_EVERY_S))

    async def _repeat(self, act: Callable[[], Awaitable[object]], every_s: float) -> None:
        while True:
            if self._inventory is None or not self._leading():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                await act()
            except HoldfastError as error:
                log.warning("months_postponed", error=str(error))
            await asyncio.sleep(every_s)

    def _in_force(self) -> Inventory:
        assert self._inventory is not None, "nothing runs before an estate is in force"  # noqa: S101
        return self._inventory


async def verify(pool: Pool, clock: Clock, agreement: str | None) -> Sequence[Verified]:
    """Every frozen month, or those of one agreement, beside what the stored intervals come to now."""
    return await verified(PostgresReadingStore(pool), PostgresMonths(pool), clock.now(), agreement)
