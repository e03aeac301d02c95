"""The outbox on PostgreSQL: the sender's side, and the letterbox. The statements: `deliveries.sql`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.announcements import notice_from
from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.communication.delivering import Announcement, Claimed, Holder, Waiting, error_line
from holdfast.communication.errors import NotThere
from holdfast.communication.model import Channel, Letter, Standing
from holdfast.communication.sealing import sealed_parcel
from holdfast.communication.subscribing import CONFIRM_WITHIN
from holdfast.kernel.vault import Vault

KEPT = timedelta(days=90)
"""How long it is known which subscriptions got a notice. How many did stays with the announcement."""


class DeliveryQueries(Queries):
    claim: Query
    announcement: Query
    mark_sent: Query
    note_reached: Query
    release: Query
    mark_again: Query
    note_failing: Query
    mark_given_up: Query
    note_refused: Query
    pause: Query
    queue_request: Query
    end: Query
    journal: Query
    waiting: Query
    end_unconfirmed: Query
    forget_sent: Query
    addresses: Query
    post: Query
    wake_senders: Query


SQL = DeliveryQueries.beside(__file__)


class PostgresDeliveries:
    """DeliveryStore over a pool, with the sender's login.

    A delivery and its subscription are marked one after the other, never in one transaction: whoever ends a
    subscription locks them the other way round.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(
        self, channel: Channel, limit: int, lease: timedelta, holder: Holder
    ) -> Sequence[Claimed]:
        values = {
            "channel": channel.value,
            "limit": limit,
            "lease": lease,
            "holder": holder.name,
            "run": holder.run,
        }
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.claim, values)).fetchall()
        return [_claimed(row) for row in rows]

    async def announcement(self, announcement_id: str) -> Announcement:
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.announcement, {"id": announcement_id})).fetchone()
        if row is None:
            raise NotThere(f"there is no announcement {announcement_id}")
        return Announcement(announcement_id, notice_from(row[0]))

    async def sent(self, keys: Sequence[str]) -> None:
        async with borrowed(self._pool) as connection:
            marked = await (await connection.execute(SQL.mark_sent, {"keys": list(keys)})).fetchall()
            reached = [each for (each,) in marked if each is not None]
            if reached:
                await connection.execute(SQL.note_reached, {"ids": reached})

    async def release(self, claimed: Sequence[Claimed]) -> None:
        values = {"ids": [each.id for each in claimed], "attempts": [each.attempt for each in claimed]}
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.release, values)

    async def again(self, claimed: Claimed, error: str, again_in: timedelta, *, ours: bool = False) -> None:
        values = {**_values(claimed, error), "again_in": again_in, "ours": ours}
        async with borrowed(self._pool) as connection:
            done = await connection.execute(SQL.mark_again, values)
            if done.rowcount == 1 and not ours:
                await connection.execute(SQL.note_failing, values)

    async def give_up(self, claimed: Claimed, error: str, *, refused: bool = False) -> None:
        values = _values(claimed, error)
        async with borrowed(self._pool) as connection:
            done = await connection.execute(SQL.mark_given_up, values)
            if done.rowcount == 1 and refused:
                await connection.execute(SQL.note_refused, values)

    async def pause(self, claimed: Claimed, error: str, sealed: bytes | None) -> None:
        values = _values(claimed, error)
        async with borrowed(self._pool) as connection, connection.transaction():
            done = await connection.execute(SQL.pause, values)
            if done.rowcount != 1:
                return
            if sealed is not None:
                await connection.execute(SQL.queue_request, {**values, "sealed": sealed})
            await _journal(connection, "subscription.paused", claimed, error)

    async def end(self, claimed: Claimed, error: str) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            done = await connection.execute(SQL.end, _values(claimed, error))
            if done.rowcount == 1:
                await _journal(connection, "subscription.erased", claimed, error)

    async def waiting(self) -> Sequence[Waiting]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.waiting)).fetchall()
        return [Waiting(Channel(channel), count, oldest, error) for channel, count, oldest, error in rows]

    async def keep_house(self) -> int:
        async with borrowed(self._pool) as connection:
            ended = await connection.execute(SQL.end_unconfirmed, {"within": CONFIRM_WITHIN})
            forgotten = await connection.execute(SQL.forget_sent, {"kept": KEPT})
            return ended.rowcount + forgotten.rowcount

    async def addresses(self, subscription_ids: Sequence[str]) -> Mapping[str, bytes]:
        """The sealed addresses of those that have not ended, by subscription."""
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(SQL.addresses, {"ids": list(subscription_ids)})
            return {each: bytes(sealed) for each, sealed in await cursor.fetchall()}


class PostgresLetterbox:
    """Letterbox over a pool: whoever may queue deliveries may post letters."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def post(self, letter: Letter, key: str) -> bool:
        values = {"key": key, "sealed": sealed_parcel(self._vault, letter)}
        async with borrowed(self._pool) as connection, connection.transaction():
            posted = (await connection.execute(SQL.post, values)).rowcount == 1
            if posted:
                await connection.execute(SQL.wake_senders)
            return posted


async def _journal(connection: Connection, event: str, claimed: Claimed, error: str) -> None:
    facts = {
        "subscription": claimed.subscription_id,
        "channel": claimed.channel.value,
        "error": error_line(error),
    }
    await connection.execute(SQL.journal, {"event": event, "facts": Jsonb(facts)})


def _values(claimed: Claimed, error: str) -> dict[str, object]:
    return {
        "id": claimed.id,
        "attempt": claimed.attempt,
        "subscription": claimed.subscription_id,
        "channel": claimed.channel.value,
        "error": error_line(error),
    }


def _claimed(row: tuple[Any, ...]) -> Claimed:
    number, key, channel, attempt, queued_at, announcement, sealed, subscription, failing_since, *them = row
    address, language, standing, refusals = them
    return Claimed(
        number,
        key,
        Channel(channel),
        attempt,
        queued_at,
        announcement,
        None if sealed is None else bytes(sealed),
        subscription,
        None if address is None else bytes(address),
        language or "en",
        Standing.ACTIVE if standing is None else Standing(standing),
        failing_since,
        refusals or 0,
    )
