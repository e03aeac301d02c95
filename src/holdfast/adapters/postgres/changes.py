"""Word of changes, as the database announces them at commit."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import LiteralString

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.kernel.errors import HoldfastError

CHANGED: LiteralString = "holdfast_changed"
OUTBOX: LiteralString = "holdfast_outbox"
"""Something was queued for subscribers."""
RECONNECT_AFTER_S = 1.0


class PostgresChanges:
    """Each call listens on a connection of its own, and again after the connection was lost.

    Yields what changed (`transition`, `maintenance`, `estate`), and `reconnected` when something may have
    been missed. Never raises for the database: while it is away there is simply nothing to tell. Of a channel
    without words, such as OUTBOX, it yields the name.
    """

    def __init__(self, conninfo: Conninfo, channels: Sequence[LiteralString] = (CHANGED,)) -> None:
        self._conninfo = conninfo
        self._channels = channels

    async def __call__(self) -> AsyncIterator[str]:
        while True:
            try:
                async with connect(self._conninfo, "changes") as connection:
                    for channel in self._channels:
                        await connection.execute("LISTEN " + channel)
                    yield "reconnected"
                    async for notice in connection.notifies():
                        yield notice.payload or notice.channel
            except HoldfastError:
                await asyncio.sleep(RECONNECT_AFTER_S)
