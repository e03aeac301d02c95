"""Retention on PostgreSQL. The statements: `retention.sql`; what decides: migration 0019."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.persons.retention import Gone, Hold, Kept

_ACTOR = "system"


class RetentionQueries(Queries):
    declare: Query
    kept: Query
    pruned_to: Query
    prune: Query
    tenant_of: Query
    drop_pruned: Query
    sweep: Query
    make_partition: Query
    place_hold: Query
    lift_hold: Query
    holds: Query
    write_journal: Query


SQL = RetentionQueries.beside(__file__)


class PostgresRetention:
    """Retention over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def declare(self, keep_days: Mapping[str, int | None]) -> None:
        given = {"tenants": list(keep_days), "keep_days": list(keep_days.values())}
        async with borrowed(self._pool) as connection, connection.transaction():
            for tenant, days in await _rows(connection, SQL.declare, **given):
                await _journal(
                    connection, _ACTOR, "ledger.keeping_changed", {"tenant": tenant, "keep_days": days}
                )

    async def kept(self, folds: Sequence[str]) -> Sequence[Kept]:
        async with borrowed(self._pool) as connection:
            return [Kept(*row) for row in await _rows(connection, SQL.kept, folds=list(folds))]

    async def prune(self, log_id: int, folds: Sequence[str], *, actor: str) -> int:
        async with borrowed(self._pool) as connection, connection.transaction():
            [(before,)] = await _rows(connection, SQL.pruned_to, log_id=log_id)
            [(up_to,)] = await _rows(connection, SQL.prune, log_id=log_id, folds=list(folds))
            if up_to > before:
                [(tenant,)] = await _rows(connection, SQL.tenant_of, log_id=log_id)
                facts = {"tenant": tenant, "from_leaf": before, "up_to_leaf": up_to}
                await _journal(connection, actor, "ledger.entries_pruned", facts)
        return int(up_to)

    async def drop(self) -> Gone:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.drop_pruned)
        return Gone(
            sum(segments for _, segments, _ in rows),
            sum(bytes_ for *_, bytes_ in rows),
            tuple(partition for partition, *_ in rows),
        )

    async def sweep(self, most: int) -> Gone:
        async with borrowed(self._pool) as connection:
            [(segments, bytes_)] = await _rows(connection, SQL.sweep, most=most)
        return Gone(segments, int(bytes_))

    async def pruned_to(self, log_id: int) -> int:
        async with borrowed(self._pool) as connection:
            [(up_to,)] = await _rows(connection, SQL.pruned_to, log_id=log_id)
        return int(up_to)

    async def make_partition(self, at: datetime) -> str | None:
        async with borrowed(self._pool) as connection:
            [(name,)] = await _rows(connection, SQL.make_partition, at=at)
        return None if name is None else str(name)

    async def place_hold(self, tenant: str, reason: str, *, actor: str) -> bool:
        facts = {"tenant": tenant, "reason": reason}
        async with borrowed(self._pool) as connection, connection.transaction():
            placed = (await connection.execute(SQL.place_hold, facts | {"actor": actor})).rowcount == 1
            if placed:
                await _journal(connection, actor, "ledger.hold_placed", facts)
        return placed

    async def lift_hold(self, tenant: str, *, actor: str) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL.lift_hold, tenant=tenant, actor=actor)
            for (reason,) in rows:
                await _journal(connection, actor, "ledger.hold_lifted", {"tenant": tenant, "reason": reason})
        return bool(rows)

    async def holds(self, tenant: str | None = None) -> Sequence[Hold]:
        async with borrowed(self._pool) as connection:
            return [Hold(*row) for row in await _rows(connection, SQL.holds, tenant=tenant)]


async def _journal(connection: Connection, actor: str, event: str, facts: dict[str, Any]) -> None:
    await connection.execute(SQL.write_journal, {"actor": actor, "event": event, "facts": Jsonb(facts)})


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
