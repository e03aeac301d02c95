"""Subscriptions on PostgreSQL. The statements stand in `subscriptions.sql`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.communication.model import Channel, Scope, Standing, Subscription, Topic
from holdfast.communication.subscribing import Asked, Limits, Wanted


class SubscriptionQueries(Queries):
    take_turn: Query
    letters_lately: Query
    requests_lately: Query
    held: Query
    insert_asked: Query
    renew_asked: Query
    note_asked: Query
    queue_request: Query
    wake_senders: Query
    confirm: Query
    subscription: Query
    change: Query
    end: Query
    found: Query
    newest: Query
    counts: Query


SQL = SubscriptionQueries.beside(__file__)
LIVING = (Standing.PENDING, Standing.ACTIVE, Standing.PAUSED)


class PostgresSubscriptions:
    """SubscriptionStore over a pool, with the login of the site, the console or the sender."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ask(self, wanted: Wanted, confirm: bytes, known: bytes, limits: Limits) -> Asked:
        address = {"channel": wanted.channel.value, "fingerprint": wanted.fingerprint}
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.take_turn, address)
            letters = await _number(connection, SQL.letters_lately, **address, within=limits.letters_within)
            if letters >= limits.letters:
                return Asked.TOO_OFTEN
            requests = await _number(connection, SQL.requests_lately, within=limits.requests_within)
            if requests >= limits.requests:
                return Asked.TOO_MANY
            subscription_id, standing = await self._kept(connection, wanted, address, limits)
            active = standing is Standing.ACTIVE
            request = {
                "id": subscription_id,
                "sealed": known if active else confirm,
                "channel": wanted.channel.value,
            }
            await connection.execute(SQL.queue_request, request)
            await connection.execute(SQL.wake_senders)
            return Asked.KNOWN if active else Asked.SENT

    async def _kept(
        self, connection: Connection, wanted: Wanted, address: Mapping[str, object], limits: Limits
    ) -> tuple[str, Standing]:
        columns = {**address, **_columns(wanted.scope, wanted.language), "customer": wanted.customer}
        held = await (await connection.execute(SQL.held, columns)).fetchone()
        if held is None:
            inserted = await connection.execute(SQL.insert_asked, {**columns, "address": wanted.address})
            ((subscription_id,),) = await inserted.fetchall()
            return subscription_id, Standing.PENDING
        subscription_id, standing = held[0], Standing(held[1])
        await connection.execute(SQL.renew_asked, {**columns, "id": subscription_id})
        await connection.execute(SQL.note_asked, {"id": subscription_id, "most": limits.letters})
        return subscription_id, standing

    async def confirm(self, subscription_id: str, limits: Limits) -> Subscription | None:
        async with borrowed(self._pool) as connection:
            values = {"id": subscription_id, "within": limits.confirm_within}
            done = await connection.execute(SQL.confirm, values)
            return await _one(connection, subscription_id) if done.rowcount == 1 else None

    async def subscription(self, subscription_id: str) -> Subscription | None:
        async with borrowed(self._pool) as connection:
            return await _one(connection, subscription_id)

    async def change(self, subscription_id: str, scope: Scope, language: str) -> Subscription | None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.change, {"id": subscription_id, **_columns(scope, language)})
            return await _one(connection, subscription_id)

    async def end(self, subscription_id: str) -> bool:
        async with borrowed(self._pool) as connection:
            return (await connection.execute(SQL.end, {"id": subscription_id})).rowcount == 1

    async def found(self, channel: Channel, fingerprint: bytes) -> Sequence[Subscription]:
        values = {"channel": channel.value, "fingerprint": fingerprint}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.found, values)).fetchall()
        return [_subscription(row) for row in rows]

    async def subscriptions(
        self, *, standings: Collection[Standing] = (), limit: int = 200
    ) -> Sequence[Subscription]:
        values = {"standings": [each.value for each in standings or LIVING], "limit": limit}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.newest, values)).fetchall()
        return [_subscription(row) for row in rows]

    async def counts(self) -> Mapping[tuple[Channel, Standing], int]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.counts)).fetchall()
        return {(Channel(channel), Standing(standing)): count for channel, standing, count in rows}


async def _number(connection: Connection, query: Query, **values: object) -> int:
    ((number,),) = await (await connection.execute(query, values)).fetchall()
    return int(number)


async def _one(connection: Connection, subscription_id: str) -> Subscription | None:
    row = await (await connection.execute(SQL.subscription, {"id": subscription_id})).fetchone()
    return None if row is None else _subscription(row)


def _columns(scope: Scope, language: str) -> dict[str, object]:
    return {
        "language": language,
        "topics": sorted(scope.topics),
        "component_ids": sorted(scope.component_ids),
        "cluster_keys": sorted(scope.cluster_keys),
    }


def _subscription(row: tuple[Any, ...]) -> Subscription:
    each, channel, language, topics, components, clusters, standing, created_at, customer, *times = row
    confirmed_at, failing_since, paused_at = times
    return Subscription(
        each,
        Channel(channel),
        language,
        Scope(frozenset(map(Topic, topics)), frozenset(components), frozenset(clusters)),
        Standing(standing),
        created_at,
        customer,
        confirmed_at,
        failing_since,
        paused_at,
    )
