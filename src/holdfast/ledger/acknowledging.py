"""Acknowledging: a record is acknowledged once the second region has it on its disk, or the policy says else.

Appending goes on meanwhile: request n + 1 is committed here while request n waits for the link. So the link's
delay is paid by each request once, and by the throughput not at all.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.ledger.errors import NotFlushed
from holdfast.ledger.model import Reach
from holdfast.ledger.ports import SecondRegion


class WhenAway(StrEnum):
    """What the operator wants when the second region does not answer."""

    STALL = "stall"
    """Nothing is acknowledged until it is back: sources keep their records, and post them again."""
    ACCEPT = "accept"
    """Acknowledged as "one region", and told once it is in both."""


@dataclass(slots=True)
class Gate:
    """Waits for the second region, for everybody who appended. `on_event` hears when it goes and is back."""

    second: SecondRegion | None
    """None when the database itself waits (`synchronous_commit = on`): what is committed is in both then."""
    policy: WhenAway
    within_s: float
    on_event: Callable[[str, Mapping[str, object]], None]
    flushed: int = 0
    """Up to here the second region is known to have everything."""
    away: bool = False
    waiting: int = 0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def passed(self, lsn: int) -> Reach:
        """Where everything up to `lsn` is durable. Raises NotFlushed under the policy `stall`."""
        if self.second is None:
            return Reach.TWO_REGIONS
        self.waiting += 1
        try:
            # While it is away nobody waits the whole time again: one looks, the others are told what it saw.
            there = self.flushed >= lsn or await self._look(self.second, lsn)
        finally:
            self.waiting -= 1
        if there:
            return Reach.TWO_REGIONS
        if self.policy is WhenAway.STALL:
            raise NotFlushed(
                f"the second region did not flush it within {self.within_s:g} s; it is kept here",
                hint="post it again: what is there already is absorbed",
            )
        return Reach.ONE_REGION

    async def _look(self, second: SecondRegion, lsn: int) -> bool:
        within_s = 0.0 if self.away else self.within_s
        there = await second.flushed(lsn, within_s)
        if there:
            self.flushed = max(self.flushed, lsn)
        if there == self.away:
            self.away = not there
            self.on_event("second_region_back" if there else "second_region_away", {"waiting": self.waiting})
        return there
