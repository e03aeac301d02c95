"""Subscribing: by whoever owns the address, and nobody else.

    asked --letter to the address--> pending --its link opened, its button pressed--> active --> ended
                                                        paused --confirmed again--> active

Rules:
1. Nothing but a request to confirm ever goes to an address whose owner has not confirmed it, on any channel,
   and of those at most a few in a day: nobody can use us to flood a stranger.
2. Nobody learns from us whether an address is subscribed: asking always answers the same.
3. Only who holds a subscription's manage token changes or ends it. Ending erases the address and its hash.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol
from uuid import UUID

from holdfast.communication.addresses import normalised
from holdfast.communication.delivering import Request, RequestKind
from holdfast.communication.errors import NotPossible
from holdfast.communication.model import Channel, Scope, Standing, Subscription, Topic
from holdfast.communication.sealing import sealed_parcel
from holdfast.kernel.vault import Vault

CONFIRM_WITHIN = timedelta(days=2)
"""A request that nobody confirmed for so long is erased."""
MOST_LETTERS = 3
"""Requests to confirm that one address gets within LETTERS_WITHIN, whoever asks."""
LETTERS_WITHIN = timedelta(days=1)
MOST_REQUESTS = 1000
"""Requests to confirm, over all addresses, within REQUESTS_WITHIN."""
REQUESTS_WITHIN = timedelta(hours=1)
MOST_CHOSEN = 500
"""Components, and clusters, that one subscription names."""

_ADDRESS = "address"
_TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How often requests are sent."""

    letters: int = MOST_LETTERS
    letters_within: timedelta = LETTERS_WITHIN
    requests: int = MOST_REQUESTS
    requests_within: timedelta = REQUESTS_WITHIN
    confirm_within: timedelta = CONFIRM_WITHIN


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks for. `address` is sealed; `fingerprint` finds it again."""

    channel: Channel
    address: bytes
    fingerprint: bytes
    language: str
    scope: Scope
    customer: str | None = None


class Asked(Enum):
    """What came of asking. For logs and counts: whoever asked is told the same each time."""

    SENT = "sent"
    """A request to confirm is on its way."""
    KNOWN = "known"
    """It is subscribed already: a reminder of its manage page is on its way."""
    TOO_OFTEN = "too_often"
    """The address has had its letters for today."""
    TOO_MANY = "too_many"
    """Too many requests at all."""


class SubscriptionStore(Protocol):
    """Where subscriptions are kept. Addresses go in and never come out of here."""

    async def ask(self, wanted: Wanted, confirm: bytes, known: bytes, limits: Limits) -> Asked:
        """Keep it as pending, and queue one of the two sealed requests to its address, in one transaction.

        An active subscription stays as it is; a pending or paused one takes the new wishes.
        """
        ...

    async def confirm(self, subscription_id: str, limits: Limits) -> Subscription | None:
        """Make a pending or paused one active; None when it ended or was never confirmed in time."""
        ...

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """One that has not ended."""
        ...

    async def change(self, subscription_id: str, scope: Scope, language: str) -> Subscription | None: ...

    async def end(self, subscription_id: str) -> bool:
        """Erase its address and drop what waits for it; False when it had ended before."""
        ...

    async def found(self, channel: Channel, fingerprint: bytes) -> Sequence[Subscription]:
        """Those of one address that have not ended."""
        ...

    async def subscriptions(
        self, *, standings: Collection[Standing] = (), limit: int = 200
    ) -> Sequence[Subscription]:
        """Newest first; without `standings` those that have not ended."""
        ...

    async def counts(self) -> Mapping[tuple[Channel, Standing], int]: ...


class SubscriptionDesk:
    """What visitors do with subscriptions."""

    def __init__(
        self,
        store: SubscriptionStore,
        vault: Vault,
        *,
        private_targets: Callable[[], bool] = lambda: False,
        limits: Limits | None = None,
    ) -> None:
        """`private_targets` is asked each time whether webhooks may lead to private addresses."""
        self._store = store
        self._vault = vault
        self._private_targets = private_targets
        self._limits = limits or Limits()

    async def subscribe(
        self, channel: Channel, address: str, language: str, scope: Scope, customer: str | None = None
    ) -> Asked:
        """Send the address a request to confirm. Never show the visitor what this returns.

        Raises NotPossible for what is no address of that channel (BadAddress, TargetRefused), and for a scope
        that is too large or of no topic.
        """
        address = normalised(channel, address, private=self._private_targets())
        check_scope(scope)
        wanted = Wanted(
            channel,
            self._vault.seal(address, _ADDRESS),
            fingerprint_of(self._vault, channel, address),
            language,
            scope,
            customer,
        )
        confirm, known = (
            sealed_parcel(self._vault, Request(kind)) for kind in (RequestKind.CONFIRM, RequestKind.KNOWN)
        )
        return await self._store.ask(wanted, confirm, known, self._limits)

    async def confirm(self, token: str) -> Subscription | None:
        """Make it active. Call it for a POST only: programs that scan mails open every link in them."""
        subscription_id = id_of(self._vault, token, CONFIRM)
        return None if subscription_id is None else await self._store.confirm(subscription_id, self._limits)

    async def to_confirm(self, token: str) -> Subscription | None:
        """What `confirm` would make active. Changes nothing."""
        subscription_id = id_of(self._vault, token, CONFIRM)
        return None if subscription_id is None else await self._store.subscription(subscription_id)

    async def subscription(self, manage_token: str) -> Subscription | None:
        subscription_id = id_of(self._vault, manage_token, MANAGE)
        return None if subscription_id is None else await self._store.subscription(subscription_id)

    async def resume(self, manage_token: str) -> Subscription | None:
        """Make a paused one active again. For a POST only, as `confirm`."""
        subscription_id = id_of(self._vault, manage_token, MANAGE)
        return None if subscription_id is None else await self._store.confirm(subscription_id, self._limits)

    async def change(self, manage_token: str, scope: Scope, language: str) -> Subscription | None:
        """Raises NotPossible as `subscribe` does."""
        check_scope(scope)
        subscription_id = id_of(self._vault, manage_token, MANAGE)
        if subscription_id is None:
            return None
        return await self._store.change(subscription_id, scope, language)

    async def end(self, manage_token: str) -> bool:
        """End it and erase its address. For a POST only, as `confirm`. Repeating it does no harm."""
        subscription_id = id_of(self._vault, manage_token, MANAGE)
        return subscription_id is not None and await self._store.end(subscription_id)

    def manage_token_of(self, subscription_id: str) -> str:
        return token_of(self._vault, subscription_id, MANAGE)


def check_scope(scope: Scope) -> None:
    """Raises NotPossible for what nobody chooses on a form."""
    if not scope.topics or not all(isinstance(each, Topic) for each in scope.topics):
        raise NotPossible("choose what to be told of", hint="incidents, maintenance or degradations")
    if len(scope.component_ids) > MOST_CHOSEN or len(scope.cluster_keys) > MOST_CHOSEN:
        raise NotPossible("too many components", hint="choose clusters, or everything")


def fingerprint_of(vault: Vault, channel: Channel, address: str) -> bytes:
    """What an address in its one form is found by. Mail is found whatever the case of its letters."""
    return vault.fingerprint(address.lower() if channel is Channel.MAIL else address, f"address {channel}")


def address_of(vault: Vault, sealed: bytes) -> str:
    return vault.open(sealed, _ADDRESS)


# --- tokens: the subscription's id, and a proof that we made it

CONFIRM = "confirm subscription"
MANAGE = "manage subscription"


def token_of(vault: Vault, subscription_id: str, purpose: str) -> str:
    """Letters, digits, `-` and `_`. It tells nothing but the id, and cannot be made without the vault."""
    number = UUID(subscription_id)
    proof = vault.fingerprint(str(number), purpose)[:_TOKEN_BYTES]
    return base64.urlsafe_b64encode(number.bytes + proof).rstrip(b"=").decode()


def id_of(vault: Vault, token: str, purpose: str) -> str | None:
    """The id in a token that `token_of` made for the same purpose, else None."""
    if len(token) != 43 or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    subscription_id = str(UUID(bytes=raw[:16]))
    # Compared as made: 43 letters hold four bits more than the 32 bytes, so that several texts decode alike.
    return subscription_id if hmac.compare_digest(token_of(vault, subscription_id, purpose), token) else None
