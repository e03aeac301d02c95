"""Sums are made anew out of the log, compared with those in force, and put in their place."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.ledger_records import BEGAN, KeptLedger, correction, job, jobs_of_a_year, kept_ledger

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.books import PostgresBooks
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.following import FollowedLog
from holdfast.ledger.reports.rebuilding import Compared, compared, rebuilt
from holdfast.ledger.reports.reporting import Asked, By, Per, Report

if TYPE_CHECKING:
    from conftest import Database

ALL_DAYS = Asked(date(2025, 1, 1), date(2028, 1, 1), tenant="acme")


@pytest.fixture
async def ledger(migrated_database: "Database") -> AsyncIterator[KeptLedger]:
    async with kept_ledger(migrated_database, Role.LEDGER) as kept:
        yield kept


@pytest.fixture
def books(ledger: KeptLedger) -> PostgresBooks:
    assert ledger.pool is not None
    return PostgresBooks(ledger.pool)


async def _log(ledger: KeptLedger) -> FollowedLog:
    return next(log for log in await ledger.following.logs() if log.tenant == "acme")


async def _compared(ledger: KeptLedger, books: PostgresBooks) -> Compared:
    return await compared(books, ledger.following, ledger.logs, await _log(ledger))


async def _rebuilt(ledger: KeptLedger, books: PostgresBooks) -> None:
    await rebuilt(books, ledger.following, ledger.logs, await _log(ledger))


async def _reports(ledger: KeptLedger) -> list[Report]:
    return [
        replace(await ledger.reports.report(replace(ALL_DAYS, by=by, per=per)), standing=())
        for by in (None, *By)
        for per in (None, *Per)
    ]


def _as_owner(ledger: KeptLedger, statement: str, *given: Any) -> int:
    assert ledger.database is not None
    with ledger.database.connect() as connection:
        return connection.execute(statement, given).rowcount  # type: ignore[call-overload]


def _with_corrections(count: int) -> list[Any]:
    chance = random.Random(7)
    records = jobs_of_a_year(count)
    for seq in range(count, count + count // 5):
        leaf = chance.randrange(seq)
        day = BEGAN + timedelta(days=chance.randrange(500))
        records.append(
            correction(seq, leaf, occurred_at=day, sheets={"A3": chance.randrange(9)}, user="user-1")
        )
    return records


async def test_sums_made_anew_are_the_same(ledger: KeptLedger, books: PostgresBooks) -> None:
    await ledger.post(*_with_corrections(400), at_once=60)
    await ledger.post(job(1, tenant="other"))
    await ledger.follow(most_leaves=100)
    found = await _compared(ledger, books)
    assert (found.differences, found.count, found.size, found.days_pruned) == ([], 0, 480, 0)
    assert found.days > 200
    before = await _reports(ledger)
    await _rebuilt(ledger, books)
    assert await _reports(ledger) == before
    assert (await _compared(ledger, books)).count == 0
    assert _as_owner(ledger, "SELECT FROM ledger.book") == 2, "one for each log, and no other"
    assert _as_owner(ledger, "SELECT FROM ledger.cell WHERE book NOT IN (SELECT id FROM ledger.book)") == 0


CHANGES = {
    "a cell": "UPDATE ledger.cell SET sheets = sheets + 1 WHERE ctid = (SELECT min(ctid) FROM ledger.cell)",
    "a cell of a month": "UPDATE ledger.cell SET jobs = jobs + 1 WHERE ctid = (SELECT min(ctid)"
    " FROM ledger.cell WHERE grain = 1)",
    "a lost cell": "DELETE FROM ledger.cell WHERE ctid = (SELECT max(ctid) FROM ledger.cell)",
    "an amount": "UPDATE ledger.cell SET amount = amount - 1"
    " WHERE ctid = (SELECT max(ctid) FROM ledger.cell)",
    "a day": "UPDATE ledger.sums SET jobs = jobs + 1 WHERE ctid = (SELECT ctid FROM ledger.sums"
    " WHERE grain = 0 AND dimension = 1 LIMIT 1)",
    "a month": "UPDATE ledger.sums SET failed = failed + 1 WHERE ctid = (SELECT ctid FROM ledger.sums"
    " WHERE grain = 1 LIMIT 1)",
    "a month of all kinds": "UPDATE ledger.sums SET mono_impressions = 0 WHERE ctid = (SELECT ctid FROM"
    " ledger.sums WHERE grain = 1 AND kind = -1 AND dimension = 2 AND mono_impressions > 0 LIMIT 1)",
    "a lost year": "DELETE FROM ledger.sums WHERE ctid = (SELECT ctid FROM ledger.sums"
    " WHERE grain = 2 LIMIT 1)",
    "a year of nobody": "INSERT INTO ledger.sums SELECT book, dimension, kind, grain, '1999-01-01', member,"
    " currency, 1, 0, 0, 0, 0, 0, 0, 0 FROM ledger.sums WHERE grain = 2 LIMIT 1",
    "paper of a day": "UPDATE ledger.rollup_paper SET sheets = 0 WHERE ctid = (SELECT ctid FROM"
    " ledger.rollup_paper WHERE grain = 0 AND sheets > 0 LIMIT 1)",
    "paper of a year": "UPDATE ledger.rollup_paper SET sheets = 0 WHERE ctid = (SELECT ctid FROM"
    " ledger.rollup_paper WHERE grain = 2 AND sheets > 0 LIMIT 1)",
    "a correction": "DELETE FROM ledger.corrected WHERE ctid = (SELECT max(ctid) FROM ledger.corrected)",
    "a void one": "INSERT INTO ledger.void_correction SELECT id, 3 FROM ledger.book",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_sum_is_found_and_put_right(
    ledger: KeptLedger, books: PostgresBooks, change: str
) -> None:
    await ledger.post(*_with_corrections(100))
    await ledger.follow()
    before = await _reports(ledger)
    assert _as_owner(ledger, CHANGES[change]) == 1
    found = await _compared(ledger, books)
    assert found.count == len(found.differences) == 1, found.differences
    await _rebuilt(ledger, books)
    assert (await _compared(ledger, books)).count == 0
    assert await _reports(ledger) == before


async def test_nothing_is_lost_while_the_follower_goes_on(ledger: KeptLedger, books: PostgresBooks) -> None:
    records = _with_corrections(1000)
    await ledger.post(*records[:600], at_once=25)
    await ledger.follow()

    async def work() -> None:
        for first in range(600, 1200, 10):
            await ledger.post(*records[first : first + 10])
            await ledger.follow()

    async def look() -> None:
        for _ in range(3):
            assert (await _compared(ledger, books)).count == 0
            await _rebuilt(ledger, books)

    await asyncio.gather(work(), look())
    await ledger.follow()
    found = await _compared(ledger, books)
    assert (found.count, found.size) == (0, 1200)


async def test_one_at_a_time_makes_them_anew(ledger: KeptLedger, books: PostgresBooks) -> None:
    await ledger.post(*jobs_of_a_year(50))
    await ledger.follow()
    log = await _log(ledger)
    async with books.anew(log):
        with pytest.raises(Overtaken):
            await _rebuilt(ledger, books)
    await _rebuilt(ledger, books)


async def test_what_died_in_the_middle_is_tidied_up(ledger: KeptLedger, books: PostgresBooks) -> None:
    await ledger.post(*jobs_of_a_year(50))
    await ledger.follow()
    before = await _reports(ledger)
    _as_owner(
        ledger,
        "INSERT INTO ledger.book (log_id, time_zone, in_force)"
        " SELECT log_id, time_zone, false FROM ledger.book",
    )
    cells = (
        "INSERT INTO ledger.cell SELECT (SELECT max(id) FROM ledger.book), day, person, device, cost_centre,"
    )
    rest = " kind, currency, 9, 9, 9, 9, 9, 9, 9, 9 FROM ledger.cell WHERE grain = 0"
    assert _as_owner(ledger, cells + rest) > 0
    assert await _reports(ledger) == before
    assert (await _compared(ledger, books)).count == 0
    assert _as_owner(ledger, "SELECT FROM ledger.book") == 1
    assert _as_owner(ledger, "SELECT FROM ledger.cell WHERE jobs = 9") == 0


async def test_another_time_zone_moves_jobs_to_other_days(ledger: KeptLedger, books: PostgresBooks) -> None:
    tenant = "INSERT INTO ledger.tenant (key, name, time_zone) VALUES ('acme', 'Acme', 'UTC')"
    _as_owner(ledger, tenant)
    await ledger.post(job(0, occurred_at=BEGAN.replace(hour=23)))
    await ledger.follow()
    assert await books.other_zones() == []
    _as_owner(ledger, "UPDATE ledger.tenant SET time_zone = 'Europe/Berlin'")
    assert await books.other_zones() == [(await _log(ledger)).id]
    await _rebuilt(ledger, books)
    assert await books.other_zones() == []
    report = await ledger.reports.report(replace(ALL_DAYS, per=Per.DAY))
    assert [row.start for row in report.rows] == [BEGAN.date() + timedelta(days=1)]


async def test_days_that_retention_touched_keep_their_sums(ledger: KeptLedger, books: PostgresBooks) -> None:
    """The first 300 entries are no longer kept: most days, but not all of them, are theirs."""
    old = [replace_day(record, n % 150) for n, record in enumerate(_with_corrections(250))]
    new = [replace_day(record, 100 + n % 200) for n, record in enumerate(jobs_of_a_year(600, seed=2))][300:]
    await ledger.post(*old, at_once=50)
    await ledger.post(*new, at_once=50)
    size = (await _log(ledger)).size
    fixed = correction(900, 310, occurred_at=BEGAN, sheets={"A4": 77}, user="user-1")
    await ledger.post(fixed, correction(901, 20, occurred_at=BEGAN, sheets={"A4": 78}), correction(902, 999))
    await ledger.follow()
    before = await _reports(ledger)
    voids = (await ledger.reports.report(ALL_DAYS)).standing[0].void
    assert _as_owner(ledger, "DELETE FROM ledger.segment WHERE first < 300") == 6

    found = await _compared(ledger, books)
    assert (found.count, found.size, found.days_pruned) == (0, size + 3, 150)
    assert found.days == 150
    await _rebuilt(ledger, books)
    assert await _reports(ledger) == before
    assert (await ledger.reports.report(ALL_DAYS)).standing[0].void == voids
    found = await _compared(ledger, books)
    assert (found.count, found.days_pruned) == (0, 150)

    wrong = "UPDATE ledger.sums SET jobs = jobs + 1 WHERE (grain, dimension, kind, period) = (0, 0, -1, %s)"
    for day in (280, 10):  # what the day of a pruned entry comes to is compared with its finest sums
        changed = _as_owner(ledger, wrong, BEGAN.date() + timedelta(days=day))
        found = await _compared(ledger, books)
        assert found.count == changed > 0
        await _rebuilt(ledger, books)
    lost = "UPDATE ledger.cell SET jobs = jobs + 1 WHERE day = %s"
    assert _as_owner(ledger, lost, BEGAN.date() + timedelta(days=280)) > 0
    assert (await _compared(ledger, books)).count > 0, "a day whose entries are all kept is compared"


def replace_day(record: Any, day: int) -> Any:
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(record, occurred_at=BEGAN + timedelta(days=day))
