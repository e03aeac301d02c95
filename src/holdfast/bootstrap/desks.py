"""The pages of the console on which operators work."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from holdfast.adapters.postgres.backup import PostgresBackupStatus, PostgresKeeping
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.deliveries import PostgresDeliveries
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.backup.retention.approvals import RetentionDesk
from holdfast.bootstrap.api import PooledJournal
from holdfast.bootstrap.communication import directory_in, incident_desk
from holdfast.bootstrap.ledger.completeness import completeness_pages
from holdfast.bootstrap.ledger.jobs_pages import jobs_pages
from holdfast.bootstrap.ledger.reports import report_pages
from holdfast.bootstrap.maintenance import maintenance_desk
from holdfast.communication.directory import Directory
from holdfast.communication.lead_times import LeadTime, lead_times
from holdfast.communication.news import NewsReader
from holdfast.interfaces.console.backup_pages import BackupPages
from holdfast.interfaces.console.customer_pages import CustomerConsole
from holdfast.interfaces.console.incident_pages import IncidentPages
from holdfast.interfaces.console.maintenance_pages import MaintenancePages
from holdfast.interfaces.console.shell import ConsolePage
from holdfast.interfaces.console.subscriber_pages import SubscriberPages
from holdfast.interfaces.site.readership import Readership, readership_of
from holdfast.kernel.clock import Clock


def readership_in(inventory: Inventory) -> Readership:
    """Who may know of what, of the estate in force."""
    return readership_of(inventory.estate, inventory.registered)


def desk_pages(pool: Pool, clock: Clock, inventory: Callable[[], Inventory]) -> Sequence[ConsolePage]:
    """Incidents, maintenance, subscribers and customers, of the estate that `inventory` has in force then."""

    def directory() -> Directory:
        return directory_in(inventory())

    def leads(component_ids: Collection[int], starts_at: datetime) -> Sequence[LeadTime]:
        places = directory().places_of(component_ids).values()
        pairs = [(place.cluster_key, place.key) for place in places]
        return lead_times(inventory().estate, pairs, starts_at, clock.now())

    reader = Reader(PostgresReadingStore(pool), clock, inventory, PostgresMonths(pool), PostgresMetrics(pool))
    news = NewsReader(PostgresIncidents(pool), PostgresMaintenances(pool), clock)
    return [
        *CustomerConsole(reader, news, lambda: readership_in(inventory())).pages(),
        *IncidentPages(
            incident_desk(pool, clock, directory),
            directory,
            lambda: inventory().estate.communication.templates,
        ).pages(),
        *MaintenancePages(maintenance_desk(pool, clock, inventory), directory, leads).pages(),
        *SubscriberPages(
            PostgresSubscriptions(pool), PostgresDeliveries(pool).waiting, directory, PooledJournal(pool)
        ).pages(),
        *backup_pages(pool, inventory).pages(),
        *jobs_pages(pool, lambda: inventory().estate).pages(),
        *report_pages(pool, lambda: inventory().estate).pages(),
        *completeness_pages(pool, clock, lambda: inventory().estate).pages(),
    ]


def backup_pages(pool: Pool, inventory: Callable[[], Inventory]) -> BackupPages:
    """What is restorable, and the changes that keep less."""
    keeping = PostgresKeeping(pool)
    people = RetentionDesk(keeping)
    return BackupPages(
        PostgresBackupStatus(pool).statuses,
        lambda: {key: each.name for key, each in inventory().estate.databases.items()},
        keeping.in_force,
        lambda database, region, who, change: people.approve(database, region, who, shown=change),
    )
