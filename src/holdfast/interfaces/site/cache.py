"""Bounded work for pages that are made on request: few at a time, each once, kept for a moment."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from holdfast.interfaces.site.responses import Answer
from holdfast.kernel.clock import Clock


class TooBusyError(Exception):
    """More pages are asked for than may wait. The client should come back later."""


class PageCache:
    """Makes each page at most once per `ttl_s` seconds, `width` pages at a time, `queue` more may wait.

    Requests for a page that is being made wait for that one. A client that goes away does not stop the
    making: others may wait for it too.
    """

    def __init__(
        self, clock: Clock, *, ttl_s: float = 5.0, entries: int = 128, width: int = 4, queue: int = 128
    ) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._entries = entries
        self._queue = queue
        self._places = asyncio.Semaphore(width)
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The page of that key, at most `ttl_s` old. Raises what `make` raises, and TooBusyError."""
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() - kept[0] < self._ttl_s:
            return kept[1]
        task = self._making.get(key)
        if task is None:
            if len(self._making) >= self._queue:
                raise TooBusyError
            task = asyncio.create_task(self._make(key, make))
            self._making[key] = task
            task.add_done_callback(lambda done: self._made(key, done))
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._places:
            answer = await make()
        if answer.status < 500:
            self._kept[key] = (self._clock.monotonic(), answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)
        return answer

    def _made(self, key: Hashable, done: asyncio.Task[Answer]) -> None:
        self._making.pop(key, None)
        if not done.cancelled():
            # Looked at here so that a failure whose client has left is not reported as never retrieved.
            done.exception()

    def clear(self) -> None:
        """Forget every page, as after a change of the estate."""
        self._kept.clear()

    async def close(self) -> None:
        """Stop what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
