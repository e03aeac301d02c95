"""The transactions in which runs, and what they are fenced from, are changed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed

# A replica that is stopped in the middle of a change holds the run's row, and with it everybody who would
# take the run over. So the server ends it after a part of a lease; what was asked in vain is asked again.
_LIMITS = """
SELECT set_config('synchronous_commit', 'on', true),
       set_config('idle_in_transaction_session_timeout', '3s', true)
"""


@asynccontextmanager
async def changing(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that is on disk when it has ended, and that is ended for who stands still in it."""
    async with borrowed(pool) as connection, connection.transaction():
        await connection.execute(_LIMITS)
        yield connection
