"""The logs on PostgreSQL. The statements: `logs.sql`; the tables: migrations 0013 and 0025."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, cast

from psycopg.errors import DivisionByZero, LockNotAvailable, NotNullViolation, UniqueViolation

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.append.pieces import cut_out
from holdfast.ledger.append.sequences import Numbers, Run
from holdfast.ledger.errors import EntriesPruned, LogDamaged, Otherwise, Overtaken
from holdfast.ledger.log.tiles import HASH_BYTES, QUARTER_WIDTH, QUARTERS, TILE_WIDTH, Quarter, widths
from holdfast.ledger.log.tree import Edge, leaf_hashes, root_over
from holdfast.ledger.ports import ConflictKept, Grown, Growth, Head, Key, LogStore, Packs, ProofParts

MOST_SEGMENT_BYTES = 256 * 1024 * 1024
"""Unpacked. A request is refused long before."""
COMPLETENESS = "completeness"
"""The fold that keeps, beside each other, how far a source has come and what is missing below."""


_PEAKS, _QUARTERS, _PARTS = 1, 2, 3
"""The sorts of what `proof_parts` finds."""


class LedgerQueries(Queries):
    create_log: Query
    head: Query
    since: Query
    limit_turn: Query
    wait_for_turn: Query
    grow: Query
    supposed: Query
    keep_segment: Query
    keep_tiles: Query
    keep_runs: Query
    keep_conflicts: Query
    flushed_here: Query
    placed: Query
    conflicts_of: Query
    leaf_hashes: Query
    hashes: Query
    proof_parts: Query
    segments: Query
    grown_to: Query


SQL = LedgerQueries.beside(__file__)


class PostgresLogs:
    """LogStore over a pool."""

    def __init__(self, pool: Pool, packs: Packs) -> None:
        self._pool = pool
        self._packs = packs

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        return borrowed(self._pool)

    async def head(self, tenant: str) -> Head | None:
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.head, tenant=tenant, fold=COMPLETENESS)
        if not rows:
            return None
        log_id, origin, size = rows[0][:3]
        known = dict[tuple[str, int], Numbers]()
        for *_, what, source, epoch, first, last in rows:
            match what:
                case "folded" | "run":
                    known.setdefault((source, epoch), Numbers()).add(first, last)
                case "gap":
                    known.setdefault((source, epoch), Numbers()).remove(first, last)
        return Head(log_id, origin, await self._edge(log_id, size), known)

    async def since(self, head: Head) -> Grown | None:
        given = {"log_id": head.log_id, "size": head.edge.size, "root": head.edge.root}
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.since, **given)
        if not rows:
            return None
        size = rows[0][0]
        if size == head.edge.size:
            return Grown(head.edge, [])
        runs = [Run(*run) for _, *run in rows if run[0] is not None]  # conflict entries have none
        return Grown(await self._edge(head.log_id, size), runs)

    async def create(self, tenant: str, origin: str) -> Head:
        async with self._connection() as connection:
            await connection.execute(SQL.create_log, {"tenant": tenant, "origin": origin})
        head = await self.head(tenant)
        if head is None:
            raise LogDamaged(f"the origin {origin!r} is that of another tenant's log")
        return head

    async def append(self, growths: Sequence[Growth]) -> int:
        async with self._connection() as connection:
            with _refused():
                async with connection.pipeline():  # everything in one round trip
                    async with connection.transaction():
                        await connection.execute(SQL.wait_for_turn, _logs(growths))
                        for growth in growths:
                            await _append(connection, growth)
                    cursor = await connection.execute(SQL.flushed_here)
                return int((await cursor.fetchall())[0][0])

    @asynccontextmanager
    async def turn(self, log_ids: Sequence[int]) -> AsyncIterator[LogStore]:
        async with self._connection() as connection, connection.transaction():
            try:
                # Whoever stops in the middle of a turn must not stop everybody else for long.
                await connection.execute(SQL.limit_turn)
                await connection.execute(SQL.wait_for_turn, {"log_ids": sorted(log_ids)})
            except LockNotAvailable as error:
                raise Overtaken("others append to this log, and the turn did not come") from error
            yield _InTurn(self._pool, self._packs, connection)

    async def lsn(self) -> int:
        async with self._connection() as connection:
            return int((await _rows(connection, SQL.flushed_here))[0][0])

    async def placed(self, log_id: int, keys: Sequence[Key]) -> Sequence[int]:
        if not keys:
            return []
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.placed, log_id=log_id, **_columns(keys))
        if len(rows) != len(keys):
            raise LogDamaged(f"{len(keys) - len(rows)} keys that were taken stand nowhere")
        return [leaf for _, leaf in rows]

    async def conflicts_of(self, log_id: int, keys: Sequence[Key]) -> Sequence[ConflictKept]:
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.conflicts_of, log_id=log_id, **_columns(keys))
        return [ConflictKept(Key(source, epoch, seq), came, leaf) for source, epoch, seq, came, leaf in rows]

    async def leaf_hashes(self, log_id: int, leaves: Sequence[int]) -> Sequence[bytes]:
        if not leaves:
            return []
        async with self._connection() as connection:
            [(found,)] = await _rows(connection, SQL.leaf_hashes, log_id=log_id, leaves=_bigints(leaves))
        if len(found or b"") != len(leaves) * HASH_BYTES:
            raise LogDamaged("tiles are missing")
        return [found[at : at + HASH_BYTES] for at in range(0, len(found), HASH_BYTES)]

    async def hashes(self, log_id: int, level: int, first: int, count: int) -> bytes:
        return (await self.many_hashes(log_id, [(level, first, count)]))[0]

    async def many_hashes(self, log_id: int, asked: Sequence[tuple[int, int, int]]) -> Sequence[bytes]:
        levels, firsts, counts = (list(each) for each in zip(*asked, strict=True))
        given = {"log_id": log_id, "levels": levels, "firsts": firsts, "counts": counts}
        async with self._connection() as connection:
            found = [hashes or b"" for (hashes,) in await _rows(connection, SQL.hashes, **given)]
            for at, (level, first, count) in enumerate(asked):
                if not found[at] and not level:  # of a tile that is not full yet
                    found[at] = leaf_hashes(await self._entries(connection, log_id, first, count))
                if len(found[at]) != count * HASH_BYTES:
                    raise LogDamaged(f"hashes of level {level} from {first:,} on are missing")
        return found

    async def proof_parts(
        self,
        log_id: int,
        sizes: Sequence[int],
        quarters: Sequence[tuple[int, int]],
        asked: Sequence[tuple[int, int, int]],
    ) -> ProofParts:
        above = [each for each in asked if each[0]]  # what is not full of level 0 stands in entries alone
        given: dict[str, Any] = {
            "sizes": list(sizes),
            "quarter_levels": [level for level, _ in quarters],
            "quarters": [number for _, number in quarters],
            "levels": [level for level, _, _ in above],
            "firsts": [first for _, first, _ in above],
            "counts": [count for _, _, count in above],
        }
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.proof_parts, log_id=log_id, **given)
        found = {(sort, n - 1): content or b"" for sort, n, content in rows}
        read = {each: found[_PARTS, at] for at, each in enumerate(above)}
        read |= {each: await self.hashes(log_id, *each) for each in asked if not each[0]}
        for (level, first, count), hashes in read.items():
            if len(hashes) != count * HASH_BYTES:
                raise LogDamaged(f"hashes of level {level} from {first:,} on are missing")
        return ProofParts(
            [_peaks(size, found[_PEAKS, at]) for at, size in enumerate(sizes)],
            [_quarter(*each, found[_QUARTERS, at]) for at, each in enumerate(quarters)],
            [read[each] for each in asked],
        )

    async def entries(self, log_id: int, first: int, count: int) -> Sequence[bytes]:
        async with self._connection() as connection:
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
        async with self._connection() as connection:
            rows = await _rows(connection, SQL.grown_to, log_id=log_id, at_least=at_least)
        return cast("tuple[int, bytes, str]", rows[0]) if rows else None

    async def _edge(self, log_id: int, size: int) -> Edge:
        asked = [(level, full * TILE_WIDTH, width) for level, (full, width) in enumerate(widths(size))]
        wanted = [each for each in asked if each[2]]
        found = iter(await self.many_hashes(log_id, wanted) if wanted else ())
        return Edge(size, tuple(next(found) if width else b"" for _, _, width in asked))


class _InTurn(PostgresLogs):
    """The logs over the connection that has the turn: whoever waits for one more could wait for ever."""

    def __init__(self, pool: Pool, packs: Packs, connection: Connection) -> None:
        super().__init__(pool, packs)
        self._own = connection

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        return nullcontext(self._own)

    async def append(self, growths: Sequence[Growth]) -> int:
        with _refused():
            async with self._own.pipeline():
                for growth in growths:
                    await _append(self._own, growth)
        return await self.lsn()


@contextmanager
def _refused() -> Iterator[None]:
    """What PostgreSQL says of growths that cannot be."""
    try:
        yield
    except UniqueViolation as error:
        raise Overtaken("another sequencer has appended to this log") from error
    except DivisionByZero as error:
        raise Otherwise("a leaf is not what a growth supposes") from error
    except NotNullViolation as error:
        raise LogDamaged(
            "a number stands in the log already that seemed to be missing",
            hint="holdfast ledger verify tells whether the log or what is derived from it is wrong",
        ) from error


def _logs(growths: Sequence[Growth]) -> dict[str, list[int]]:
    """In the order of their numbers: two that append to the same ones never wait for each other."""
    return {"log_ids": sorted(growth.log_id for growth in growths)}


async def _append(connection: Connection, growth: Growth) -> None:
    log: dict[str, Any] = {"log_id": growth.log_id}
    span = log | {"from_size": growth.from_size, "to_size": growth.to_size}
    signed = {"root": growth.root, "note": growth.note, "peaks": growth.peaks}
    await connection.execute(SQL.grow, span | signed)
    if supposed := growth.supposed:
        told = {"leaves": _bigints(supposed), "hashes": b"".join(supposed.values())}
        await connection.execute(SQL.supposed, log | told)
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
                "quarter_roots": [tile.quarter_roots for tile in tiles],
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


def _peaks(size: int, content: bytes) -> bytes:
    """Behind the root that was signed with them."""
    root, peaks = content[:HASH_BYTES], content[HASH_BYTES:]
    if content and root_over(peaks) != root:
        raise LogDamaged(
            f"the peaks that are kept of {size:,} leaves do not lead to its root",
            hint="holdfast ledger verify finds what else is damaged",
        )
    return peaks


def _quarter(level: int, number: int, content: bytes) -> Quarter:
    if not content:
        raise LogDamaged(f"hashes of level {level} from {number * QUARTER_WIDTH:,} on are missing")
    border = QUARTERS * HASH_BYTES
    return Quarter(content[border:], content[:border])


def _bigints(numbers: Iterable[int]) -> str:
    """As PostgreSQL writes an array of them: the driver takes a microsecond for each."""
    return f"{{{','.join(map(str, numbers))}}}"


def _columns(keys: Sequence[Key]) -> dict[str, list[Any]]:
    return {
        "sources": [key.source for key in keys],
        "epochs": [key.epoch for key in keys],
        "seqs": [key.seq for key in keys],
    }


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
