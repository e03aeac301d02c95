"""What the API is made of: the desks that it speaks for, and those who tell it what there is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import Request

from holdfast.communication.delivering import Waiting
from holdfast.communication.directory import Directory
from holdfast.communication.incident_desk import IncidentDesk
from holdfast.communication.maintenance_desk import MaintenanceDesk
from holdfast.communication.subscribing import SubscriptionStore
from holdfast.estate.model import Estate
from holdfast.identity.model import Actor, Recorded
from holdfast.interfaces.api.overviews import Overviews
from holdfast.interfaces.evidence_desk import EvidenceDesk
from holdfast.interfaces.recovery_desk import RecoveryDesk
from holdfast.interfaces.site.ports import StatusReader
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import Journal
from holdfast.ledger.find.jobs import JobsDesk
from holdfast.ledger.find.tracing import Tracer
from holdfast.ledger.reports.reporting import Reports


class Bearers(Protocol):
    """Who holds which token."""

    async def actor_of_token(self, token: str) -> Actor:
        """Raises Refused for one that is unknown, expired or revoked."""
        ...


class Trail(Protocol):
    """The journal as auditors read it."""

    async def entries(
        self, *, before: int | None = None, actor: str = "", event: str = "", limit: int = 50
    ) -> Sequence[Recorded]:
        """Newest first, of ids below `before`. `event` may be the beginning of one: `incident.`."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """All of it. `estate` and `directory` are asked anew each time, so that a reload takes effect.

    `waiting` tells what is not delivered yet.
    """

    bearers: Bearers
    incidents: IncidentDesk
    maintenance: MaintenanceDesk
    subscriptions: SubscriptionStore
    waiting: Callable[[], Awaitable[Sequence[Waiting]]]
    journal: Journal
    trail: Trail
    reader: StatusReader
    estate: Callable[[], Estate]
    directory: Callable[[], Directory]
    clock: Clock
    jobs: JobsDesk | None = None
    """None where no ledger is declared; then there is no tracer either."""
    tracer: Tracer | None = None
    reports: Reports | None = None
    runs: RecoveryDesk | None = None
    evidence: EvidenceDesk | None = None
    overviews: Overviews = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "overviews", Overviews(self.reader, self.clock))


def services_of(request: Request) -> Services:
    """Those of the application that answers this request."""
    services: Services = request.app.state.services
    return services
