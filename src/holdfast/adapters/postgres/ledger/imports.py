"""Which number each line of an importer has, on PostgreSQL. The statements: `imports.sql`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.intake.files import Mark
from holdfast.ledger.intake.importing import OTHER_KEY_HINT


class ImportQueries(Queries):
    importer: Query
    add_importer: Query
    take_turn: Query
    alone: Query
    numbers: Query
    highest: Query
    keep: Query


SQL = ImportQueries.beside(__file__)


class PostgresImports:
    """Imports over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def importer(self, tenant: str, source: str, shown: bytes) -> int:
        those = {"tenant": tenant, "source": source}
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.add_importer, those | {"shown": shown})
            rows = await (await connection.execute(SQL.importer, those)).fetchall()
        if not rows:
            raise NotThere(f"tenant {tenant!r} has no importer {source!r} that is in force")
        [(found, former)] = rows
        if former != shown:
            raise Unsuitable(f"{source!r} knows its lines by another pseudonym key", hint=OTHER_KEY_HINT)
        return int(found)

    async def numbered(self, importer: int, marks: Sequence[Mark]) -> Sequence[int]:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.take_turn, {"importer": importer})
            found = await _numbers(connection, importer, marks)
            fresh = dict.fromkeys(mark for mark, seq in zip(marks, found, strict=True) if seq is None)
            if fresh:
                [(highest,)] = await (
                    await connection.execute(SQL.highest, {"importer": importer})
                ).fetchall()
                given = {mark: highest + n for n, mark in enumerate(fresh, 1)}
                seqs = {"importer": importer, "seqs": list(given.values())}
                await connection.execute(SQL.keep, seqs | _columns(list(given)))
                found = [given[mark] if seq is None else seq for mark, seq in zip(marks, found, strict=True)]
        return [seq for seq in found if seq is not None]

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """Nobody else does the same at the same time, whatever process they are."""
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.alone, {"what": what})
            yield

    async def numbers(self, importer: int, marks: Sequence[Mark]) -> Sequence[int | None]:
        async with borrowed(self._pool) as connection:
            return await _numbers(connection, importer, marks)


async def _numbers(connection: Connection, importer: int, marks: Sequence[Mark]) -> list[int | None]:
    cursor = await connection.execute(SQL.numbers, {"importer": importer} | _columns(marks))
    found: dict[int, int] = dict(await cursor.fetchall())
    return [found.get(n) for n in range(1, len(marks) + 1)]


def _columns(marks: Sequence[Mark]) -> dict[str, Any]:
    return {"marks": [each.mark for each in marks], "occurrences": [each.occurrence for each in marks]}
