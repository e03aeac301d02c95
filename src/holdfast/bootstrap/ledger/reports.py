"""Reports, wired: for the console and the API over their pool, and for commands."""

from collections.abc import Callable

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.ledger.finding import lent_to
from holdfast.adapters.postgres.ledger.reports import PostgresReports
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.postgres.tenancy import EVERY_TENANT
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.ledger import rollups
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.opening import Ledger, declared_in
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ledger.report import Rebuilt
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.console.ledger_report_pages import ReportPages
from holdfast.ledger.reports.reporting import Asked
from holdfast.ledger.reports.reporting import Report as LedgerReport


def report_pages(pool: Pool, estate: Callable[[], Estate]) -> ReportPages:
    """The console's, of the estate that is in force when a page is asked for."""
    tenants = PostgresSources(lent_to(pool, EVERY_TENANT)).tenants
    return ReportPages(lambda: PostgresReports(pool) if estate().ledger is not None else None, tenants)


class LocalReports:
    """ReportCommands on the database of a running Holdfast."""

    def report(self, place: Place, asked: Asked) -> LedgerReport:
        async def read(pool: Pool, inventory: Inventory) -> LedgerReport:
            declared_in(inventory.estate)
            return await PostgresReports(pool).report(asked)

        return run(with_database(place, Role.CONSOLE, read))

    def rebuild(self, place: Place, tenant: str | None, report: Report) -> Rebuilt:
        def tell(whose: str, done: int, total: int) -> None:
            report(Progress(f"summing up {whose}: {done:,} of {total:,} leaves", done, total))

        async def work(ledger: Ledger, conninfo: Conninfo) -> Rebuilt:
            del conninfo
            return Rebuilt(await rollups.rebuilt(ledger, tenant, tell))

        return run(with_ledger(place, work))
