"""Messages that really arrive: what every notifier promises, over real HTTP and SMTP and in memory."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import StringIO

import pytest
from receivers import PASSWORD, MailServer, Webhook

from holdfast.adapters.memory.notify import MemoryNotifier
from holdfast.adapters.notify.channels import MOST_HANGING, AppriseNotifier, ChannelUnusable, check_url
from holdfast.adapters.notify.secrecy import without_parts_of
from holdfast.availability.alerting.model import Message, Severity
from holdfast.availability.alerting.ports import Notifier
from holdfast.kernel.errors import HoldfastError, Remedy

PAGE = Message(
    "[PAGE] eu/api is down: ü & <b>", "PAGE  eu/api is down\n  since 03:00, 5 < 6", Severity.PAGE, "key-1"
)
SHORT_S = 0.5
PATIENCE_S = 60.0


class MissingError(HoldfastError):
    remedy = Remedy.PERMANENT


class UnsetError(HoldfastError):
    remedy = Remedy.NEEDS_OPERATOR


@dataclass
class Sent:
    """A notifier with a channel `ops` that works, and ways to see what came and to change the channel."""

    notifier: Notifier
    received: Callable[[], list[tuple[str, str]]]
    refuse: Callable[[], None]


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with Webhook().running() as webhook:
        yield webhook


@pytest.fixture
def root_log() -> Iterator[StringIO]:
    """All that a log at its most talkative would get."""
    root, stream = logging.getLogger(), StringIO()
    handler, level = logging.StreamHandler(stream), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def known(urls: dict[str, str]) -> Callable[[str], str]:
    """The URLs of channels, as the estate would have them."""

    def url_of(channel: str) -> str:
        if channel not in urls:
            raise MissingError(f"no channel is called {channel!r}")
        if not urls[channel]:
            raise UnsetError("env:OPS: there is no such environment variable")
        return urls[channel]

    return url_of


@pytest.fixture(params=["memory", "webhook", "mail"])
async def sent(request: pytest.FixtureRequest) -> AsyncIterator[Sent]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            memory = MemoryNotifier()
            memory.lost.add("nowhere")
            yield Sent(
                memory,
                lambda: [(m.title, f"{m.body}\n\nnotice {m.key}") for m in memory.received["ops"]],
                lambda: memory.refusing.add("ops"),
            )
            return
        urls: dict[str, str] = {}
        if request.param == "webhook":
            hook = await stack.enter_async_context(Webhook().running())
            urls["ops"] = hook.url()
            yield Sent(
                AppriseNotifier(known(urls)),
                lambda: [(each["title"], each["message"]) for each in hook.received],
                lambda: urls.update(ops=hook.url("wrong-secret")),
            )
        else:
            post = await stack.enter_async_context(MailServer().running())
            urls["ops"] = post.url()
            yield Sent(
                AppriseNotifier(known(urls)),
                lambda: [(title, text.strip().replace("\r\n", "\n")) for title, text in post.received],
                lambda: urls.update(ops=post.url("wrong-secret")),
            )


# --- what every notifier promises


async def test_a_message_arrives_as_it_was_written_with_its_key(sent: Sent) -> None:
    outcome = await sent.notifier.send("ops", PAGE)
    assert outcome.ok, outcome
    assert sent.received() == [(PAGE.title, f"{PAGE.body}\n\nnotice key-1")]


async def test_a_refusal_is_told_and_may_pass(sent: Sent) -> None:
    sent.refuse()
    outcome = await sent.notifier.send("ops", PAGE)
    assert not outcome.ok
    assert not outcome.lasting
    assert outcome.detail
    assert "secret" not in outcome.detail
    assert sent.received() == []


async def test_a_channel_that_is_not_there_is_lasting(sent: Sent) -> None:
    outcome = await sent.notifier.send("nowhere", PAGE)
    assert not outcome.ok
    assert outcome.lasting


async def test_many_messages_all_arrive_in_order(sent: Sent) -> None:
    messages = [Message(f"title {number}", "body", None, str(number)) for number in range(5)]
    outcomes = await asyncio.gather(*(sent.notifier.send("ops", each) for each in messages))
    assert all(outcome.ok for outcome in outcomes)
    assert [title for title, _ in sent.received()] == [each.title for each in messages]


# --- Apprise: kinds and secrets


async def test_urgency_becomes_the_services_own_words(webhook: Webhook) -> None:
    notifier = AppriseNotifier(known({"ops": webhook.url()}))
    ticket = Message("t", "b", Severity.TICKET, "k")
    for message in (PAGE, ticket, Message("t", "b", None, "k"), Message("t", "b", None)):
        assert (await notifier.send("ops", message)).ok
    assert [each["type"] for each in webhook.received] == ["failure", "warning", "success", "info"]


async def test_no_failure_tells_any_part_of_the_url(
    webhook: Webhook, root_log: StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = {
        "wrong-password": webhook.url("wrong-secret"),
        "closed": "json://user-secret:pw-secret@127.0.0.1:1/path-secret",
        "no-host": "json://:wrong-secret@/",
        "no-service": "nosuch-secret://pw-secret@host-secret/token-secret",
        "no-url": "just-a-secret",
        "half": "slack://T1JJ3T3L2secret/A1BRTD4JD",
        "unset": "",
    }
    notifier = AppriseNotifier(known(urls))
    for channel in urls:
        outcome = await notifier.send(channel, PAGE)
        assert not outcome.ok, channel
        assert "secret" not in outcome.detail, channel
        assert outcome.detail.isprintable()
    assert "401" in (await notifier.send("wrong-password", PAGE)).detail
    streams = capfd.readouterr()
    logging.getLogger("holdfast").warning("this is heard")
    assert "this is heard" in root_log.getvalue()
    for text in (root_log.getvalue(), streams.out, streams.err):
        assert "secret" not in text


def test_every_way_to_write_a_secret_is_taken_out() -> None:
    url = "json://user:p%40ss%20word@host.example/a%2Fb-token?+X-Key=Header+Value&to=x"
    said = "p@ss word, p%40ss%20word, P@SS WORD; a/b-token, a%2Fb-token; Header Value, Header+Value"
    cleaned = without_parts_of(url, f"{said}; at host.example")
    for part in ("ss", "word", "token", "Header", "Value", "host"):
        assert part not in cleaned
    assert without_parts_of(url, "error=401, Unauthorized") == "error=401, Unauthorized"


def test_a_url_is_checked_without_sending_and_named_by_its_service() -> None:
    assert check_url(f"json://user:{PASSWORD}@127.0.0.1:1/") == "JSON"
    assert check_url("mailtos://user:pw@example.com ") == "E-Mail"
    for bad in ("nosuch://secret@host", "secret", "", "slack://secret"):
        with pytest.raises(ChannelUnusable) as refused:
            check_url(bad)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None


# --- Apprise: what hangs


async def test_a_hanging_service_is_given_up_and_delays_no_other(webhook: Webhook) -> None:
    async with Webhook().running() as stuck:
        stuck.stuck = True
        # A reader that waits far longer than we do.
        notifier = AppriseNotifier(
            known({"ops": webhook.url(), "stuck": f"{stuck.url()}&rto=600"}), timeout_s=SHORT_S
        )
        patient = AppriseNotifier(known({"ops": webhook.url()}), timeout_s=PATIENCE_S)
        hanging = [asyncio.create_task(notifier.send("stuck", PAGE)) for _ in range(6)]
        await until(lambda: stuck.asked > 0)
        assert (await patient.send("ops", PAGE)).ok
        assert not all(task.done() for task in hanging)
        outcomes = await asyncio.gather(*hanging)
        assert [each.ok for each in outcomes] == [False] * 6
        assert [each.detail for each in outcomes] == [
            *["no answer within 0.5 s"] * MOST_HANGING,
            *["earlier messages to this channel still hang"] * (6 - MOST_HANGING),
        ]
        assert stuck.asked <= MOST_HANGING
        assert len(threads()) <= MOST_HANGING
        assert all(thread.daemon for thread in threads())
    await ended()
    # The threads have ended with their connections: the channel is tried again.
    assert (await notifier.send("stuck", PAGE)).detail != "earlier messages to this channel still hang"


async def test_a_message_that_is_cancelled_leaves_nothing_behind(webhook: Webhook) -> None:
    webhook.stuck = True
    notifier = AppriseNotifier(known({"ops": f"{webhook.url()}&rto=600"}), timeout_s=PATIENCE_S)
    sending = asyncio.create_task(notifier.send("ops", PAGE))
    await until(lambda: webhook.asked > 0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("channel-")]


async def ended() -> None:
    """Return once no thread of a channel is left, and what they had to say was heard."""
    await until(lambda: not threads())
    await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Threads and sockets of others are waited for: there is no event to wait on."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
async def no_thread_is_left() -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(PATIENCE_S):
        await ended()
