"""What putting damaged data back took, and what it cost: data.measure.

Its figures come from the run and from what its steps found; only how much data there is, is asked.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.bootstrap.recovery.damaged_subject import UNKNOWN, OnDamaged
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.ports import Action, Fence, Found
from holdfast.recovery.salvage_cost import cost_of


def measuring_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {"data.measure": Measuring(around)}


@dataclass(frozen=True, slots=True)
class Measuring(OnDamaged):
    """Changes nothing. See `holdfast.recovery.salvage_cost` for what it is given."""

    wants = frozenset({"run", "lost"})
    finds = frozenset({"rto_s", "rpo_s", "lost_transactions", "loss", "data_bytes"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        held = await self.around.runs.get(given["run"])
        found = dict(cost_of(held.run, given, held.now))
        try:
            _, size = await asyncio.to_thread(self.damaged(given).written)
        except HoldfastError:
            found["data_bytes"] = UNKNOWN  # a figure: nothing fails for it
        else:
            found["data_bytes"] = str(size)
        return found

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """There is nothing to do."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        return await self.observe(given) or {}
