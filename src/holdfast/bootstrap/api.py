"""The REST API over a pool, with the console's login."""

from fastapi import FastAPI

from holdfast.adapters.postgres.announcements import journal
from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.deliveries import PostgresDeliveries
from holdfast.adapters.postgres.identity import PostgresTrail
from holdfast.adapters.postgres.ledger.reports import PostgresReports
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.availability.reading import Reader
from holdfast.bootstrap.communication import directory_in, incident_desk
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.ledger.jobs import jobs_desk, tracer
from holdfast.bootstrap.maintenance import maintenance_desk
from holdfast.communication.directory import Directory
from holdfast.identity.desk import IdentityDesk
from holdfast.interfaces.api.app import create_api
from holdfast.interfaces.api.callers import Gate
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.evidence_desk import EvidenceDesk
from holdfast.interfaces.recovery_desk import RecoveryDesk
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry


class PooledJournal:
    """Journal over a pool that is open anyway."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, entry: JournalEntry) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await journal(connection, entry)


def rest_api(
    pool: Pool,
    clock: Clock,
    inventory: FollowedEstate,
    identity: IdentityDesk,
    *,
    gate: Gate | None = None,
    runs: RecoveryDesk | None = None,
    evidence: EvidenceDesk | None = None,
) -> FastAPI:
    """The application for `/api/v1`, for the estate that `inventory` has in force at each call.

    Without `runs` and `evidence` it says that there are none.
    """

    def directory() -> Directory:
        return directory_in(inventory())

    reader = Reader(PostgresReadingStore(pool), clock, inventory, PostgresMonths(pool), PostgresMetrics(pool))
    services = Services(
        identity,
        incident_desk(pool, clock, directory),
        maintenance_desk(pool, clock, inventory),
        PostgresSubscriptions(pool),
        PostgresDeliveries(pool).waiting,
        PooledJournal(pool),
        PostgresTrail(pool),
        reader,
        lambda: inventory().estate,
        directory,
        clock,
        jobs_desk(pool),
        tracer(pool, lambda: inventory().estate),
        PostgresReports(pool),
        runs,
        evidence,
    )
    return create_api(services, gate=gate)
