"""Completeness on PostgreSQL. The statements: `completeness.sql`; the tables: migration 0015.

What is derived from the logs is written by the folds (ledger_completeness_folds.py).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.completeness_folds import metered_anew
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.tenancy import EVERY_TENANT, as_tenant
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.completeness.concerns import Clash, Concern, ConcernKind, StandsStill
from holdfast.ledger.completeness.judging import ACTOR, MOST_OF_A_SOURCE, ClaimMade, LogStanding, Settling
from holdfast.ledger.completeness.meters import Counter, Reading, Stretch, Taken
from holdfast.ledger.completeness.missing import Claim, ClockMarked, Settled, Standing
from holdfast.ledger.following import Following
from holdfast.ledger.model import Gap
from holdfast.ledger.ports import LogStore


class CompletenessQueries(Queries):
    tenants: Query
    claim: Query
    forget_claims: Query
    add_reading: Query
    trim_metered: Query
    want_metered: Query
    reading: Query
    standings: Query
    gaps: Query
    claims: Query
    settled: Query
    clashes: Query
    clocks: Query
    stretches: Query
    settle: Query
    concerns: Query
    begin_concern: Query
    end_concern: Query
    change_concern: Query
    take_to_tell: Query
    still: Query
    write_journal: Query
    logs: Query


SQL = CompletenessQueries.beside(__file__)


class PostgresCompleteness:
    """Completeness over a pool. `following` and `logs` are read for devices that are metered for the first
    time; who only reads needs neither.
    """

    def __init__(self, pool: Pool, following: Following | None = None, logs: LogStore | None = None) -> None:
        self._pool = pool
        self._following = following
        self._logs = logs

    async def tenants(self) -> Sequence[str]:
        return [tenant for (tenant,) in await self._read(EVERY_TENANT, SQL.tenants)]

    async def claim(self, tenant: str, source: str, claims: Sequence[ClaimMade]) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            for epoch, highest, lowest in sorted(claims, key=lambda each: each.epoch):
                given = {"tenant": tenant, "source": source, "epoch": epoch}
                await connection.execute(SQL.claim, {**given, "highest": highest, "lowest": lowest})
                await connection.execute(SQL.forget_claims, given)

    async def read_meters(self, tenant: str, source: str, readings: Sequence[Reading]) -> Sequence[Taken]:
        async with borrowed(self._pool) as connection, connection.transaction():
            # In one order, whoever tells them: two that tell the same wait for each other, and never both.
            order = sorted(range(len(readings)), key=lambda at: _place(readings[at]))
            found = {at: await _read_meter(connection, tenant, source, readings[at]) for at in order}
            return [found[at] for at in range(len(readings))]

    async def meter_new_devices(self) -> int:
        if self._following is None or self._logs is None:
            return 0
        logs = await self._following.logs()
        return sum([await metered_anew(self._pool, self._following, self._logs, log) for log in logs])

    async def trim_metered(self, tenant: str, before: datetime) -> int:
        async with borrowed(self._pool) as connection:
            given = {"tenant": tenant, "before": before}
            row = await (await connection.execute(SQL.trim_metered, given)).fetchone()
        return int(row[0]) if row else 0

    async def standings(self, tenant: str, source: str | None = None) -> Sequence[Standing]:
        return [Standing(*row) for row in await self._read(tenant, SQL.standings, source=source)]

    async def gaps(
        self, tenant: str, source: str | None = None, *, most: int = MOST_OF_A_SOURCE
    ) -> Sequence[Gap]:
        return [Gap(*row) for row in await self._read(tenant, SQL.gaps, source=source, most=most)]

    async def claims(self, tenant: str, source: str | None = None) -> Sequence[Claim]:
        return [Claim(*row) for row in await self._read(tenant, SQL.claims, source=source)]

    async def settled(self, tenant: str, source: str | None = None) -> Sequence[Settled]:
        return [Settled(*row) for row in await self._read(tenant, SQL.settled, source=source)]

    async def clashes(self, tenant: str, *, most: int = MOST_OF_A_SOURCE) -> Sequence[Clash]:
        return [Clash(*row) for row in await self._read(tenant, SQL.clashes, most=most)]

    async def clocks(self, tenant: str) -> Sequence[ClockMarked]:
        return [ClockMarked(*row) for row in await self._read(tenant, SQL.clocks)]

    async def stretches(
        self, tenant: str, since: datetime, *, device: str | None = None, settled: bool = False
    ) -> Sequence[Stretch]:
        rows = await self._read(tenant, SQL.stretches, device=device, since=since, settled=settled)
        return [Stretch(source, name, Counter(counter), *rest) for source, name, counter, *rest in rows]

    async def settle(self, settling: Settling, *, actor: str, at: datetime) -> None:
        facts = {
            name: getattr(settling, name)
            for name in ("tenant", "what", "subject", "epoch", "first", "last", "until", "reason")
        }
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.settle, {**facts, "actor": actor, "at": at})
            told = {name: _plain(value) for name, value in facts.items() if value is not None}
            await _journal(connection, JournalEntry(at, actor, "ledger.settled", told))

    async def concerns(self, tenant: str | None = None) -> Sequence[Concern]:
        seen = EVERY_TENANT if tenant is None else tenant
        async with as_tenant(self._pool, seen) as connection:
            rows = await (await connection.execute(SQL.concerns, {"tenant": tenant})).fetchall()
        return [Concern(each, ConcernKind(kind), *rest) for each, kind, *rest in rows]

    async def turn(
        self, begun: Sequence[Concern], over: Sequence[Concern], standing: Sequence[Concern], at: datetime
    ) -> Sequence[JournalEntry]:
        told = list[JournalEntry]()
        if not begun and not over and not standing:
            return told
        async with borrowed(self._pool) as connection, connection.transaction():
            for each in begun:
                if await _changed(connection, SQL.begin_concern, each, at):
                    told.append(JournalEntry(at, ACTOR, each.begun, _facts(each)))
            for each in over:
                if await _changed(connection, SQL.end_concern, each, at):
                    told.append(JournalEntry(at, ACTOR, each.ended, _facts(each)))
            for each in standing:
                await connection.execute(SQL.change_concern, _columns(each))
            for entry in told:
                await _journal(connection, entry)
        return told

    async def take_to_tell(self, at: datetime, before: datetime) -> Sequence[Concern]:
        async with borrowed(self._pool) as connection:
            given = {"at": at, "before": before}
            rows = await (await connection.execute(SQL.take_to_tell, given)).fetchall()
        return [Concern(each, ConcernKind(kind), *rest) for each, kind, *rest in rows]

    async def still(self, tenant: str) -> Sequence[StandsStill]:
        return [StandsStill(*row) for row in await self._read(tenant, SQL.still)]

    async def logs(self) -> Sequence[LogStanding]:
        return [LogStanding(*row) for row in await self._read(EVERY_TENANT, SQL.logs)]

    async def _read(self, tenant: str, query: Query, **given: Any) -> list[tuple[Any, ...]]:
        async with as_tenant(self._pool, tenant) as connection:
            return await (await connection.execute(query, {"tenant": tenant, **given})).fetchall()


def _place(reading: Reading) -> tuple[str, str, datetime]:
    return reading.device, reading.counter.value, reading.read_at


async def _read_meter(connection: Connection, tenant: str, source: str, reading: Reading) -> Taken:
    given = {
        "tenant": tenant,
        "device": reading.device,
        "counter": reading.counter.value,
        "read_at": reading.read_at,
        "value": reading.value,
        "source": source,
    }
    if await (await connection.execute(SQL.add_reading, given)).fetchall():
        await connection.execute(SQL.want_metered, given)
        return Taken.TAKEN
    [(value,)] = await (await connection.execute(SQL.reading, given)).fetchall()
    return Taken.REPEATED if value == reading.value else Taken.CONFLICT


async def _changed(connection: Connection, query: Query, concern: Concern, at: datetime) -> bool:
    return bool(await (await connection.execute(query, {**_columns(concern), "at": at})).fetchall())


def _columns(concern: Concern) -> dict[str, Any]:
    return {
        "tenant": concern.tenant,
        "kind": concern.kind.value,
        "subject": concern.subject,
        "since": concern.since,
        "facts": Jsonb(dict(concern.facts)),
    }


def _facts(concern: Concern) -> dict[str, object]:
    about = {"tenant": concern.tenant, "subject": concern.subject, "since": concern.since.isoformat()}
    return {**about, **concern.facts}


async def _journal(connection: Connection, entry: JournalEntry) -> None:
    given = {"at": entry.at, "actor": entry.actor, "event": entry.event, "facts": Jsonb(dict(entry.facts))}
    await connection.execute(SQL.write_journal, given)


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
