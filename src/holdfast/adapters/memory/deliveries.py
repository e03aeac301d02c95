"""The outbox in memory, for tests and simulation. Everything ends with the process."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from holdfast.adapters.memory.announcements import concerns
from holdfast.adapters.memory.subscriptions import Kept, Queued
from holdfast.communication.delivering import Announcement, Claimed, Holder, Waiting, error_line
from holdfast.communication.errors import NotThere
from holdfast.communication.model import Channel, Letter, Notice, Standing
from holdfast.communication.sealing import sealed_parcel
from holdfast.communication.subscribing import CONFIRM_WITHIN
from holdfast.kernel.vault import Vault

KEPT = timedelta(days=90)


class MemoryDeliveries:
    """DeliveryStore over a list. `announce` does what the announcer's transaction does."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._announcements: dict[str, Notice] = {}
        self.journal: list[str] = []

    async def announce(self, notice: Notice) -> int:
        same = (notice.event, notice.subject_id, notice.at)
        if any((each.event, each.subject_id, each.at) == same for each in self._announcements.values()):
            return 0
        fresh = str(uuid4())
        self._announcements[fresh] = notice
        concerned = [
            row.subscription for row in self._kept.rows.values() if concerns(row.subscription, notice)
        ]
        for each in concerned:
            self._kept.put(each.channel, announcement_id=fresh, subscription_id=each.id)
        return len(concerned)

    async def claim(
        self, channel: Channel, limit: int, lease: timedelta, holder: Holder
    ) -> Sequence[Claimed]:
        now = self._kept.clock.now()
        seen: set[str] = set()
        free: list[Queued] = []
        for each in self._waiting():
            first = each.subscription_id is None or each.subscription_id not in seen
            seen.add(each.subscription_id or "")
            if first and each.channel is channel and each.due_at <= now and _is_free(each, now, holder):
                free.append(each)
        free.sort(key=lambda each: (each.announcement_id is not None, each.due_at, each.id))
        for each in free[:limit]:
            each.leased_until, each.holder, each.run = now + lease, holder.name, holder.run
            each.attempts += 1
        return [self._claimed(each) for each in free[:limit]]

    def _claimed(self, each: Queued) -> Claimed:
        row = self._kept.rows.get(each.subscription_id or "")
        return Claimed(
            each.id,
            each.key,
            each.channel,
            each.attempts,
            each.queued_at,
            each.announcement_id,
            each.sealed,
            each.subscription_id,
            None if row is None else row.address,
            "en" if row is None else row.subscription.language,
            Standing.ACTIVE if row is None else row.subscription.standing,
            each.failing_since,
            0 if row is None else row.refusals,
        )

    async def announcement(self, announcement_id: str) -> Announcement:
        notice = self._announcements.get(announcement_id)
        if notice is None:
            raise NotThere(f"there is no announcement {announcement_id}")
        return Announcement(announcement_id, notice)

    async def sent(self, keys: Sequence[str]) -> None:
        for each in self._waiting():
            if each.key in keys:
                self._done(each, "")
                row = self._kept.rows.get(each.subscription_id or "")
                if row is not None:
                    row.refusals = 0
                    row.subscription = replace(row.subscription, failing_since=None)

    async def release(self, claimed: Sequence[Claimed]) -> None:
        for each in claimed:
            self._held(each, _released)

    async def again(self, claimed: Claimed, error: str, again_in: timedelta, *, ours: bool = False) -> None:
        now = self._kept.clock.now()

        def fail(each: Queued) -> None:
            each.leased_until, each.last_error, each.due_at = None, error_line(error), now + again_in
            if ours:
                return
            each.failing_since = each.failing_since or now
            row = self._kept.rows.get(each.subscription_id or "")
            if row is not None:
                since = row.subscription.failing_since or now
                row.subscription = replace(row.subscription, failing_since=since)

        self._held(claimed, fail)

    async def give_up(self, claimed: Claimed, error: str, *, refused: bool = False) -> None:
        def stop(each: Queued) -> None:
            self._done(each, error_line(error))
            row = self._kept.rows.get(each.subscription_id or "")
            if row is not None and refused:
                row.refusals += 1

        self._held(claimed, stop)

    async def pause(self, claimed: Claimed, error: str, sealed: bytes | None) -> None:
        row = self._kept.rows.get(claimed.subscription_id or "")
        if row is None or row.subscription.standing is not Standing.ACTIVE:
            return
        now = self._kept.clock.now()
        row.subscription = replace(row.subscription, standing=Standing.PAUSED, paused_at=now)
        self._kept.drop_waiting(row.subscription.id)
        if sealed is not None:
            self._kept.put(claimed.channel, sealed=sealed, subscription_id=row.subscription.id)
        self.journal.append(f"subscription.paused: {error}")

    async def end(self, claimed: Claimed, error: str) -> None:
        if self._kept.end(claimed.subscription_id or ""):
            self.journal.append(f"subscription.erased: {error}")

    async def waiting(self) -> Sequence[Waiting]:
        found: dict[Channel, list[Queued]] = {}
        for each in self._waiting():
            found.setdefault(each.channel, []).append(each)
        return [
            Waiting(
                channel,
                len(found[channel]),
                min(each.queued_at for each in found[channel]),
                next((each.last_error for each in found[channel] if each.last_error), ""),
            )
            for channel in sorted(found)
        ]

    async def keep_house(self) -> int:
        now = self._kept.clock.now()
        stale = [
            each
            for each, row in self._kept.rows.items()
            if row.subscription.standing is Standing.PENDING and now - row.asked[-1] > CONFIRM_WITHIN
        ]
        for each in stale:
            self._kept.end(each)
        before = len(self._kept.queue)
        self._kept.queue = [
            each for each in self._kept.queue if each.done_at is None or now - each.queued_at <= KEPT
        ]
        return len(stale) + before - len(self._kept.queue)

    def _waiting(self) -> list[Queued]:
        return [each for each in self._kept.queue if each.done_at is None]

    def _held(self, claimed: Claimed, change: Callable[[Queued], None]) -> None:
        """Only what is still under the lease that it was claimed with."""
        for each in self._waiting():
            if each.id == claimed.id and each.attempts == claimed.attempt:
                change(each)

    def _done(self, each: Queued, error: str) -> None:
        each.done_at, each.leased_until, each.last_error = self._kept.clock.now(), None, error
        each.sealed = None if each.sealed is None else b""


def _is_free(each: Queued, now: datetime, holder: Holder) -> bool:
    lost = each.leased_until is None or each.leased_until <= now
    return lost or (each.holder == holder.name and each.run != holder.run)


def _released(each: Queued) -> None:
    each.leased_until = None
    each.attempts -= 1


class MemoryLetterbox:
    """Letterbox over the same list."""

    def __init__(self, kept: Kept, vault: Vault) -> None:
        self._kept = kept
        self._vault = vault

    async def post(self, letter: Letter, key: str) -> bool:
        if any(each.key == key for each in self._kept.queue):
            return False
        self._kept.put(Channel.MAIL, sealed=sealed_parcel(self._vault, letter), key=key)
        return True
