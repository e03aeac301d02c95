"""A sender with web hooks that fail, while hours pass at once: tried again, paused with notice, let go."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from holdfast.adapters.memory.deliveries import MemoryDeliveries
from holdfast.adapters.memory.subscriptions import Kept, MemorySubscriptions
from holdfast.adapters.notify.outbound import Outbound
from holdfast.adapters.notify.webhook import WebhookCourier
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.delivering import Holder
from holdfast.communication.model import (
    Channel,
    ComponentChange,
    ComponentState,
    Event,
    Notice,
    Place,
    Scope,
    Standing,
)
from holdfast.communication.sending import Office, Sender, Way
from holdfast.communication.subscribing import SubscriptionDesk
from holdfast.interfaces.messages.composer import Messages
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Stationery
from holdfast.interfaces.messages.payloads import Payloads
from holdfast.kernel.clock import ManualClock
from web_receivers import WebReceiver, receiver

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VAULT = AesVault(b"k" * 32)
STATIONERY = Stationery("Printcloud", ZoneInfo("UTC"), Links("https://status.example.com"))
AGREES = "agrees"


class NoNotes:
    def add(self, key: str) -> None:
        pass

    def settle(self, keys: Sequence[str]) -> None:
        pass

    def left(self) -> Sequence[str]:
        return []


@dataclass
class Scene:
    """A sender at work over memory stores, and the clock that it goes by."""

    clock: ManualClock
    kept: Kept
    store: MemoryDeliveries
    desk: SubscriptionDesk
    sender: Sender
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    @property
    def standing(self) -> Standing:
        (row,) = self.kept.rows.values()
        return row.subscription.standing

    async def until(self, look: Callable[[], object], what: str) -> None:
        async with asyncio.timeout(60):
            while not look():
                self.sender.wake()
                await asyncio.sleep(0.01)
        assert look(), what

    async def pass_by(self, length: timedelta, step: timedelta, look: Callable[[], object]) -> None:
        """Let time pass until there is something to see, which must be within `length`."""
        for _ in range(length // step):
            if look():
                return
            self.clock.advance(step.total_seconds())
            await self.until(lambda: not self.is_due(), "what was due was tried")
        assert look()

    def is_due(self) -> bool:
        now = self.clock.now()
        return any(each.done_at is None and each.due_at <= now for each in self.kept.queue)

    def has(self, event: str) -> bool:
        """Whether the sender said so."""
        return any(each == event for each, _ in self.told)

    async def announce(self, number: int = 0) -> None:
        change = ComponentChange(1, ComponentState.OPERATIONAL, ComponentState.DEGRADED)
        at = self.clock.now() + timedelta(microseconds=number)
        notice = Notice(Event.DEGRADATION_BEGAN, at, {1: Place("eu", "EU", "api", "API")}, component=change)
        assert await self.store.announce(notice) == 1
        self.sender.wake()


@asynccontextmanager
async def scene(there: WebReceiver) -> AsyncIterator[Scene]:
    """With an active subscription of that receiver, which agreed by itself."""
    clock = ManualClock(NOW)
    kept = Kept(clock)
    store, desk = (
        MemoryDeliveries(kept),
        SubscriptionDesk(MemorySubscriptions(kept), VAULT, private_targets=lambda: True),
    )
    told: list[tuple[str, Mapping[str, object]]] = []
    composer = Messages({Channel.WEBHOOK: Payloads(STATIONERY)})
    office = Office(
        store, composer, VAULT, clock, Holder("s", "1"), NoNotes(), lambda *each: told.append(each)
    )
    courier = WebhookCourier(Outbound(private=True), VAULT, clock, desk.confirm)
    sender = Sender(office, {Channel.WEBHOOK: Way(courier, 4)})
    running = asyncio.create_task(sender.run())
    made = Scene(clock, kept, store, desk, sender, told)
    try:
        await desk.subscribe(Channel.WEBHOOK, there.url, "en", Scope())
        await made.until(lambda: made.standing is Standing.ACTIVE, "it agreed")
        await made.until(lambda: not store_waits(made), "the request is done")
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def store_waits(made: Scene) -> bool:
    return any(each.done_at is None for each in made.kept.queue)


def answering(status: Callable[[], int], **headers: str) -> Any:
    """Agrees to be told, and then answers with that status."""

    async def habit(_: web.Request, body: bytes) -> web.StreamResponse:
        challenge = json.loads(body)["holdfast"].get("challenge")
        if challenge:
            return web.Response(text=challenge)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status(), headers=named)

    return habit


def told(there: WebReceiver) -> list[str]:
    return [json.loads(got.body)["holdfast"]["event"] for got in there.received]


async def test_a_receiver_that_fails_for_a_day_is_paused_and_told_so_and_resumes() -> None:
    well = False
    async with receiver(answering(lambda: 200 if well else 503)) as there, scene(there) as made:
        await made.announce()
        await made.pass_by(timedelta(hours=30), timedelta(minutes=10), lambda: made.has("delivery_pause"))
        tries = told(there).count("degradation.began")
        assert made.clock.now() - NOW > timedelta(hours=24)
        assert 20 < tries < 60, "less and less often"
        assert len({got.headers["webhook-id"] for got in there.received[1 : tries + 1]}) == 1
        await made.until(lambda: "subscription.paused" in told(there), "the notice")
        # It answers that with its challenge: it is there again.
        await made.until(lambda: made.standing is Standing.ACTIVE, "the end of the pause")
        well = True
        await made.announce(1)
        await made.until(lambda: told(there).count("degradation.began") == tries + 1, "the next message")


async def test_who_asks_to_be_left_alone_is_left_alone() -> None:
    answers = iter([429, 200])
    habit = answering(lambda: next(answers), Retry_After="7200")
    async with receiver(habit) as there, scene(there) as made:
        await made.announce()
        await made.until(lambda: len(there.received) == 2, "the first attempt")
        await made.until(lambda: made.has("delivery_again"), "the refusal")
        for _ in range(11):
            made.clock.advance(600)
            made.sender.wake()
            await asyncio.sleep(0.03)
        assert len(there.received) == 2
        made.clock.advance(900)
        await made.until(lambda: len(there.received) == 3, "the second attempt")
    first, second = there.received[1:]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]


async def test_who_is_gone_is_erased_and_gets_nothing_that_waited() -> None:
    async with receiver(answering(lambda: 410)) as there, scene(there) as made:
        await made.announce()
        await made.announce(1)
        await made.until(lambda: made.standing is Standing.ENDED, "its end")
        assert [row.address for row in made.kept.rows.values()] == [None]
        await made.until(lambda: not store_waits(made), "nothing waits")
        assert told(there).count("degradation.began") == 1


async def test_one_that_never_answers_holds_up_nobody_else() -> None:
    async with receiver(answering(lambda: 200)) as good, scene(good) as made:
        stuck: list[int] = []

        async def sticks(_: web.Request, body: bytes) -> web.StreamResponse:
            challenge = json.loads(body)["holdfast"].get("challenge")
            if challenge:
                return web.Response(text=challenge)
            stuck.append(1)
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        async with receiver(sticks) as bad:
            await made.desk.subscribe(Channel.WEBHOOK, bad.url, "en", Scope())
            await made.until(
                lambda: all(row.subscription.standing is Standing.ACTIVE for row in made.kept.rows.values()),
                "both agreed",
            )
            change = ComponentChange(1, ComponentState.OPERATIONAL, ComponentState.DEGRADED)
            place = {1: Place("eu", "EU", "api", "API")}
            for number in range(3):
                at = made.clock.now() + timedelta(seconds=number)
                notice = Notice(Event.DEGRADATION_BEGAN, at, place, component=change)
                assert await made.store.announce(notice) == 2
            await made.until(lambda: told(good).count("degradation.began") == 3, "the good one has all")
            assert len(stuck) == 1, "of one subscription one is on its way at a time"
