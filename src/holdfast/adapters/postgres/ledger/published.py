"""The checkpoints that were handed out. The statements: `published.sql`; the table: migration 0013."""

from collections.abc import Sequence
from typing import Any, cast

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.errors import Fork
from holdfast.ledger.log.notes import Note
from holdfast.ledger.ports import Pending


class PublishedQueries(Queries):
    newest: Query
    publish: Query
    published_at: Query
    pending: Query
    newest_of_all: Query
    handed: Query
    listed: Query


SQL = PublishedQueries.beside(__file__)


class PostgresPublished:
    """Published over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self, log_id: int) -> str | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.newest, log_id=log_id)
        return rows[0][0] if rows else None

    async def publish(self, log_id: int, size: int, note: str) -> None:
        given = {"log_id": log_id, "size": size}
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.publish, given | {"note": note})
            [(kept,)] = await _rows(connection, SQL.published_at, **given)
        if Note.parsed(kept).body != Note.parsed(note).body:
            raise Fork(f"another checkpoint of {size:,} leaves was published")

    async def pending(self) -> Sequence[Pending]:
        async with borrowed(self._pool) as connection:
            return [Pending(*row) for row in await _rows(connection, SQL.pending)]

    async def handed(self, tenant: str) -> tuple[int, str | None] | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.handed, tenant=tenant)
        return (rows[0][0], rows[0][1]) if rows else None

    async def listed(self, log_id: int, origin: str, below: int) -> int | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.listed, log_id=log_id, origin=origin, below=below)
        return cast("int | None", rows[0][0])

    async def newest_of_all(self) -> Sequence[tuple[int, str]]:
        async with borrowed(self._pool) as connection:
            return [(log_id, note) for log_id, note in await _rows(connection, SQL.newest_of_all)]


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
