"""The console's pages of incidents and maintenance over stores in memory, and a browser that is logged in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.directory import Directory
from holdfast.communication.incident_desk import IncidentDesk
from holdfast.communication.lead_times import LeadTime
from holdfast.communication.maintenance_desk import MaintenanceDesk
from holdfast.communication.model import Channel, Place, Scope, Standing, Subscription
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Actor, Right, Role, Terms
from holdfast.identity.sessions import csrf_of
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.incident_pages import IncidentPages
from holdfast.interfaces.console.maintenance_pages import MaintenancePages
from holdfast.kernel.clock import ManualClock

NOW = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)
PASSWORD = "correct horse battery"
API, WEB = 1, 2
DIRECTORY = Directory(
    {API: Place("eu", "Europe", "api", "API"), WEB: Place("eu", "Europe", "web", "Website")}, {}
)
ADMIN = Actor("test", frozenset(Right))
READERS = [
    Subscription(str(number), Channel.MAIL, "en", Scope(), Standing.ACTIVE, NOW) for number in range(3)
]
TEMPLATES = {
    "outage": IncidentTemplate(
        name="Outage",
        title="{{ component }} is down",
        body="The {{ components }} does not answer.",
        impact="major",
    )
}


class PlainHashing:
    """Slow on purpose is what tests of pages do not need."""

    async def hash(self, password: str) -> str:
        return password[::-1]

    async def verify(self, hashed: str | None, password: str) -> bool:
        return hashed == password[::-1]

    def outdated(self, _: str) -> bool:
        return False


@dataclass
class Desks:
    """The desks behind the console, its clock, and a browser in which somebody is logged in."""

    clock: ManualClock
    announcements: MemoryAnnouncements
    incidents: IncidentDesk
    maintenance: MaintenanceDesk
    browser: httpx.AsyncClient

    @property
    def csrf(self) -> str:
        return csrf_of(self.browser.cookies["hf_session"])

    async def post(self, path: str, **fields: object) -> httpx.Response:
        """The form, with its token unless another is given. A field of several is a list."""
        return await self.browser.post(path, data={"csrf": self.csrf, **fields})


@asynccontextmanager
async def desks(role: Role = Role.COMMUNICATOR, *, zone: str = "Europe/Berlin") -> AsyncIterator[Desks]:
    clock = ManualClock(NOW)
    identity = IdentityDesk(
        MemoryIdentity(),
        AesVault(bytes(32)),
        PlainHashing(),
        clock,
        lambda: Terms(second_factor_required=False),
    )
    await identity.accounts.add("anna", role, ADMIN)
    await identity.accounts.set_password("anna", PASSWORD, ADMIN)
    announcements = MemoryAnnouncements(lambda: READERS)
    incidents = IncidentDesk(MemoryIncidents(clock, announcements), announcements, clock, lambda: DIRECTORY)
    maintenance = MaintenanceDesk(
        MemoryMaintenances(clock, announcements), announcements, clock, lambda: DIRECTORY
    )
    console = create_console(
        identity,
        MemoryIdentity(),
        AesVault(bytes(32)),
        clock,
        site=lambda: Site(time_zone=zone, url="https://status.example.com"),
        pages=[
            *IncidentPages(incidents, lambda: DIRECTORY, lambda: TEMPLATES).pages(),
            *MaintenancePages(
                maintenance,
                lambda: DIRECTORY,
                lambda _, starts_at: [
                    LeadTime("acme", "Acme gold", "acme", timedelta(hours=72), starts_at - clock.now())
                ],
            ).pages(),
        ],
    )
    address = "http://127.0.0.1:8082"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console), base_url=address) as browser:
        opened = await identity.login("anna", PASSWORD, "127.0.0.1")
        browser.cookies.set("hf_session", opened.cookie)
        browser.headers["origin"] = address
        yield Desks(clock, announcements, incidents, maintenance, browser)
