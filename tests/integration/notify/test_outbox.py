"""The outbox under a killed sender, a database that goes away, and channels that hang."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from receivers import Webhook

from holdfast.adapters.memory.alerting import MemoryAlerts
from holdfast.adapters.memory.notify import MemoryNotifier
from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.alerting import PostgresAlerts
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.alerting.model import Delivery, Message, Notice, Reason, Round, Severity
from holdfast.availability.alerting.service import GIVE_UP_AFTER, LONGEST_RETRY, Deliveries, again_in
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import HoldfastError

if TYPE_CHECKING:
    from conftest import Database

SENDER = Path(__file__).with_name("killed_sender.py")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with Webhook().running() as webhook:
        yield webhook


@pytest.fixture
async def alerts(migrated_database: "Database") -> AsyncIterator[PostgresAlerts]:
    async with open_pool(migrated_database.conninfo(Role.CONTROLLER), "alerting") as pool:
        yield PostgresAlerts(pool)


async def queue(store: PostgresAlerts | MemoryAlerts, *channels: str) -> None:
    messages = [
        (Notice(each, "group", Reason.OPEN, NOW), Message("[PAGE] eu/api is down", "body", Severity.PAGE))
        for each in channels
    ]
    assert await store.record((await store.board()).version, Round(messages=messages))


class Told:
    """The events of a sender."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        self.events.append((event, facts))

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.events]


@pytest.mark.parametrize(("stop", "received"), [("claimed", 1), ("sent", 2)])
async def test_a_sender_that_is_killed_loses_nothing(
    migrated_database: "Database", alerts: PostgresAlerts, webhook: Webhook, stop: str, received: int
) -> None:
    """Killed before it sent: sent once. Killed before it was marked: sent twice, with one key."""
    await queue(alerts, "ops")
    asked = {
        "database": migrated_database.conninfo(Role.CONTROLLER).parameters,
        "url": webhook.url(),
        "stop": stop,
        "lease_s": 3,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SENDER)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    await process.stdin.drain()
    try:
        assert (await process.stdout.readline()).decode().strip() == stop
        (waiting,) = await alerts.waiting()
        assert waiting.messages == 1
    finally:
        process.kill()
        await process.wait()
        process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await process.stdin.wait_closed()
    notifier = AppriseNotifier(lambda _: webhook.url())
    deliveries = Deliveries(
        alerts, notifier, SystemClock(), lease=timedelta(minutes=1), on_event=lambda *_: None
    )
    while await alerts.waiting():
        await deliveries.start_due()
        await deliveries.settled()
        await asyncio.sleep(0.05)
    keys = {each["message"].rpartition("notice ")[2] for each in webhook.received}
    assert len(webhook.received) == received
    assert len(keys) == 1
    assert keys != {""}


async def test_two_senders_send_each_message_once(alerts: PostgresAlerts, webhook: Webhook) -> None:
    await queue(alerts, *(f"c{number}" for number in range(10)))
    senders = [
        Deliveries(
            alerts,
            AppriseNotifier(lambda _: webhook.url()),
            SystemClock(),
            lease=timedelta(minutes=1),
            on_event=lambda *_: None,
        )
        for _ in range(2)
    ]
    while await alerts.waiting():
        await asyncio.gather(*(sender.start_due() for sender in senders))
        await asyncio.gather(*(sender.settled() for sender in senders))
    keys = [each["message"].rpartition("notice ")[2] for each in webhook.received]
    assert len(keys) == len(set(keys)) == 10


async def test_a_hanging_channel_holds_up_no_other_and_is_tried_again() -> None:
    clock, told, notifier = ManualClock(NOW), Told(), MemoryNotifier(timeout_s=60)
    store = MemoryAlerts(clock)
    notifier.hanging.add("stuck")
    deliveries = Deliveries(store, notifier, clock, lease=timedelta(minutes=2), on_event=told)
    await queue(store, "stuck", "ops")
    await queue(store, "ops")
    assert await deliveries.start_due() == 2
    while len(notifier.received["ops"]) < 2:
        await asyncio.sleep(0)
        await deliveries.start_due()
    await deliveries.close()
    assert [each.channel for each in await store.waiting()] == ["stuck"]
    assert "alert_delivery_broke" not in told.names
    notifier.hanging.clear()
    assert await deliveries.start_due() == 0
    clock.advance(121)
    assert await deliveries.start_due() == 1
    await deliveries.settled()
    assert list(await store.waiting()) == []


async def test_a_refusal_is_tried_again_with_growing_pauses_and_given_up_after_a_day() -> None:
    clock, told, notifier = ManualClock(NOW), Told(), MemoryNotifier()
    store = MemoryAlerts(clock)
    notifier.refusing.add("ops")
    deliveries = Deliveries(store, notifier, clock, lease=timedelta(minutes=2), on_event=told)
    await queue(store, "ops")
    moments = []
    while await store.waiting():
        if await deliveries.start_due():
            moments.append(clock.now() - NOW)
            await deliveries.settled()
        clock.advance(5)
    assert moments[:5] == [timedelta(seconds=seconds) for seconds in (0, 5, 15, 35, 75)]
    assert timedelta() <= moments[-1] - GIVE_UP_AFTER <= LONGEST_RETRY
    assert set(told.names) == {"alert_not_delivered", "alert_given_up"}
    assert told.names.count("alert_given_up") == 1


async def test_a_channel_that_left_the_estate_is_given_up_at_once() -> None:
    clock, told, notifier = ManualClock(NOW), Told(), MemoryNotifier()
    store = MemoryAlerts(clock)
    notifier.lost.add("ops")
    deliveries = Deliveries(store, notifier, clock, lease=timedelta(minutes=2), on_event=told)
    await queue(store, "ops")
    await deliveries.start_due()
    await deliveries.settled()
    assert told.names == ["alert_given_up"]
    assert list(await store.waiting()) == []


def test_pauses_are_bounded_for_any_number_of_failures() -> None:
    assert again_in(10_000, timedelta()) == LONGEST_RETRY
    assert again_in(1, GIVE_UP_AFTER) is None


class AwayAlerts(MemoryAlerts):
    """The first marks fail, as they do while a database is away."""

    away = 1

    async def sent(self, delivery: Delivery) -> None:
        if self.away:
            self.away -= 1
            raise HoldfastError("the database is away")
        await super().sent(delivery)


async def test_a_database_that_is_away_while_marking_makes_no_second_message() -> None:
    clock, told, notifier = ManualClock(NOW), Told(), MemoryNotifier()
    store = AwayAlerts(clock)
    deliveries = Deliveries(store, notifier, clock, lease=timedelta(minutes=2), on_event=told)
    await queue(store, "ops")
    await deliveries.start_due()
    await deliveries.settled()
    assert len(notifier.received["ops"]) == 1
    assert told.names == ["alert_delivered"]
    assert list(await store.waiting()) == []


class BrokenNotifier(MemoryNotifier):
    async def send(self, channel: str, message: Message) -> object:  # type: ignore[override]
        raise ValueError(f"{channel} {message.title}: token-secret")


async def test_a_fault_of_ours_is_told_without_its_text_and_the_message_stays() -> None:
    clock, told = ManualClock(NOW), Told()
    store = MemoryAlerts(clock)
    deliveries = Deliveries(store, BrokenNotifier(), clock, lease=timedelta(minutes=2), on_event=told)
    await queue(store, "ops")
    await deliveries.start_due()
    await deliveries.settled()
    assert told.events == [("alert_delivery_broke", {"channel": "ops", "error": "ValueError"})]
    assert len(await store.waiting()) == 1
