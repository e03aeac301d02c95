"""The courier for mail, against real SMTP servers that are slow, full, forgetful or strict."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from relays import Mailbox, own_authority, relay

from holdfast.adapters.notify.mail import MailCourier, Relay, RelayAway, try_relay
from holdfast.adapters.notify.mime import Letterhead
from holdfast.communication.delivering import Delivery, Message, Outcome
from holdfast.communication.model import Attachment, Channel
from installation import free_port

HEAD = Letterhead("status@example.org", "Printcloud", "help@example.org")
MESSAGE = Message("Störung: API", "Wir sehen nach.\n.\n", "<p>Wir sehen nach.</p>")
_NUMBERS = count(1)


def delivery(address: str = "ann@example.org", message: Message = MESSAGE) -> Delivery:
    number = next(_NUMBERS)
    at = datetime(2026, 11, 3, 12, tzinfo=UTC)
    return Delivery(number, str(UUID(int=number)), Channel.MAIL, address, "de", message, 1, at)


@asynccontextmanager
async def courier(
    mailbox: Mailbox, connections: int = 1, relay_: Relay | None = None
) -> AsyncIterator[MailCourier]:
    made = MailCourier(relay_ or Relay("localhost", mailbox.port, "none"), HEAD, connections)
    try:
        yield made
    finally:
        await made.close()


async def test_mails_arrive_over_one_connection_that_is_kept() -> None:
    async with relay(Mailbox()) as mailbox, courier(mailbox) as sending:
        sent = [delivery(f"a{n}@example.org") for n in range(5)]
        assert [await sending.deliver(each) for each in sent] == [Outcome(ok=True)] * 5
        assert mailbox.connections == 1
        assert mailbox.ids == [f"<{each.key}@example.org>" for each in sent]
        assert mailbox.recipients == [each.address for each in sent]
        mail = mailbox.mails[0]
        assert (mail["From"], mail["To"]) == ("Printcloud <status@example.org>", "a0@example.org")
        assert mail["Reply-To"] == "help@example.org"
        assert mail["Subject"] == "Störung: API"
        text, html = mail.get_body(("plain",)), mail.get_body(("html",))
        assert text is not None
        assert html is not None
        # A line of a single dot ends a mail, unless it is written otherwise.
        assert text.get_content().replace("\r\n", "\n").startswith("Wir sehen nach.\n.\n")
        assert html.get_content().strip() == "<p>Wir sehen nach.</p>"


async def test_so_many_are_on_their_way_as_there_are_connections() -> None:
    async with relay(Mailbox(slow_s=0.05)) as mailbox, courier(mailbox, 3) as sending:
        outcomes = await asyncio.gather(*(sending.deliver(delivery()) for _ in range(9)))
        assert all(each.ok for each in outcomes)
        assert (mailbox.connections, mailbox.most_at_once) == (3, 3)


async def test_a_relay_that_is_away_is_nobodys_fault() -> None:
    async with courier(Mailbox(port=free_port())) as sending:
        outcome = await sending.deliver(delivery())
        assert (outcome.ok, outcome.unavailable, outcome.gone) == (False, True, False)
        assert "ann@" not in outcome.error


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("550 5.1.1 no such user ann@example.org", Outcome(ok=False, gone=True)),
        ("550 no such user", Outcome(ok=False, gone=True)),
        ("551 moved", Outcome(ok=False, gone=True)),
        ("552 5.2.2 mailbox full", Outcome(ok=False)),
        ("550 5.7.1 blocked by policy", Outcome(ok=False)),
        ("554 5.7.1 relay denied", Outcome(ok=False)),
        ("450 4.2.0 greylisted", Outcome(ok=False, retry=True)),
        ("452 too many", Outcome(ok=False, retry=True)),
    ],
)
async def test_a_refused_recipient_is_judged_by_the_reason(answer: str, expected: Outcome) -> None:
    async with relay(Mailbox(on_rcpt=lambda _: answer)) as mailbox, courier(mailbox) as sending:
        outcome = await sending.deliver(delivery())
        assert replace(outcome, error="") == expected
        assert answer[:3] in outcome.error
        assert "ann@example.org" not in outcome.error
        # The connection is as good as before.
        mailbox.on_rcpt = lambda _: None
        assert (await sending.deliver(delivery())).ok
        assert mailbox.connections == 1


async def test_greylisting_is_met_with_patience() -> None:
    seen: set[str] = set()

    def greylisted(address: str) -> str | None:
        new = address not in seen
        seen.add(address)
        return "451 4.7.1 try again later" if new else None

    async with relay(Mailbox(on_rcpt=greylisted)) as mailbox, courier(mailbox) as sending:
        mail = delivery()
        first, second = await sending.deliver(mail), await sending.deliver(mail)
        assert (first.retry, second.ok) == (True, True)
        assert mailbox.ids == [f"<{mail.key}@example.org>"]


@pytest.mark.parametrize(
    ("answer", "retry"), [("451 later", True), ("554 5.6.0 no spam please", False), ("552 too large", False)]
)
async def test_a_refused_mail_says_nothing_of_its_recipient(answer: str, retry: bool) -> None:
    async with relay(Mailbox(on_data=lambda: answer)) as mailbox, courier(mailbox) as sending:
        outcome = await sending.deliver(delivery())
        assert replace(outcome, error="") == Outcome(ok=False, retry=retry)
        mailbox.on_data = lambda: None
        assert (await sending.deliver(delivery())).ok


async def test_a_connection_that_is_lost_with_the_mail_leaves_it_in_doubt() -> None:
    async with relay(Mailbox(on_data=lambda: "drop")) as mailbox, courier(mailbox) as sending:
        mail = delivery()
        outcome = await sending.deliver(mail)
        assert (outcome.ok, outcome.retry, outcome.unavailable) == (False, True, False)
        mailbox.on_data = lambda: None
        # Whatever became of the first: the second is the same mail, byte for byte.
        assert (await sending.deliver(mail)).ok
        assert (await sending.deliver(mail)).ok
        assert mailbox.raw[0] == mailbox.raw[1]


async def test_a_relay_that_ends_kept_connections_is_called_again_at_once() -> None:
    answers = iter([None, "421 that was enough", None, "drop", None])
    async with relay(Mailbox(on_mail=lambda: next(answers))) as mailbox, courier(mailbox) as sending:
        assert [(await sending.deliver(delivery())).ok for _ in range(3)] == [True] * 3
        assert mailbox.connections == 3


async def test_a_relay_that_refuses_our_sender_or_is_full_is_nobodys_fault() -> None:
    for answer in ("553 who are you", "421 come back later", "451 not now"):
        async with relay(Mailbox(on_mail=lambda: answer)) as mailbox, courier(mailbox) as sending:  # noqa: B023
            outcome = await sending.deliver(delivery())
            assert (outcome.ok, outcome.unavailable) == (False, True), answer


async def test_a_relay_that_never_answers_is_given_up() -> None:
    async with relay(Mailbox(slow_s=30)) as mailbox:
        impatient = Relay("localhost", mailbox.port, "none", accept_within_s=0.2)
        async with courier(mailbox, relay_=impatient) as sending:
            outcome = await sending.deliver(delivery())
            assert replace(outcome, error="") == Outcome(ok=False, retry=True)


async def test_starttls_is_verified_and_the_login_is_used(tmp_path: Path) -> None:
    context, ca_file = own_authority(tmp_path)
    async with relay(Mailbox(), tls=context, login=("ann", "pa ss")) as mailbox:
        good = Relay(
            "localhost", mailbox.port, "starttls", "ann", "pa ss", str(ca_file), connect_within_s=60.0
        )
        async with courier(mailbox, relay_=good) as sending:
            assert (await sending.deliver(delivery())).ok
        assert "TLS" in await try_relay(good)
        assert "pa ss" not in repr(good)
        hasty = replace(good, connect_within_s=3.0)  # some of these end in waiting for each other
        for bad in (
            replace(hasty, ca_file=None),
            replace(hasty, host="127.0.0.1"),
            replace(hasty, password="guessed"),
            replace(hasty, ca_file=str(tmp_path / "none.pem")),
            replace(hasty, security="tls"),
        ):
            async with courier(mailbox, relay_=bad) as sending:
                outcome = await sending.deliver(delivery())
                assert outcome.unavailable, bad
                assert "guessed" not in outcome.error
        assert len(mailbox.mails) == 1


async def test_a_relay_without_starttls_gets_nothing_in_the_clear() -> None:
    async with relay(Mailbox()) as mailbox:
        strict = Relay("localhost", mailbox.port, "starttls")
        async with courier(mailbox, relay_=strict) as sending:
            assert (await sending.deliver(delivery())).unavailable
        with pytest.raises(RelayAway):
            await try_relay(strict)
        assert "not encrypted" in await try_relay(replace(strict, security="none"))
        assert mailbox.mails == []


async def test_attachments_arrive_as_they_were() -> None:
    content = bytes(range(256)) * 5
    message = replace(MESSAGE, attachments=(Attachment('re"port\r\n.pdf', "application/pdf", content),))
    async with relay(Mailbox()) as mailbox, courier(mailbox) as sending:
        assert (await sending.deliver(delivery(message=message))).ok
        (attached,) = mailbox.mails[0].iter_attachments()
        assert (attached.get_content(), attached.get_filename()) == (content, "re_port__.pdf")
        body = mailbox.mails[0].get_body(("plain",))
        assert body is not None
        assert body.get_content().startswith("Wir sehen nach.")


@pytest.mark.parametrize(
    "address", ["", "ann", "a@b\r\nRCPT TO:<x@y>", "a b@c", "ä@b.de", "<a@b>", "a@b,c@d", "a@b>"]
)
async def test_nothing_that_is_no_address_reaches_the_relay(address: str) -> None:
    async with relay(Mailbox()) as mailbox, courier(mailbox) as sending:
        outcome = await sending.deliver(delivery(address))
        assert replace(outcome, error="") == Outcome(ok=False)
        assert mailbox.connections == 0


async def test_no_text_can_end_a_header(tmp_path: Path) -> None:
    evil = "x\r\nBcc: victim@example.org\r\n\r\nbody\x00\x85\u2028end ä"
    message = replace(MESSAGE, subject=evil, headers={"List-Id": evil}, unsubscribe_url=f"https://x/{evil}")
    async with relay(Mailbox()) as mailbox:
        sending = MailCourier(Relay("localhost", mailbox.port, "none"), replace(HEAD, name=evil), 1)
        assert (await sending.deliver(delivery(message=message))).ok
        await sending.close()
        mail = mailbox.mails[0]
        assert "Bcc" not in mail
        assert mailbox.recipients == ["ann@example.org"]
        assert "victim@example.org" in str(mail["Subject"])
        assert mail.get_body(("html",)) is not None
