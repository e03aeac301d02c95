"""A notifier that keeps what it was given, and does as it is told. For tests and simulation."""

import asyncio
from collections import defaultdict

from holdfast.availability.alerting.model import Message, Outcome


class MemoryNotifier:
    """Notifier over lists. `refusing` channels say no, `lost` ones are not there, `hanging` never answer."""

    def __init__(self, *, timeout_s: float = 0.05) -> None:
        self.received: dict[str, list[Message]] = defaultdict(list)
        self.refusing: set[str] = set()
        self.lost: set[str] = set()
        self.hanging: set[str] = set()
        self._timeout_s = timeout_s

    async def send(self, channel: str, message: Message) -> Outcome:
        if channel in self.lost:
            return Outcome(ok=False, detail=f"no channel is called {channel}", lasting=True)
        if channel in self.hanging:
            await asyncio.sleep(self._timeout_s)
            return Outcome(ok=False, detail=f"no answer within {self._timeout_s:g} s")
        if channel in self.refusing:
            return Outcome(ok=False, detail="refused")
        self.received[channel].append(message)
        return Outcome(ok=True)
