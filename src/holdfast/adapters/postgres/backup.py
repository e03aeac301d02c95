"""The backup stores on PostgreSQL. The statements stand in `backup.sql`."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.backup.errors import Damaged
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.recoverable.standing import Reported, document_of, points_from
from holdfast.backup.retention.approvals import (
    Approval,
    Change,
    InForce,
    NotApproved,
    Settled,
    approving,
    settling,
)
from holdfast.backup.retention.keeping import keep_document, keep_of
from holdfast.kernel.people import person_of


class BackupQueries(Queries):
    now: Query
    hold_turn: Query
    keeps: Query
    open_changes: Query
    approvals: Query
    put_keep: Query
    open_change: Query
    end_change: Query
    withdraw_change: Query
    approve: Query
    journal: Query
    report: Query
    statuses: Query
    forget: Query


SQL = BackupQueries.beside(__file__)


class PostgresKeeping:
    """KeepingStore over a pool. Settling needs the login of the backup's process, approving the console's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def in_force(self, database: str) -> Sequence[InForce]:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return await _known(connection, database)

    async def settle(
        self, database: str, region: str, decide: Callable[[InForce], Settled]
    ) -> tuple[InForce, Settled]:
        async with borrowed(self._pool) as connection, connection.transaction():
            before = await _one(connection, database, region)
            decided = decide(before)
            place = {"database": database, "region": region}
            keep = Jsonb(keep_document(decided.keep))
            if decided.done is not None:
                await connection.execute(SQL.end_change, {"id": decided.done})
            if decided.withdrawn is not None:
                await connection.execute(SQL.withdraw_change, {"id": decided.withdrawn})
            if decided.asked is not None:
                to = Jsonb(keep_document(decided.asked))
                await connection.execute(SQL.open_change, {**place, "from": keep, "to": to})
            await connection.execute(SQL.put_keep, {**place, "keep": keep})
            for event, facts in settling(before, decided):
                await _journal(connection, "estate", event, facts)
            return await _one(connection, database, region), decided

    async def approve(
        self, database: str, region: str, change: int, who: str, refused: Callable[[InForce], str]
    ) -> InForce:
        async with borrowed(self._pool) as connection, connection.transaction():
            known = await _one(connection, database, region)
            if known.change is None or known.change.id != change:
                raise NotApproved(
                    f"change {change} is not open any more",
                    hint="look at what is asked for now, and approve that",
                )
            if why := refused(known):
                raise NotApproved(why)
            approval = {"id": change, "person": person_of(who), "actor": who}
            await connection.execute(SQL.approve, approval)
            behind = await _one(connection, database, region)
            await _journal(connection, who, *approving(behind))
            return behind


class PostgresBackupStatus:
    """StatusStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def report(self, points: RegionPoints) -> None:
        parameters = {
            "database": points.database,
            "region": points.region,
            "document": document_of(points),
        }
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.report, parameters)

    async def statuses(self) -> Sequence[Reported]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.statuses)).fetchall()
        return [reported for row in rows if (reported := _reported(*row)) is not None]

    async def forget(self, declared: Collection[tuple[str, str]]) -> int:
        parameters = {
            "databases": [database for database, _ in declared],
            "regions": [region for _, region in declared],
        }
        async with borrowed(self._pool) as connection:
            return (await connection.execute(SQL.forget, parameters)).rowcount


def _reported(document: str, at: datetime, now: datetime) -> Reported | None:
    try:
        return Reported(points_from(document), at, now)
    except Damaged:
        # Another version wrote it. What is not understood is not known.
        return None


async def _one(connection: Connection, database: str, region: str) -> InForce:
    """What is known of a region, until the transaction ends by nobody else's doing."""
    await connection.execute(SQL.hold_turn, {"database": database, "region": region})
    for known in await _known(connection, database):
        if known.region == region:
            return known
    return InForce(database, region, None, await _now(connection))


async def _known(connection: Connection, database: str) -> list[InForce]:
    now = await _now(connection)
    keeps: dict[str, Any] = dict(await _rows(connection, SQL.keeps, database=database))
    changes = await _rows(connection, SQL.open_changes, database=database)
    ids = [id_ for _, id_, _, _ in changes]
    approvals = await _rows(connection, SQL.approvals, changes=ids)
    open_: dict[str, Change] = {
        region: Change(
            id_, keep_of(to), asked_at, tuple(Approval(who, at) for of, who, at in approvals if of == id_)
        )
        for region, id_, to, asked_at in changes
    }
    return [
        InForce(database, region, keep_of(keep), now, open_.get(region)) for region, keep in keeps.items()
    ]


async def _journal(connection: Connection, actor: str, event: str, facts: dict[str, object]) -> None:
    await connection.execute(SQL.journal, {"actor": actor, "event": event, "facts": Jsonb(facts)})


async def _now(connection: Connection) -> datetime:
    ((now,),) = await _rows(connection, SQL.now)
    return now  # type: ignore[no-any-return]


async def _rows(connection: Connection, statement: Query, **parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, parameters)).fetchall()
