"""Reading for one tenant: row-level security lets nothing else through (migration 0016).

It holds for logins that do not own the tables. Where one login of the operator's owns everything and may take
on no other role, the `WHERE` of each statement is all there is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed

EVERY_TENANT = "*"
"""For who may read all of them: an operator."""


@asynccontextmanager
async def as_tenant(pool: Pool, tenant: str) -> AsyncIterator[Connection]:
    """A transaction that sees the rows of this tenant (its key, or EVERY_TENANT) and no others.

    The setting ends with the transaction: a connection that goes back to the pool sees nothing.
    """
    async with borrowed(pool) as connection, connection.transaction():
        await connection.execute("SELECT set_config('holdfast.tenant', %s, true)", [tenant])
        yield connection
