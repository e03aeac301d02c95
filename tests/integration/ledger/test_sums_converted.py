"""Sums that a version before wrote are converted, and what is folded next is added to them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace as with_fields
from tests.ledger_records import jobs_of_a_year, kept_ledger

from holdfast.adapters.postgres.ledger.books import PostgresBooks
from holdfast.adapters.postgres.ledger.rollups import COST_CENTRE, DEVICE, KINDS, USER
from holdfast.adapters.postgres.migrate import migrate, packaged
from holdfast.ledger.following import FollowedLog
from holdfast.ledger.model import Record
from holdfast.ledger.reports.rebuilding import compared
from holdfast.ledger.reports.reporting import Asked, By, Per
from holdfast.ledger.reports.rollups import fold

if TYPE_CHECKING:
    from conftest import Database

BEFORE = 19
"""The last version whose sums had no row over all kinds."""
ALL_DAYS = Asked(date(2025, 1, 1), date(2028, 1, 1), tenant="acme")


async def test_sums_of_the_version_before_are_converted(database: "Database") -> None:
    records = [with_fields(each, sheets=UNSET) for each in jobs_of_a_year(500)]
    await migrate(database.conninfo(), until=BEFORE)
    with database.connect() as connection:  # today's logs, beside the sums of then
        connection.execute(next(each.text for each in packaged() if each.name == "ledger_quarters"))
    async with kept_ledger(database) as ledger:
        await ledger.post(*records[:300])
        [log] = await ledger.following.logs()
        _fold_as_before(database, log, records[:300])

        assert [row.version for row in await migrate(database.conninfo(), until=BEFORE + 1)] == [BEFORE + 1]
        report = await ledger.reports.report(ALL_DAYS)
        assert (report.total.sums.jobs, report.behind) == (300, 0)
        books = PostgresBooks(ledger.pool)  # type: ignore[arg-type]
        assert (await compared(books, ledger.following, ledger.logs, log)).differences == []

        await ledger.post(*records[300:])
        assert await ledger.follow() == 200
        for by in (By.USER, By.DEVICE, By.KIND):
            for per in (None, *Per):
                rows = (await ledger.reports.report(replace(ALL_DAYS, by=by, per=per))).rows
                assert sum(row.sums.jobs for row in rows) == 500
        assert (await compared(books, ledger.following, ledger.logs, log)).differences == []


def _fold_as_before(database: "Database", log: FollowedLog, records: Sequence[Record]) -> None:
    """The finest sums are the same in both versions; of the others one will do, they are not believed."""
    folded = fold(enumerate(records), log.zone, named={}, settled=frozenset())
    with database.connect() as connection:
        ids = dict[tuple[int, str], int]()
        for cell in folded.sums:
            for name in ((DEVICE, cell.device), (USER, cell.user), (COST_CENTRE, cell.cost_centre)):
                if name not in ids:
                    member = (
                        "INSERT INTO ledger.member (log_id, dimension, name) VALUES (%s, %s, %s) RETURNING id"
                    )
                    [[ids[name]]] = connection.execute(member, (log.id, *name)).fetchall()
        [[book]] = connection.execute(
            "INSERT INTO ledger.book (log_id, time_zone, in_force) VALUES (%s, 'UTC', true) RETURNING id",
            [log.id],
        ).fetchall()
        for cell, sums in folded.sums.items():
            who = (ids[USER, cell.user], ids[DEVICE, cell.device], ids[COST_CENTRE, cell.cost_centre])
            connection.execute(
                "INSERT INTO ledger.cell VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (book, cell.day, *who, KINDS[cell.kind], cell.currency, *sums),
            )
        connection.execute(
            "INSERT INTO ledger.rollup SELECT book, 0, 0, day, 0, kind, currency, 9, 9, 9, 9, 9, 9, 9, 9"
            " FROM ledger.cell LIMIT 1"
        )
        connection.execute(
            "INSERT INTO ledger.touched SELECT %s, * FROM unnest(%s::date[], %s::bigint[])",
            (book, list(folded.touched), list(folded.touched.values())),
        )
        position = "INSERT INTO ledger.followed (fold, log_id, position) VALUES ('rollups', %s, %s)"
        connection.execute(position, (log.id, len(records)))
