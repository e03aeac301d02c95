"""What moving a cluster asks of Holdfast's own database. The statements: `regions.sql`."""

from collections.abc import Mapping

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.recovery.fencing import pass_fence
from holdfast.adapters.postgres.tenancy import EVERY_TENANT, as_tenant
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import LedgerStands

SQL = Queries.beside(__file__)


class PostgresFences:
    """A fence that all replicas share, for targets that know none of their own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def pass_(self, scope: str, fence: Fence) -> None:
        """Raises ComesLate."""
        async with borrowed(self._pool) as connection, connection.transaction():
            await pass_fence(connection, scope, fence)


class PostgresLedgers:
    """Ledgers: what was handed out in checkpoints is compared with what the logs hold."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stands(self, cluster: str) -> Mapping[str, LedgerStands]:
        del cluster  # a log is of a tenant, wherever they are served
        async with as_tenant(self._pool, EVERY_TENANT) as connection:
            rows = await (await connection.execute(SQL["ledgers"])).fetchall()
        # A log that has handed nothing out yet has acknowledged nothing that could be missing.
        return {origin: LedgerStands(acknowledged or 0, there) for origin, acknowledged, there in rows}
