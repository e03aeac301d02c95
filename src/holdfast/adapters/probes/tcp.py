"""The TCP and the TLS probe: a connection, and what is said on it first."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.adapters.probes.errors import AttemptFailed, words_for
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.estate.checks import TcpCheck, TlsCheck

MOST_ANSWER = 65_536
_QUIET_S = 0.3


@dataclass(frozen=True, slots=True)
class TcpPlan:
    """`enough` says whether the answer so far satisfies the conditions on it; None when there are none."""

    enough: Callable[[bytes], bool] | None


class TcpProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: TcpCheck, plan: TcpPlan, attempt: Attempt) -> dict[str, object]:
        """The answer, when a condition asks for one. Raises AttemptFailed."""
        wire = await self._reach.open_wire(attempt, check.host, check.port)
        try:
            if check.send:
                wire.write(check.send.encode())
            if plan.enough is None:
                return {}
            greeting = Greeting(attempt.loop, plan.enough)
            async with attempt.awaiting_first_byte():
                wire.attach(greeting)
                await greeting.begun
            if not greeting.finished.done():
                await _listen(attempt, greeting)
        finally:
            wire.close()
        if greeting.failure is not None:
            raise AttemptFailed(greeting.failure)
        return {"answer": bytes(greeting.text)}


class TlsProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: TlsCheck, attempt: Attempt) -> dict[str, object]:
        """The facts about the handshake. Raises AttemptFailed."""
        async with self._reach.connected(attempt, check.host, check.port) as wire:
            return await self._reach.secured(attempt, wire, check)


class Greeting:
    """What arrives first: until it is enough, 64 KiB, the end, or a pause of 0.3 s after a line's end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, enough: Callable[[bytes], bool]) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.text = bytearray()
        self.failure: str | None = None
        self._loop = loop
        self._enough = enough
        self._quiet: asyncio.TimerHandle | None = None

    def feed(self, received: bytes) -> None:
        if self.finished.done():
            return
        self.text += received[: MOST_ANSWER - len(self.text)]
        self.stop_waiting()
        if len(self.text) >= MOST_ANSWER or self._enough(bytes(self.text)):
            self._finish()
        elif self.text.endswith(b"\n"):
            self._quiet = self._loop.call_later(_QUIET_S, self._finish)
        if not self.begun.done():
            self.begun.set_result(None)

    def ended(self, error: Exception | None) -> None:
        if self.finished.done():
            return
        if not self.text:
            self.failure = words_for(error) if error is not None else "connection closed without an answer"
        self._finish()

    def stop_waiting(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _finish(self) -> None:
        self.stop_waiting()
        for future in (self.finished, self.begun):
            if not future.done():
                future.set_result(None)


async def _listen(attempt: Attempt, greeting: Greeting) -> None:
    """Wait for the rest. When it does not come, what did come is the answer."""
    try:
        async with attempt.listening():
            await greeting.finished
    except AttemptFailed:
        return
    finally:
        greeting.stop_waiting()
