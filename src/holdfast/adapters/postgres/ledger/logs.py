"""The logs on PostgreSQL. The statements: `logs.sql`; the tables: migration 0013."""

from collections.abc import Sequence
from typing import Any, cast

from psycopg.errors import UniqueViolation

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.append.pieces import cut_out
from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.errors import EntriesPruned, LogDamaged, Overtaken
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH, widths
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.ports import ConflictKept, Growth, Head, Key, Packs

MOST_SEGMENT_BYTES = 256 * 1024 * 1024
"""Unpacked. A request is refused long before."""


class LedgerQueries(Queries):
    log: Query
    create_log: Query
    known: Query
    grow: Query
    keep_segment: Query
    keep_tiles: Query
    keep_runs: Query
    keep_conflicts: Query
    flushed_here: Query
    placed: Query
    conflicts_of: Query
    leaf_hashes: Query
    hashes: Query
    segments: Query
    grown_to: Query


SQL = LedgerQueries.beside(__file__)


class PostgresLogs:
    """LogStore over a pool."""

    def __init__(self, pool: Pool, packs: Packs) -> None:
        self._pool = pool
        self._packs = packs

    async def head(self, tenant: str) -> Head | None:
        async with borrowed(self._pool) as connection:
            found = await _rows(connection, SQL.log, tenant=tenant)
            if not found:
                return None
            log_id, origin, size = found[0]
            known = dict[tuple[str, int], Numbers]()
            for source, epoch, first, last in await _rows(connection, SQL.known, log_id=log_id, size=size):
                known.setdefault((source, epoch), Numbers()).add(first, last)
        return Head(log_id, origin, await self._edge(log_id, size), known)

    async def create(self, tenant: str, origin: str) -> Head:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.create_log, {"tenant": tenant, "origin": origin})
        head = await self.head(tenant)
        if head is None:
            raise LogDamaged(f"the origin {origin!r} is that of another tenant's log")
        return head

    async def append(self, growths: Sequence[Growth]) -> int:
        async with borrowed(self._pool) as connection:
            try:
                async with connection.pipeline():  # everything in one round trip
                    async with connection.transaction():
                        for growth in growths:
                            await _append(connection, growth)
                    cursor = await connection.execute(SQL.flushed_here)
                return int((await cursor.fetchall())[0][0])
            except UniqueViolation as error:
                raise Overtaken("another sequencer has appended to this log") from error

    async def lsn(self) -> int:
        async with borrowed(self._pool) as connection:
            return int((await _rows(connection, SQL.flushed_here))[0][0])

    async def placed(self, log_id: int, keys: Sequence[Key]) -> Sequence[int]:
        if not keys:
            return []
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.placed, log_id=log_id, **_columns(keys))
        if len(rows) != len(keys):
            raise LogDamaged(f"{len(keys) - len(rows)} keys that were taken stand nowhere")
        return [leaf for _, leaf in rows]

    async def conflicts_of(self, log_id: int, keys: Sequence[Key]) -> Sequence[ConflictKept]:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.conflicts_of, log_id=log_id, **_columns(keys))
        return [ConflictKept(Key(source, epoch, seq), came, leaf) for source, epoch, seq, came, leaf in rows]

    async def leaf_hashes(self, log_id: int, leaves: Sequence[int]) -> Sequence[bytes]:
        if not leaves:
            return []
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.leaf_hashes, log_id=log_id, leaves=list(leaves))
        if len(rows) != len(leaves):
            raise LogDamaged("tiles are missing")
        return [hash_ for (hash_,) in rows]

    async def hashes(self, log_id: int, level: int, first: int, count: int) -> bytes:
        return (await self.many_hashes(log_id, [(level, first, count)]))[0]

    async def many_hashes(self, log_id: int, asked: Sequence[tuple[int, int, int]]) -> Sequence[bytes]:
        levels, firsts, counts = (list(each) for each in zip(*asked, strict=True))
        given = {"log_id": log_id, "levels": levels, "firsts": firsts, "counts": counts}
        async with borrowed(self._pool) as connection:
            found = [hashes or b"" for (hashes,) in await _rows(connection, SQL.hashes, **given)]
            for at, (level, first, count) in enumerate(asked):
                if not found[at] and not level:  # of a tile that is not full yet
                    found[at] = leaf_hashes(await self._entries(connection, log_id, first, count))
                if len(found[at]) != count * HASH_BYTES:
                    raise LogDamaged(f"hashes of level {level} from {first:,} on are missing")
        return found

    async def entries(self, log_id: int, first: int, count: int) -> Sequence[bytes]:
        async with borrowed(self._pool) as connection:
            return await self._entries(connection, log_id, first, count)

    async def _entries(self, connection: Connection, log_id: int, first: int, count: int) -> list[bytes]:
        rows = await _rows(connection, SQL.segments, log_id=log_id, first=first, count=count)
        found, expected = list[bytes](), rows[0][0] if rows else first
        for start, end, packed in rows:
            if packed is None:
                raise EntriesPruned(f"the entries from leaf {start:,} on are no longer kept")
            if start != expected:
                raise LogDamaged(f"the leaves from {expected:,} on are missing")
            span = max(first - start, 0), min(first + count, end) - start
            found += cut_out(packed, end - start, *span, self._packs, MOST_SEGMENT_BYTES)
            expected = end
        if len(found) != count:
            raise LogDamaged(f"leaves from {first:,} on are missing")
        return found

    async def grown_to(self, log_id: int, at_least: int) -> tuple[int, bytes, str] | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.grown_to, log_id=log_id, at_least=at_least)
        return cast("tuple[int, bytes, str]", rows[0]) if rows else None

    async def _edge(self, log_id: int, size: int) -> Edge:
        asked = [(level, full * TILE_WIDTH, width) for level, (full, width) in enumerate(widths(size))]
        wanted = [each for each in asked if each[2]]
        found = iter(await self.many_hashes(log_id, wanted) if wanted else ())
        return Edge(size, tuple(next(found) if width else b"" for _, _, width in asked))


async def _append(connection: Connection, growth: Growth) -> None:
    log: dict[str, Any] = {"log_id": growth.log_id}
    span = log | {"from_size": growth.from_size, "to_size": growth.to_size}
    await connection.execute(SQL.grow, span | {"root": growth.root, "note": growth.note})
    leaves = growth.to_size - growth.from_size
    await connection.execute(SQL.keep_segment, span | {"leaves": leaves, "entries": growth.entries})
    if tiles := growth.tiles:
        await connection.execute(
            SQL.keep_tiles,
            log
            | {
                "levels": [tile.level for tile in tiles],
                "indexes": [tile.index for tile in tiles],
                "hashes": [tile.hashes for tile in tiles],
                "roots": [tile.root for tile in tiles],
            },
        )
    if runs := growth.runs:
        names = ("sources", "epochs", "firsts", "lasts", "leaves")
        columns = zip(names, map(list, zip(*runs, strict=True)), strict=True)
        await connection.execute(SQL.keep_runs, log | dict(columns))
    if kept := growth.conflicts:
        told = {"came": [each.came for each in kept], "leaves": [each.leaf for each in kept]}
        await connection.execute(SQL.keep_conflicts, log | told | _columns([each.key for each in kept]))


def _columns(keys: Sequence[Key]) -> dict[str, list[Any]]:
    return {
        "sources": [key.source for key in keys],
        "epochs": [key.epoch for key in keys],
        "seqs": [key.seq for key in keys],
    }


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
