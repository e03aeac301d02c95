"""The estate's status, read once for all who ask at the same time."""

import asyncio

from holdfast.availability.views import Overview
from holdfast.interfaces.site.ports import StatusReader
from holdfast.interfaces.site.snapshot import DAYS
from holdfast.kernel.clock import Clock

KEPT_S = 2.0


class Overviews:
    """Reading an overview looks through 90 days of every component: it is kept for two seconds."""

    def __init__(self, reader: StatusReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._reading = asyncio.Lock()
        self._kept: tuple[float, Overview] | None = None

    async def overview(self) -> Overview:
        """At most two seconds old. Raises what the reader raises."""
        async with self._reading:
            now = self._clock.monotonic()
            if self._kept is None or now - self._kept[0] >= KEPT_S:
                self._kept = now, await self._reader.overview(days=DAYS)
            return self._kept[1]
