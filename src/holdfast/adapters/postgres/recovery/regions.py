"""What moving a cluster asks of Holdfast's own database. The statements: `regions.sql`."""

from collections.abc import Mapping

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.recovery.changing import changing
from holdfast.adapters.postgres.recovery.fencing import pass_fence
from holdfast.adapters.postgres.tenancy import EVERY_TENANT, as_tenant
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import LedgerStands

SQL = Queries.beside(__file__)
MOST_SOURCES = 200
"""Of each log: those that sent last."""


class PostgresFences:
    """A fence that all replicas share, for targets that know none of their own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def pass_(self, scope: str, fence: Fence) -> None:
        """Raises ComesLate."""
        async with changing(self._pool) as connection:
            await pass_fence(connection, scope, fence)


class PostgresLedgers:
    """Ledgers: what was handed out in checkpoints is compared with what the logs hold."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stands(self, cluster: str) -> Mapping[str, LedgerStands]:
        del cluster  # a log is of a tenant, wherever they are served
        async with as_tenant(self._pool, EVERY_TENANT) as connection:
            rows = await (await connection.execute(SQL["ledgers"])).fetchall()
            numbered = await (await connection.execute(SQL["sequences"], {"most": MOST_SOURCES})).fetchall()
        sources = dict[str, dict[str, int]]()
        for origin, source, epoch, highest in numbered:
            sources.setdefault(origin, {})[f"{source} {epoch}"] = highest
        # A log that has handed nothing out yet has acknowledged nothing that could be missing.
        return {
            origin: LedgerStands(acknowledged or 0, there, sources.get(origin, {}))
            for origin, acknowledged, there in rows
        }
