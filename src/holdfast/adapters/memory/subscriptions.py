"""Subscriptions in memory, for tests and simulation. Everything ends with the process."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from uuid import uuid4

from holdfast.communication.model import Channel, Scope, Standing, Subscription
from holdfast.communication.subscribing import Asked, Limits, Wanted
from holdfast.kernel.clock import Clock

LIVING = (Standing.PENDING, Standing.ACTIVE, Standing.PAUSED)


@dataclass(slots=True)
class Row:
    """A subscription, with what only the stores know of it."""

    subscription: Subscription
    address: bytes | None
    fingerprint: bytes | None
    asked: list[datetime]
    refusals: int = 0


@dataclass(slots=True)
class Queued:
    """A delivery that waits, or is done."""

    id: int
    key: str
    channel: Channel
    queued_at: datetime
    due_at: datetime
    announcement_id: str | None = None
    sealed: bytes | None = None
    subscription_id: str | None = None
    attempts: int = 0
    leased_until: datetime | None = None
    holder: str = ""
    run: str = ""
    failing_since: datetime | None = None
    done_at: datetime | None = None
    last_error: str = ""


@dataclass(slots=True)
class Kept:
    """What the memory stores of subscriptions and of deliveries share."""

    clock: Clock
    rows: dict[str, Row] = field(default_factory=dict)
    queue: list[Queued] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def put(
        self,
        channel: Channel,
        *,
        sealed: bytes | None = None,
        announcement_id: str | None = None,
        subscription_id: str | None = None,
        key: str = "",
    ) -> None:
        now = self.clock.now()
        self.queue.append(
            Queued(
                next(self.numbers),
                key or str(uuid4()),
                channel,
                now,
                now,
                announcement_id,
                sealed,
                subscription_id,
            )
        )

    def drop_waiting(self, subscription_id: str) -> None:
        self.queue = [
            each for each in self.queue if each.done_at is not None or each.subscription_id != subscription_id
        ]

    def end(self, subscription_id: str) -> bool:
        row = self.rows.get(subscription_id)
        if row is None or row.subscription.standing is Standing.ENDED:
            return False
        row.subscription = replace(row.subscription, standing=Standing.ENDED)
        row.address = row.fingerprint = None
        self.drop_waiting(subscription_id)
        return True


class MemorySubscriptions:
    """SubscriptionStore over dictionaries."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    async def ask(self, wanted: Wanted, confirm: bytes, known: bytes, limits: Limits) -> Asked:
        now = self._kept.clock.now()
        same = [
            row
            for row in self._kept.rows.values()
            if row.subscription.channel is wanted.channel and row.fingerprint == wanted.fingerprint
        ]
        if sum(now - at < limits.letters_within for row in same for at in row.asked) >= limits.letters:
            return Asked.TOO_OFTEN
        lately = [row for row in self._kept.rows.values() if now - row.asked[-1] < limits.requests_within]
        if len(lately) >= limits.requests:
            return Asked.TOO_MANY
        row = next((each for each in same if each.subscription.customer == wanted.customer), None)
        if row is None:
            row = self._new(wanted, now)
        else:
            row.asked = [*row.asked, now][-limits.letters :]
            if row.subscription.standing is not Standing.ACTIVE:
                row.subscription = replace(row.subscription, scope=wanted.scope, language=wanted.language)
        active = row.subscription.standing is Standing.ACTIVE
        self._kept.put(
            wanted.channel, sealed=known if active else confirm, subscription_id=row.subscription.id
        )
        return Asked.KNOWN if active else Asked.SENT

    def _new(self, wanted: Wanted, now: datetime) -> Row:
        fresh = Subscription(
            str(uuid4()),
            wanted.channel,
            wanted.language,
            wanted.scope,
            Standing.PENDING,
            now,
            wanted.customer,
        )
        row = self._kept.rows[fresh.id] = Row(fresh, wanted.address, wanted.fingerprint, [now])
        return row

    async def confirm(self, subscription_id: str, limits: Limits) -> Subscription | None:
        row = self._kept.rows.get(subscription_id)
        if row is None or row.subscription.standing is Standing.ENDED:
            return None
        now, standing = self._kept.clock.now(), row.subscription.standing
        if standing is Standing.PENDING and now - row.asked[-1] >= limits.confirm_within:
            return None
        confirmed_at = row.subscription.confirmed_at if standing is Standing.ACTIVE else now
        row.refusals = 0
        row.subscription = replace(
            row.subscription,
            standing=Standing.ACTIVE,
            confirmed_at=confirmed_at,
            failing_since=None,
            paused_at=None,
        )
        return row.subscription

    async def subscription(self, subscription_id: str) -> Subscription | None:
        row = self._kept.rows.get(subscription_id)
        return None if row is None or row.subscription.standing is Standing.ENDED else row.subscription

    async def change(self, subscription_id: str, scope: Scope, language: str) -> Subscription | None:
        if await self.subscription(subscription_id) is None:
            return None
        row = self._kept.rows[subscription_id]
        row.subscription = replace(row.subscription, scope=scope, language=language)
        return row.subscription

    async def end(self, subscription_id: str) -> bool:
        return self._kept.end(subscription_id)

    async def found(self, channel: Channel, fingerprint: bytes) -> Sequence[Subscription]:
        return [
            row.subscription
            for row in self._kept.rows.values()
            if row.subscription.channel is channel and row.fingerprint == fingerprint
        ]

    async def subscriptions(
        self, *, standings: Collection[Standing] = (), limit: int = 200
    ) -> Sequence[Subscription]:
        wanted = standings or LIVING
        found = [row.subscription for row in self._kept.rows.values() if row.subscription.standing in wanted]
        return sorted(found, key=lambda each: each.created_at, reverse=True)[:limit]

    async def counts(self) -> Mapping[tuple[Channel, Standing], int]:
        rows = self._kept.rows.values()
        return Counter((row.subscription.channel, row.subscription.standing) for row in rows)
