"""`holdfast subscriber` on the database of a running Holdfast, with the sender's login."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from holdfast.adapters.postgres.announcements import journal
from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.deliveries import PostgresDeliveries
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.bootstrap.actors import command_line
from holdfast.communication.addresses import masked, normalised
from holdfast.communication.errors import NotThere
from holdfast.communication.model import Channel, Subscription
from holdfast.communication.subscribing import address_of, fingerprint_of
from holdfast.interfaces.cli.subscribing import Subscriber, SubscriberCounts
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.vault import Vault


class SubscriberCommands:
    """What the operator does with subscriptions. Whole addresses are asked for, and never shown."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._subscriptions = PostgresSubscriptions(pool)
        self._deliveries = PostgresDeliveries(pool)

    async def listed(self, limit: int) -> Sequence[Subscriber]:
        found = await self._subscriptions.subscriptions(limit=limit)
        addresses = await self._deliveries.addresses([each.id for each in found])
        return [Subscriber(each, self._masked(each, addresses.get(each.id))) for each in found]

    def _masked(self, subscription: Subscription, sealed: bytes | None) -> str:
        # It may have ended since it was listed.
        return "" if sealed is None else masked(subscription.channel, address_of(self._vault, sealed))

    async def counted(self) -> SubscriberCounts:
        return SubscriberCounts(await self._subscriptions.counts(), await self._deliveries.waiting())

    async def remove(self, which: str) -> int:
        """End the subscription with that id, or all of an address; returns how many. Raises NotThere."""
        ended = 0
        for subscription_id in await self._meant(which):
            if await self._subscriptions.end(subscription_id):
                ended += 1
                facts = {"subscription": subscription_id}
                entry = JournalEntry(datetime.now(UTC), command_line(), "subscription.removed", facts)
                async with borrowed(self._pool) as connection:
                    await journal(connection, entry)
        if not ended:
            raise NotThere("no such subscription", hint="give its id, or its whole address")
        return ended

    async def _meant(self, which: str) -> list[str]:
        try:
            return [str(UUID(which))]
        except ValueError:
            pass
        channels = [Channel.MAIL] if "://" not in which else [Channel.WEBHOOK, Channel.SLACK, Channel.TEAMS]
        found: list[Subscription] = []
        for channel in channels:
            address = normalised(channel, which, private=True)
            found += await self._subscriptions.found(channel, fingerprint_of(self._vault, channel, address))
        return [each.id for each in found]
