"""What every store of runs promises, over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace
from tests.kept_runs import LEASE, begins, new, note, playbook

from holdfast.adapters.memory.recovery import MemoryPlaybooks, MemoryRuns
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.news import heard_on
from holdfast.adapters.postgres.recovery.playbooks import PostgresPlaybooks
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.kernel.clock import ManualClock
from holdfast.recovery import transitions
from holdfast.recovery.errors import Fenced, NotThere, Refused
from holdfast.recovery.model import Run, RunState
from holdfast.recovery.ports import PlaybookBook, RunStore
from holdfast.recovery.transitions import MOST_LOST_LEASES

if TYPE_CHECKING:
    from conftest import Database

START = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Kept:
    """A store, another one over the same storage, and what a test may do to their world."""

    store: RunStore
    another: RunStore
    book: PlaybookBook
    journal: Callable[[], Sequence[tuple[str, Mapping[str, object]]]]
    """(event, facts) in the order in which they were written."""
    pass_time: Callable[[float], None]
    """So many seconds go by, for leases."""
    age: Callable[[timedelta], None]
    """All that is over ended so much earlier, and has evidence but for those whose id begins with `bare`."""


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def kept(database: "Database | None") -> AsyncIterator[Kept]:
    async with AsyncExitStack() as stack:
        if database is None:
            clock = ManualClock(START)
            store = MemoryRuns(clock.now, has_evidence=lambda run_id: not run_id.startswith("bare"))
            yield Kept(
                store,
                store,
                MemoryPlaybooks(clock.now),
                lambda: [(note.event, note.facts) for _, note in store.notes],
                clock.advance,
                lambda length: clock.advance(length.total_seconds()),
            )
            return
        conninfo = database.conninfo(Role.RECOVERY)
        pools = [await stack.enter_async_context(open_pool(conninfo, "test", max_size=8)) for _ in range(2)]
        news = [await stack.enter_async_context(heard_on(conninfo)) for _ in range(2)]
        async with asyncio.timeout(60):
            while not all(each.heard for each in news):  # they listen  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        def journal() -> Sequence[tuple[str, Mapping[str, object]]]:
            with database.connect() as connection:
                statement = "SELECT event, facts FROM holdfast.journal ORDER BY id"
                return [(event, facts) for event, facts in connection.execute(statement).fetchall()]

        def pass_time(seconds: float) -> None:
            with database.connect() as connection:
                connection.execute(
                    "UPDATE recovery.run SET leased_until = leased_until - %s", [timedelta(seconds=seconds)]
                )

        def age(length: timedelta) -> None:
            with database.connect() as connection:
                connection.execute(
                    "UPDATE recovery.run SET changed_at = changed_at - %s"
                    " WHERE state IN ('done', 'cancelled')",
                    [length],
                )
                connection.execute(
                    "INSERT INTO recovery.evidence"
                    " (leaf, id, run, subject, scenario, drill, passed, content, note)"
                    " SELECT row_number() OVER (ORDER BY number) - 1, id, id, 's', 's', true, true, '', ''"
                    " FROM recovery.run WHERE state IN ('done', 'cancelled') AND id NOT LIKE 'bare%'"
                    " ORDER BY number"
                )

        yield Kept(
            PostgresRuns(pools[0], news[0]),
            PostgresRuns(pools[1], news[1]),
            PostgresPlaybooks(pools[0]),
            journal,
            pass_time,
            age,
        )


async def test_a_run_is_read_as_it_was_started_with_the_stores_time(kept: Kept) -> None:
    started = await kept.store.start(new("a"), note("run.started"))
    held = await kept.another.get("a")
    assert held.run == started
    assert held.run == replace(new("a"), started_at=started.started_at)
    assert held.epoch == 0
    assert started.started_at.tzinfo is not None
    assert timedelta() <= held.now - started.started_at < timedelta(minutes=1)
    assert kept.journal() == [("run.started", {"run": "a"})]


async def test_an_id_is_taken_once(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    with pytest.raises(Refused, match="there already"):
        await kept.another.start(new("a"), note("run.started"))
    assert len(kept.journal()) == 1


async def test_one_run_at_a_time_moves_the_traffic_of_a_subject(kept: Kept) -> None:
    await kept.store.start(new("a", moves_traffic=True), note("run.started"))
    with pytest.raises(Refused, match="run a moves the traffic of 'eu' already"):
        await kept.another.start(new("b", moves_traffic=True), note("run.started", "b"))
    await kept.store.start(new("c", subject="us", moves_traffic=True), note("run.started", "c"))
    await kept.store.start(new("d"), note("run.started", "d"))
    await kept.store.change("a", lambda run, _: transitions.cancelled(run, "ada"), note("x"))
    with pytest.raises(Refused):
        await kept.another.start(new("b", moves_traffic=True), note("run.started", "b"))
    await kept.store.change(
        "a", lambda run, at: transitions.finished(run, RunState.CANCELLED, at), note("run.cancelled")
    )
    await kept.another.start(new("b", moves_traffic=True), note("run.started", "b"))
    assert [run.id for run in await kept.store.newest(10)] == ["b", "d", "c", "a"]
    assert [run.id for run in await kept.another.newest(2)] == ["b", "d"]
    assert [run.id for run in await kept.another.unfinished()] == ["b", "d", "c"]


async def ended(kept: Kept, run_id: str, subject: str = "eu") -> None:
    await kept.store.start(new(run_id, subject), note("run.started", run_id))
    await kept.store.change(run_id, lambda run, _: transitions.cancelled(run, "ada"), note("x"))
    await kept.store.change(
        run_id, lambda run, at: transitions.finished(run, RunState.CANCELLED, at), note("run.cancelled")
    )


async def test_runs_come_in_pages_the_newest_first(kept: Kept) -> None:
    for number in range(7):
        if number % 3:
            await ended(kept, f"r{number}")
        else:
            await kept.store.start(new(f"r{number}"), note("run.started"))

    async def page(most: int, before: str | None = None, *, over: bool | None = None) -> str:
        return " ".join(run.id for run in await kept.another.newest(most, before, over=over))

    assert await page(3) == "r6 r5 r4"
    assert await page(3, "r4") == "r3 r2 r1"
    assert await page(3, "r1") == "r0"
    assert await page(3, "r0") == ""
    assert await page(3, "nothing") == ""
    assert await page(9, over=True) == "r5 r4 r2 r1"
    assert await page(2, "r4", over=True) == "r2 r1"
    assert await page(2, "r6", over=False) == "r3 r0"


async def test_what_is_over_goes_after_its_time_and_the_newest_of_each_kind_stay(kept: Kept) -> None:
    day = timedelta(days=1)
    for number in range(5):
        await ended(kept, f"r{number}")
    await ended(kept, "bare0")
    await kept.store.start(new("active"), note("run.started"))
    for number in range(3):
        await ended(kept, f"us{number}", "us")
    assert await kept.store.prune(30 * day, 100) == 0
    kept.age(40 * day)

    assert await kept.store.prune(41 * day, 100) == 0
    assert await kept.store.prune(30 * day, 1) == 1
    with pytest.raises(NotThere):
        await kept.another.get("r0")
    gone = await asyncio.gather(*(store.prune(30 * day, 100) for store in (kept.store, kept.another)))
    # Of eu stay the newest three of all (active, bare0, r4).
    assert sum(gone) == 3
    left = [run.id for run in await kept.another.newest(20)]
    assert left == ["us2", "us1", "us0", "active", "bare0", "r4"]
    told = [facts for event, facts in kept.journal() if event == "run.pruned"]
    assert told == [{"runs": 1, "last": "r0"}, {"runs": 3, "last": "r3"}]


async def test_without_evidence_and_within_a_week_nothing_goes(kept: Kept) -> None:
    for number in range(5):
        await ended(kept, f"bare{number}")
        await ended(kept, f"r{number}", "us")
    kept.age(timedelta(days=6))
    assert await kept.store.prune(timedelta(hours=1), 100) == 0
    assert len(await kept.store.newest(20)) == 10


async def test_of_many_failovers_that_start_at_once_one_does(kept: Kept) -> None:
    stores = [kept.store, kept.another] * 6
    outcomes = await asyncio.gather(
        *(
            store.start(new(f"r{number}", moves_traffic=True), note("run.started", f"r{number}"))
            for number, store in enumerate(stores)
        ),
        return_exceptions=True,
    )
    started = [each for each in outcomes if isinstance(each, Run)]
    assert len(started) == 1
    assert all(isinstance(each, Refused) for each in outcomes if not isinstance(each, Run)), outcomes
    assert [facts["run"] for _, facts in kept.journal()] == [started[0].id]


async def test_each_run_is_claimed_once_the_oldest_first(kept: Kept) -> None:
    for each in ("a", "b"):
        await kept.store.start(new(each), note("run.started", each))
    first = await kept.store.claim("r1", LEASE)
    second = await kept.another.claim("r2", LEASE)
    assert first is not None
    assert second is not None
    assert [first.run.id, second.run.id] == ["a", "b"]
    assert 0 < first.epoch < second.epoch
    assert await kept.store.claim("r3", LEASE) is None
    assert (await kept.store.get("a")).epoch == first.epoch


async def test_of_many_replicas_that_claim_at_once_each_gets_a_run_of_its_own(kept: Kept) -> None:
    ids = [f"r{number}" for number in range(6)]
    for each in ids:
        await kept.store.start(new(each), note("run.started", each))
    stores = [kept.store, kept.another] * 5
    claims = await asyncio.gather(*(store.claim(f"x{n}", LEASE) for n, store in enumerate(stores)))
    held = [each for each in claims if each is not None]
    while (more := await kept.store.claim("late", LEASE)) is not None:
        # Who looked while a row was locked went past it, and finds it the next time.
        held.append(more)
    assert sorted(each.run.id for each in held) == ids
    assert len({each.epoch for each in held}) == len(ids)


async def test_what_stands_still_or_is_over_is_not_claimed(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    await kept.store.change("a", lambda run, _: transitions.stood_still(run, "look at it"), note("x"))
    assert await kept.store.claim("r1", LEASE) is None
    await kept.store.change(
        "a", lambda run, at: transitions.resumed(run, "ada", transitions.How.RETRY, at), note("y")
    )
    assert await kept.store.claim("r1", LEASE) is not None


async def test_a_released_run_is_claimed_again_and_nothing_was_lost(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    first = await kept.store.claim("r1", LEASE)
    assert first is not None
    await kept.store.release("a", first.epoch)
    second = await kept.another.claim("r2", LEASE)
    assert second is not None
    assert second.epoch > first.epoch
    assert second.run.lost_leases == 0
    # Who had it before lets go of nothing.
    await kept.store.release("a", first.epoch)
    assert await kept.store.claim("r3", LEASE) is None
    await kept.another.renew("a", second.epoch, LEASE)


async def test_a_lease_that_has_ended_is_counted_as_lost_and_told(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    first = await kept.store.claim("r1", LEASE)
    assert first is not None
    kept.pass_time(LEASE.total_seconds() - 10)
    assert await kept.another.claim("r2", LEASE) is None
    await kept.store.renew("a", first.epoch, LEASE)
    kept.pass_time(LEASE.total_seconds() - 10)
    assert await kept.another.claim("r2", LEASE) is None
    kept.pass_time(11)
    second = await kept.another.claim("r2", LEASE)
    assert second is not None
    assert second.epoch > first.epoch
    assert second.run.lost_leases == 1
    assert kept.journal()[-1] == ("run.taken_over", {"run": "a", "epoch": second.epoch, "lost_by": "r1"})
    with pytest.raises(Fenced):
        await kept.store.renew("a", first.epoch, LEASE)
    with pytest.raises(Fenced):
        await kept.store.change("a", begins, note("run.step_begun"), first.epoch)
    assert (await kept.store.get("a")).run.records == {}


async def test_a_run_whose_replicas_keep_dying_is_parked(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    epochs = list[int]()
    for number in range(MOST_LOST_LEASES):
        held = await kept.store.claim(f"r{number}", LEASE)
        assert held is not None
        epochs.append(held.epoch)
        kept.pass_time(LEASE.total_seconds() + 1)
    assert await kept.store.claim("last", LEASE) is None
    parked = await kept.store.get("a")
    assert parked.run.state is RunState.PARKED
    assert parked.run.lost_leases == MOST_LOST_LEASES
    assert kept.journal()[-1][0] == "run.parked"
    # Whoever had it last cannot hold on to it.
    with pytest.raises(Fenced):
        await kept.store.renew("a", epochs[-1], LEASE)


async def test_behind_a_parked_run_others_are_claimed(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    for _ in range(MOST_LOST_LEASES):
        await kept.store.claim("r", LEASE)
        kept.pass_time(LEASE.total_seconds() + 1)
    await kept.store.start(new("b"), note("run.started", "b"))
    held = await kept.store.claim("r", LEASE)
    assert held is not None
    assert held.run.id == "b"


async def test_a_lease_from_before_the_clock_went_back_is_no_lease(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    first = await kept.store.claim("r1", LEASE)
    assert first is not None
    kept.pass_time(-3600)
    second = await kept.another.claim("r2", LEASE)
    assert second is not None
    assert second.epoch > first.epoch
    with pytest.raises(Fenced):
        await kept.store.renew("a", first.epoch, LEASE)


async def test_it_is_known_when_the_first_lease_ends(kept: Kept) -> None:
    assert await kept.store.free_in() is None
    await kept.store.start(new("a"), note("run.started"))
    assert await kept.store.free_in() is None
    first = await kept.store.claim("r1", LEASE)
    assert first is not None
    in_full = await kept.another.free_in()
    assert in_full is not None
    assert LEASE - timedelta(seconds=20) < in_full <= LEASE
    kept.pass_time(LEASE.total_seconds() + 1)
    assert await kept.another.free_in() == timedelta()
    await kept.store.renew("a", first.epoch, LEASE)
    await kept.store.start(new("b"), note("run.started", "b"))
    await kept.store.claim("r1", LEASE / 10)
    soon = await kept.another.free_in()
    assert soon is not None
    assert soon <= LEASE / 10
    await kept.store.change("b", lambda run, _: transitions.stood_still(run, "look"), note("x", "b"))
    again = await kept.another.free_in()
    assert again is not None
    assert again > LEASE / 10


async def test_a_change_and_its_note_are_there_together_or_not_at_all(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    held = await kept.store.claim("r1", LEASE)
    assert held is not None
    changed = await kept.store.change("a", begins, note("run.step_begun", step="look"), held.epoch)
    assert changed.run.records["look"].began == changed.now
    assert (await kept.another.get("a")).run == changed.run
    assert kept.journal()[-1] == ("run.step_begun", {"run": "a", "step": "look"})

    def refuses(run: Run, at: datetime) -> Run:
        raise Refused("no")

    written = len(kept.journal())
    with pytest.raises(Refused):
        await kept.store.change("a", refuses, note("run.x"), held.epoch)
    with pytest.raises(NotThere):
        await kept.store.change("nobody", begins, note("run.x"))
    await kept.store.change("a", lambda run, _: run, note("run.x"), held.epoch)
    assert len(kept.journal()) == written
    with pytest.raises(NotThere):
        await kept.store.get("nobody")


async def test_changes_at_once_come_one_after_the_other(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))

    def turned(run: Run, _: datetime) -> Run:
        return replace(run, turns=run.turns + 1)

    stores = [kept.store, kept.another] * 10
    after = await asyncio.gather(*(store.change("a", turned, note("run.x")) for store in stores))
    assert sorted(held.run.turns for held in after) == list(range(1, 21))
    assert (await kept.store.get("a")).run.turns == 20


async def test_word_of_a_change_wakes_who_waits_for_one(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    await asyncio.sleep(0.2)
    heard = kept.another.heard
    waiting = asyncio.create_task(kept.another.woken(heard, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    await kept.store.change("a", begins, note("run.step_begun"))
    async with asyncio.timeout(30):
        await waiting
    assert kept.another.heard > heard
    # What came before is not waited for.
    async with asyncio.timeout(30):
        await kept.another.woken(heard, 60)
    before = asyncio.get_running_loop().time()
    await kept.another.woken(kept.another.heard, 0.05)
    assert asyncio.get_running_loop().time() - before >= 0.04


async def test_texts_of_any_kind_are_kept_as_they_are(kept: Kept) -> None:
    await kept.store.start(new("a"), note("run.started"))
    await kept.store.change("a", begins, note("run.step_begun"))
    told = "½ \x00 \ud800 \N{PILE OF POO} " + "x" * 200_000

    def ends(run: Run, at: datetime) -> Run:
        return transitions.ended(run, "look", at, well=False, told=told, found={"what": told, told: "it"})

    changed = await kept.store.change("a", ends, note("run.step_failed", told=transitions.bearable(told)))
    record = (await kept.another.get("a")).run.records["look"]
    assert record == changed.run.records["look"]
    assert record.told.startswith("½ ")
    assert "\N{PILE OF POO}" in record.told
    assert len(msgspec.json.encode(changed.run)) < 200_000


async def test_the_same_playbook_keeps_its_revision_another_has_the_next(kept: Kept) -> None:
    first = await kept.book.revised(replace(playbook(), revision=40))
    assert first == playbook()
    assert await kept.book.revised(playbook()) == first
    second = await kept.book.revised(replace(playbook(), title="Move at night"))
    assert second.revision == 2
    # Back to what it was is a change, too.
    third = await kept.book.revised(playbook())
    assert third == replace(first, revision=3)
    assert (await kept.book.revised(playbook("other"))).revision == 1
    known = await kept.book.revisions("move")
    assert [each for each, _ in known] == [third, second, first]
    assert all(since.tzinfo is not None for _, since in known)
    assert await kept.book.revisions("nobody") == []


async def test_of_many_who_find_the_same_change_all_have_its_number(kept: Kept) -> None:
    await kept.book.revised(playbook())
    changed = replace(playbook(), title="Move at night")
    found = await asyncio.gather(*(kept.book.revised(changed) for _ in range(8)))
    assert {each.revision for each in found} == {2}
    assert len(await kept.book.revisions("move")) == 2
