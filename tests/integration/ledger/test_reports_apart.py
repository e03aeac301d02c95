"""Who reads for a tenant reads nothing of another one's sums, however they ask."""

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.ledger_records import KeptLedger, jobs_of_a_year, kept_ledger

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.reports import PostgresReports
from holdfast.ledger.reports.reporting import Asked, By

if TYPE_CHECKING:
    from conftest import Database

ALL_DAYS = Asked(date(2025, 1, 1), date(2028, 1, 1))
TABLES = {
    "followed": "log_id",
    "book": "log_id",
    "member": "log_id",
    "cell": "book",
    "sums": "book",
    "rollup_paper": "book",
    "corrected": "book",
    "void_correction": "book",
    "touched": "book",
}


@pytest.fixture
async def database(migrated_database: "Database") -> "Database":
    """Two tenants with sums, both with something in every table."""
    async with kept_ledger(migrated_database, Role.LEDGER) as ledger:
        for tenant in ("acme", "other"):
            await _posted(ledger, tenant)
        await ledger.follow()
    return migrated_database


async def _posted(ledger: KeptLedger, tenant: str) -> None:
    from tests.ledger_records import correction  # noqa: PLC0415

    await ledger.post(*jobs_of_a_year(50, tenant=tenant))
    await ledger.post(correction(50, 3, tenant=tenant), correction(51, 3, tenant=tenant))


def seen(database: "Database", tenant: str | None, table: str) -> set[str]:
    """Whose rows the console's login finds there when it reads for this tenant."""
    owner = "(SELECT l.tenant FROM ledger.log AS l WHERE l.id = {})"
    of_log = owner.format("t.log_id")
    of_book = owner.format("(SELECT b.log_id FROM ledger.book AS b WHERE b.id = t.book)")
    with database.connect(Role.CONSOLE) as connection, connection.transaction():
        if tenant is not None:
            connection.execute("SELECT set_config('holdfast.tenant', %s, true)", [tenant])
        whose = of_log if TABLES[table] == "log_id" else of_book
        rows = connection.execute(f"SELECT DISTINCT {whose} FROM ledger.{table} AS t").fetchall()  # type: ignore[call-overload]
        return {each for (each,) in rows}


@pytest.mark.parametrize("table", TABLES)
async def test_rows_are_those_of_the_tenant_that_is_read_for(database: "Database", table: str) -> None:
    assert seen(database, "acme", table) == {"acme"}
    assert seen(database, "other", table) == {"other"}
    assert seen(database, "*", table) == {"acme", "other"}
    for nobody in (None, "", "nobody", "acme'", "%"):
        assert seen(database, nobody, table) == set()


@pytest.mark.parametrize("table", TABLES)
async def test_who_reads_changes_nothing(database: "Database", table: str) -> None:
    with database.connect(Role.CONSOLE) as connection:
        connection.execute("SELECT set_config('holdfast.tenant', '*', false)")
        for statement in ("DELETE FROM ledger.{}", "INSERT INTO ledger.{} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.format(table))  # type: ignore[call-overload]


async def test_a_report_for_one_tenant_knows_nothing_of_another(database: "Database") -> None:
    async with open_pool(database.conninfo(Role.CONSOLE), "test", max_size=1) as pool:
        reports = PostgresReports(pool)
        for tenant in (
            "acme",
            "other",
            None,
            "acme",
        ):  # over one connection: nothing stays of who read before
            report = await reports.report(replace(ALL_DAYS, tenant=tenant, by=By.TENANT))
            expected = [tenant] if tenant else ["acme", "other"]
            assert sorted(row.member for row in report.rows) == expected
            assert [each.tenant for each in report.standing] == expected
            assert report.total.sums.jobs == 50 * len(expected)
            by_user = await reports.report(replace(ALL_DAYS, tenant=tenant, by=By.USER, user="user-1"))
            assert {row.tenant for row in by_user.rows} == set(expected)
