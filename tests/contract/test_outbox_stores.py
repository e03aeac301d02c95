"""What every store of subscriptions and deliveries promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from holdfast.adapters.memory.deliveries import MemoryDeliveries, MemoryLetterbox
from holdfast.adapters.memory.subscriptions import Kept, MemorySubscriptions
from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.deliveries import PostgresDeliveries, PostgresLetterbox
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.delivering import Claimed, DeliveryStore, Holder, Request, RequestKind
from holdfast.communication.errors import NotThere
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
    Subscription,
    Topic,
    Update,
)
from holdfast.communication.ports import Letterbox
from holdfast.communication.sealing import opened_parcel
from holdfast.communication.subscribing import (
    CONFIRM,
    CONFIRM_WITHIN,
    Asked,
    Limits,
    SubscriptionDesk,
    SubscriptionStore,
    address_of,
    fingerprint_of,
    token_of,
)
from holdfast.kernel.clock import ManualClock

if TYPE_CHECKING:
    from conftest import Database

NOW = datetime.now(UTC).replace(microsecond=0)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
LEASE = timedelta(minutes=5)
VAULT = AesVault(bytes(range(32)))
ONE, TWO = Holder("one", "a"), Holder("two", "a")
ANN = "ann@example.org"


@dataclass
class Stored:
    """Stores over the same storage, and a way to let time pass for them."""

    subscriptions: SubscriptionStore
    deliveries: DeliveryStore
    another: DeliveryStore
    letterbox: Letterbox
    announce: Callable[[Notice], Awaitable[int]]
    pass_time: Callable[[timedelta], None]

    @property
    def desk(self) -> SubscriptionDesk:
        return SubscriptionDesk(self.subscriptions, VAULT)

    async def subscribed(
        self, address: str = ANN, scope: Scope | None = None, customer: str | None = None
    ) -> Subscription:
        """Asked for and confirmed; nothing waits for it afterwards."""
        assert await self.desk.subscribe(Channel.MAIL, address, "de", scope or Scope(), customer)
        ((claimed),) = await self.claim()
        await self.deliveries.sent([claimed.key])
        assert claimed.subscription_id is not None
        active = await self.desk.confirm(token_of(VAULT, claimed.subscription_id, CONFIRM))
        assert active is not None
        return active

    async def claim(
        self, limit: int = 99, holder: Holder = ONE, channel: Channel = Channel.MAIL
    ) -> list[Claimed]:
        return list(await self.deliveries.claim(channel, limit, LEASE, holder))


def notice(
    event: Event = Event.INCIDENT_DECLARED,
    at: datetime = NOW,
    audience: tuple[str, ...] | None = None,
    component: int = 1,
) -> Notice:
    phase = Phase.RESOLVED if event is Event.INCIDENT_RESOLVED else Phase.INVESTIGATING
    affected = {component: ComponentState.MAJOR_OUTAGE}
    update = Update("u00000000001", at, phase.value, "We look into it.", "ann", affected)
    incident = Incident("i00000000001", "API", Impact.MAJOR, phase, at, affected, (update,))
    return Notice(event, at, {component: Place("eu", "Europe", "api", "API")}, incident, audience=audience)


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    if database is None:
        clock = ManualClock(NOW)
        kept = Kept(clock)
        outbox = MemoryDeliveries(kept)
        yield Stored(
            MemorySubscriptions(kept),
            outbox,
            outbox,
            MemoryLetterbox(kept, VAULT),
            outbox.announce,
            lambda length: clock.advance(length.total_seconds()),
        )
        return
    async with AsyncExitStack() as stack:

        async def pool(role: Role):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return await stack.enter_async_context(open_pool(database.conninfo(role), role.name))

        # Each with the login that it has in life: what it may not do fails here.
        yield Stored(
            PostgresSubscriptions(await pool(Role.SITE)),
            PostgresDeliveries(await pool(Role.SENDER)),
            PostgresDeliveries(await pool(Role.SENDER)),
            PostgresLetterbox(await pool(Role.CONTROLLER), VAULT),
            PostgresAnnouncements(await pool(Role.CONSOLE)).announce,
            partial(moved_back, database),
        )


def moved_back(database: "Database", by: timedelta) -> None:
    """The database's own clock cannot be moved on: what it is compared with is moved back instead."""
    columns = {
        "delivery": ("queued_at", "due_at", "leased_until", "failing_since", "sent_at", "given_up_at"),
        "subscription": ("created_at", "confirmed_at", "asked_at", "failing_since", "paused_at"),
    }
    shift = f"interval '{by.total_seconds()} s'"
    with database.connect() as connection:
        for table, names in columns.items():
            moves = ", ".join(f"{name} = {name} - {shift}" for name in names)
            connection.execute(f"UPDATE communication.{table} SET {moves}".encode())
        connection.execute(
            f"UPDATE communication.subscription SET asked = "
            f"(SELECT array_agg(each - {shift} ORDER BY each) FROM unnest(asked) AS each)".encode()
        )


def request_in(claimed: Claimed) -> RequestKind:
    assert claimed.sealed is not None
    parcel = opened_parcel(VAULT, claimed.sealed)
    assert isinstance(parcel, Request)
    return parcel.kind


# --- subscribing


async def test_nothing_is_told_before_the_owner_of_the_address_confirmed_it(stored: Stored) -> None:
    assert await stored.desk.subscribe(Channel.MAIL, " Ann@EXAMPLE.org ", "de", Scope()) is Asked.SENT
    assert await stored.announce(notice()) == 0
    (claimed,) = await stored.claim()
    assert request_in(claimed) is RequestKind.CONFIRM
    assert claimed.address is not None
    assert address_of(VAULT, claimed.address) == "Ann@example.org"
    assert (claimed.language, claimed.standing, claimed.announcement_id) == ("de", Standing.PENDING, None)
    assert claimed.subscription_id is not None
    token = token_of(VAULT, claimed.subscription_id, CONFIRM)
    active = await stored.desk.confirm(token)
    assert active is not None
    assert (active.standing, active.channel, active.language) == (Standing.ACTIVE, Channel.MAIL, "de")
    # Its link may be opened twice.
    assert await stored.desk.confirm(token) == active
    # What was announced before is not announced again, to whom it was not told then either.
    assert await stored.announce(notice()) == 0
    assert await stored.announce(notice(at=NOW + SECOND)) == 1


async def test_a_token_for_one_thing_opens_nothing_else(stored: Stored) -> None:
    active = await stored.subscribed()
    manage, confirm = stored.desk.manage_token_of(active.id), token_of(VAULT, active.id, CONFIRM)
    assert await stored.desk.subscription(manage) == active
    assert await stored.desk.subscription(confirm) is None
    assert await stored.desk.confirm(manage) is None
    assert not await stored.desk.end(confirm)
    forged = token_of(AesVault(bytes(32)), active.id, "manage subscription")
    for token in ("", "x", manage[:-1], manage + "A", forged, "ä" * 43, "\0" * 43, "!" * 43):
        assert await stored.desk.subscription(token) is None
        assert not await stored.desk.end(token)


async def test_an_address_gets_few_letters_whoever_asks_and_however_it_is_written(stored: Stored) -> None:
    asked = [
        await stored.desk.subscribe(Channel.MAIL, address, "en", Scope(), customer)
        for address, customer in (
            (ANN, None),
            ("ANN@example.org", None),
            (ANN, "acme"),
            (ANN, None),
            (ANN, "other"),
        )
    ]
    assert asked == [Asked.SENT] * 3 + [Asked.TOO_OFTEN] * 2
    # They wait for each other, so that one after the other is taken.
    assert len(await stored.claim()) == 2
    assert await stored.desk.subscribe(Channel.MAIL, "bob@example.org", "en", Scope()) is Asked.SENT
    stored.pass_time(DAY + SECOND)
    assert await stored.desk.subscribe(Channel.MAIL, ANN, "en", Scope()) is Asked.SENT


async def test_of_many_who_ask_for_one_address_at_once_few_are_heard(stored: Stored) -> None:
    asked = await asyncio.gather(*(stored.desk.subscribe(Channel.MAIL, ANN, "en", Scope()) for _ in range(9)))
    assert asked.count(Asked.SENT) == 3


async def test_all_together_get_a_bounded_number_of_letters(stored: Stored) -> None:
    desk = SubscriptionDesk(stored.subscriptions, VAULT, limits=Limits(requests=2))
    asked = [await desk.subscribe(Channel.MAIL, f"a{n}@example.org", "en", Scope()) for n in range(3)]
    assert asked == [Asked.SENT, Asked.SENT, Asked.TOO_MANY]
    stored.pass_time(HOUR + SECOND)
    assert await desk.subscribe(Channel.MAIL, "b@example.org", "en", Scope()) is Asked.SENT


async def test_who_is_subscribed_is_reminded_and_nobody_else_changes_anything(stored: Stored) -> None:
    active = await stored.subscribed()
    other = Scope(frozenset({Topic.MAINTENANCE}))
    assert await stored.desk.subscribe(Channel.MAIL, ANN, "en", other) is Asked.KNOWN
    (claimed,) = await stored.claim()
    assert request_in(claimed) is RequestKind.KNOWN
    assert await stored.subscriptions.subscription(active.id) == active


async def test_a_request_that_nobody_confirms_is_erased(stored: Stored) -> None:
    await stored.desk.subscribe(Channel.MAIL, ANN, "en", Scope())
    (claimed,) = await stored.claim()
    assert claimed.subscription_id is not None
    assert await stored.deliveries.keep_house() == 0
    stored.pass_time(CONFIRM_WITHIN + SECOND)
    token = token_of(VAULT, claimed.subscription_id, CONFIRM)
    assert await stored.desk.confirm(token) is None
    assert await stored.deliveries.keep_house() == 1
    assert await stored.desk.confirm(token) is None
    assert await stored.subscriptions.found(Channel.MAIL, fingerprint_of(VAULT, Channel.MAIL, ANN)) == []
    assert await stored.claim(holder=Holder("one", "b")) == []


async def test_a_subscription_is_changed_and_ended_by_its_owner(stored: Stored) -> None:
    active = await stored.subscribed()
    token = stored.desk.manage_token_of(active.id)
    scope = Scope(frozenset({Topic.INCIDENT}), frozenset({7}), frozenset({"eu", "usa"}))
    changed = await stored.desk.change(token, scope, "en")
    assert changed == replace(active, scope=scope, language="en")
    await stored.announce(notice())
    assert await stored.desk.end(token)
    assert not await stored.desk.end(token)
    assert await stored.desk.subscription(token) is None
    assert await stored.desk.change(token, scope, "en") is None
    # What waited is gone with it, and so is every trace of the address.
    assert await stored.claim() == []
    assert await stored.subscriptions.found(Channel.MAIL, fingerprint_of(VAULT, Channel.MAIL, ANN)) == []
    assert (await stored.subscriptions.counts())[Channel.MAIL, Standing.ENDED] == 1
    # The same address may come again, as a new one.
    assert (await stored.subscribed()).id != active.id


async def test_subscriptions_are_found_and_listed(stored: Stored) -> None:
    await stored.subscribed("a@example.org")
    stored.pass_time(SECOND)
    (first,) = await stored.subscriptions.subscriptions()
    second = await stored.subscribed("b@example.org", customer="acme")
    assert list(await stored.subscriptions.subscriptions()) == [second, first]
    assert list(await stored.subscriptions.subscriptions(limit=1)) == [second]
    assert list(await stored.subscriptions.subscriptions(standings=[Standing.PAUSED])) == []
    found = await stored.subscriptions.found(
        Channel.MAIL, fingerprint_of(VAULT, Channel.MAIL, "B@example.org")
    )
    assert list(found) == [second]
    assert dict(await stored.subscriptions.counts()) == {(Channel.MAIL, Standing.ACTIVE): 2}


# --- who is told


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (Scope(), True),
        (Scope(frozenset({Topic.MAINTENANCE, Topic.DEGRADATION})), False),
        (Scope(component_ids=frozenset({1, 5})), True),
        (Scope(component_ids=frozenset({2})), False),
        (Scope(cluster_keys=frozenset({"eu"})), True),
        (Scope(cluster_keys=frozenset({"usa"})), False),
        (Scope(component_ids=frozenset({2}), cluster_keys=frozenset({"eu"})), True),
    ],
)
async def test_a_notice_goes_to_whom_it_concerns(stored: Stored, scope: Scope, told: bool) -> None:
    await stored.subscribed(scope=scope)
    assert await stored.announce(notice()) == int(told)


async def test_a_private_notice_goes_to_its_customers_alone(stored: Stored) -> None:
    await stored.subscribed("public@example.org")
    mine = await stored.subscribed("mine@example.org", customer="acme")
    assert await stored.announce(notice(audience=("acme",))) == 1
    assert [each.subscription_id for each in await stored.claim()] == [mine.id]
    assert await stored.announce(notice(at=NOW - HOUR, audience=())) == 0


# --- the outbox


async def test_a_delivery_is_claimed_sent_and_done(stored: Stored) -> None:
    active = await stored.subscribed()
    told = notice()
    await stored.announce(told)
    (claimed,) = await stored.claim()
    assert (claimed.subscription_id, claimed.attempt, claimed.sealed) == (active.id, 1, None)
    assert claimed.announcement_id is not None
    announcement = await stored.deliveries.announcement(claimed.announcement_id)
    assert (announcement.id, announcement.notice) == (claimed.announcement_id, told)
    (waiting,) = await stored.deliveries.waiting()
    assert (waiting.channel, waiting.deliveries) == (Channel.MAIL, 1)
    await stored.deliveries.sent([claimed.key, str(uuid4())])
    await stored.deliveries.sent([claimed.key])
    stored.pass_time(HOUR)
    assert await stored.claim() == []
    assert list(await stored.deliveries.waiting()) == []
    with pytest.raises(NotThere):
        await stored.deliveries.announcement(str(uuid4()))


async def test_what_is_leased_is_nobody_elses_until_the_lease_ends(stored: Stored) -> None:
    await stored.subscribed()
    await stored.announce(notice())
    (first,) = await stored.claim()
    stored.pass_time(LEASE - SECOND)
    assert await stored.claim(holder=TWO) == []
    assert await stored.claim(holder=ONE) == []
    stored.pass_time(2 * SECOND)
    (second,) = await stored.claim(holder=TWO)
    assert (second.key, second.attempt) == (first.key, 2)
    # The first was slow, not dead. What it says of a failure no longer counts, of its success it does.
    await stored.deliveries.again(first, "late", timedelta())
    await stored.deliveries.give_up(first, "late")
    await stored.deliveries.release([first])
    assert await stored.claim(holder=Holder("three", "a")) == []
    await stored.deliveries.sent([first.key])
    assert list(await stored.deliveries.waiting()) == []


async def test_the_next_run_of_a_sender_need_not_wait_for_the_lease_of_its_last(stored: Stored) -> None:
    await stored.subscribed()
    await stored.announce(notice())
    (first,) = await stored.claim()
    assert await stored.claim(holder=Holder("two", "b")) == []
    (again,) = await stored.claim(holder=Holder("one", "b"))
    assert (again.key, again.attempt) == (first.key, 2)
    assert await stored.claim(holder=Holder("one", "b")) == []


async def test_of_one_subscription_an_end_waits_for_its_beginning(stored: Stored) -> None:
    ann = await stored.subscribed()
    bob = await stored.subscribed("bob@example.org")
    await stored.announce(notice())
    await stored.announce(notice(Event.INCIDENT_RESOLVED, NOW + SECOND))
    first = {each.subscription_id: each for each in await stored.claim()}
    assert first.keys() == {ann.id, bob.id}
    await stored.deliveries.sent([first[ann.id].key])
    await stored.deliveries.again(first[bob.id], "greylisted", HOUR)
    (end,) = await stored.claim()
    assert end.subscription_id == ann.id
    told = await stored.deliveries.announcement(end.announcement_id or "")
    assert told.notice.event is Event.INCIDENT_RESOLVED
    await stored.deliveries.sent([end.key])
    stored.pass_time(HOUR + SECOND)
    (again,) = await stored.claim()
    assert again.key == first[bob.id].key
    await stored.deliveries.give_up(again, "refused")
    (end,) = await stored.claim()
    assert end.subscription_id == bob.id


async def test_requests_and_letters_overtake_announcements(stored: Stored) -> None:
    await stored.subscribed()
    await stored.announce(notice())
    await stored.letterbox.post(Letter("x@example.org", "Report", "See it."), str(uuid4()))
    await stored.desk.subscribe(Channel.MAIL, "bob@example.org", "en", Scope())
    claimed = await stored.claim()
    assert [each.announcement_id is None for each in claimed] == [True, True, False]
    assert len(await stored.claim(limit=0)) == 0


async def test_a_letter_is_posted_once_under_its_key_and_forgotten_when_sent(
    stored: Stored, database: "Database | None"
) -> None:
    key, letter = str(uuid4()), Letter("x@example.org", "Report", "See it.", "<p>See it.</p>")
    assert await stored.letterbox.post(letter, key)
    assert not await stored.letterbox.post(replace(letter, text="other"), key)
    (claimed,) = await stored.claim()
    assert (claimed.key, claimed.subscription_id, claimed.address) == (key, None, None)
    assert claimed.sealed is not None
    assert opened_parcel(VAULT, claimed.sealed) == letter
    await stored.deliveries.sent([key])
    assert not await stored.letterbox.post(letter, key)
    if database is not None:
        with database.connect() as connection:
            assert connection.execute("SELECT letter FROM communication.delivery").fetchall() == [(b"",)]


async def test_a_failure_is_tried_again_when_it_was_asked_for_and_noted_of_the_subscription(
    stored: Stored,
) -> None:
    active = await stored.subscribed()
    await stored.announce(notice())
    (claimed,) = await stored.claim()
    await stored.deliveries.again(claimed, "busy\nnow", timedelta(minutes=5))
    (waiting,) = await stored.deliveries.waiting()
    assert waiting.last_error == "busy now"
    failing = await stored.subscriptions.subscription(active.id)
    assert failing is not None
    assert failing.failing_since is not None
    stored.pass_time(timedelta(minutes=5) - SECOND)
    assert await stored.claim() == []
    stored.pass_time(2 * SECOND)
    (again,) = await stored.claim()
    assert again.attempt == 2
    assert again.failing_since is not None
    await stored.deliveries.sent([again.key])
    reached = await stored.subscriptions.subscription(active.id)
    assert reached is not None
    assert reached.failing_since is None


async def test_our_own_faults_are_not_held_against_a_subscriber(stored: Stored) -> None:
    active = await stored.subscribed()
    await stored.announce(notice())
    (claimed,) = await stored.claim()
    await stored.deliveries.again(claimed, "a fault", timedelta(), ours=True)
    (claimed,) = await stored.claim()
    assert claimed.failing_since is None
    await stored.deliveries.release([claimed])
    assert await stored.subscriptions.subscription(active.id) == active
    (claimed,) = await stored.claim()
    # What was given back was no attempt.
    assert claimed.attempt == 2


async def test_refusals_in_a_row_are_counted(stored: Stored) -> None:
    await stored.subscribed()
    for refusals in (0, 1):
        await stored.announce(notice(at=NOW + refusals * SECOND))
        (claimed,) = await stored.claim()
        assert claimed.refusals == refusals
        await stored.deliveries.give_up(claimed, "no such user", refused=True)
    await stored.announce(notice(at=NOW + 5 * SECOND))
    (claimed,) = await stored.claim()
    assert claimed.refusals == 2
    await stored.deliveries.sent([claimed.key])
    await stored.announce(notice(at=NOW + 9 * SECOND))
    (claimed,) = await stored.claim()
    assert claimed.refusals == 0


async def test_a_paused_subscription_is_told_so_and_nothing_else_until_confirmed(
    stored: Stored,
) -> None:
    active = await stored.subscribed()
    await stored.announce(notice())
    await stored.announce(notice(at=NOW + SECOND))
    (claimed,) = await stored.claim()
    await stored.deliveries.pause(claimed, "no answer", b"sealed")
    await stored.deliveries.pause(claimed, "no answer", b"sealed")
    assert await stored.announce(notice(at=NOW + 2 * SECOND)) == 0
    (told,) = await stored.claim()
    assert (told.sealed, told.standing) == (b"sealed", Standing.PAUSED)
    await stored.deliveries.sent([told.key])
    assert await stored.claim() == []
    paused = await stored.subscriptions.subscription(active.id)
    assert paused is not None
    assert paused.paused_at is not None
    resumed = await stored.desk.confirm(token_of(VAULT, active.id, CONFIRM))
    assert resumed is not None
    assert (resumed.standing, resumed.paused_at) == (Standing.ACTIVE, None)
    assert await stored.announce(notice(at=NOW + 3 * SECOND)) == 1


async def test_who_is_gone_is_erased(stored: Stored, database: "Database | None") -> None:
    active = await stored.subscribed()
    await stored.announce(notice())
    await stored.announce(notice(at=NOW + SECOND))
    (claimed,) = await stored.claim()
    await stored.deliveries.end(claimed, "no such user")
    assert await stored.subscriptions.subscription(active.id) is None
    assert await stored.claim(holder=TWO) == []
    if database is not None:
        with database.connect() as connection:
            rows = connection.execute(
                "SELECT address, address_hash FROM communication.subscription"
            ).fetchall()
            assert rows == [(None, None)]
            ((event, facts),) = connection.execute(
                "SELECT event, facts FROM holdfast.journal WHERE actor = 'sender'"
            ).fetchall()
            assert event == "subscription.erased"
            assert facts == {"subscription": active.id, "channel": "mail", "error": "no such user"}


async def test_what_was_sent_is_forgotten_after_long(stored: Stored) -> None:
    await stored.subscribed()
    await stored.announce(notice())
    stored.pass_time(91 * DAY)
    # The request to confirm was sent; the notice still waits, however old it is.
    assert await stored.deliveries.keep_house() == 1
    assert len(await stored.claim()) == 1


async def test_many_senders_never_get_the_same_delivery(stored: Stored) -> None:
    for number in range(20):
        await stored.subscribed(f"a{number}@example.org")
    await stored.announce(notice())
    taken: list[str] = []
    for _ in range(6):
        claims = await asyncio.gather(
            *(
                (stored.deliveries, stored.another)[n % 2].claim(Channel.MAIL, 3, LEASE, Holder(f"{n}", "a"))
                for n in range(4)
            )
        )
        taken += [each.key for claim in claims for each in claim]
    assert len(taken) == len(set(taken)) == 20


async def test_channels_are_claimed_apart(stored: Stored) -> None:
    await stored.desk.subscribe(Channel.WEBHOOK, "https://hooks.example.org/a", "en", Scope())
    assert await stored.claim() == []
    (claimed,) = await stored.claim(channel=Channel.WEBHOOK)
    assert claimed.channel is Channel.WEBHOOK


# --- PostgreSQL alone


@pytest.mark.parametrize("role", [Role.SITE, Role.CONSOLE, Role.CONTROLLER])
def test_nobody_but_the_sender_reads_an_address(migrated_database: "Database", role: Role) -> None:
    with (
        migrated_database.connect(role) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT address FROM communication.subscription")


@pytest.mark.parametrize("role", [Role.SITE, Role.CONSOLE, Role.CONTROLLER])
def test_nobody_but_the_sender_touches_what_is_queued(migrated_database: "Database", role: Role) -> None:
    with migrated_database.connect(role) as connection:
        for statement in (
            "DELETE FROM communication.delivery",
            "UPDATE communication.delivery SET sent_at = now()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


async def test_what_is_announced_while_a_subscription_ends_is_not_its_any_more(
    migrated_database: "Database",
) -> None:
    """The announcement saw it active, and was committed after it had ended: a claim shows that it ended."""
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_pool(migrated_database.conninfo(Role.SITE), "site"))
        sender = await stack.enter_async_context(open_pool(migrated_database.conninfo(Role.SENDER), "sender"))
        stored = Stored(
            PostgresSubscriptions(site),
            PostgresDeliveries(sender),
            PostgresDeliveries(sender),
            PostgresLetterbox(sender, VAULT),
            PostgresAnnouncements(sender).announce,
            partial(moved_back, migrated_database),
        )
        active = await stored.subscribed()
        with migrated_database.connect() as connection, connection.transaction():
            connection.execute(
                "SELECT communication.announce('incident.declared', 'x', now(), '{1}', '{eu}', NULL, '{}')"
            )
            # It may have to wait for the announcement: that is as good.
            ending = asyncio.create_task(stored.subscriptions.end(active.id))
            await asyncio.wait({ending}, timeout=0.3)
        assert await ending
        claimed = await stored.claim()
        assert [(each.standing, each.address) for each in claimed] in ([], [(Standing.ENDED, None)])
