"""What every alerting store promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest

from holdfast.adapters.memory.alerting import MemoryAlerts
from holdfast.adapters.postgres.alerting import PostgresAlerts
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.alerting.model import (
    Alert,
    Board,
    Delivery,
    Kind,
    Message,
    Notice,
    Reason,
    Round,
    Severity,
    Told,
)
from holdfast.availability.alerting.ports import AlertStore, Outbox, SilenceStore
from holdfast.kernel.clock import ManualClock

if TYPE_CHECKING:
    from conftest import Database

# Silences and leases go by the database's clock: the tests' alerts are made about now.
NOW = datetime.now(UTC).replace(microsecond=123456)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=2)


class Store(AlertStore, SilenceStore, Outbox, Protocol):
    """All three of them: they share their storage."""


@dataclass
class Stored:
    """A store, another one over the same storage, and a way to let time pass for leases and retries."""

    store: Store
    another: Store
    pass_time: Callable[[timedelta], None]

    async def queue(self, *queued: tuple[str, str]) -> None:
        """A message to each channel about each group, titled `channel group`."""
        messages = [
            (
                Notice(channel, group, Reason.OPEN, NOW),
                Message(f"{channel} {group}", "body", Severity.PAGE),
            )
            for channel, group in queued
        ]
        assert await self.store.record((await self.store.board()).version, Round(messages=messages))

    async def claim(self, limit: int = 9, busy: Sequence[str] = ()) -> list[str]:
        return [each.message.title for each in await self.claimed(limit, busy)]

    async def claimed(self, limit: int = 9, busy: Sequence[str] = ()) -> list[Delivery]:
        return list(await self.store.claim(limit, LEASE, busy))


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    """Where the stores keep what they are told: a database of their own, or nowhere but in memory."""
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    if database is None:
        clock = ManualClock(NOW)
        memory = MemoryAlerts(clock)
        yield Stored(memory, memory, lambda length: clock.advance(length.total_seconds()))
        return
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(database.conninfo(Role.CONTROLLER), name))
            for name in ("one", "another")
        ]
        one, another = map(PostgresAlerts, pools)
        yield Stored(one, another, partial(moved_back, database))


def moved_back(database: "Database", by: timedelta) -> None:
    """The database's own clock cannot be moved on: what it is compared with is moved back instead."""
    columns = {
        "outbox": ("leased_until", "due_at", "queued_at", "sent_at", "given_up_at"),
        "silence": ("created_at", "ends_at"),
    }
    with database.connect() as connection:
        for table, names in columns.items():
            moves = ", ".join(f"{name} = {name} - interval '{by.total_seconds()} s'" for name in names)
            connection.execute(f"UPDATE alerting.{table} SET {moves}".encode())


def alert(subject: str = "eu/api", at: datetime = NOW) -> Alert:
    return Alert(
        Kind.DOWN,
        subject,
        Severity.PAGE,
        at,
        at,
        at,
        at,
        "it is down",
        ("gold", "silver"),
        (subject,),
        facts={"because_of": None, "pairs": [{"long_s": 3600.0, "firing": True}]},
    )


def told(of: Alert, channel: str = "ops") -> Told:
    return Told(channel, of.id, Severity.PAGE, NOW, "0: cluster eu")


async def record(stored: Stored, decided: Round) -> Board:
    assert await stored.store.record((await stored.store.board()).version, decided)
    return await stored.store.board()


# --- rounds


async def test_a_new_board_is_empty(stored: Stored) -> None:
    assert await stored.store.board() == Board(0)
    assert await stored.store.alerts(9) == []


async def test_what_is_recorded_is_on_the_next_board(stored: Stored) -> None:
    api, web = (
        alert(),
        replace(alert("eu/web"), paged_at=None, severity=Severity.TICKET, muted_by="silence 1: x"),
    )
    board = await record(stored, Round([api, web], [told(api)]))
    assert board == Board(1, (api, web), (told(api),))
    assert await stored.another.board() == board


async def test_an_alert_is_rewritten_and_what_was_told_too(stored: Stored) -> None:
    first = alert()
    await record(stored, Round([first], [told(first)]))
    later = replace(
        first, severity=Severity.TICKET, fired_at=NOW + HOUR, summary="still", muted_by="m", facts={}
    )
    changed = replace(told(first), severity=Severity.TICKET, at=NOW + HOUR, group="1: ")
    board = await record(stored, Round([later], [changed]))
    assert board.alerts == (later,)
    assert board.told == (changed,)


async def test_an_ended_alert_stays_on_the_board_until_its_end_was_told(stored: Stored) -> None:
    first = alert()
    await record(stored, Round([first], [told(first), told(first, "desk")]))
    ended = replace(first, resolved_at=NOW + HOUR)
    assert (await record(stored, Round([ended]))).alerts == (ended,)
    assert (await record(stored, Round(untold=[("ops", first.id)]))).told == (told(first, "desk"),)
    assert (await record(stored, Round(untold=[("desk", first.id)]))).alerts == ()
    assert list(await stored.store.alerts(9)) == [ended]


async def test_a_key_opens_anew_in_the_round_that_ended_it(stored: Stored) -> None:
    first = alert()
    await record(stored, Round([first]))
    second = alert(at=NOW + HOUR)
    board = await record(stored, Round([second, replace(first, resolved_at=NOW + HOUR)]))
    assert board.alerts == (second,)
    assert [each.opened_at for each in await stored.store.alerts(9)] == [second.opened_at, first.opened_at]
    assert len(await stored.store.alerts(1)) == 1


async def test_a_decision_on_an_old_board_is_refused_as_a_whole(stored: Stored) -> None:
    board = await stored.store.board()
    assert await stored.another.record(board.version, Round([alert("eu/web")]))
    notice = Notice("ops", "g", Reason.OPEN, NOW)
    late = Round([alert()], messages=[(notice, Message("t", "b", None))])
    assert not await stored.store.record(board.version, late)
    after = await stored.store.board()
    assert [each.subject for each in after.alerts] == ["eu/web"]
    assert after.waiting == frozenset()


async def test_of_many_rounds_on_one_board_one_is_stored(stored: Stored) -> None:
    board = await stored.store.board()
    stores = [stored.store, stored.another] * 4
    done = await asyncio.gather(
        *(store.record(board.version, Round([alert(f"eu/c{n}")])) for n, store in enumerate(stores))
    )
    assert done.count(True) == 1
    assert len((await stored.store.board()).alerts) == 1


async def test_a_text_that_no_database_can_hold_is_kept_on_one_line(stored: Stored) -> None:
    odd = replace(alert(), summary="a\x00b\udc80\nc", muted_by="x\x00y")
    (kept,) = (await record(stored, Round([odd]))).alerts
    assert (kept.summary, kept.muted_by) == ("a?b??c", "x?y")


async def test_pruning_forgets_what_is_long_over_and_nothing_else(stored: Stored) -> None:
    over = replace(alert("a/a"), resolved_at=NOW - 2 * HOUR)
    unheard = replace(alert("b/b"), resolved_at=NOW - 2 * HOUR)
    await record(stored, Round([over, unheard, alert("c/c")], [told(unheard)]))
    await stored.store.silence("*", HOUR, "short", "ann")
    await stored.queue(("ops", "sent"), ("ops", "waiting"))
    for delivery in await stored.claimed():
        await stored.store.sent(delivery)
    stored.pass_time(3 * HOUR)
    kept = datetime.now(UTC) - HOUR if isinstance(stored.store, PostgresAlerts) else NOW - HOUR + 3 * HOUR
    assert await stored.store.prune(kept) == 3
    assert {each.subject for each in await stored.store.alerts(9)} == {"b/b", "c/c"}
    assert [each.messages for each in await stored.store.waiting()] == [1]


# --- silences


async def test_silences_are_in_force_until_they_end(stored: Stored) -> None:
    long = await stored.store.silence("eu/*", 2 * HOUR, "new\nswitch", "ann")
    short = await stored.store.silence("gold", HOUR, "why", "bob")
    assert long.reason == "new?switch"
    assert long.ends_at - long.created_at >= 2 * HOUR - SECOND
    assert list(await stored.store.silences()) == [short, long]
    assert list((await stored.another.board()).silences) == [short, long]
    stored.pass_time(HOUR + SECOND)
    assert [each.id for each in await stored.store.silences()] == [long.id]
    assert await stored.store.expire(long.id, "ann")
    assert not await stored.store.expire(long.id, "ann")
    assert not await stored.store.expire(999, "ann")
    assert list(await stored.store.silences()) == []


# --- the outbox


async def test_a_message_is_claimed_sent_and_done(stored: Stored) -> None:
    await stored.queue(("ops", "g"))
    assert (await stored.store.board()).waiting == {("ops", "g")}
    (delivery,) = await stored.claimed()
    assert (delivery.channel, delivery.group, delivery.attempt) == ("ops", "g", 1)
    assert delivery.message.title == "ops g"
    assert delivery.message.severity is Severity.PAGE
    assert delivery.message.key
    await stored.store.sent(delivery)
    await stored.store.sent(delivery)
    stored.pass_time(HOUR)
    assert await stored.claim() == []
    assert (await stored.store.board()).waiting == frozenset()
    assert list(await stored.store.waiting()) == []


async def test_while_it_is_leased_nobody_else_gets_it_and_afterwards_under_the_same_key(
    stored: Stored,
) -> None:
    await stored.queue(("ops", "g"))
    (first,) = await stored.claimed()
    stored.pass_time(LEASE - SECOND)
    assert await stored.another.claim(9, LEASE, ()) == []
    stored.pass_time(SECOND * 2)
    (again,) = await stored.another.claim(9, LEASE, ())
    assert again == replace(first, attempt=2, queued_at=again.queued_at)
    # It was slow, not dead, and says so late: what it says of its own attempt no longer counts.
    await stored.store.failed(first, "late", None)
    assert len(await stored.store.waiting()) == 1
    await stored.store.sent(first)
    assert list(await stored.store.waiting()) == []


async def test_a_failure_is_tried_again_when_it_was_asked_for(stored: Stored) -> None:
    await stored.queue(("ops", "g"))
    (delivery,) = await stored.claimed()
    await stored.store.failed(delivery, "refused\nby ops", timedelta(minutes=5))
    (waiting,) = await stored.store.waiting()
    assert (waiting.channel, waiting.messages, waiting.last_error) == ("ops", 1, "refused?by ops")
    stored.pass_time(timedelta(minutes=5) - SECOND)
    assert await stored.claim() == []
    stored.pass_time(SECOND * 2)
    assert [each.attempt for each in await stored.claimed()] == [2]


async def test_what_is_given_up_is_not_tried_again(stored: Stored) -> None:
    await stored.queue(("ops", "g"))
    (delivery,) = await stored.claimed()
    await stored.store.failed(delivery, "no such channel", None)
    stored.pass_time(HOUR)
    assert await stored.claim() == []
    assert list(await stored.store.waiting()) == []


async def test_of_a_group_the_oldest_comes_first_and_holds_up_the_rest(stored: Stored) -> None:
    await stored.queue(("ops", "g"))
    await stored.queue(("ops", "g"))
    await stored.queue(("ops", "h"))
    (first,) = await stored.claimed()
    await stored.store.failed(first, "refused", HOUR)
    # Its end must not be told before its beginning; another group need not wait.
    (other,) = await stored.claimed()
    assert other.group == "h"
    assert await stored.claim() == []
    await stored.store.sent(other)
    stored.pass_time(HOUR + SECOND)
    (again,) = await stored.claimed()
    assert again.id == first.id
    await stored.store.sent(again)
    (second,) = await stored.claimed()
    assert second.id > first.id


async def test_a_claim_takes_one_for_each_channel_and_none_of_the_busy_ones(stored: Stored) -> None:
    await stored.queue(("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"))
    assert await stored.claim(busy=["b"]) == ["a 1", "c 1"]
    assert await stored.claim(limit=1) == ["a 2"]
    assert await stored.claim() == ["b 1"]


async def test_many_senders_never_get_the_same_message(stored: Stored) -> None:
    await stored.queue(*((f"c{n}", "g") for n in range(20)))
    claims = await asyncio.gather(
        *((stored.store, stored.another)[n % 2].claim(5, LEASE, ()) for n in range(8))
    )
    taken = [delivery.id for claim in claims for delivery in claim]
    assert len(taken) == len(set(taken))
    while rest := await stored.claimed():
        taken += [delivery.id for delivery in rest]
    assert len(taken) == len(set(taken)) == 20


# --- PostgreSQL alone


async def test_the_database_refuses_two_open_alerts_with_one_key(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.CONTROLLER), "one") as pool:
        store = PostgresAlerts(pool)
        assert await store.record(0, Round([alert()]))
        with pytest.raises(Exception, match="alert_open_once"):
            await store.record(1, Round([alert(at=NOW + HOUR)]))
        assert (await store.board()).version == 1


def test_the_site_sees_nothing_of_it(migrated_database: "Database") -> None:
    with (
        migrated_database.connect(Role.SITE) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM alerting.outbox")
