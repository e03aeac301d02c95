"""Maintenance on PostgreSQL. The statements stand in `maintenance.sql`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.announcements import announce, journal
from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.communication.counting import Claim, awaits_start, recount, settled, taken
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.maintenance import as_told
from holdfast.communication.model import Change, ComponentState, Maintenance, Notice, Stage, Update
from holdfast.communication.series import NewSeries, Series
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

SQL = Queries.beside(__file__)

Row = tuple[Any, ...]


class PostgresMaintenances:
    """MaintenanceStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        async with borrowed(self._pool) as connection:
            return await _moment(connection, SQL.now)

    async def maintenance(self, maintenance_id: str) -> Maintenance | None:
        found = await self._found(SQL.one, id=maintenance_id)
        return found[0] if found else None

    async def maintenances(self, window: Window) -> Sequence[Maintenance]:
        return await self._found(SQL.within, start=window.start, end=window.end)

    async def unfinished(self) -> Sequence[Maintenance]:
        return await self._found(SQL.unfinished)

    async def occurrences(self, series_id: str, since: datetime) -> Sequence[Maintenance]:
        return await self._found(SQL.of_series, series=series_id, since=since)

    async def record(
        self, maintenance: Maintenance, notices: Sequence[Notice], entry: JournalEntry
    ) -> Maintenance:
        async with borrowed(self._pool) as connection, connection.transaction():
            now = await _moment(connection, SQL.moment)
            before = await _held(connection, maintenance)
            after = settled(maintenance, before, now)
            if before is not None:
                await connection.execute(SQL.move_on, _columns(after))
            elif not await _rows(connection, SQL.add, **_columns(after)):
                raise _changed(after)
            await _write_what_was_said(connection, after, before, now)
            await _count(connection, after, entry.actor, now)
            (stored,) = await _read(connection, await _rows(connection, SQL.one, id=after.id))
            for notice in notices:
                body = stored.body if notice.maintenance is None else notice.maintenance.body
                about = replace(as_told(stored), body=body)
                await announce(connection, replace(notice, at=now, maintenance=about))
            await journal(connection, entry)
            await connection.execute(SQL.tell_of_change)
            return stored

    async def one_series(self, series_id: str) -> Series | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.one_series, id=series_id)
        return _series(rows[0]) if rows else None

    async def all_series(self) -> Sequence[Series]:
        async with borrowed(self._pool) as connection:
            return [_series(row) for row in await _rows(connection, SQL.all_series)]

    async def record_series(self, series: Series, entry: JournalEntry) -> Series:
        async with borrowed(self._pool) as connection, connection.transaction():
            statement = SQL.change_series if series.version else SQL.add_series
            if not await _rows(connection, statement, **_series_columns(series)):
                raise ChangedMeanwhile(f"series {series.id} was changed meanwhile", hint="look at it again")
            await journal(connection, entry)
            await connection.execute(SQL.tell_of_change)
            (row,) = await _rows(connection, SQL.one_series, id=series.id)
            return _series(row)

    async def _found(self, statement: str, **parameters: object) -> list[Maintenance]:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return await _read(connection, await _rows(connection, statement, **parameters))


async def _rows(connection: Connection, statement: Any, **parameters: object) -> list[Row]:
    return await (await connection.execute(statement, parameters)).fetchall()


async def _moment(connection: Connection, statement: str) -> datetime:
    ((moment,),) = await _rows(connection, statement)
    found: datetime = moment
    return found


def _changed(maintenance: Maintenance) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"maintenance {maintenance.id} was changed meanwhile", hint="look at it again")


async def _held(connection: Connection, maintenance: Maintenance) -> Maintenance | None:
    """What is stored of it, nobody else's until the transaction ends; None for a new one."""
    if not maintenance.version:
        return None
    if not await _rows(connection, SQL.hold, id=maintenance.id, version=maintenance.version):
        raise _changed(maintenance)
    (before,) = await _read(connection, await _rows(connection, SQL.one, id=maintenance.id))
    return before


async def _write_what_was_said(
    connection: Connection, maintenance: Maintenance, before: Maintenance | None, now: datetime
) -> None:
    """The components, and the updates and changes that are new."""
    components = {"id": maintenance.id, "components": sorted(maintenance.component_ids)}
    await connection.execute(SQL.forget_components, components)
    await connection.execute(SQL.keep_components, components)
    known = () if before is None else before.updates
    for number, update in enumerate(maintenance.updates[len(known) :], len(known) + 1):
        await connection.execute(SQL.add_update, _update_columns(maintenance.id, number, update))
    known_changes = () if before is None else before.changes
    for change in maintenance.changes[len(known_changes) :]:
        columns = {
            "actor": change.actor,
            "field": change.field,
            "before": change.before,
            "after": change.after,
        }
        await connection.execute(SQL.add_change, {"id": maintenance.id, "now": now, **columns})


async def _count(connection: Connection, maintenance: Maintenance, actor: str, now: datetime) -> None:
    """Let what counts be what it takes now."""
    claims = [
        Claim(claim, Window(start, end), frozenset(components))
        for claim, start, end, components in await _rows(connection, SQL.claims, id=maintenance.id)
    ]
    counted = recount(claims, taken(maintenance), maintenance.component_ids, now)
    about = {"id": maintenance.id, "title": maintenance.title, "actor": actor, "now": now}
    if counted.dropped:
        await connection.execute(SQL.drop_claims, {**about, "claims": sorted(counted.dropped)})
    for claim, window in counted.cut.items():
        await connection.execute(SQL.cut_claim, {"claim": claim, "start": window.start, "end": window.end})
    for claim, components in counted.withdrawn.items():
        await connection.execute(SQL.withdraw, {**about, "claim": claim, "components": sorted(components)})
    for window, components in counted.added:
        added = {"start": window.start, "end": window.end, "components": sorted(components)}
        await connection.execute(SQL.add_claim, {**about, **added})
    await connection.execute(SQL.describe_claims, {**about, "awaits_start": awaits_start(maintenance)})


async def _read(connection: Connection, heads: Sequence[Row]) -> list[Maintenance]:
    """The maintenance of these heads, in their order, with all that was said about it."""
    ids = [head[0] for head in heads]
    components: dict[str, set[int]] = defaultdict(set)
    updates: dict[str, list[Update]] = defaultdict(list)
    changes: dict[str, list[Change]] = defaultdict(list)
    if ids:
        for key, component in await _rows(connection, SQL.components_of, ids=ids):
            components[key].add(component)
        for key, *row in await _rows(connection, SQL.updates_of, ids=ids):
            updates[key].append(_update(*row))
        for key, *row in await _rows(connection, SQL.changes_of, ids=ids):
            changes[key].append(Change(*row))
    return [
        _maintenance(head, frozenset(components[head[0]]), tuple(updates[head[0]]), tuple(changes[head[0]]))
        for head in heads
    ]


def _maintenance(
    head: Row, components: frozenset[int], updates: tuple[Update, ...], changes: tuple[Change, ...]
) -> Maintenance:
    key, title, body, start, end, stage, announced_at, announced_by, by_clock, ends_by_clock, *rest = head
    remind, reminded, began_at, ended_at, series, occurs_at, series_version, version = rest
    return Maintenance(
        key,
        title,
        body,
        Window(start, end),
        Stage(stage),
        components,
        updates,
        announced_at,
        announced_by,
        by_clock,
        ends_by_clock,
        tuple(remind),
        tuple(reminded),
        began_at,
        ended_at,
        series,
        occurs_at,
        series_version,
        changes,
        version,
    )


def _update(
    key: str,
    at: datetime,
    stage: str,
    body: str,
    author: str,
    affected: dict[str, str],
    recorded_at: datetime,
) -> Update:
    states = {int(each): ComponentState(state) for each, state in affected.items()}
    return Update(key, at, stage, body, author, states, recorded_at)


def _columns(maintenance: Maintenance) -> dict[str, object]:
    return {
        "id": maintenance.id,
        "title": maintenance.title,
        "body": maintenance.body,
        "stage": maintenance.stage.value,
        "starts_at": maintenance.window.start,
        "ends_at": maintenance.window.end,
        "starts_by_clock": maintenance.starts_by_clock,
        "ends_by_clock": maintenance.ends_by_clock,
        "remind": list(maintenance.remind),
        "reminded": list(maintenance.reminded),
        "began_at": maintenance.began_at,
        "ended_at": maintenance.ended_at,
        "announced_by": maintenance.announced_by,
        "series": maintenance.series,
        "occurs_at": maintenance.occurs_at,
        "series_version": maintenance.series_version,
    }


def _update_columns(maintenance_id: str, number: int, update: Update) -> dict[str, object]:
    return {
        "id": maintenance_id,
        "update": update.id,
        "number": number,
        "at": update.at,
        "stage": update.step,
        "body": update.body,
        "author": update.author,
        "affected": Jsonb({str(each): state.value for each, state in update.affected.items()}),
    }


def _series(row: Row) -> Series:
    key, title, body, components, rule, time_zone, first_at, lasts, by_clock, ends_by_clock, *rest = row
    remind, version, created_at, created_by, ended_at, ended_by = rest
    plan = NewSeries(
        title,
        body,
        frozenset(components),
        rule,
        time_zone,
        first_at,
        lasts,
        by_clock,
        ends_by_clock,
        tuple(remind),
    )
    return Series(key, plan, version, created_at, created_by, ended_at, ended_by or "")


def _series_columns(series: Series) -> dict[str, object]:
    plan = series.plan
    return {
        "id": series.id,
        "version": series.version,
        "title": plan.title,
        "body": plan.body,
        "components": sorted(plan.component_ids),
        "rule": plan.rule,
        "time_zone": plan.time_zone,
        "first_at": plan.first_at,
        "lasts": plan.lasts,
        "starts_by_clock": plan.starts_by_clock,
        "ends_by_clock": plan.ends_by_clock,
        "remind": list(plan.remind),
        "created_by": series.created_by,
        "ended": series.ended_at is not None,
        "ended_by": series.ended_by,
    }
