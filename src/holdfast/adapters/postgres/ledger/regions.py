"""Marks of what is in one region, on PostgreSQL. The statements: `regions.sql`; migration 0016."""

from collections.abc import Sequence

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.append.reached import Marked


class RegionQueries(Queries):
    mark: Query
    waiting: Query
    reached: Query


SQL = RegionQueries.beside(__file__)


class PostgresOneRegion:
    """OneRegion over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def mark(self, log_id: int, from_size: int, to_size: int, lsn: int) -> None:
        given = {"log_id": log_id, "from_size": from_size, "to_size": to_size, "lsn": lsn}
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.mark, given)

    async def open(self) -> Sequence[Marked]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.waiting)).fetchall()
        return [Marked(*row) for row in rows]

    async def reached(self, up_to: int) -> int:
        async with borrowed(self._pool) as connection:
            return (await connection.execute(SQL.reached, {"up_to": up_to})).rowcount
