"""The sender over stores in memory: what it does with what couriers say, and with faults of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from holdfast.adapters.memory.deliveries import MemoryDeliveries, MemoryLetterbox
from holdfast.adapters.memory.subscriptions import Kept, MemorySubscriptions
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.delivering import Claimed, Composer, Delivery, Holder, Outcome
from holdfast.communication.model import (
    Channel,
    ComponentState,
    Event,
    Impact,
    Incident,
    Letter,
    Notice,
    Phase,
    Place,
    Scope,
    Standing,
    Update,
)
from holdfast.communication.sending import Office, Pace, Sender, Way
from holdfast.communication.subscribing import CONFIRM, SubscriptionDesk, token_of
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Mails, Stationery
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import HoldfastError, Remedy

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
VAULT = AesVault(bytes(32))


class Away(HoldfastError):  # noqa: N818
    remedy = Remedy.TRANSIENT


class Courier:
    """Says what it is told to, and remembers."""

    def __init__(self) -> None:
        self.delivered: list[Delivery] = []
        self.answer: Callable[[Delivery], Outcome] = lambda _: Outcome(ok=True)

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.delivered.append(delivery)
        await asyncio.sleep(0)
        return self.answer(delivery)


@dataclass
class Notes:
    """An `Accepted` in memory."""

    before: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        self.noted.append(key)

    def settle(self, keys: Sequence[str]) -> None:
        self.settled += keys

    def left(self) -> Sequence[str]:
        return self.before


class Deliveries(MemoryDeliveries):
    """A database that is away for a while."""

    away = False

    async def sent(self, keys: Sequence[str]) -> None:
        if self.away:
            raise Away("the database is away")
        await super().sent(keys)

    async def claim(
        self, channel: Channel, limit: int, lease: timedelta, holder: Holder
    ) -> Sequence[Claimed]:
        if self.away:
            raise Away("the database is away")
        return await super().claim(channel, limit, lease, holder)


@dataclass
class Desk:
    """A sender's surroundings."""

    clock: ManualClock
    kept: Kept
    store: Deliveries
    courier: Courier
    notes: Notes
    events: list[str]
    composer: Composer
    at_once: int = 3

    async def subscribers(self, count: int) -> None:
        desk = SubscriptionDesk(MemorySubscriptions(self.kept), VAULT)
        for number in range(count):
            await desk.subscribe(Channel.MAIL, f"a{number}@example.org", "en", Scope())
        for each in list(self.kept.rows):
            await desk.confirm(token_of(VAULT, each, CONFIRM))
        self.kept.queue.clear()

    async def announce(self, event: Event = Event.INCIDENT_DECLARED, after: float = 0) -> None:
        at = NOW + timedelta(seconds=after)
        affected = {1: ComponentState.MAJOR_OUTAGE}
        said = Update("u00000000001", at, "investigating", "We look.", "ann", affected)
        incident = Incident("i00000000001", "API", Impact.MAJOR, Phase.INVESTIGATING, at, affected, (said,))
        await self.store.announce(Notice(event, at, {1: Place("eu", "Europe", "api", "API")}, incident))

    def tell(self, event: str, facts: Mapping[str, object]) -> None:
        assert "@example.org" not in str(facts), "no address is told of"
        self.events.append(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sender]:
        holder = Holder("here", str(len(self.events)))
        pace = Pace(0.01, 0.01, 0.01, 0.01, 0.01)
        office = Office(self.store, self.composer, VAULT, self.clock, holder, self.notes, self.tell, pace)
        sender = Sender(office, {Channel.MAIL: Way(self.courier, self.at_once)})
        task = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def waiting(self) -> int:
        return sum(each.done_at is None for each in self.kept.queue)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
def desk() -> Desk:
    clock = ManualClock(NOW)
    kept = Kept(clock)
    mails = Mails(Stationery("Print", ZoneInfo("UTC"), Links("https://status.example.org")))
    return Desk(clock, kept, Deliveries(kept), Courier(), Notes(), [], mails)


async def test_everybody_is_told_once_and_an_end_after_its_beginning(desk: Desk) -> None:
    await desk.subscribers(50)
    await desk.announce()
    await desk.announce(Event.INCIDENT_RESOLVED, after=1)
    async with desk.running():
        await until(lambda: not desk.waiting)
    told: dict[str, list[str]] = {}
    for each in desk.courier.delivered:
        told.setdefault(each.address, []).append(each.message.headers["X-Holdfast-Event"])
    assert told == {f"a{n}@example.org": ["incident.declared", "incident.resolved"] for n in range(50)}
    # Noted before it was marked, and forgotten after.
    assert sorted(desk.notes.noted) == sorted(desk.notes.settled)
    assert len(desk.notes.noted) == 100


async def test_what_the_last_run_had_accepted_is_not_sent_again(desk: Desk) -> None:
    await desk.subscribers(3)
    await desk.announce()
    desk.notes.before = [desk.kept.queue[1].key]
    async with desk.running():
        await until(lambda: not desk.waiting)
    assert sorted(each.address for each in desk.courier.delivered) == ["a0@example.org", "a2@example.org"]


async def test_what_was_accepted_while_the_database_was_away_is_marked_when_it_is_back(desk: Desk) -> None:
    await desk.subscribers(3)
    await desk.announce()

    def and_then_away(_: Delivery) -> Outcome:
        desk.store.away = True
        return Outcome(ok=True)

    desk.courier.answer = and_then_away
    async with desk.running():
        await until(lambda: "sent_not_marked" in desk.events)
        assert desk.waiting == 3
        desk.store.away = False
        await until(lambda: not desk.waiting)
    assert len(desk.courier.delivered) == 3


async def test_while_our_way_out_is_closed_one_at_a_time_is_tried_and_nobody_is_blamed(desk: Desk) -> None:
    await desk.subscribers(20)
    await desk.announce()
    desk.courier.answer = lambda _: Outcome(ok=False, unavailable=True, error="relay away")
    async with desk.running() as sender:
        await until(lambda: len(desk.courier.delivered) >= 8)
        # At first as many as may be on their way at once, then one for each pause.
        assert desk.events.count("way_out_closed") == 1
        desk.clock.advance(10 * 86_400)
        desk.courier.answer = lambda _: Outcome(ok=True)
        sender.wake()
        await until(lambda: not desk.waiting)
    assert {each.subscription.standing for each in desk.kept.rows.values()} == {Standing.ACTIVE}
    assert all(each.subscription.failing_since is None for each in desk.kept.rows.values())
    assert {each.attempts for each in desk.kept.queue} == {1}


async def test_who_cannot_be_reached_for_a_day_is_paused_and_told_so(desk: Desk) -> None:
    await desk.subscribers(1)
    await desk.announce()
    desk.courier.answer = lambda _: Outcome(ok=False, retry=True, error="busy")
    async with desk.running():
        await until(lambda: len(desk.courier.delivered) == 1)
        (row,) = desk.kept.rows.values()
        await until(lambda: row.subscription.failing_since is not None)
        for _ in range(30):
            desk.clock.advance(3601)
            await asyncio.sleep(0.03)
            if row.subscription.standing is Standing.PAUSED:
                break
        assert row.subscription.standing is Standing.PAUSED
        desk.courier.answer = lambda _: Outcome(ok=True)
        desk.clock.advance(60)
        await until(lambda: not desk.waiting)
    assert desk.courier.delivered[-1].message.subject == "Your subscription to Print is paused"
    # Twice as long each time, at most an hour: some thirty attempts in a day, not thousands.
    assert len(desk.courier.delivered) < 40
    assert desk.store.journal == ["subscription.paused: busy"]


async def test_who_is_gone_is_erased_after_a_few_refusals(desk: Desk) -> None:
    await desk.subscribers(1)
    desk.courier.answer = lambda _: Outcome(ok=False, gone=True, error="550 no such user")
    async with desk.running() as sender:
        for number in range(3):
            await desk.announce(after=number)
            sender.wake()
            await until(lambda: not desk.waiting)
    (row,) = desk.kept.rows.values()
    assert (row.subscription.standing, row.address) == (Standing.ENDED, None)
    assert len(desk.courier.delivered) == 3


async def test_a_courier_that_breaks_holds_up_nobody_else_and_is_tried_again(desk: Desk) -> None:
    await desk.subscribers(5)
    await desk.announce()

    def breaks(delivery: Delivery) -> Outcome:
        if delivery.address == "a2@example.org" and delivery.attempt == 1:
            raise RuntimeError(f"cannot send to {delivery.address}")
        return Outcome(ok=True)

    desk.courier.answer = breaks
    async with desk.running():
        await until(lambda: desk.waiting == 1)
        desk.clock.advance(3600)
        await until(lambda: not desk.waiting)
    assert desk.events.count("delivery_broke") == 1
    assert all(each.subscription.failing_since is None for each in desk.kept.rows.values())


async def test_who_ended_it_meanwhile_gets_nothing(desk: Desk) -> None:
    await desk.subscribers(2)
    await desk.announce()
    row = next(iter(desk.kept.rows.values()))
    # The announcement was queued as it ended: its delivery is still there.
    row.subscription, row.address = replace(row.subscription, standing=Standing.ENDED), None
    async with desk.running():
        await until(lambda: not desk.waiting)
    assert [each.address for each in desk.courier.delivered] == ["a1@example.org"]


async def test_letters_are_sent_with_what_is_attached(desk: Desk) -> None:
    await MemoryLetterbox(desk.kept, VAULT).post(Letter("x@example.org", "Report", "See it."), "k1")
    async with desk.running():
        await until(lambda: not desk.waiting)
    (delivered,) = desk.courier.delivered
    assert (delivered.address, delivered.key, delivered.message.subject) == ("x@example.org", "k1", "Report")
    assert "x@example.org" not in repr(delivered)
    assert desk.kept.queue[0].sealed == b""


async def test_what_was_not_begun_is_given_back_at_the_end(desk: Desk) -> None:
    await desk.subscribers(30)
    await desk.announce()
    stuck = asyncio.Event()

    async def never(delivery: Delivery) -> Outcome:
        desk.courier.delivered.append(delivery)
        await stuck.wait()
        return Outcome(ok=True)

    desk.courier.deliver = never  # type: ignore[method-assign]
    async with desk.running():
        await until(lambda: len(desk.courier.delivered) == 3)
    leased = [each for each in desk.kept.queue if each.leased_until is not None]
    # Only what was under way is: it may have been delivered.
    assert len(leased) == 3
