"""Vantage points, their deliveries, and heartbeats, on PostgreSQL. The statements stand in `agents.sql`."""

import hmac
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.availability import SQL as AVAILABILITY
from holdfast.adapters.postgres.availability import check_state_of, partition_bounds, write_batch
from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.reading import SQL as READING
from holdfast.availability.ingest import Decide, Delivery, Losses, Probes, Taken
from holdfast.availability.model import Result, one_line
from holdfast.availability.ports import Batch
from holdfast.availability.vantage import EAR_LASTS, Beat, Pulse, VantageLogin
from holdfast.availability.verdicts import CheckState

SQL = Queries.beside(__file__)
ACTOR = "agent"


class PostgresAgents:
    """AgentStore and Logins over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._partitions: set[date] = set()

    # --- logins

    async def add(self, key: str, token_sha256: bytes, actor: str) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.add_vantage_point, {"key": key, "token": token_sha256})
            await _write_journal(connection, actor, "agent.added", {"vantage": key})

    async def revoke(self, key: str, actor: str) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            revoked = (await connection.execute(SQL.revoke_vantage_point, (key,))).rowcount == 1
            if revoked:
                await _write_journal(connection, actor, "agent.revoked", {"vantage": key})
            return revoked

    async def logins(self) -> Sequence[VantageLogin]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.vantage_points)).fetchall()
        return [VantageLogin(*row) for row in rows]

    async def holder_of(self, token_sha256: bytes, address: str) -> str | None:
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.holder_of, (token_sha256,))).fetchone()
            if row is None or not hmac.compare_digest(row[1], token_sha256):
                return None
            key, _, stale, last_address = row
            address = one_line(address)
            # A row that is rewritten with every call would be rewritten for nothing.
            if stale or last_address != address:
                await connection.execute(SQL.note_seen, {"token": token_sha256, "address": address})
            return str(key)

    # --- deliveries

    async def take(self, token_sha256: bytes, delivery: Delivery, decide: Decide) -> Taken | None:
        """See AgentStore. What an agent gave up goes to the journal as well, once for each report of it."""
        try:
            async with borrowed(self._pool) as connection:
                await self._prepare_partitions(connection, delivery.results)
                async with connection.transaction():
                    row = await (await connection.execute(SQL.take_turn, (token_sha256,))).fetchone()
                    if row is None:
                        return None
                    return await _taken(connection, row[0], delivery, decide)
        except DatabaseError:
            # A partition that was thought to be there may be what is missing.
            self._partitions.clear()
            raise

    async def retire(self, decide: Callable[[Collection[CheckState]], Batch]) -> int:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.departed)
            rows = await (await connection.execute(SQL.departed_states)).fetchall()
            batch = decide([check_state_of(row) for row in rows])
            if not batch.is_empty:
                await write_batch(connection, batch)
            return len(rows)

    async def _prepare_partitions(self, connection: Connection, results: Sequence[Result]) -> None:
        """Outside the transaction: making one locks the table against everybody else."""
        days = {result.at.astimezone(UTC).date(): result.at for result in results}
        for day in days.keys() - self._partitions:
            start, end = partition_bounds("result", days[day])
            await connection.execute(AVAILABILITY.make_partition, ("result", start, end))
            self._partitions.add(day)


async def _taken(connection: Connection, vantage: str, delivery: Delivery, decide: Decide) -> Taken:
    named = {result.check_id for result in delivery.results}
    lost = delivery.losses.by_probe if delivery.losses else ()
    ids = list(named.union(loss.check_id for loss in lost))
    cursor = await connection.execute(SQL.probes_of, {"ids": ids, "vantage": vantage})
    rows = await cursor.fetchall()
    own: dict[int, bool] = dict(rows)
    cursor = await connection.execute(READING.check_states_of, (list(named & own.keys()),))
    known = {state.check_id: state for state in map(check_state_of, await cursor.fetchall())}
    imported = await connection.execute(SQL.imported_until, {"ids": list(named - known.keys())})
    in_force = {probe for probe, is_in_force in own.items() if is_in_force}
    probes = Probes(own.keys(), in_force, dict(await imported.fetchall()))
    taken = decide(probes, known)
    if not taken.batch.is_empty:
        await write_batch(connection, taken.batch)
    if taken.changed and not taken.batch.transitions:
        # Known again without a change of state: what a site shows as unknown is not.
        await connection.execute(AVAILABILITY.announce_change, ("transition",))
    if delivery.losses is not None:
        await _note_losses(connection, vantage, delivery.losses, own.keys())
    return taken


async def _note_losses(connection: Connection, vantage: str, losses: Losses, own: Collection[int]) -> None:
    noted = [loss for loss in losses.by_probe if loss.check_id in own]
    fresh = False
    for loss in noted:
        cursor = await connection.execute(
            SQL.note_loss,
            {
                "vantage": vantage,
                "id": losses.id,
                "check": loss.check_id,
                "first": loss.first,
                "last": loss.last,
                "good": loss.good,
                "degraded": loss.degraded,
                "partial": loss.partial,
                "failed": loss.failed,
            },
        )
        fresh = fresh or cursor.rowcount > 0
    if fresh:
        facts = {
            "vantage": vantage,
            "report": str(losses.id),
            "results": sum(loss.results for loss in noted),
            "probes": len(noted),
            "first_at": min(loss.first for loss in noted).isoformat(),
            "last_at": max(loss.last for loss in noted).isoformat(),
            "good": sum(loss.good for loss in noted),
            "degraded": sum(loss.degraded for loss in noted),
            "partial": sum(loss.partial for loss in noted),
            "failed": sum(loss.failed for loss in noted),
        }
        await _write_journal(connection, ACTOR, "agent.results_summarised", facts)


async def _write_journal(connection: Connection, actor: str, event: str, facts: dict[str, Any]) -> None:
    await connection.execute(
        SQL.write_journal, {"actor": one_line(actor), "event": event, "facts": Jsonb(facts)}
    )


class PostgresBeats:
    """Beats over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def listen_for(self, tokens_sha256: Collection[bytes]) -> None:
        # Sorted: two controllers that do this at once lock the rows in the same order.
        tokens = sorted(set(tokens_sha256))
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.listen_for, (tokens,))
            await connection.execute(SQL.listen_no_more, (tokens,))

    async def keep_ear_open(self) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.keep_ear_open, {"lasting": EAR_LASTS})

    async def beat(self, token_sha256: bytes, *, failed: bool, message: str) -> bool:
        parameters = {"token": token_sha256, "failed": failed, "message": one_line(message)}
        async with borrowed(self._pool) as connection:
            return (await connection.execute(SQL.note_beat, parameters)).rowcount == 1

    async def pulse(self, token_sha256: bytes) -> Pulse | None:
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.pulse_of, (token_sha256,))).fetchone()
        if row is None:
            return None
        listening, age, failed, message, is_open = row
        newest = None if age is None else Beat(_seconds(age), failed, message)
        return Pulse(_seconds(listening) if is_open else None, newest)


def _seconds(value: Any) -> timedelta:
    return timedelta(seconds=max(0.0, float(value)))
