"""Acknowledging: a record is acknowledged once the second region has it on its disk, or the policy says else.

Appending goes on meanwhile: request n + 1 is committed here while request n waits for the link. So the link's
delay is paid by each request once, and by the throughput not at all.

What the second region had is never remembered for a decision: after a restore of this database its places in
the WAL begin anew from a lower one, and a remembered one would acknowledge what is nowhere else.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import NotFlushed
from holdfast.ledger.model import Reach
from holdfast.ledger.ports import SecondRegion

LOOK_AGAIN_S = 0.5
POST_AGAIN = "post it again: what is there already is absorbed"


class WhenAway(StrEnum):
    """What the operator wants when the second region does not answer."""

    STALL = "stall"
    """Nothing is acknowledged until it is back: sources keep their records, and post them again."""
    ACCEPT = "accept"
    """Acknowledged as "one region", and told once it is in both."""


@dataclass(slots=True)
class Gate:
    """Waits for the second region, for everybody who appended. `on_event` hears when it goes and is back.

    While it is away nobody waits: one looks again and again whether what came in last is there in time, for
    only then would somebody who comes now be acknowledged.
    """

    second: SecondRegion | None
    """None where there is no second region at all."""
    policy: WhenAway
    within_s: float
    on_event: Callable[[str, Mapping[str, object]], None]
    away: bool = False
    waiting: int = 0
    _newest: int = 0
    _looking: "asyncio.Task[None] | None" = None
    _back: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stalls(self) -> bool:
        """Whether a request would be refused now, whatever it holds."""
        return self.away and self.policy is WhenAway.STALL

    async def passed(self, lsn: int) -> Reach:
        """Where everything up to `lsn` is durable. Raises NotFlushed under the policy `stall`."""
        if self.second is None:
            return Reach.ONE_REGION
        self._newest = lsn
        self.waiting += 1
        try:
            if not self.away and await self._flushed(self.second, lsn, self.within_s):
                return Reach.TWO_REGIONS
            self._gone(self.second)
        finally:
            self.waiting -= 1
        if self.policy is WhenAway.STALL:
            raise NotFlushed(
                f"the second region did not flush it within {self.within_s:g} s; it is kept here",
                hint=POST_AGAIN,
            )
        return Reach.ONE_REGION

    async def until_back(self) -> None:
        """Return once it is there, at once when it is."""
        if self.away:
            await self._back.wait()

    async def aclose(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    def _gone(self, second: SecondRegion) -> None:
        if self.away:
            return
        self.away = True
        self._back.clear()
        self.on_event("second_region_away", {"waiting": self.waiting})
        self._looking = asyncio.create_task(self._look(second))

    async def _look(self, second: SecondRegion) -> None:
        while not await self._flushed(second, self._newest, self.within_s):  # noqa: ASYNC110  another place
            await asyncio.sleep(LOOK_AGAIN_S)
        self.away = False
        self._back.set()
        self.on_event("second_region_back", {"waiting": self.waiting})

    async def _flushed(self, second: SecondRegion, lsn: int, within_s: float) -> bool:
        """False also when nobody can be asked: what is not known to be there is not there."""
        try:
            return await second.flushed(lsn, within_s)
        except HoldfastError as error:
            self.on_event("second_region_unknown", {"error": str(error), "hint": error.hint})
            return False
