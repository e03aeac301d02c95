"""The console's pages of jobs, wired."""

from collections.abc import Callable

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.ledger.finding import lent_to
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.postgres.tenancy import EVERY_TENANT
from holdfast.bootstrap.ledger.jobs import jobs_desk, tracer
from holdfast.estate.model import Estate
from holdfast.interfaces.console.ledger_jobs_pages import JobsPages


def jobs_pages(pool: Pool, estate: Callable[[], Estate]) -> JobsPages:
    tenants = PostgresSources(lent_to(pool, EVERY_TENANT)).tenants
    return JobsPages(
        jobs_desk(pool), tracer(pool, estate), tenants, declared=lambda: estate().ledger is not None
    )
