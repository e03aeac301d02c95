"""What every store of completeness promises, and its folds, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.adapters.memory.ledger import MemoryLogs
from holdfast.adapters.memory.ledger_completeness import (
    MemoryCompleteness,
    MemoryCompletenessFold,
    MemoryMetersFold,
)
from holdfast.adapters.memory.ledger_following import MemoryFollowing
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger import PostgresLogs
from holdfast.adapters.postgres.ledger_completeness import PostgresCompleteness
from holdfast.adapters.postgres.ledger_completeness_folds import CompletenessFold, MetersFold
from holdfast.adapters.postgres.ledger_following import PostgresFollowing
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.completeness import Missing
from holdfast.ledger.concerns import ConcernKind
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.following import Fold, Following
from holdfast.ledger.judging import ClaimMade, Completeness, Judge, Settling
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.meters import Counter, Reading, Stretch, Taken, Verdict, judged
from holdfast.ledger.model import Correction, Gap, Kind, Prepared, Record, Status
from holdfast.ledger.ports import LogStore
from holdfast.ledger.sequencing import Sequencer

if TYPE_CHECKING:
    from conftest import Database

TENANT = "acme"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Bench:
    """A store with its logs and folds. `append` takes records in, `fold` folds what came, as of a time."""

    store: Completeness
    logs: LogStore
    following: Following
    folds: Sequence[Fold]
    sequencer: Sequencer

    async def append(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        sources, epochs, seqs = map(list, columns)
        batch = Prepared(TENANT, leaves, leaf_hashes(leaves), sources, epochs, seqs)
        await self.sequencer.append([batch])

    async def fold(self, at: datetime = NOON) -> None:
        for log in await self.following.logs():
            for each in self.folds:
                position = (await self.following.positions(each.name)).get(log.id, 0)
                growths = await self.following.growths(log.id, position, 100_000)
                if growths:
                    await each.fold(log, [replace(growth, received_at=at) for growth in growths])


def record(source: str, seq: int, at: datetime = NOON, **more: Any) -> Record:
    fields = {"epoch": 1, "job": f"{source}-{seq}", "kind": Kind.PRINT, "status": Status.COMPLETED}
    return Record(**{**fields, "occurred_at": at, "seq": seq, "source": source, "tenant": TENANT, **more})


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def bench(database: "Database | None") -> AsyncIterator[Bench]:
    packs = ZstdSegments()

    def sequencer(logs: LogStore) -> Sequencer:
        return Sequencer(
            logs,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )

    if database is None:
        logs = MemoryLogs(packs)
        following = MemoryFollowing(logs)
        store = MemoryCompleteness(logs, following, NOON)
        folds = [MemoryCompletenessFold(store), MemoryMetersFold(store)]
        yield Bench(store, logs, following, folds, sequencer(logs))
        return
    # The role that serves: so its rights are tried as well.
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        stored = PostgresLogs(pool, packs)
        follows = PostgresFollowing(pool, packs)
        yield Bench(
            PostgresCompleteness(pool, follows, stored),
            stored,
            follows,
            [CompletenessFold(pool), MetersFold(pool, follows, stored)],
            sequencer(stored),
        )


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


def sheets(device: str, at: datetime, value: int) -> Reading:
    return Reading(device, Counter.SHEETS, at, value)


async def stretches(bench: Bench) -> list[Stretch]:
    await bench.store.meter_new_devices()
    return judged(await bench.store.stretches(TENANT, NOON - timedelta(days=365)))


def told(found: Sequence[Stretch]) -> list[tuple[int, int, Verdict]]:
    return [(each.counted, each.recorded, each.verdict) for each in found]


async def test_a_reading_is_taken_once(bench: Bench) -> None:
    first = [sheets("d", NOON, 10), sheets("e", NOON, 10)]
    assert await bench.store.read_meters(TENANT, "a", first) == [Taken.TAKEN, Taken.TAKEN]
    again = [sheets("d", NOON, 10), sheets("e", NOON, 11), sheets("d", NOON + HOUR, 10)]
    assert await bench.store.read_meters(TENANT, "a", again) == [Taken.REPEATED, Taken.CONFLICT, Taken.TAKEN]
    # Another source's readings are its own: they neither take a place nor make a stretch with these.
    assert await bench.store.read_meters(TENANT, "b", again[1:]) == [Taken.TAKEN, Taken.TAKEN]


async def test_meters_are_compared_with_entries_that_came_before_and_after(bench: Bench) -> None:
    """Entries of a device are collected once it has a reading: also those that were folded before."""
    await bench.append(
        record("a", 1, NOON - HOUR, device="d", sheets={"A4": 100}),
        record("a", 2, NOON + HOUR, device="d", sheets={"A4": 3, "A3": 4}),
        record("a", 3, NOON + HOUR, device="e", sheets={"A4": 50}),
        record("a", 4, NOON + 3 * HOUR, device="d", sheets={"A4": 2}),
    )
    await bench.fold()
    readings = [
        sheets("d", NOON, 1000),
        sheets("d", NOON + 2 * HOUR, 1007),
        sheets("d", NOON + 4 * HOUR, 1010),
    ]
    await bench.store.read_meters(TENANT, "a", readings)
    assert told(await stretches(bench)) == [(7, 7, Verdict.AGREES), (3, 2, Verdict.DIFFERS)]
    await bench.append(record("a", 5, NOON + 4 * HOUR, device="d", sheets={"A4": 1}))  # it comes late
    await bench.fold()
    assert told(await stretches(bench)) == [(7, 7, Verdict.AGREES), (3, 3, Verdict.AGREES)]
    # A reading that comes late splits a stretch; one from before the first asks for older entries.
    late = [sheets("d", NOON + 3 * HOUR, 1008), sheets("d", NOON - 2 * HOUR, 900)]
    await bench.store.read_meters(TENANT, "a", late)
    assert told(await stretches(bench)) == [
        (100, 100, Verdict.AGREES),
        (7, 7, Verdict.AGREES),
        (1, 2, Verdict.CARRIED),
        (2, 1, Verdict.CARRIED),
    ]


async def test_a_correction_counts_instead_of_what_it_corrects(bench: Bench) -> None:
    later = NOON + HOUR
    await bench.store.read_meters(TENANT, "a", [sheets("d", NOON, 0), sheets("d", NOON + 2 * HOUR, 5)])
    await bench.append(record("a", 1, later, device="d", sheets={"A4": 50}))
    await bench.fold()
    right = Correction(actor="ada", leaf=0, reason="typo")
    await bench.append(record("c", 1, later, device="d", sheets={"A4": 5}, corrects=right))
    await bench.fold()
    assert told(await stretches(bench)) == [(5, 5, Verdict.AGREES)]
    await bench.append(
        record("c", 2, later, device="d", sheets={"A4": 9}, corrects=right)
    )  # void: it was corrected
    await bench.fold()
    assert told(await stretches(bench)) == [(5, 5, Verdict.AGREES)]
    moved = Correction(actor="ada", leaf=1, reason="another device")
    await bench.append(record("c", 3, later, device="e", sheets={"A4": 5}, corrects=moved))
    await bench.fold()
    assert told(await stretches(bench)) == [(5, 0, Verdict.DIFFERS)]
    await bench.store.read_meters(TENANT, "a", [sheets("e", NOON, 0), sheets("e", NOON + 2 * HOUR, 5)])
    assert told(await stretches(bench)) == [(5, 0, Verdict.DIFFERS), (5, 5, Verdict.AGREES)]


async def test_what_entries_do_not_tell_is_no_difference(bench: Bench) -> None:
    later = NOON + HOUR
    await bench.append(
        record("a", 1, later, device="d", sheets={"A4": 4}),
        record("a", 2, later, device="d", mono_impressions=3),
        record("a", 3, later, device="d", kind=Kind.SCAN, scan_pages=7),
    )
    await bench.fold()
    names = {Counter.SHEETS: 6, Counter.IMPRESSIONS: 3, Counter.SCAN_PAGES: 7, Counter.FAX_PAGES: 1}
    readings = [
        Reading("d", counter, at, value)
        for counter, counted in names.items()
        for at, value in ((NOON, 10), (NOON + 2 * HOUR, 10 + counted))
    ]
    await bench.store.read_meters(TENANT, "a", readings)
    found = {each.counter: (each.recorded, each.untold, each.verdict) for each in await stretches(bench)}
    assert found == {
        Counter.SHEETS: (4, 1, Verdict.UNTOLD),
        Counter.IMPRESSIONS: (3, 1, Verdict.AGREES),
        Counter.SCAN_PAGES: (7, 0, Verdict.AGREES),
        Counter.FAX_PAGES: (0, 0, Verdict.DIFFERS),
    }


async def test_a_difference_is_a_concern_until_it_agrees_or_is_settled(bench: Bench) -> None:
    await bench.append(record("a", 1, NOON + HOUR, device="d", sheets={"A4": 1}))
    await bench.fold()
    await bench.store.read_meters(TENANT, "a", [sheets("d", NOON, 0), sheets("d", NOON + 2 * HOUR, 3)])
    clock = ManualClock(NOON + DAY)
    judge = Judge(bench.store, clock, gap_after=DAY)
    assert await judge.look() == []  # entries may still come
    clock.advance(86_400)
    [begun] = await judge.look()
    assert (begun.event, begun.facts["subject"]) == ("ledger.meter_differs", "d")
    assert begun.facts["differences"] == ["sheets +2 (read by a)"]
    until = NOON + 2 * HOUR
    await bench.store.settle(Settling(TENANT, "meter", "d", "test pages", until=until), actor="ada", at=NOON)
    assert [each.event for each in await judge.look()] == ["ledger.meter_agrees"]
    since = NOON - DAY
    assert await bench.store.stretches(TENANT, since) == []
    assert len(await bench.store.stretches(TENANT, since, settled=True)) == 1
    assert await bench.store.stretches(TENANT, since, settled=True, device="other") == []


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
