"""What follows the logs is folded in exactly once, and reports are the sums of what stands."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.ledger_records import BEGAN, KeptLedger, correction, job, jobs_of_a_year, kept_ledger

from holdfast.ledger.errors import LedgerError, NotThere, Overtaken
from holdfast.ledger.following import FollowedLog, Follower, GrowthRead
from holdfast.ledger.model import Kind, Price, Record, Status
from holdfast.ledger.reports.folding import RollUps
from holdfast.ledger.reports.reporting import Asked, By, Order, Per, Row, start_of_time
from holdfast.ledger.reports.rollups import Sums, told

if TYPE_CHECKING:
    from conftest import Database

ALL_DAYS = Asked(date(2025, 1, 1), date(2028, 1, 1))


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def ledger(database: "Database | None") -> AsyncIterator[KeptLedger]:
    async with kept_ledger(database) as kept:
        yield kept


async def test_growths_are_read_in_order_and_in_portions(ledger: KeptLedger) -> None:
    await ledger.post(*(job(seq) for seq in range(10)), at_once=4)
    [log] = await ledger.following.logs()
    assert (log.tenant, log.origin, log.size, log.time_zone) == ("acme", "ledger.example/acme", 10, "UTC")
    read = await ledger.following.growths(log.id, 0, 100)
    assert [(growth.from_size, growth.to_size, growth.pruned) for growth in read] == [
        (0, 4, False),
        (4, 8, False),
        (8, 10, False),
    ]
    entries = [entry for growth in read for entry in growth.entries]
    assert [(leaf, entry.job) for leaf, entry in entries if isinstance(entry, Record)] == [
        (seq, f"spooler-{seq}") for seq in range(10)
    ]
    assert [growth.to_size for growth in await ledger.following.growths(log.id, 0, 8)] == [4, 8]
    assert [growth.to_size for growth in await ledger.following.growths(log.id, 4, 3)] == [8]
    assert not await ledger.following.growths(log.id, 10, 100)


async def test_every_entry_counts_once_however_it_is_portioned(ledger: KeptLedger) -> None:
    await ledger.post(*jobs_of_a_year(300), at_once=70)
    assert await ledger.follow(most_leaves=100) == 300
    await ledger.post(*jobs_of_a_year(301)[300:])
    assert await ledger.follow() == 1
    assert await ledger.follow() == 0
    report = await ledger.reports.report(ALL_DAYS)
    assert (report.total.sums.jobs, report.behind) == (301, 0)


async def test_two_followers_at_once_fold_each_entry_once(ledger: KeptLedger) -> None:
    await ledger.post(*jobs_of_a_year(400), at_once=20)
    followers = [ledger.follower(most_leaves=20) for _ in range(4)]
    while any(done.more for done in await asyncio.gather(*(each.round() for each in followers))):
        pass
    report = await ledger.reports.report(ALL_DAYS)
    assert (report.total.sums.jobs, report.behind) == (400, 0)


async def test_a_fold_that_dies_leaves_nothing_and_stops_nobody_else(ledger: KeptLedger) -> None:
    await ledger.post(*(job(seq) for seq in range(6)), at_once=2)
    await ledger.post(job(1, tenant="other"))

    class Dying(RollUps):
        async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
            async with self._store.folding(log, growths) as book:
                await _kept_half(book, log, growths)

    async def _kept_half(book: object, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        del growths
        from holdfast.ledger.reports.rollups import Cell, Folded  # noqa: PLC0415

        await book.keep(  # type: ignore[attr-defined]
            Folded(sums={Cell(BEGAN.date(), Kind.PRINT, "d", "u", "c", ""): Sums(jobs=99)})
        )
        if log.tenant == "acme":
            raise LedgerError("the power went out")

    done = await Follower(ledger.following, [Dying(ledger.rollups, ledger.logs)]).round()
    assert [(each.tenant, each.position, each.size) for each in done.behind] == [("acme", 0, 6)]
    assert (done.leaves, done.more) == (1, False)
    assert await ledger.follow() == 6
    by_tenant = await ledger.reports.report(replace(ALL_DAYS, by=By.TENANT))
    assert {row.member: row.sums.jobs for row in by_tenant.rows} == {"acme": 6, "other": 99}


async def test_growths_that_were_folded_meanwhile_are_refused(ledger: KeptLedger) -> None:
    await ledger.post(*(job(seq) for seq in range(6)), at_once=2)
    [log] = await ledger.following.logs()
    growths = await ledger.following.growths(log.id, 0, 4)
    fold = RollUps(ledger.rollups, ledger.logs)
    await fold.fold(log, growths)
    for again in (growths, growths[1:], growths[:1]):
        with pytest.raises(Overtaken):
            await fold.fold(log, again)
    assert (await ledger.reports.report(ALL_DAYS)).total.sums.jobs == 4


QUESTIONS = [
    Asked(date(2025, 11, 3), date(2027, 4, 1)),
    Asked(date(2025, 12, 31), date(2027, 1, 2)),
    Asked(date(2026, 2, 10), date(2026, 2, 11)),
    Asked(date(2026, 1, 1), date(2027, 1, 1), user="user-1"),
    Asked(date(2026, 1, 1), date(2027, 1, 1), user=""),
    Asked(date(2026, 1, 15), date(2026, 12, 15), device="device-2", kind=Kind.SCAN),
    Asked(date(2026, 1, 15), date(2026, 12, 15), device="device-2", cost_centre="red"),
    Asked(date(2026, 1, 15), date(2026, 12, 15), device="device-2", cost_centre="red", user="user-3"),
    Asked(date(2026, 1, 15), date(2026, 12, 15), device="no such device"),
]


@pytest.mark.parametrize("per", [None, *Per])
@pytest.mark.parametrize("by", [None, *By])
async def test_a_report_is_the_sums_of_what_stands(
    ledger: KeptLedger, by: By | None, per: Per | None
) -> None:
    records = {tenant: jobs_of_a_year(400, seed=len(tenant), tenant=tenant) for tenant in ("acme", "other")}
    for each in records.values():
        await ledger.post(*each, at_once=150)
    await ledger.follow()
    for question in QUESTIONS:
        for tenant in (None, "acme"):
            if by is By.FORMAT and (question.kind or len(question.filters) > 1):
                continue
            asked = replace(question, by=by, per=per, tenant=tenant)
            mine = [record for key in ([tenant] if tenant else records) for record in records[key]]
            expected = reckoned(asked, mine)
            report = await ledger.reports.report(asked)
            assert {(row.start, row.tenant, row.member): row for row in report.rows} == expected, asked
            starts = [row.start for row in report.rows if row.start]
            assert starts == sorted(starts)
            whole = reckoned(replace(asked, by=None if by is not By.FORMAT else by, per=None), mine)
            assert report.total.sums == plus(row.sums for row in whole.values())
            if by is not By.FORMAT:
                assert [report.total.amounts] == [row.amounts for row in whole.values()] or not whole


def plus(sums: object) -> Sums:
    whole = Sums()
    for each in sums:  # type: ignore[attr-defined]
        whole = whole.plus(each)
    return whole


def reckoned(asked: Asked, records: Sequence[Record]) -> dict[tuple[date | None, str, str], Row]:
    """The rows of a report, looked together out of the records themselves."""
    sums: dict[tuple[date | None, str, str], Sums] = defaultdict(Sums)
    amounts: dict[tuple[date | None, str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for record in records:
        day = record.occurred_at.astimezone(UTC).date()
        same = all((getattr(record, by.value) or "") == name for by, name in asked.filters.items())
        if not (asked.since <= day < asked.until) or not same or asked.kind not in {None, record.kind}:
            continue
        start = start_of_time(day, asked.per) if asked.per else None
        tenant = asked.tenant or ("" if asked.by in {None, By.KIND, By.FORMAT} else record.tenant)
        if asked.by is By.FORMAT:
            for format_, count in (record.sheets or {}).items():
                key = (start, tenant, format_)
                sums[key] = sums[key].plus(Sums(sheets=count))
            continue
        member = "" if asked.by is None else str(getattr(record, asked.by.value) or "")
        key = (start, tenant, member)
        sums[key] = sums[key].plus(
            Sums(
                1,
                int(record.status is Status.FAILED),
                sum((record.sheets or {}).values()),
                told(record.mono_impressions),
                told(record.colour_impressions),
                told(record.scan_pages),
                told(record.fax_pages),
            )
        )
        for price in (record.prices or {}).values():
            amounts[key][price.currency] += price.amount
    return {
        key: Row(*key, each, {currency: amount for currency, amount in amounts[key].items() if amount})
        for key, each in sums.items()
    }


async def test_the_greatest_members_and_how_many_there_are(ledger: KeptLedger) -> None:
    records = jobs_of_a_year(500, people=30)
    await ledger.post(*records)
    await ledger.follow()
    asked = Asked(date(2025, 11, 1), date(2026, 11, 1), tenant="acme", by=By.USER, order=Order.SHEETS)
    every = await ledger.reports.report(asked)
    assert every.members == len(every.rows) == 31
    sheets = [row.sums.sheets for row in every.rows]
    assert sheets == sorted(sheets, reverse=True)
    few = await ledger.reports.report(replace(asked, most=3))
    assert (few.rows, few.members, few.total) == (every.rows[:3], 31, every.total)
    monthly = await ledger.reports.report(replace(asked, most=3, per=Per.MONTH))
    assert {row.member for row in monthly.rows} == {row.member for row in few.rows}
    for row in few.rows:
        assert plus(each.sums for each in monthly.rows if each.member == row.member) == row.sums
    assert monthly.total == every.total


async def test_a_correction_takes_the_place_of_what_it_names(ledger: KeptLedger) -> None:
    await ledger.post(job(0, sheets={"A4": 5}, user="ada"), job(1, sheets={"A4": 7}))
    await ledger.follow()
    next_day = BEGAN + timedelta(days=1)
    await ledger.post(correction(2, 0, sheets={"A3": 2}, user="ada", occurred_at=next_day))
    await ledger.follow()
    await ledger.post(
        correction(3, 0, sheets={"A4": 50}),  # corrected already
        correction(4, 99, sheets={"A4": 50}),  # not there
        correction(5, 2, sheets={"A3": 3}, user="ada", occurred_at=next_day),
        correction(6, 3, sheets={"A4": 50}),  # a void one counts nothing, and cannot be corrected
    )
    await ledger.follow()
    report = await ledger.reports.report(replace(ALL_DAYS, tenant="acme", per=Per.DAY))
    assert [(row.start, row.sums.jobs, row.sums.sheets) for row in report.rows] == [
        (BEGAN.date(), 1, 7),
        (next_day.date(), 1, 3),
    ]
    assert report.standing[0].void == 3
    formats = await ledger.reports.report(replace(ALL_DAYS, tenant="acme", by=By.FORMAT))
    assert {row.member: row.sums.sheets for row in formats.rows} == {"A4": 7, "A3": 3}


async def test_numbers_and_times_at_their_limits_are_summed_up(ledger: KeptLedger) -> None:
    greatest = 2**53 - 1
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)
    much = [
        job(
            seq,
            sheets={"A4": 10**9, "A3": 10**9},
            prices={"paper": Price(greatest, "EUR"), "ink": Price(greatest, "EUR"), "x": Price(-1, "CHF")},
            occurred_at=(BEGAN, first, last)[seq % 3],
            user="é" * 200,
            device="🖨" * 200,
        )
        for seq in range(3000)
    ]
    await ledger.post(*much, at_once=500)
    await ledger.follow()
    asked = Asked(date(1, 1, 1), date(9999, 12, 31), tenant="acme", by=By.USER)
    [row] = (await ledger.reports.report(asked)).rows
    assert (row.sums.jobs, row.sums.sheets) == (2000, 2000 * 2 * 10**9)
    assert row.amounts == {"CHF": -2000, "EUR": 4000 * greatest}
    for per in Per:
        report = await ledger.reports.report(replace(asked, per=per))
        assert len(report.rows) == 2


async def test_a_day_is_one_of_the_zone_in_which_the_sums_were_begun(ledger: KeptLedger) -> None:
    set_zone(ledger, "America/Los_Angeles")
    await ledger.post(job(0, occurred_at=datetime(2026, 3, 2, 7, 59, tzinfo=UTC)))
    await ledger.follow()
    set_zone(ledger, "Asia/Tokyo")
    await ledger.post(job(1, occurred_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC)))
    await ledger.follow()
    report = await ledger.reports.report(replace(ALL_DAYS, per=Per.DAY))
    assert [row.start for row in report.rows] == [date(2026, 3, 1), date(2026, 3, 2)]
    assert report.standing[0].time_zone == "America/Los_Angeles"


async def test_a_zone_that_nobody_knows_stops_that_tenant_alone(ledger: KeptLedger) -> None:
    set_zone(ledger, "Middle_Earth/Mordor")
    await ledger.post(job(0))
    await ledger.post(job(0, tenant="other"))
    done = await ledger.follower().round()
    assert [each.tenant for each in done.behind] == ["acme"]
    assert "holdfast ledger tenant change" in getattr(done.behind[0].error, "hint", "")
    assert (await ledger.reports.report(replace(ALL_DAYS, tenant="other"))).total.sums.jobs == 1
    assert (await ledger.reports.report(replace(ALL_DAYS, tenant="acme"))).behind == 1


def set_zone(ledger: KeptLedger, zone: str) -> None:
    if ledger.database is None:
        ledger.following.time_zones["acme"] = zone  # type: ignore[attr-defined]
        return
    with ledger.database.connect() as connection:
        connection.execute(
            "INSERT INTO ledger.tenant (key, name, time_zone) VALUES ('acme', 'Acme', %s)"
            " ON CONFLICT (key) DO UPDATE SET time_zone = excluded.time_zone",
            [zone],
        )


async def test_a_tenant_that_nobody_knows(ledger: KeptLedger) -> None:
    with pytest.raises(NotThere):
        await ledger.reports.report(replace(ALL_DAYS, tenant="nobody"))
    report = await ledger.reports.report(ALL_DAYS)
    assert (report.rows, report.total.sums, report.standing) == ([], Sums(), [])
