"""Server-sent events (HTML standard, 9.2): tells open pages that something changed, and nothing more.

A stream holds no queue: a client that reads slowly gets the newest change only, and one that does not
read at all is let go.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdfast.interfaces.site.responses import SECURITY, Answer, Scope, Send

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx holds back what it proxies unless told not to.
    (b"x-accel-buffering", b"no"),
    *SECURITY,
]


class Streams:
    """All open event streams of the site, capped in total and per address."""

    def __init__(
        self,
        *,
        most: int = 1000,
        most_per_address: int = 32,
        heartbeat_s: float = 20.0,
        patience_s: float = 10.0,
    ) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._heartbeat_s = heartbeat_s
        self._patience_s = patience_s
        self._by_address: Counter[str] = Counter()
        self._version = 0
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return self._by_address.total()

    def announce(self) -> None:
        """Tell every stream that something changed."""
        self._version += 1
        self._wake()

    def close(self) -> None:
        """End every stream, so that a server that shuts down need not wait for them."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One stream, until the client leaves, stops reading, or the site closes."""
        address = (scope.get("client") or ("",))[0]
        if self._closed or len(self) >= self._most or self._by_address[address] >= self._most_per_address:
            await _refused(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        self._by_address[address] += 1
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._tell(send, b"retry: 5000\n: welcome\n\n")
            await self._stream(send, gone)
        except (TimeoutError, OSError):
            pass  # it stopped reading, or went away between two words
        finally:
            gone.cancel()
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    async def _stream(self, send: Send, gone: asyncio.Task[None]) -> None:
        told = self._version
        while not gone.done() and not self._closed:
            if told == self._version:
                waiting = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait(
                        {waiting, gone}, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    waiting.cancel()
            if gone.done() or self._closed:
                break
            if told == self._version:
                await self._tell(send, b": still here\n\n")
            else:
                told = self._version
                await self._tell(send, b"event: changed\nid: %d\ndata: %d\n\n" % (told, told))
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})

    async def _tell(self, send: Send, text: bytes) -> None:
        async with asyncio.timeout(self._patience_s):
            await send({"type": "http.response.body", "body": text, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_refused = Answer(
    "too many open streams\n",
    "text/plain; charset=utf-8",
    status=503,
    cache="no-store",
    headers=[(b"retry-after", b"60")],
)
