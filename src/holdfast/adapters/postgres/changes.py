"""Word of changes, as the database announces them at commit."""

import asyncio
from collections.abc import AsyncIterator
from typing import LiteralString

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.kernel.errors import HoldfastError

_LISTEN: LiteralString = "LISTEN holdfast_changed"
RECONNECT_AFTER_S = 1.0


class PostgresChanges:
    """Each call listens on a connection of its own, and again after the connection was lost.

    Yields what changed (`transition`, `maintenance`, `estate`), and `reconnected` when something may have
    been missed. Never raises for the database: while it is away there is simply nothing to tell.
    """

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo

    async def __call__(self) -> AsyncIterator[str]:
        while True:
            try:
                async with connect(self._conninfo, "changes") as connection:
                    await connection.execute(_LISTEN)
                    yield "reconnected"
                    async for notice in connection.notifies():
                        yield notice.payload
            except HoldfastError:
                await asyncio.sleep(RECONNECT_AFTER_S)
