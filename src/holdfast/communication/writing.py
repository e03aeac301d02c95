"""From what was claimed to a delivery: what is sealed is opened, what is to be said is composed."""

from collections import OrderedDict

from holdfast.communication.delivering import (
    Announcement,
    Claimed,
    Composer,
    Delivery,
    DeliveryStore,
    Message,
    Recipient,
    Request,
)
from holdfast.communication.sealing import opened_parcel
from holdfast.communication.subscribing import CONFIRM, MANAGE, address_of, token_of
from holdfast.kernel.vault import Vault

KEPT_ANNOUNCEMENTS = 32


class WritingDesk:
    """Makes a delivery of what was claimed: opens what is sealed, and has it composed."""

    def __init__(self, store: DeliveryStore, composer: Composer, vault: Vault) -> None:
        self._store = store
        self._composer = composer
        self._vault = vault
        self._announcements: OrderedDict[str, Announcement] = OrderedDict()

    async def written(self, claimed: Claimed) -> Delivery:
        vault = self._vault
        address = "" if claimed.address is None else address_of(vault, claimed.address)
        if claimed.sealed is None:
            announcement = await self._announcement(claimed.announcement_id or "")
            message = self._composer.announced(announcement, self._recipient(claimed))
            return _delivery(claimed, address, message)
        parcel = opened_parcel(vault, claimed.sealed)
        if isinstance(parcel, Request):
            return _delivery(claimed, address, self._composer.requested(parcel, self._recipient(claimed)))
        recipient = Recipient(claimed.channel, claimed.language)
        return _delivery(claimed, parcel.to, self._composer.letter(parcel, recipient))

    def _recipient(self, claimed: Claimed) -> Recipient:
        subscription = claimed.subscription_id or ""
        manage, confirm = (token_of(self._vault, subscription, each) for each in (MANAGE, CONFIRM))
        return Recipient(claimed.channel, claimed.language, subscription, manage, confirm)

    async def _announcement(self, announcement_id: str) -> Announcement:
        """Read once for all of its deliveries."""
        found = self._announcements.get(announcement_id)
        if found is None:
            found = await self._store.announcement(announcement_id)
            self._announcements[announcement_id] = found
            if len(self._announcements) > KEPT_ANNOUNCEMENTS:
                self._announcements.popitem(last=False)
        return found


def _delivery(claimed: Claimed, address: str, message: Message) -> Delivery:
    return Delivery(
        claimed.id,
        claimed.key,
        claimed.channel,
        address,
        claimed.language,
        message,
        claimed.attempt,
        claimed.queued_at,
        claimed.subscription_id or "",
    )
