"""Publishing all logs, again and again: what is handed out, what waits and why, and the log over all logs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import Fork, NotFlushed, WitnessAway, WitnessRefused
from holdfast.ledger.log.checkpoint import Checkpoint, LogKeys
from holdfast.ledger.log.notes import Note
from holdfast.ledger.model import Prepared
from holdfast.ledger.ports import Pending, Published
from holdfast.ledger.publish.publishing import OVERALL, Handed, Publisher, over_all

AT_ONCE = 8
"""So many logs are published at the same time: each waits for the second region and for the witness."""
OVERALL_EVERY = timedelta(minutes=1)
"""The log over all grows by one growth each time: as often as every tenant's log it would be the largest."""
EVERYWHERE = "everywhere"
"""What keeps all logs waiting, such as a witness that is away, is told once."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a log, or every log, is not published now, and since when (UTC)."""

    subject: str
    """The log's origin, or EVERYWHERE."""
    reason: str
    """`second_region_away`, `witness_away`, `witness_refuses`, `fork`, `failed`."""
    since: datetime
    text: str
    hint: str


class HandingOut:
    """Publishes whatever has grown. What it needs may be away at any time: then it waits, and says so."""

    def __init__(
        self,
        publisher: Publisher,
        published: Published,
        append: Callable[[Prepared], Awaitable[object]],
        keys_of: Callable[[str], LogKeys],
        clock: Clock,
        on_event: Callable[[str, Mapping[str, object]], None],
        is_closed: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """`append` is the log over all's. `on_event` hears of what begins to wait, and goes on. `is_closed`
        says of a tenant that nothing adds to its log any more: nobody waits for a fork of it to be mended.
        """
        self._is_closed = is_closed
        self._publisher = publisher
        self._published = published
        self._append = append
        self._keys_of = keys_of
        self._clock = clock
        self._on_event = on_event
        self._unlisted: dict[str, Handed] | None = None
        """Published, and not in the log over all yet. None: what an earlier process left is not known."""
        self._listed_at: datetime | None = None
        self.waiting: dict[tuple[str, str], Waiting] = {}
        """By subject and reason."""

    async def round(self) -> int:
        """Publish once whatever can be. How many logs were. Raises what the database raises."""
        pending = await self._published.pending()
        limit, seen = asyncio.Semaphore(AT_ONCE), set[tuple[str, str]]()
        answers = await asyncio.gather(*(self._publish(each, limit, seen) for each in pending))
        handed = [(log, each) for log, each in zip(pending, answers, strict=True) if each is not None]
        for key in [key for key in self.waiting if key not in seen]:
            ended = self.waiting.pop(key)
            self._on_event("publishing_goes_on", {"subject": ended.subject, "reason": ended.reason})
        await self._list(each for log, each in handed if log.tenant != OVERALL)
        return len(handed)

    async def _publish(
        self, log: Pending, limit: asyncio.Semaphore, seen: set[tuple[str, str]]
    ) -> Handed | None:
        async with limit:
            try:
                return await self._publisher.publish(log.log_id, self._keys_of(log.origin))
            except HoldfastError as error:
                if isinstance(error, Fork) and self._is_closed and await self._is_closed(log.tenant):
                    return None
                # One log that is damaged, or forked, must not keep the others from being published.
                self._wait(log.origin, error, seen)
            return None

    def _wait(self, origin: str, error: HoldfastError, seen: set[tuple[str, str]]) -> None:
        match error:
            case NotFlushed():
                subject, reason = EVERYWHERE, "second_region_away"
            case WitnessAway():
                subject, reason = EVERYWHERE, "witness_away"
            case WitnessRefused():
                subject, reason = EVERYWHERE, "witness_refuses"
            case Fork():
                subject, reason = origin, "fork"
            case _:
                subject, reason = origin, "failed"
        seen.add((subject, reason))
        if (subject, reason) in self.waiting:
            return
        self.waiting[subject, reason] = Waiting(subject, reason, self._clock.now(), str(error), error.hint)
        facts = {"subject": subject, "reason": reason, "text": str(error), "hint": error.hint}
        self._on_event("publishing_waits", facts)

    async def _list(self, handed: Iterable[Handed]) -> None:
        """Take what was published into the log over all, now and then."""
        if self._unlisted is None:
            known = [_handed(*each) for each in await self._published.newest_of_all()]
            self._unlisted = {each.checkpoint.origin: each for each in known}
        self._unlisted |= {each.checkpoint.origin: each for each in handed}
        now = self._clock.now()
        if self._unlisted and (self._listed_at is None or now - self._listed_at >= OVERALL_EVERY):
            await self._append(over_all(self._unlisted))
            self._unlisted, self._listed_at = {}, now


def _handed(log_id: int, note: str) -> Handed:
    return Handed(log_id, Checkpoint.parsed(Note.parsed(note).body), note)
