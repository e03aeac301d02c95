"""What arrives on a wire, taken line by line or byte by byte, with a bound on all of it."""

import asyncio

from holdfast.adapters.probes.errors import AttemptFailed, words_for

_LONGEST_LINE = 4_096


class Incoming:
    """A receiver of one connection, for one reader. What waits raises AttemptFailed when no more comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, most: int) -> None:
        """`most` bytes may come in all: what a target sends beyond them is a failure, not a burden."""
        self._loop = loop
        self._room = most
        self._waiting: asyncio.Future[None] | None = None
        self._received = bytearray()
        self._failure: str | None = None

    # what the wire calls

    def feed(self, received: bytes) -> None:
        self._room -= len(received)
        if self._room < 0:
            self._failure = self._failure or "the answer is too long"
        else:
            self._received += received
        self._wake()

    def ended(self, error: Exception | None) -> None:
        if self._failure is None:
            self._failure = words_for(error) if error is not None else "connection closed by the server"
        self._wake()

    # what the probe asks

    @property
    def waits(self) -> bool:
        """Whether bytes have arrived that nobody took."""
        return bool(self._received)

    async def begun(self) -> None:
        """There is a byte to take."""
        while not self._received:
            await self._more()

    async def some(self) -> bytes:
        """All that has arrived, at least a byte."""
        await self.begun()
        received = bytes(self._received)
        self._received.clear()
        return received

    async def exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            await self._more()
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    async def line(self) -> bytes:
        """The next line, without its end."""
        seen = 0
        while (end := self._received.find(b"\n", seen)) < 0 and len(self._received) <= _LONGEST_LINE:
            seen = len(self._received)
            await self._more()
        if not 0 <= end <= _LONGEST_LINE:
            raise AttemptFailed("a line of the answer is too long")
        return (await self.exactly(end + 1)).rstrip(b"\r\n")

    async def _more(self) -> None:
        if self._failure is not None:
            raise AttemptFailed(self._failure)
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
