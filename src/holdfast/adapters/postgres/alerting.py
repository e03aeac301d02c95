"""The alerting stores on PostgreSQL. The statements stand in `alerting.sql`."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.availability.alerting.model import (
    Alert,
    Board,
    Delivery,
    Kind,
    Message,
    Notice,
    Round,
    Severity,
    Silence,
    Told,
    Waiting,
)
from holdfast.availability.model import one_line

SQL = Queries.beside(__file__)


class PostgresAlerts:
    """AlertStore, SilenceStore and Outbox over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    # --- rounds

    async def board(self) -> Board:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            ((version,),) = await _rows(connection, SQL.version)
            return Board(
                version,
                tuple([_alert(row) for row in await _rows(connection, SQL.board_alerts)]),
                tuple([_told(row) for row in await _rows(connection, SQL.board_told)]),
                tuple([Silence(*row) for row in await _rows(connection, SQL.silences)]),
                frozenset((row[0], row[1]) for row in await _rows(connection, SQL.board_waiting)),
            )

    async def record(self, version: int, decided: Round) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            turn = await connection.execute(SQL.take_turn, {"version": version})
            if turn.rowcount != 1:
                return False
            # Ended ones first: their keys may be opened anew in the same round.
            for alert in sorted(decided.alerts, key=lambda alert: alert.is_open):
                await connection.execute(SQL.keep_alert, _columns(alert))
            for told in decided.told:
                await connection.execute(SQL.keep_told, _told_columns(told))
            for channel, alert_id in decided.untold:
                await connection.execute(SQL.forget_told, {"channel": channel, "alert": alert_id})
            for notice, message in decided.messages:
                await connection.execute(SQL.queue_message, _message_columns(notice, message))
            return True

    async def alerts(self, limit: int) -> Sequence[Alert]:
        async with borrowed(self._pool) as connection:
            return [_alert(row) for row in await _rows(connection, SQL.newest_alerts, limit=limit)]

    async def prune(self, before: datetime) -> int:
        async with borrowed(self._pool) as connection:
            steps = (SQL.prune_alerts, SQL.prune_silences, SQL.prune_messages)
            return sum([(await connection.execute(step, {"before": before})).rowcount for step in steps])

    # --- silences

    async def silence(self, pattern: str, lasting: timedelta, reason: str, actor: str) -> Silence:
        parameters = {
            "pattern": pattern,
            "lasting": lasting,
            "reason": one_line(reason),
            "actor": one_line(actor),
        }
        async with borrowed(self._pool) as connection:
            ((*row,),) = await _rows(connection, SQL.add_silence, **parameters)
            return Silence(*row)

    async def silences(self) -> Sequence[Silence]:
        async with borrowed(self._pool) as connection:
            return [Silence(*row) for row in await _rows(connection, SQL.silences)]

    async def expire(self, silence_id: int, actor: str) -> bool:
        async with borrowed(self._pool) as connection:
            done = await connection.execute(SQL.expire_silence, {"id": silence_id, "actor": one_line(actor)})
            return done.rowcount == 1

    # --- the outbox

    async def claim(self, limit: int, lease: timedelta, busy: Collection[str]) -> Sequence[Delivery]:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.claim, limit=limit, lease=lease, busy=list(busy))
        return [
            Delivery(
                number,
                channel,
                group,
                Message(title, body, None if severity is None else Severity(severity), key),
                queued_at,
                attempts,
            )
            for number, channel, group, key, title, body, severity, queued_at, attempts in sorted(rows)
        ]

    async def sent(self, delivery: Delivery) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.mark_sent, {"id": delivery.id})

    async def failed(self, delivery: Delivery, error: str, again_in: timedelta | None) -> None:
        parameters = {
            "id": delivery.id,
            "attempt": delivery.attempt,
            "error": one_line(error),
            "again_in": again_in,
        }
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.mark_failed, parameters)

    async def waiting(self) -> Sequence[Waiting]:
        async with borrowed(self._pool) as connection:
            return [Waiting(*row) for row in await _rows(connection, SQL.waiting)]


async def _rows(connection: Connection, statement: Any, **parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, parameters)).fetchall()


def _alert(row: tuple[Any, ...]) -> Alert:
    kind, subject, severity, *times, summary, agreements, components, resolved_at, muted_by, facts = row
    opened_at, changed_at, fired_at, paged_at = times
    return Alert(
        Kind(kind),
        subject,
        Severity(severity),
        opened_at,
        changed_at,
        fired_at,
        paged_at,
        summary,
        tuple(agreements),
        tuple(components),
        resolved_at,
        muted_by,
        facts,
    )


def _told(row: tuple[Any, ...]) -> Told:
    channel, alert_id, severity, at, group = row
    return Told(channel, alert_id, Severity(severity), at, group)


def _columns(alert: Alert) -> dict[str, object]:
    return {
        "id": alert.id,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "severity": int(alert.severity),
        "opened_at": alert.opened_at,
        "changed_at": alert.changed_at,
        "fired_at": alert.fired_at,
        "paged_at": alert.paged_at,
        "resolved_at": alert.resolved_at,
        "summary": one_line(alert.summary),
        "muted_by": one_line(alert.muted_by),
        "agreements": list(alert.agreements),
        "components": list(alert.components),
        "facts": Jsonb(dict(alert.facts)),
    }


def _told_columns(told: Told) -> dict[str, object]:
    return {
        "channel": told.channel,
        "alert": told.alert_id,
        "severity": int(told.severity),
        "at": told.at,
        "group": told.group,
    }


def _message_columns(notice: Notice, message: Message) -> dict[str, object]:
    return {
        "channel": notice.channel,
        "group": notice.group,
        "title": message.title,
        "body": message.body,
        "severity": None if message.severity is None else int(message.severity),
    }
