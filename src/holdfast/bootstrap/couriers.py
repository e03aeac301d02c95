"""The couriers of every channel that an estate allows, and what composes their messages."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import structlog

from holdfast.adapters.notify.mail import Relay
from holdfast.adapters.notify.mime import Letterhead
from holdfast.adapters.notify.outbound import Outbound
from holdfast.adapters.notify.postman import PostmanCourier
from holdfast.adapters.notify.webhook import WebhookCourier
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.bootstrap.estates import secret_of
from holdfast.communication.delivering import Composer
from holdfast.communication.model import Channel
from holdfast.communication.sending import Way
from holdfast.communication.subscribing import SubscriptionDesk
from holdfast.estate.communication import Mail
from holdfast.estate.model import Estate, zone
from holdfast.interfaces.messages.chats import Chats
from holdfast.interfaces.messages.composer import Messages
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Mails, Stationery
from holdfast.interfaces.messages.payloads import Payloads
from holdfast.interfaces.site.i18n import offered
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault

POSTED_AT_ONCE = {Channel.WEBHOOK: 100, Channel.SLACK: 8, Channel.TEAMS: 8}
"""A receiver may take ten seconds to answer: many of those must not hold up the others for long."""

log = structlog.get_logger()


def composer_of(estate: Estate) -> Composer:
    """Messages as this estate's site writes them."""
    site = estate.site
    stationery = Stationery(site.title, zone(site.time_zone), links_of(estate), offered(site.languages))
    chats = Chats(stationery)
    return Messages(
        {
            Channel.MAIL: Mails(stationery),
            Channel.WEBHOOK: Payloads(stationery),
            Channel.SLACK: chats,
            Channel.TEAMS: chats,
        }
    )


def links_of(estate: Estate) -> Links:
    """Links to the site's public address; without one, to where it listens, which serves on this machine."""
    return Links((estate.site.url or f"http://{estate.site.listen}").rstrip("/"))


@contextlib.asynccontextmanager
async def couriers_of(
    estate: Estate, config: Path, pool: Pool, vault: Vault, clock: Clock, notes: Path
) -> AsyncIterator[Mapping[Channel, Way]]:
    """A courier for each channel, closed at the end. One that cannot be had is told of and left out.

    `notes` is where the postman notes what was accepted.
    """
    async with contextlib.AsyncExitStack() as stack:
        ways: dict[Channel, Way] = {}
        if estate.mail is not None:
            try:
                courier = mail_courier(estate.mail, estate.site.title, config, notes)
            except HoldfastError as error:
                # Its password, say, is not there yet: what waits for it goes on waiting.
                log.error("mail_not_sent", error=str(error), hint=error.hint)  # noqa: TRY400
            else:
                stack.push_async_callback(courier.close)
                ways[Channel.MAIL] = Way(courier, estate.mail.connections)
        yield ways | posted_ways(estate, pool, vault, clock)


def posted_ways(estate: Estate, pool: Pool, vault: Vault, clock: Clock) -> dict[Channel, Way]:
    """Of the channels that are posted to. One that is offered no longer still serves who has subscribed."""
    outbound = Outbound(private=estate.communication.subscriptions.private_targets)
    desk = SubscriptionDesk(PostgresSubscriptions(pool), vault)
    courier = WebhookCourier(outbound, vault, clock, desk.confirm)
    return {channel: Way(courier, at_once) for channel, at_once in POSTED_AT_ONCE.items()}


def mail_courier(mail: Mail, title: str, config: Path, notes: Path) -> PostmanCourier:
    """Raises SecretError."""
    head = Letterhead(mail.sender, title, mail.reply_to or "")
    return PostmanCourier(relay_of(mail, config), head, mail.connections, notes)


def relay_of(mail: Mail, config: Path) -> Relay:
    """Raises SecretError. A CA file is looked for beside the estate file."""
    password = None if mail.password is None else secret_of(config, mail.password)
    ca_file = None if mail.ca_file is None else config.absolute().parent / mail.ca_file
    known = None if ca_file is None else str(ca_file)
    return Relay(mail.host, mail.port, mail.security, mail.username, password, known)
