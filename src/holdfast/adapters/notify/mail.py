"""The courier for mail: kept-alive SMTP connections to one relay (RFC 5321), used for many mails each.

What is refused is told apart by whose fault it is:

    the relay cannot be reached, secured, logged in to, or refuses our sender     unavailable: nobody's mail
    the recipient is refused for good, for what it is (5.1.x, 550 and alike)       gone
    anything else that is refused for good                                         this mail alone
    everything temporary, and a connection lost after the mail was begun           retry

A mail whose last dot was sent and not answered may have been accepted (RFC 1047): it is tried again with the
same Message-ID.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from dataclasses import dataclass, field, replace

import aiosmtplib
from aiosmtplib import SMTP

from holdfast.adapters.notify.mime import Letterhead, Unfit, mail_of, usable
from holdfast.communication.delivering import Delivery, Outcome, error_line

CONNECT_WITHIN_S = 15.0
ANSWER_WITHIN_S = 30.0
ACCEPT_WITHIN_S = 120.0
"""After the last dot: giving up early is how mails get doubled (RFC 1047)."""
FRESH_FOR_S = 60.0
"""A connection that was idle for longer is opened anew: the relay has most likely ended it."""
_CLOSING = 421
_GONE_CODES = frozenset({550, 551, 553})
_ENHANCED = re.compile(r"\b[245]\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True, slots=True)
class Relay:
    """The server that takes our mails. `security`: starttls, tls or none. Certificates are verified."""

    host: str
    port: int
    security: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    connect_within_s: float = CONNECT_WITHIN_S
    answer_within_s: float = ANSWER_WITHIN_S
    accept_within_s: float = ACCEPT_WITHIN_S


class RelayAway(Exception):  # noqa: N818  a state of affairs more than an error
    """No conversation with the relay could be begun. The text is for operators, without secrets."""


class Conversation:
    """One connection to the relay, opened when it is needed, and again after it was lost."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._smtp: SMTP | None = None
        self._used_at = 0.0

    async def send(self, sender: str, recipient: str, mail: bytes) -> Outcome:
        """One mail to one recipient. Raises nothing that the relay may cause."""
        try:
            return await self._sent(sender, recipient, mail)
        except RelayAway as error:
            await self.close()
            return Outcome(ok=False, unavailable=True, error=str(error))
        except BaseException:
            self._drop()
            raise

    async def _sent(self, sender: str, recipient: str, mail: bytes) -> Outcome:
        smtp, kept = await self._open()
        try:
            await smtp.mail(sender, timeout=self._relay.answer_within_s)
            await smtp.rcpt(recipient, timeout=self._relay.answer_within_s)
        except aiosmtplib.SMTPRecipientRefused as error:
            if error.code != _CLOSING:
                await self._reset(smtp)
                return _refused("the recipient was refused", error, recipient)
            return await self._elsewhere(sender, recipient, mail, error, kept=kept)
        except (aiosmtplib.SMTPException, OSError) as error:
            return await self._elsewhere(sender, recipient, mail, error, kept=kept)
        outcome = await self._handed_over(smtp, mail)
        self._used_at = time.monotonic()
        return outcome

    async def _elsewhere(
        self, sender: str, recipient: str, mail: bytes, error: Exception, *, kept: bool
    ) -> Outcome:
        """A kept connection may have been ended meanwhile, or have had its fill of mails: once more, anew."""
        self._drop()
        if kept and not _is_lasting(error):
            return await self._sent(sender, recipient, mail)
        raise RelayAway(_told("the relay takes no mail from us", error)) from error

    async def _handed_over(self, smtp: SMTP, mail: bytes) -> Outcome:
        try:
            await smtp.data(mail, timeout=self._relay.accept_within_s)
        except aiosmtplib.SMTPResponseException as error:
            await self._reset(smtp)
            lasting = error.code >= 500
            return Outcome(ok=False, retry=not lasting, error=_told("the mail was refused", error))
        except (aiosmtplib.SMTPException, OSError) as error:
            self._drop()
            return Outcome(ok=False, retry=True, error=_told("the connection was lost with the mail", error))
        return Outcome(ok=True)

    async def probe(self) -> str:
        """Open it, log in, and say how it is secured. Sends no mail. Raises RelayAway."""
        smtp, _ = await self._open()
        try:
            await smtp.noop(timeout=self._relay.answer_within_s)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise RelayAway(_told("the relay does not answer", error)) from error
        cipher = smtp.get_transport_info("cipher")
        secured = f"{cipher[1]}" if cipher else "not encrypted"
        return f"{secured}, {'logged in' if self._relay.username else 'no login'}"

    async def close(self) -> None:
        """Say goodbye, for as long as that is heard."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        if smtp.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await smtp.quit(timeout=1.0)
        smtp.close()

    async def _open(self) -> tuple[SMTP, bool]:
        """The connection, and whether it was open before. Raises RelayAway."""
        if self._smtp is not None:
            if self._smtp.is_connected and time.monotonic() - self._used_at < FRESH_FOR_S:
                return self._smtp, True
            await self.close()
        relay = self._relay
        try:
            smtp = SMTP(
                hostname=relay.host,
                port=relay.port,
                username=relay.username,
                password=relay.password,
                timeout=relay.answer_within_s,
                use_tls=relay.security == "tls",
                start_tls=relay.security == "starttls",
                tls_context=None if relay.security == "none" else _context(relay.ca_file),
                local_hostname=_own_name(),
            )
        except OSError as error:
            raise RelayAway(_told("the CA file cannot be used", error)) from error
        try:
            async with asyncio.timeout(relay.connect_within_s):
                await smtp.connect()
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            smtp.close()
            raise RelayAway(_told("the relay cannot be used", error)) from error
        self._smtp, self._used_at = smtp, time.monotonic()
        return smtp, False

    async def _reset(self, smtp: SMTP) -> None:
        """After a refusal the connection is as good as before, unless the relay ends it (421)."""
        try:
            await smtp.rset(timeout=self._relay.answer_within_s)
        except (aiosmtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


class Conversations:
    """As many connections to one relay as mails may be on their way at once."""

    def __init__(self, relay: Relay, connections: int) -> None:
        self._all = [Conversation(relay) for _ in range(connections)]
        # The one that was used last first: the others may be ended by the relay.
        self._idle: asyncio.LifoQueue[Conversation] = asyncio.LifoQueue()
        for each in self._all:
            self._idle.put_nowait(each)

    async def send(self, sender: str, recipient: str, mail: bytes) -> Outcome:
        conversation = await self._idle.get()
        try:
            return await conversation.send(sender, recipient, mail)
        finally:
            self._idle.put_nowait(conversation)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._all))


class MailCourier:
    """A `Courier` that holds its conversations itself."""

    def __init__(self, relay: Relay, head: Letterhead, connections: int) -> None:
        self._head = head
        self._conversations = Conversations(relay, connections)

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            mail, recipient = mail_of(delivery, self._head), usable(delivery.address)
        except Unfit as error:
            return Outcome(ok=False, error=str(error))
        return await self._conversations.send(self._head.address, recipient, mail)

    async def close(self) -> None:
        await self._conversations.close()


async def try_relay(relay: Relay) -> str:
    """How the relay answers, in a few words. Sends no mail. Raises RelayAway."""
    conversation = Conversation(replace(relay, answer_within_s=10.0))
    try:
        return await conversation.probe()
    finally:
        await conversation.close()


def _refused(what: str, error: aiosmtplib.SMTPResponseException, recipient: str) -> Outcome:
    told = _told(what, error).replace(recipient, "***")
    if error.code < 500:
        return Outcome(ok=False, retry=True, error=told)
    enhanced = _ENHANCED.search(error.message)
    # X.1.Y is about the address; X.2.Y about its mailbox (full, say); X.7.Y about us (policy, blocked).
    about_address = enhanced is None or enhanced[1] == "1"
    return Outcome(ok=False, gone=error.code in _GONE_CODES and about_address, error=told)


def _is_lasting(error: Exception) -> bool:
    return isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= 500


def _told(what: str, error: BaseException) -> str:
    """In one line. What a server says may hold anything; our own secrets are never in it."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return error_line(f"{what}: the login was refused ({error.code})")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return error_line(f"{what}: {error.code} {error.message}")
    if isinstance(error, TimeoutError):
        return f"{what}: no answer in time"
    return error_line(f"{what}: {str(error) or type(error).__name__}")


def _context(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def _own_name() -> str:
    """For EHLO. Nobody is asked: a name server may take its time."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name) else "localhost"
