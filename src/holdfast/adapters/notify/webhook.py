"""Couriers for web hooks, Slack and Microsoft Teams: one signed POST for each message.

A message carries the same id at every attempt (`webhook-id`, `idempotency-key`), so that a receiver that was
slow to answer can tell a repetition from something new.
"""

import contextlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from holdfast import __version__
from holdfast.adapters.notify.outbound import Answered, NotReached, Outbound
from holdfast.communication.delivering import Delivery, Outcome
from holdfast.communication.model import Channel
from holdfast.communication.signing import signature, signing_secret
from holdfast.communication.targets import TargetRefused
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault

USER_AGENT = f"Holdfast/{__version__}"
LONGEST_RETRY_AFTER = timedelta(hours=6)
MOST_CHALLENGES = 3
"""So often is a receiver asked whether it agrees to be sent messages: it may be a stranger's."""
_GONE_BY_SLACK = frozenset({b"no_service", b"no_team", b"channel_not_found", b"channel_is_archived"})
_FAILED_IN_TEAMS = b"Microsoft Teams endpoint returned HTTP error"

Confirm = Callable[[str], Awaitable[object]]
"""Makes the subscription with that token active."""


class WebhookCourier:
    """A `Courier` for one of the channels that are posted to."""

    def __init__(self, outbound: Outbound, vault: Vault, clock: Clock, confirm: Confirm) -> None:
        self._outbound = outbound
        self._vault = vault
        self._clock = clock
        self._confirm = confirm

    async def deliver(self, delivery: Delivery) -> Outcome:
        message = delivery.message
        try:
            answered = await self._outbound.post(
                delivery.address, message.content, self._headers(delivery), delivery.channel
            )
        except (TargetRefused, NotReached) as error:
            # Refused too may change: a name that led inward for a while, a certificate that ran out.
            return self._failed(delivery, str(error))
        if not is_accepted(answered, delivery.channel):
            return self._declined(delivery, answered)
        if message.challenge and delivery.channel is Channel.WEBHOOK and answers(answered, message.challenge):
            return await self._agreed(message.challenge)
        return Outcome(ok=True)

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        message = delivery.message
        headers = {"User-Agent": USER_AGENT, "Content-Type": message.content_type, **message.headers}
        if delivery.channel is not Channel.WEBHOOK or not delivery.subscription_id:
            return headers
        at = int(self._clock.now().timestamp())
        secret = signing_secret(self._vault, delivery.subscription_id)
        return headers | {
            "webhook-id": delivery.key,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(secret, delivery.key, at, message.content),
            "idempotency-key": delivery.key,
        }

    async def _agreed(self, challenge: str) -> Outcome:
        try:
            await self._confirm(challenge)
        except HoldfastError as error:
            # Our database is away. The challenge is put once more, which does the receiver no harm.
            return Outcome(ok=False, unavailable=True, error=str(error))
        return Outcome(ok=True)

    def _declined(self, delivery: Delivery, answered: Answered) -> Outcome:
        if is_gone(answered, delivery.channel):
            return Outcome(ok=False, gone=True, error=f"it is gone: {_told(answered, delivery.channel)}")
        failed = self._failed(delivery, _told(answered, delivery.channel))
        wait = retry_after(answered.retry_after, self._clock.now())
        return Outcome(ok=False, retry=failed.retry, error=failed.error, retry_after=wait)

    def _failed(self, delivery: Delivery, error: str) -> Outcome:
        asked_enough = bool(delivery.message.challenge) and delivery.attempt >= MOST_CHALLENGES
        return Outcome(ok=False, retry=not asked_enough, error=error)


def is_accepted(answered: Answered, channel: Channel) -> bool:
    """Whether an answer means that the message has arrived."""
    fine = 200 <= answered.status < 300
    # A connector of Office 365 says 200 and means the status that it writes into the text.
    return fine and not (channel is Channel.TEAMS and _FAILED_IN_TEAMS in answered.body)


def is_gone(answered: Answered, channel: Channel) -> bool:
    """Whether nobody will be there any more: 410, and where Slack says the same with 403 or 404."""
    if answered.status == 410:
        return True
    return (
        channel is Channel.SLACK and answered.status in {403, 404} and answered.body.strip() in _GONE_BY_SLACK
    )


def answers(answered: Answered, challenge: str) -> bool:
    """Whether the answer is the challenge: as plain text, or as `{"challenge": "..."}`."""
    said = answered.body.strip()
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(said)
        if isinstance(document, dict):
            said = str(document.get("challenge", "")).encode(errors="replace")
    return hmac.compare_digest(said, challenge.encode())


def retry_after(header: str, now: datetime) -> timedelta:
    """How long to wait, given in seconds or as a date (RFC 9110, 10.2.3): at most six hours."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        wait = timedelta(seconds=min(int(header[:9]), 10**6))
    else:
        try:
            at = parsedate_to_datetime(header)
        except ValueError:
            return timedelta()
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return max(timedelta(), min(wait, LONGEST_RETRY_AFTER))


def _told(answered: Answered, channel: Channel) -> str:
    if channel is Channel.TEAMS and _FAILED_IN_TEAMS in answered.body:
        return "Microsoft Teams did not take it"
    return f"it answered {answered.status}"
