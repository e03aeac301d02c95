"""Reads what is stored of the logs, for verifying. The statements: `verifying.sql`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.append.sequences import Run
from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.tiles import MOST_LEVELS, TILE_WIDTH, FullTile, widths
from holdfast.ledger.log.tree import Edge
from holdfast.ledger.ports import ConflictKept, Key, LogStore
from holdfast.ledger.verify.stretches import PublishedNote, StoredGrowth, Stretch
from holdfast.ledger.verify.verifying import LogStanding, Span, body_of


class VerifyingQueries(Queries):
    logs: Query
    borders: Query
    growths: Query
    tiles: Query
    runs: Query
    conflicts: Query
    published: Query
    twice: Query
    beyond: Query
    published_notes: Query
    taken_in: Query
    pruned: Query
    note_at: Query


SQL = VerifyingQueries.beside(__file__)


class PostgresLogReading:
    """LogReading over a pool. `store` reads the tree's edges."""

    def __init__(self, pool: Pool, store: LogStore) -> None:
        self._pool = pool
        self._store = store

    async def logs(self) -> Sequence[LogStanding]:
        async with borrowed(self._pool) as connection:
            return [LogStanding(*row) for row in await _rows(connection, SQL.logs)]

    async def borders(self, log_id: int, size: int, leaves: int) -> Sequence[int]:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.borders, log_id=log_id, size=size, leaves=leaves)
        return [first for (first,) in rows]

    async def stretch(self, span: Span) -> Stretch:
        log, first, end = span
        asked = {"log_id": log.log_id, "from_size": first, "to_size": end}
        tiles, width = list[FullTile](), TILE_WIDTH
        async with borrowed(self._pool) as connection:
            growths = [StoredGrowth(*row) for row in await _rows(connection, SQL.growths, **asked)]
            for level in range(MOST_LEVELS):
                tiles += await _tiles(connection, log.log_id, level, first // width, end // width)
                width *= TILE_WIDTH
            last = end // TILE_WIDTH
            beyond = await _tiles(connection, log.log_id, 0, last, last + 1)
            runs = [Run(*row) for row in await _rows(connection, SQL.runs, **asked)]
            conflicts = [
                ConflictKept(Key(source, epoch, seq), came, leaf)
                for source, epoch, seq, came, leaf in await _rows(connection, SQL.conflicts, **asked)
            ]
            published = [PublishedNote(*row) for row in await _rows(connection, SQL.published, **asked)]
        return Stretch(
            tenant=log.tenant,
            origin=log.origin,
            from_size=first,
            to_size=end,
            growths=growths,
            tiles=tiles,
            beyond=beyond[0].hashes if beyond else b"",
            runs=runs,
            conflicts=conflicts,
            published=published,
        )

    async def edge(self, log_id: int, size: int) -> Edge:
        partial = [
            await self._store.hashes(log_id, level, full * TILE_WIDTH, width) if width else b""
            for level, (full, width) in enumerate(widths(size))
        ]
        return Edge(size, tuple(partial))

    async def twice(self, log_id: int) -> Sequence[Key]:
        async with _patient(self._pool) as connection:
            return [Key(*row) for row in await _rows(connection, SQL.twice, log_id=log_id)]

    async def note_at(self, log_id: int, size: int) -> str | None:
        """The checkpoint that was signed when the log had that size."""
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.note_at, log_id=log_id, size=size)
        return rows[0][0] if rows else None

    async def pruned(self, log_id: int) -> int:
        async with borrowed(self._pool) as connection:
            [(up_to,)] = await _rows(connection, SQL.pruned, log_id=log_id)
        return cast("int", up_to)

    async def beyond(self, log_id: int) -> Sequence[str]:
        async with _patient(self._pool) as connection:
            return [sort for (sort,) in await _rows(connection, SQL.beyond, log_id=log_id)]

    async def taken_in(self, log_id: int, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """The leaves [first, end) that came in from `since` until before `until`."""
        async with borrowed(self._pool) as connection:
            [(first, end)] = await _rows(connection, SQL.taken_in, log_id=log_id, since=since, until=until)
        return first, end

    async def published_bodies(self, told: Sequence[Checkpoint]) -> Sequence[str | None]:
        if not told:
            return []
        asked = {"origins": [each.origin for each in told], "sizes": [each.size for each in told]}
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.published_notes, **asked)
        return [_body(note) for (note,) in rows]


@asynccontextmanager
async def _patient(pool: Pool) -> AsyncIterator[Connection]:
    """For what reads a whole table, which takes as long as the log is large."""
    async with borrowed(pool) as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        yield connection


def _body(note: str | None) -> str | None:
    try:
        return None if note is None else body_of(note)
    except ProofRefused:
        return None


async def _tiles(connection: Connection, log_id: int, level: int, first: int, end: int) -> list[FullTile]:
    if first == end:
        return []
    rows = await _rows(connection, SQL.tiles, log_id=log_id, level=level, first=first, end=end)
    return [FullTile(*row) for row in rows]


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
