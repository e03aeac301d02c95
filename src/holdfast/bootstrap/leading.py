"""What the controller's parts have in common: the estate in force, and work for one controller of several."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.availability.inventory import Inventory
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

LOOK_EVERY_S = 1.0
"""How soon a new leader, or a first estate, is noticed."""

Note = Callable[[str, Mapping[str, object]], None]

log = structlog.get_logger()


class ControllerPart:
    """A part of the controller. Before the first `put_in_force` it has nothing to do."""

    def __init__(self, conninfo: Conninfo, clock: Clock, *, leading: Callable[[], bool], note: Note) -> None:
        self._conninfo = conninfo
        self._clock = clock
        self._leading = leading
        self._note = note
        self._inventory: Inventory | None = None

    def put_in_force(self, inventory: Inventory) -> None:
        """From now on this estate counts."""
        self._inventory = inventory

    def _in_force(self) -> Inventory:
        assert self._inventory is not None, "nothing runs before an estate is in force"  # noqa: S101
        return self._inventory

    def _is_idle(self, *, only_leading: bool = True) -> bool:
        return self._inventory is None or (only_leading and not self._leading())

    async def _repeat(
        self, what: str, act: Callable[[], Awaitable[object]], every_s: float, *, only_leading: bool = True
    ) -> None:
        """Act again and again. What the database refuses now is told once, and done the next time.

        A fault is logged as one of `what`, and must not end the checks, which run in the same process.
        """
        told = ""
        while True:
            if self._is_idle(only_leading=only_leading):
                await asyncio.sleep(min(every_s, LOOK_EVERY_S))
                continue
            try:
                await act()
                told = ""
            except HoldfastError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("work_postponed", what=what, error=told)
            except Exception as error:  # noqa: BLE001
                log.error("work_broke", what=what, error=f"{type(error).__name__}: {error}")  # noqa: TRY400
            await asyncio.sleep(every_s)
