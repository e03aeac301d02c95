"""What a follower reads, and how a fold moves its position. The statements: `following.sql`."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import LogDamaged, Overtaken
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.log.tiles import unbundled
from holdfast.ledger.ports import Packs

MOST_SEGMENT_BYTES = 256 * 1024 * 1024
"""Unpacked."""


class FollowingQueries(Queries):
    logs: Query
    positions: Query
    sizes: Query
    growths: Query
    begin: Query
    advance: Query


SQL = FollowingQueries.beside(__file__)


async def advanced(connection: Connection, fold: str, log_id: int, growths: Sequence[GrowthRead]) -> None:
    """Move a fold's position over these growths, in the transaction that is open on the connection.

    Call it before anything else is written: it locks the position until the transaction ends, so that a
    second one that folds the same waits here and is then refused. Raises Overtaken.
    """
    from_size, to_size = growths[0].from_size, growths[-1].to_size
    given = {"fold": fold, "log_id": log_id, "from_size": from_size, "to_size": to_size}
    moved = await (await connection.execute(SQL.advance, given)).fetchall()
    if not moved and not from_size:
        moved = await (await connection.execute(SQL.begin, given)).fetchall()
    if not moved:
        raise Overtaken(f"{fold!r} does not stand at {from_size:,} of this log any more")


class PostgresFollowing:
    """Following over a pool."""

    def __init__(self, pool: Pool, packs: Packs) -> None:
        self._pool = pool
        self._packs = packs

    async def logs(self) -> Sequence[FollowedLog]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.logs)).fetchall()
        return [FollowedLog(*row) for row in rows]

    async def positions(self, fold: str) -> Mapping[int, int]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.positions, {"fold": fold})).fetchall()
        return dict(rows)

    async def growths(self, log_id: int, from_size: int, most_leaves: int) -> Sequence[GrowthRead]:
        given: dict[str, Any] = {"log_id": log_id, "from_size": from_size}
        async with borrowed(self._pool) as connection:
            sizes = await (await connection.execute(SQL.sizes, given)).fetchall()
            if not sizes:
                return []
            within = [to_size for _, to_size in sizes if to_size <= from_size + most_leaves]
            to_size = within[-1] if within else sizes[0][1]
            rows = await (await connection.execute(SQL.growths, {**given, "to_size": to_size})).fetchall()
        found, expected = list[GrowthRead](), from_size
        for start, end, at, packed in rows:
            if start != expected:
                raise LogDamaged(f"the leaves from {expected:,} on are missing")
            leaves = [] if packed is None else unbundled(self._packs.unpack(packed, MOST_SEGMENT_BYTES))
            if packed is not None and len(leaves) != end - start:
                raise LogDamaged(f"{len(leaves):,} leaves stand where {end - start:,} are from {start:,} on")
            entries = list(zip(range(start, end), map(entry_of, leaves), strict=False))
            found.append(GrowthRead(start, end, at, entries, packed is None))
            expected = end
        return found
