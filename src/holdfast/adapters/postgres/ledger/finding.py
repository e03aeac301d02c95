"""The index of the logs and the trail of who read them, on PostgreSQL.

The statements: `finding.sql`; the tables: migration 0017.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, cast

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.following import advanced
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.tenancy import as_tenant
from holdfast.ledger.find.access import Access, Act, Caller, Reading, Way
from holdfast.ledger.find.finding import Filter, Indexed, Look, Mention, What
from holdfast.ledger.find.indexing import FindingFold
from holdfast.ledger.find.jobs import Room, Rooms
from holdfast.ledger.find.searching import LogSeen
from holdfast.ledger.following import GrowthRead
from holdfast.ledger.ports import Packs


class FindingQueries(Queries):
    log_of: Query
    looks: Query
    position: Query
    mentions: Query
    keep_row: Query
    keep_mentions: Query
    forget: Query
    received: Query
    begin_access: Query
    access_ended: Query
    accesses: Query


SQL = FindingQueries.beside(__file__)


class PostgresFindings:
    """Findings over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def log_of(self, tenant: str) -> LogSeen | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.log_of, tenant=tenant)
        return LogSeen(*rows[0]) if rows else None

    async def looks(self, log_id: int, start: int, end: int, lines: Sequence[int]) -> Sequence[Look]:
        asked = {"log_id": log_id, "start": start, "end": end, "lines": list(lines)}
        async with borrowed(self._pool) as connection:
            return [Look(*row) for row in await _rows(connection, SQL.looks, **asked)]

    async def position(self, log_id: int) -> int:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.position, fold=FindingFold.name, log_id=log_id)
        return int(rows[0][0]) if rows else 0

    async def mentions(self, log_id: int, leaves: Sequence[int]) -> Sequence[Mention]:
        if not leaves:
            return []
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.mentions, log_id=log_id, leaves=list(leaves))
        return [Mention(leaf, by, What(what), void) for leaf, by, what, void in rows]

    async def keep(
        self,
        log_id: int,
        growths: Sequence[GrowthRead],
        rows: Mapping[int, Indexed],
        mentions: Sequence[Mention],
    ) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await advanced(connection, FindingFold.name, log_id, growths)
            for block, row in rows.items():
                await connection.execute(SQL.keep_row, {"log_id": log_id, "block": block, **row._asdict()})
            if mentions:
                told = {
                    "leaves": [each.leaf for each in mentions],
                    "by": [each.by for each in mentions],
                    "what": [each.what.value for each in mentions],
                    "void": [each.void for each in mentions],
                }
                await connection.execute(SQL.keep_mentions, {"log_id": log_id, **told})

    async def forget(self, log_id: int) -> None:
        """For the tables' owner: no role may take rows away."""
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.forget, {"log_id": log_id, "fold": FindingFold.name})

    async def received(self, log_id: int, leaves: Sequence[int]) -> Mapping[int, datetime]:
        if not leaves:
            return {}
        async with borrowed(self._pool) as connection:
            return dict(await _rows(connection, SQL.received, log_id=log_id, leaves=list(leaves)))


class PostgresAccessTrail:
    """AccessTrail over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, reading: Reading) -> int:
        told = {
            "tenant": reading.tenant,
            "who": reading.caller.who,
            "way": reading.caller.way.value,
            "act": reading.act.value,
            "wanted": Jsonb(reading.wanted.facts()),
            "start": reading.start,
            "end": reading.end,
            "also": list(reading.also),
            "entries": reading.rows,
        }
        async with borrowed(self._pool) as connection:
            return int((await _rows(connection, SQL.begin_access, **told))[0][0])

    async def ended(self, tenant: str, access_id: int, rows: int) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.access_ended, {"id": access_id, "tenant": tenant, "entries": rows})

    async def accesses(
        self,
        tenant: str,
        *,
        start: int = 0,
        end: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Access]:
        asked = {"tenant": tenant, "start": start, "end": end, "before": before, "limit": limit}
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.accesses, **asked)
        return [
            Access(
                id_,
                at,
                Reading(
                    tenant,
                    Caller(who, Way(way)),
                    Act(act),
                    Filter.from_facts(wanted),
                    first,
                    behind,
                    tuple(also),
                    entries,
                ),
            )
            for id_, at, who, way, act, wanted, first, behind, also, entries in rows
        ]


def rooms_in(pool: Pool, packs: Packs) -> Rooms:
    """Each tenant's room, in which row-level security lets nothing of the others through."""

    def room(tenant: str) -> Room:
        own = lent_to(pool, tenant)
        return Room(
            PostgresLogs(own, packs), PostgresFindings(own), PostgresAccessTrail(own), PostgresPublished(own)
        )

    return room


def lent_to(pool: Pool, tenant: str) -> Pool:
    """The pool, on whose connections the tenant's rows are all that there is; each lends one transaction."""
    # A stand-in that lends connections as a pool does is all that the stores need of one.
    return cast("Pool", _OfTenant(pool, tenant))


class _OfTenant:
    """Lends connections on which the tenant's rows are all that there is."""

    def __init__(self, pool: Pool, tenant: str) -> None:
        self._pool = pool
        self._tenant = tenant

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        return as_tenant(self._pool, self._tenant)


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
