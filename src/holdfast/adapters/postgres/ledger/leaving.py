"""Who leaves, on PostgreSQL. The statements: `leaving.sql`; what forgets: migration 0021."""

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.persons.leaving import Candidates


class LeavingQueries(Queries):
    candidates: Query
    stay: Query
    leave: Query
    forget: Query
    write_journal: Query


SQL = LeavingQueries.beside(__file__)


class PostgresLeavings:
    """Leavings over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def candidates(self) -> Sequence[Candidates]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.candidates)).fetchall()
        return [Candidates(tenant, log_id, size, tuple(persons)) for tenant, log_id, size, persons in rows]

    async def leave(self, tenant: str, pseudonyms: Sequence[str]) -> None:
        given = {"tenant": tenant, "pseudonyms": list(pseudonyms)}
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.stay, given)
            await connection.execute(SQL.leave, given)

    async def forget(self, tenant: str, pseudonyms: Sequence[str], *, actor: str) -> int:
        given = {"tenant": tenant, "pseudonyms": list(pseudonyms)}
        async with borrowed(self._pool) as connection, connection.transaction():
            row = await (await connection.execute(SQL.forget, given)).fetchone()
            count = int(row[0]) if row else 0
            if count:
                # Not who: that is what is forgotten.
                facts = Jsonb({"tenant": tenant, "persons": count})
                told = {"actor": actor, "event": "ledger.persons_forgotten", "facts": facts}
                await connection.execute(SQL.write_journal, told)
        return count
