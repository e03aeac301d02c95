"""What every store of completeness promises, and its folds, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from completeness_bench import DAY, HOUR, NOON, TENANT, Bench, opened, record

from holdfast.kernel.clock import ManualClock
from holdfast.ledger.completeness.concerns import ConcernKind
from holdfast.ledger.completeness.judging import ClaimMade, Judge, Settling
from holdfast.ledger.completeness.missing import Missing
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.model import Gap

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def bench(database: "Database | None") -> AsyncIterator[Bench]:
    async with opened(database) as found:
        yield found


def spans(found: Sequence[Gap | Missing]) -> list[tuple[str, int, int]]:
    return [(each.source, each.first, each.last) for each in found]


async def test_a_gap_opens_is_filled_in_parts_and_closes(bench: Bench) -> None:
    await bench.append(record("a", 1), record("a", 2), record("a", 10), record("b", 1))
    await bench.fold(NOON)
    assert spans(await bench.store.gaps(TENANT)) == [("a", 3, 9)]

    await bench.append(record("a", 5), record("a", 6), record("a", 12))
    await bench.fold(NOON + HOUR)
    assert spans(await bench.store.gaps(TENANT)) == [("a", 3, 4), ("a", 7, 9), ("a", 11, 11)]
    since = [gap.since for gap in await bench.store.gaps(TENANT)]
    assert since == [NOON, NOON, NOON + HOUR]

    await bench.append(*(record("a", n) for n in (11, 9, 8, 7, 4, 3)))
    await bench.fold(NOON + DAY)
    assert await bench.store.gaps(TENANT) == []
    [a, b] = await bench.store.standings(TENANT)
    assert (a.lowest, a.highest, a.entries, a.received_at) == (1, 12, 12, NOON + DAY)
    assert (b.source, b.highest, b.entries) == ("b", 1, 1)


async def test_growths_count_once_when_two_fold_them(bench: Bench) -> None:
    for seq in (1, 5, 3):
        await bench.append(record("a", seq))
    [log] = await bench.following.logs()
    growths = await bench.following.growths(log.id, 0, 1000)
    for fold in bench.folds:
        ended = await asyncio.gather(*(fold.fold(log, growths) for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(each, Overtaken) for each in ended) == 2
        assert sum(each is None for each in ended) == 1
    assert spans(await bench.store.gaps(TENANT)) == [("a", 2, 2), ("a", 4, 4)]
    assert [each.entries for each in await bench.store.standings(TENANT)] == [3]


async def test_epochs_are_counted_on_their_own_and_conflicts_take_no_number(bench: Bench) -> None:
    await bench.append(record("a", 1), record("a", 3), record("a", 2, epoch=2))
    await bench.append(record("a", 3, job="other"))
    await bench.fold()
    found = [(each.epoch, each.first, each.last) for each in await bench.store.gaps(TENANT)]
    assert sorted(found) == [(1, 2, 2), (2, 1, 1)]
    [clash] = await bench.store.clashes(TENANT)
    assert (clash.source, clash.epoch, clash.seq, clash.leaf, clash.settled) == ("a", 1, 3, 3, False)


async def test_so_many_gaps_of_each_source(bench: Bench) -> None:
    await bench.append(*(record("a", n * 2) for n in range(1, 8)), record("b", 2))
    await bench.fold()
    assert spans(await bench.store.gaps(TENANT, most=2)) == [("a", 1, 1), ("a", 3, 3), ("b", 1, 1)]


async def test_a_silent_tail_shows_by_its_claim(bench: Bench) -> None:
    judge = Judge(bench.store, ManualClock(NOON), gap_after=DAY)
    await bench.store.claim(TENANT, "a", [ClaimMade(1, 5)])
    assert spans(await judge.missing(TENANT)) == [("a", 1, 5)]
    await bench.append(record("a", 1), record("a", 2))
    await bench.fold()
    [tail] = await judge.missing(TENANT)
    assert (tail.first, tail.last, tail.is_tail) == (3, 5, True)
    await bench.store.claim(TENANT, "a", [ClaimMade(1, 4)])  # a claim that is late takes nothing back
    assert spans(await judge.missing(TENANT)) == [("a", 3, 5)]
    await bench.append(*(record("a", n) for n in (3, 4, 5)))
    await bench.fold()
    assert await judge.missing(TENANT) == []
    for highest in (6, 7, 8):
        await bench.store.claim(TENANT, "a", [ClaimMade(1, highest)])
    assert spans(await judge.missing(TENANT)) == [("a", 6, 8)]
    assert [each.highest for each in await bench.store.claims(TENANT)] == [6, 7, 8]
    await bench.append(record("a", 6), record("a", 7))
    await bench.fold()
    await bench.store.claim(TENANT, "a", [ClaimMade(1, 9)])
    assert [each.highest for each in await bench.store.claims(TENANT)] == [8, 9]


async def test_a_source_says_where_it_began(bench: Bench) -> None:
    judge = Judge(bench.store, ManualClock(NOON), gap_after=DAY)
    await bench.append(record("a", 5000), record("a", 5003))
    await bench.fold()
    assert spans(await judge.missing(TENANT)) == [("a", 1, 4999), ("a", 5001, 5002)]
    await bench.store.claim(TENANT, "a", [ClaimMade(1, 5003, 5000)])
    await bench.store.claim(TENANT, "a", [ClaimMade(1, 5004)])
    assert spans(await judge.missing(TENANT)) == [("a", 5001, 5002), ("a", 5004, 5004)]


async def test_what_is_settled_alarms_nobody_and_is_still_told(bench: Bench) -> None:
    clock = ManualClock(NOON + 2 * DAY)
    judge = Judge(bench.store, clock, gap_after=DAY)
    await bench.append(record("a", 1), record("a", 9))
    await bench.append(record("a", 1, job="other"))
    await bench.fold()
    told = await judge.look()
    assert [(each.event, each.facts["subject"]) for each in told] == [
        ("ledger.gap_overdue", "a"),
        ("ledger.conflict_found", "a"),
    ]
    assert await judge.look() == []

    lost = Settling(TENANT, "gap", "a", "its disk broke", epoch=1, first=2, last=7)
    await bench.store.settle(lost, actor="ada", at=NOON)
    assert await judge.look() == []
    assert spans(await judge.missing(TENANT)) == [("a", 8, 8)]
    assert spans(await judge.missing(TENANT, settled=True)) == [("a", 2, 8)]
    [stands] = [each for each in await bench.store.concerns() if each.kind is ConcernKind.GAP]
    assert stands.facts["missing"] == 1

    await bench.store.settle(replace(lost, first=8, last=8), actor="ada", at=NOON)
    await bench.store.settle(
        Settling(TENANT, "conflict", "a", "a test", first=2, last=2), actor="ada", at=NOON
    )
    assert sorted(each.event for each in await judge.look()) == [
        "ledger.conflict_settled",
        "ledger.gap_closed",
    ]
    assert await bench.store.concerns() == []
    assert [each.settled for each in await bench.store.clashes(TENANT)] == [True]


async def test_a_concern_is_told_by_one_of_two_who_find_it(bench: Bench) -> None:
    await bench.append(record("a", 1), record("a", 9))
    await bench.fold()
    judges = [Judge(bench.store, ManualClock(NOON + 2 * DAY), gap_after=DAY) for _ in range(3)]
    told = await asyncio.gather(*(each.look() for each in judges))
    assert sum(len(each) for each in told) == 1
    await bench.append(*(record("a", n) for n in range(2, 9)))
    await bench.fold()
    told = await asyncio.gather(*(each.look() for each in judges))
    assert [entry.event for each in told for entry in each] == ["ledger.gap_closed"]


async def test_a_gap_that_is_young_is_only_late(bench: Bench) -> None:
    await bench.append(record("a", 1), record("a", 3))
    await bench.fold(NOON)
    clock = ManualClock(NOON + DAY - HOUR)
    judge = Judge(bench.store, clock, gap_after=DAY)
    assert await judge.look() == []
    clock.advance(3600)
    assert [each.event for each in await judge.look()] == ["ledger.gap_overdue"]
    taken = await asyncio.gather(*(judge.to_tell() for _ in range(3)))
    assert sum(len(each) for each in taken) == 1  # one of several processes tells it
    clock.advance(3599)
    assert await judge.to_tell() == []
    clock.advance(1)
    [again] = await judge.to_tell()
    assert (again.kind, again.subject, again.facts["missing"]) == (ConcernKind.GAP, "a", 1)


async def test_clocks_that_are_off_are_marked_until_they_are_right(bench: Bench) -> None:
    await bench.append(
        record("a", 1, NOON - timedelta(days=300)),
        record("a", 2, NOON + timedelta(days=2), device="d"),
        record("a", 3, datetime(1970, 1, 1, tzinfo=UTC)),
    )
    await bench.fold(NOON)
    ours, theirs = await bench.store.clocks(TENANT)
    assert (ours.device, ours.marked, ours.first_leaf, ours.is_off) == ("", 1, 2, True)
    assert (theirs.device, theirs.off, theirs.is_off) == ("d", timedelta(days=2), True)
    judge = Judge(bench.store, ManualClock(NOON), gap_after=DAY)
    [told] = await judge.look()
    assert (told.event, told.facts["subject"], told.facts["device"]) == ("ledger.clock_off", "a", "")

    await bench.append(record("a", 4, NOON), record("a", 5, NOON, device="d"))
    await bench.fold(NOON)
    assert [each.is_off for each in await bench.store.clocks(TENANT)] == [False, False]
    assert [each.event for each in await judge.look()] == ["ledger.clock_right"]
    await bench.append(record("a", 6, datetime(9999, 12, 31, tzinfo=UTC), device="d"))
    await bench.fold(NOON + DAY)
    [_, theirs] = await bench.store.clocks(TENANT)
    assert (theirs.marked, theirs.is_off, theirs.since) == (2, True, NOON + DAY)


async def test_a_fold_that_stands_still_is_a_concern(bench: Bench) -> None:
    await bench.append(record("a", 1))
    await bench.fold()
    assert await bench.store.still(TENANT) == []
    await bench.append(record("a", 2))
    await bench.append(record("a", 3))
    found = await bench.store.still(TENANT)
    assert [(each.fold, each.entries) for each in found] == [("completeness", 2), ("meters", 2)]
    clock = ManualClock(found[0].since + timedelta(minutes=14))
    judge = Judge(bench.store, clock, gap_after=DAY)
    assert await judge.look() == []
    clock.advance(60)
    told_ = {(each.event, each.facts["subject"]) for each in await judge.look()}
    assert ("ledger.follower_behind", "completeness") in told_
    await bench.fold()
    assert {each.event for each in await judge.look()} == {"ledger.follower_caught_up"}


async def test_status_tells_every_log(bench: Bench) -> None:
    await bench.append(record("a", 1), record("a", 3), record("b", 1))
    await bench.fold()
    await bench.store.claim(TENANT, "b", [ClaimMade(1, 2)])
    clock = ManualClock(NOON + 2 * DAY)
    judge = Judge(bench.store, clock, gap_after=DAY)
    await judge.look()
    [status] = await judge.status()
    assert (status.log.tenant, status.log.size, status.sources) == (TENANT, 3, 2)
    assert [each.source for each in status.missing] == ["a", "b"]
    assert status.overdue >= 1
    assert ConcernKind.GAP in {each.kind for each in status.concerns}
    assert await bench.store.tenants() == [TENANT]
