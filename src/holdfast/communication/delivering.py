"""What is on its way to a subscriber: the words, the ports, and what follows from each attempt.

    notice --announced--> deliveries --claimed--> composed --courier--> outcome --> sent, again, ...

Rules:
1. A delivery's key never changes: whoever gets it twice, after a crash at the wrong moment, can tell.
2. Of one subscription only the oldest waiting delivery is taken: an end is never told before its beginning.
3. What is our own fault (our mail relay is away) never counts against a subscriber.
4. A subscriber that cannot be reached for a day is paused, and told so where that is possible; one that is
   gone for good is erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from holdfast.communication.model import Attachment, Channel, Letter, Notice, Standing

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
MOST_REFUSALS = 3
"""So many mails in a row that the recipient's server refuses for good: the address is gone."""
LONGEST_ERROR = 300


# --- what is sent


class RequestKind(StrEnum):
    """A message about the subscription itself."""

    CONFIRM = "confirm"
    """Somebody asked for it: only who opens its link is subscribed."""
    KNOWN = "known"
    """Somebody asked for it again: here is where it is changed and ended."""
    PAUSED = "paused"
    """It could not be reached for a day: nothing is sent until it is resumed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message about the subscription itself, as it is queued. Links are made when it is sent."""

    kind: RequestKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A notice as it was announced. `id` is stable: for each language it is composed once."""

    id: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message is composed for. Only the courier learns the address.

    `subscription_id` and both tokens are empty for letters that no subscription goes with. `manage_token`
    opens the page where the subscription is changed and ended, `confirm_token` the one where it is confirmed.
    """

    channel: Channel
    language: str
    subscription_id: str = ""
    manage_token: str = ""
    confirm_token: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Something composed, ready for a courier.

    A mail has a subject, a text, most often HTML too; every other channel has `content`, the finished body.
    `headers` go with either, without line ends in them. `manage_url` is for people, `unsubscribe_url` for
    programs: a POST to it ends the subscription (RFC 8058). Both may be empty. Who answers a message by its
    `challenge` has agreed to be sent more.
    """

    subject: str = ""
    text: str = ""
    html: str = ""
    content: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    manage_url: str = ""
    unsubscribe_url: str = ""
    challenge: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one address. `key` is a UUID and the same at every attempt."""

    id: int
    key: str
    channel: Channel
    address: str = field(repr=False)
    language: str
    message: Message = field(repr=False)
    attempt: int
    queued_at: datetime
    subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    `ok`: it was accepted. `retry`: not now, perhaps later. `gone`: nobody is there any more. `unavailable`:
    our own way out is closed (relay away, our login refused), which says nothing of the recipient. Neither of
    them: this message is refused for good. `error` is one line for operators, without the address.
    `retry_after` is how long the other side asks to be left alone.
    """

    ok: bool
    retry: bool = False
    error: str = ""
    gone: bool = False
    unavailable: bool = False
    retry_after: timedelta = timedelta()


class Courier(Protocol):
    """Delivers over one channel. Raises nothing for what the other side does, and ends within its time."""

    async def deliver(self, delivery: Delivery) -> Outcome: ...


class Composer(Protocol):
    """Makes messages, each in the recipient's language (another one where that is not spoken)."""

    def announced(self, announcement: Announcement, to: Recipient) -> Message: ...

    def requested(self, request: Request, to: Recipient) -> Message: ...

    def letter(self, letter: Letter, to: Recipient) -> Message: ...


# --- what is stored


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease.

    `name` outlives a restart, `run` is new with each: who starts as `name` knows that all earlier runs are
    dead, and takes their leases over.
    """

    name: str
    run: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery as stored, under a lease.

    `sealed` is its letter or request, `address` the subscriber's: both open with the vault only. Exactly one
    of `announcement_id` and `sealed` is given. `failing_since` is when an attempt failed first, `refusals`
    how many mails in a row the subscriber's server refused.
    """

    id: int
    key: str
    channel: Channel
    attempt: int
    queued_at: datetime
    announcement_id: str | None = None
    sealed: bytes | None = None
    subscription_id: str | None = None
    address: bytes | None = None
    language: str = "en"
    standing: Standing = Standing.ACTIVE
    failing_since: datetime | None = None
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of a channel is not delivered yet."""

    channel: Channel
    deliveries: int
    oldest: datetime
    last_error: str = ""


class DeliveryStore(Protocol):
    """The sender's side of the outbox."""

    async def claim(
        self, channel: Channel, limit: int, lease: timedelta, holder: Holder
    ) -> Sequence[Claimed]:
        """Take what is due, requests and letters first, then the oldest; at most one of each subscription.

        What an earlier run of the same holder has not given back is free.
        """
        ...

    async def announcement(self, announcement_id: str) -> Announcement: ...

    async def sent(self, keys: Sequence[str]) -> None:
        """They were accepted, whoever's lease it is. What is known already is left as it is."""
        ...

    async def release(self, claimed: Sequence[Claimed]) -> None:
        """Give back what was not tried. It counts as no attempt."""
        ...

    async def again(self, claimed: Claimed, error: str, again_in: timedelta, *, ours: bool = False) -> None:
        """It failed; try it again later. Changes nothing when the lease is another's by now.

        `ours`: for a reason of our own, which is not held against the subscriber.
        """
        ...

    async def give_up(self, claimed: Claimed, error: str, *, refused: bool = False) -> None:
        """It can never be delivered. `refused`: the recipient's server did so, which is counted."""
        ...

    async def pause(self, claimed: Claimed, error: str, sealed: bytes | None) -> None:
        """Nothing is sent to this subscription until it is confirmed again; what waits is dropped.

        `sealed` is what it is told of it, where that makes sense. Journalled.
        """
        ...

    async def end(self, claimed: Claimed, error: str) -> None:
        """Nobody is there: erase the subscription's address, and drop what waits. Journalled."""
        ...

    async def waiting(self) -> Sequence[Waiting]: ...

    async def keep_house(self) -> int:
        """Erase what was never confirmed, and forget what was sent long ago; returns how much."""
        ...


# --- what follows


class Verdict(StrEnum):
    """What becomes of a delivery after an attempt."""

    SENT = "sent"
    AGAIN = "again"
    RELEASE = "release"
    GIVE_UP = "give_up"
    PAUSE = "pause"
    END = "end"


def verdict(outcome: Outcome, claimed: Claimed, now: datetime) -> Verdict:
    """What follows from an attempt that ended at `now`."""
    if outcome.ok:
        return Verdict.SENT
    if outcome.unavailable:
        return Verdict.RELEASE
    if outcome.gone:
        return _when_gone(claimed)
    # Not since it was queued: it may have waited for our own relay.
    if outcome.retry and now - (claimed.failing_since or now) < GIVE_UP_AFTER:
        return Verdict.AGAIN
    if outcome.retry and claimed.subscription_id is not None and claimed.standing is Standing.ACTIVE:
        return Verdict.PAUSE
    return Verdict.GIVE_UP


def _when_gone(claimed: Claimed) -> Verdict:
    if claimed.subscription_id is None:
        return Verdict.GIVE_UP
    # A mail server may refuse a good address once, over a mistake of its own; a webhook's 410 is deliberate,
    # and what was never confirmed was most likely never there.
    lasting = claimed.channel is not Channel.MAIL or claimed.standing is Standing.PENDING
    return Verdict.END if lasting or claimed.refusals + 1 >= MOST_REFUSALS else Verdict.GIVE_UP


def again_in(attempt: int) -> timedelta:
    """How long to wait after the `attempt`th failure: twice as long each time."""
    return min(FIRST_RETRY * (1 << min(attempt - 1, 20)), LONGEST_RETRY)


def error_line(text: str) -> str:
    """What went wrong as one printable line of bounded length: what any store and any log can hold."""
    printable = "".join(each if each.isprintable() else " " for each in text[: 4 * LONGEST_ERROR])
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST_ERROR else line[: LONGEST_ERROR - 3] + "..."
