"""What every store of completeness promises about devices' own counters, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from completeness_bench import DAY, HOUR, NOON, TENANT, Bench, opened, record

from holdfast.kernel.clock import ManualClock
from holdfast.ledger.completeness.judging import Judge, Settling
from holdfast.ledger.completeness.meters import Counter, Reading, Stretch, Taken, Verdict, judged
from holdfast.ledger.model import Correction, Kind

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def bench(database: "Database | None") -> AsyncIterator[Bench]:
    async with opened(database) as found:
        yield found


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


async def test_two_who_tell_the_same_readings_in_another_order(bench: Bench) -> None:
    readings = [sheets(f"d{n}", NOON, n) for n in range(20)]
    for _ in range(3):
        one, two = await asyncio.gather(
            bench.store.read_meters(TENANT, "a", readings),
            bench.store.read_meters(TENANT, "a", readings[::-1]),
        )
        assert {*one, *two} <= {Taken.TAKEN, Taken.REPEATED}
    assert {*one, *two} == {Taken.REPEATED}


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


async def test_jobs_behind_the_last_reading_before_a_time_are_forgotten(bench: Bench) -> None:
    """Also of a counter that nobody reads any more; what is compared from then on is what it was."""
    jobs = [record("a", n + 1, NOON + n * DAY + HOUR, device="d", sheets={"A4": n + 1}) for n in range(6)]
    await bench.append(*jobs)
    await bench.fold()
    values = (0, 1, 3, 6, 10, 15, 21)
    await bench.store.read_meters(
        TENANT, "a", [sheets("d", NOON + n * DAY, value) for n, value in enumerate(values)]
    )
    await bench.store.read_meters(TENANT, "b", [sheets("d", NOON, 500), sheets("d", NOON + DAY, 501)])
    assert len(await stretches(bench)) == 7
    before = NOON + 3 * DAY + 2 * HOUR
    assert await bench.store.trim_metered("other", before) == 0
    assert await bench.store.trim_metered(TENANT, before) == 3
    left = [(4, 4, Verdict.AGREES), (5, 5, Verdict.AGREES), (6, 6, Verdict.AGREES)]
    assert told(await stretches(bench)) == left
    assert await bench.store.trim_metered(TENANT, before) == 0
    await bench.append(record("a", 7, NOON + 6 * DAY + HOUR, device="d", sheets={"A4": 9}))
    await bench.fold()
    await bench.store.read_meters(TENANT, "a", [sheets("d", NOON + 7 * DAY, 30)])
    assert told(await stretches(bench)) == [*left, (9, 9, Verdict.AGREES)]
    # A reading of long ago that comes now asks for its entries again, which are all there.
    await bench.store.read_meters(TENANT, "a", [sheets("d", NOON + DAY + HOUR / 2, 1)])
    assert len(await stretches(bench)) > 4


async def test_a_device_that_nobody_reads_any_more_is_forgotten_whole(bench: Bench) -> None:
    await bench.append(record("a", 1, NOON + HOUR, device="d", sheets={"A4": 1}))
    await bench.fold()
    await bench.store.read_meters(TENANT, "a", [sheets("d", NOON, 0), sheets("d", NOON + DAY, 1)])
    assert told(await stretches(bench)) == [(1, 1, Verdict.AGREES)]
    assert await bench.store.trim_metered(TENANT, NOON - DAY) == 0
    assert await bench.store.trim_metered(TENANT, NOON + 9 * DAY) == 1
    assert await stretches(bench) == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_what_retention_took_is_not_taken_for_nothing(
    bench: Bench, database: "Database | None"
) -> None:
    """A device is read for the first time, back to when its entries are gone: nothing is said of then."""
    await bench.append(record("a", 1, NOON, device="d", sheets={"A4": 5}))
    await bench.fold()
    assert database is not None
    with database.connect() as owner:
        owner.execute("INSERT INTO ledger.pruned (log_id, up_to, older_than) VALUES (1, 1, now())")
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM ledger.segment")
        [(came,)] = owner.execute("SELECT at FROM ledger.growth").fetchall()
    readings = [sheets("d", came + n * HOUR, value) for n, value in ((-2, 0), (-1, 5), (1, 5), (2, 12))]
    await bench.store.read_meters(TENANT, "a", readings)
    await bench.append(record("a", 2, came + 1.5 * HOUR, device="d", sheets={"A4": 7}))
    await bench.fold(came + 2 * HOUR)
    await bench.store.meter_new_devices()
    assert told(judged(await bench.store.stretches(TENANT, came - DAY))) == [(7, 7, Verdict.AGREES)]
    assert await bench.store.meter_new_devices() == 0
