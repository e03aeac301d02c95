"""Freezing months in the controller's process, and verifying them for the command line."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.months import MonthKeeper, Verified, verified
from holdfast.bootstrap.leading import LOOK_EVERY_S, ControllerPart
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

FREEZE_EVERY_S = 60.0
MEND_EVERY_S = 600.0

log = structlog.get_logger()


class Months(ControllerPart):
    """Freezes and corrects months while this controller leads."""

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
                group.create_task(self._again(keeper.freeze_due, FREEZE_EVERY_S))
                group.create_task(self._again(keeper.mend, MEND_EVERY_S))

    async def _again(self, act: Callable[[], Awaitable[object]], every_s: float) -> None:
        while True:
            if self._is_idle():
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                await act()
            except HoldfastError as error:
                log.warning("months_postponed", error=str(error))
            await asyncio.sleep(every_s)


async def verify(pool: Pool, clock: Clock, agreement: str | None) -> Sequence[Verified]:
    """Every frozen month, or those of one agreement, beside what the stored intervals come to now."""
    return await verified(PostgresReadingStore(pool), PostgresMonths(pool), clock.now(), agreement)
