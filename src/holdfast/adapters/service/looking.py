"""Whether users are served at an edge, seen from here."""

import asyncio
from collections.abc import Mapping

from holdfast.adapters.service.asking import exchange
from holdfast.kernel.clock import Clock
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.outage import Seen, Sight


class HttpLook:
    """One vantage point: here. `urls`: what answers 200 while users are served, by region."""

    def __init__(self, vantage: str, urls: Mapping[str, str], clock: Clock, *, within_s: float = 1.0) -> None:
        self.vantage = vantage
        self._urls = urls
        self._clock = clock
        self._within_s = within_s

    async def look(self) -> Sight:
        """Raises nothing."""
        seen = await asyncio.gather(*(self._one(url) for url in self._urls.values()))
        return Sight(self.vantage, self._clock.now(), dict(zip(self._urls, seen, strict=True)))

    async def _one(self, url: str) -> Seen:
        try:
            status, _ = await exchange("GET", url, self._within_s)
        except StepFailed:
            return Seen.DOWN
        return Seen.UP if status == 200 else Seen.DOWN
