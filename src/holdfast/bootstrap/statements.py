"""An agreement's figures for the command line, each downtime with the incident that was declared of it."""

from datetime import datetime

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.communication.incidents import linked
from holdfast.communication.model import Incident
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import SlaReport
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

MOST_INCIDENTS = 5000


class NoAgreement(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """What is named is no agreement, or may be several."""


def agreement_named(name: str, estate: Estate) -> str:
    """The key of that agreement, or of the only one of the customer of that key. Raises NoAgreement."""
    if name in estate.agreements:
        return name
    of_customer = [key for key, each in estate.agreements.items() if each.customer == name]
    if len(of_customer) == 1:
        return of_customer[0]
    if of_customer:
        told = ", ".join(of_customer)
        raise NoAgreement(f"customer {name!r} has several agreements", hint=f"name one of them: {told}")
    known = [*estate.agreements, *estate.customers]
    hint = did_you_mean(name, known, otherwise=f"there are: {', '.join(estate.agreements) or 'none'}")
    raise NoAgreement(f"there is no agreement {name!r}", hint=hint)


async def statement_of(
    pool: Pool, clock: Clock, inventory: Inventory, name: str, moment: datetime | None
) -> SlaReport:
    """The window around `moment`, or the present one. Raises NoAgreement."""
    key = agreement_named(name, inventory.estate)
    reader = Reader(PostgresReadingStore(pool), clock, lambda: inventory, PostgresMonths(pool))
    report = await reader.agreement(key, moment or clock.now())
    if report is None:
        raise NoAgreement(f"there is no agreement {name!r}")
    incidents: list[Incident] = []
    if report.events:
        since = report.statement.window.start
        found = await PostgresIncidents(pool).incidents(since=since, limit=MOST_INCIDENTS, public_only=True)
        incidents = list(found)
    declared = [linked(incidents, status.id, event.window) for status, event in report.events]
    return SlaReport(report, declared)
