"""Couriers of web hooks, Slack and Teams against receivers on loopback, and what comes of each answer."""

import base64
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web

from holdfast.adapters.notify.outbound import Answered, Outbound
from holdfast.adapters.notify.webhook import (
    LONGEST_RETRY_AFTER,
    MOST_CHALLENGES,
    WebhookCourier,
    answers,
    retry_after,
)
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.delivering import Delivery, Message
from holdfast.communication.model import Channel
from holdfast.communication.signing import signing_secret
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import HoldfastError
from web_receivers import WebReceiver, never_answers, receiver, says

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VAULT = AesVault(b"k" * 32)
SUBSCRIPTION = "6f2b7f0e-4c39-4f7c-9a35-1a3b8c1f8d11"
KEY = "0d5c6e8a-5f9e-4a57-8f15-0a6a3a4f9f10"
CHALLENGE = "a-token-that-proves-consent"


class Desk:
    """Confirms, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.confirmed: list[str] = []
        self._away = away

    async def __call__(self, token: str) -> None:
        if self._away:
            raise HoldfastError("the database is away")
        self.confirmed.append(token)


def courier(desk: Desk | None = None, *, patience_s: float = 10.0) -> WebhookCourier:
    outbound = Outbound(private=True, patience_s=patience_s)
    return WebhookCourier(outbound, VAULT, ManualClock(NOW), desk or Desk())


def delivery(there: WebReceiver | str, channel: Channel = Channel.WEBHOOK, **changes: Any) -> Delivery:
    made = Delivery(
        id=1,
        key=KEY,
        channel=channel,
        address=there if isinstance(there, str) else there.url,
        language="en",
        message=Message(content='{"name": "Zürich"}'.encode()),
        attempt=1,
        queued_at=NOW,
        subscription_id=SUBSCRIPTION,
    )
    return replace(made, **changes)


async def test_a_receiver_can_tell_that_a_message_is_ours_and_that_it_has_it_already() -> None:
    async with receiver() as there:
        for attempt in (1, 2):
            assert (await courier().deliver(delivery(there, attempt=attempt))).ok
    secret = signing_secret(VAULT, SUBSCRIPTION)
    for got in there.received:
        assert got.headers["webhook-id"] == got.headers["idempotency-key"] == KEY
        assert got.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
        assert got.headers["content-type"] == "application/json"
        assert got.headers["user-agent"].startswith("Holdfast/")
        signed = f"{KEY}.{got.headers['webhook-timestamp']}.".encode() + got.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
        assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert there.received[0].body == there.received[1].body


def test_each_subscription_has_a_secret_of_its_own() -> None:
    other = "11111111-4c39-4f7c-9a35-1a3b8c1f8d11"
    secrets = {signing_secret(VAULT, SUBSCRIPTION), signing_secret(VAULT, other)}
    secrets |= {signing_secret(AesVault(b"o" * 32), SUBSCRIPTION)}
    assert len(secrets) == 3
    assert signing_secret(VAULT, SUBSCRIPTION.upper()) in secrets


async def test_slack_and_teams_get_no_signature() -> None:
    async with receiver(says(200, "ok")) as there:
        for channel in (Channel.SLACK, Channel.TEAMS):
            assert (await courier().deliver(delivery(there, channel))).ok
    for got in there.received:
        assert not got.headers.keys() & {"webhook-signature", "webhook-id", "idempotency-key"}


@pytest.mark.parametrize(
    ("channel", "status", "body", "ok", "gone"),
    [
        (Channel.WEBHOOK, 200, "", True, False),
        (Channel.WEBHOOK, 204, "", True, False),
        (Channel.WEBHOOK, 303, "", False, False),
        (Channel.WEBHOOK, 400, "", False, False),
        (Channel.WEBHOOK, 404, "no_service", False, False),
        (Channel.WEBHOOK, 410, "", False, True),
        (Channel.WEBHOOK, 500, "", False, False),
        (Channel.SLACK, 200, "ok", True, False),
        (Channel.SLACK, 404, "no_service\n", False, True),
        (Channel.SLACK, 404, "channel_not_found", False, True),
        (Channel.SLACK, 403, "no_team", False, True),
        (Channel.SLACK, 410, "channel_is_archived", False, True),
        (Channel.SLACK, 403, "action_prohibited", False, False),
        (Channel.SLACK, 404, "<html>", False, False),
        (Channel.TEAMS, 202, "", True, False),
        (Channel.TEAMS, 410, "", False, True),
        (
            Channel.TEAMS,
            200,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
            False,
            False,
        ),
    ],
)
async def test_what_comes_of_an_answer(
    channel: Channel, status: int, body: str, ok: bool, gone: bool
) -> None:
    async with receiver(says(status, body)) as there:
        outcome = await courier().deliver(delivery(there, channel))
    assert (outcome.ok, outcome.gone) == (ok, gone)
    assert outcome.retry is not (ok or gone)
    assert bool(outcome.error) is not ok
    assert not outcome.unavailable


async def test_who_asks_to_be_left_alone_is() -> None:
    async with receiver(says(429, Retry_After="120")) as there:
        outcome = await courier().deliver(delivery(there))
    assert (outcome.retry, outcome.retry_after) == (True, timedelta(minutes=2))


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("", timedelta()),
        ("0", timedelta()),
        (" 7 ", timedelta(seconds=7)),
        ("9" * 5000, LONGEST_RETRY_AFTER),
        ("-5", timedelta()),
        ("1.5", timedelta()),
        ("²", timedelta()),  # a digit, and no number
        ("soon", timedelta()),
        ("Sun, 22 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Sun, 22 Nov 2026 11:00:00 GMT", timedelta()),
        ("Sun, 22 Nov 2099 11:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Sun, 99 Nov 2026 11:00:00 GMT", timedelta()),
    ],
)
def test_the_wait_that_is_asked_for_is_bounded(header: str, wait: timedelta) -> None:
    assert retry_after(header, NOW) == wait


async def test_a_slow_receiver_and_a_refused_one_are_tried_again() -> None:
    async with receiver(never_answers) as there:
        slow = await courier(patience_s=0.3).deliver(delivery(there))
    inner = await courier().deliver(delivery("http://169.254.169.254/latest"))
    gone = await courier().deliver(delivery("http://nobody.invalid/secret-path"))
    for outcome in (slow, inner, gone):
        assert (outcome.ok, outcome.retry, outcome.gone) == (False, True, False)
        assert outcome.error
        assert "secret-path" not in outcome.error


# Consent


async def echoes(_: web.Request, body: bytes) -> web.StreamResponse:
    return web.Response(text=json.loads(body)["holdfast"]["challenge"])


def challenging(there: WebReceiver, attempt: int = 1, channel: Channel = Channel.WEBHOOK) -> Delivery:
    content = json.dumps({"holdfast": {"challenge": CHALLENGE}}).encode()
    return delivery(there, channel, attempt=attempt, message=Message(content=content, challenge=CHALLENGE))


async def test_a_receiver_that_answers_with_the_challenge_has_agreed() -> None:
    desk = Desk()
    async with receiver(echoes) as there:
        assert (await courier(desk).deliver(challenging(there))).ok
    assert desk.confirmed == [CHALLENGE]


@pytest.mark.parametrize(
    "habit",
    [
        says(200),
        says(200, "ok"),
        says(200, CHALLENGE[:-1]),
        says(200, f"<html>{CHALLENGE}</html>"),
        says(200, json.dumps({"holdfast": {"challenge": CHALLENGE}})),
        says(202, "[" * 100_000),
    ],
)
async def test_a_receiver_that_says_yes_to_everything_has_not_agreed(habit: Any) -> None:
    desk = Desk()
    async with receiver(habit) as there:
        assert (await courier(desk).deliver(challenging(there))).ok
    assert desk.confirmed == []


async def test_a_challenge_is_answered_with_success_only_and_by_web_hooks_only() -> None:
    desk = Desk()
    async with receiver(says(500, CHALLENGE)) as there:
        assert not (await courier(desk).deliver(challenging(there))).ok
    async with receiver(echoes) as there:
        assert (await courier(desk).deliver(challenging(there, channel=Channel.SLACK))).ok
        assert (
            await courier(desk).deliver(
                delivery(there, message=Message(content=b'{"holdfast":{"challenge":""}}'))
            )
        ).ok
    assert desk.confirmed == []


def test_the_challenge_may_be_answered_as_text_or_as_json() -> None:
    for body in (CHALLENGE, f" {CHALLENGE}\r\n", json.dumps({"challenge": CHALLENGE})):
        assert answers(Answered(200, body.encode()), CHALLENGE)
    for body in (b"", b"\xff", b"null", b'{"challenge": null}', b'{"challenge": "\\ud800"}', b"1"):
        assert not answers(Answered(200, body), CHALLENGE)


async def test_a_stranger_is_asked_a_few_times_and_no_more() -> None:
    async with receiver(says(404)) as there:
        outcomes = [await courier().deliver(challenging(there, attempt)) for attempt in (1, 2, 3, 4)]
    assert [outcome.retry for outcome in outcomes] == [attempt < MOST_CHALLENGES for attempt in (1, 2, 3, 4)]


async def test_consent_is_not_lost_while_our_database_is_away() -> None:
    async with receiver(echoes) as there:
        outcome = await courier(Desk(away=True)).deliver(challenging(there))
    assert (outcome.ok, outcome.unavailable) == (False, True)
