"""Word of changed runs, as the database announces them at commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import LiteralString, Protocol

from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.conninfo import Conninfo

CHANNEL: LiteralString = "holdfast_recovery"
"""Each word on it is a run's id."""


class News(Protocol):
    """How many words came, and waiting for the next one."""

    @property
    def heard(self) -> int: ...

    async def woken(self, since: int, within_s: float) -> None: ...


class Unheard:
    """For who listens to nothing."""

    heard = 0

    async def woken(self, since: int, within_s: float) -> None:
        del since
        await asyncio.sleep(within_s)


class Heard:
    """Counts words, and wakes who waits for one. After a lost connection a word counts as missed."""

    def __init__(self) -> None:
        self.heard = 0
        self._next = asyncio.Event()

    async def woken(self, since: int, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.heard <= since:
                    await self._next.wait()

    def hear(self) -> None:
        self.heard += 1
        self._next.set()
        self._next = asyncio.Event()


@asynccontextmanager
async def heard_on(conninfo: Conninfo) -> AsyncIterator[Heard]:
    """Listens on a connection of its own, and again after it was lost, for the length of the block."""
    heard = Heard()

    async def listen() -> None:
        async for _ in PostgresChanges(conninfo, (CHANNEL,))():
            heard.hear()

    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
