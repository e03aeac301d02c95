"""The REST API in memory: two public clusters, a private one, agreements, templates, tokens."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.deliveries import MemoryDeliveries
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.adapters.memory.subscriptions import Kept, MemorySubscriptions, Row
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import State, Transition
from holdfast.availability.ports import Batch
from holdfast.availability.reading import Reader
from holdfast.availability.verdicts import CheckState
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.incident_desk import IncidentDesk
from holdfast.communication.maintenance_desk import MaintenanceDesk
from holdfast.communication.model import Channel, Scope, Standing, Subscription, Topic
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.identity.model import Actor, Right
from holdfast.identity.tokens import TokenDesk
from holdfast.interfaces.api.app import create_api
from holdfast.interfaces.api.callers import Gate
from holdfast.interfaces.api.services import Services
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.journal import JournalEntry

NOW = datetime(2026, 11, 22, 13, 3, 20, tzinfo=UTC)
ADMIN = Actor("ada", frozenset(Right))
CHECK = {"type": "http", "url": "https://service.example.com/"}


def _component(name: str) -> dict[str, Any]:
    return {"name": name, "checks": {"up": CHECK}}


ESTATE = Estate.model_validate(
    {
        "site": {"title": "Printcloud", "url": "https://status.example.com"},
        "regions": {"fra": {"name": "Frankfurt"}},
        "clusters": {
            "eu": {
                "name": "EU",
                "region": "fra",
                "components": {"website": _component("Website"), "api": _component("API")},
            },
            "usa": {"name": "USA", "region": "fra", "components": {"api": _component("API")}},
            "gov": {
                "name": "Government",
                "region": "fra",
                "private": True,
                "components": {"vault": _component("Vault")},
            },
        },
        "customers": {"acme": {"name": "Acme"}, "bureau": {"name": "The Bureau"}},
        "agreements": {
            "premium": {
                "customer": "acme",
                "name": "Acme Premium",
                "components": ["eu/*"],
                "objective": 99.99,
                "time_zone": "Europe/Berlin",
                "credits": [{"below": 99.99, "credit": 10}],
            },
            "secret": {
                "customer": "bureau",
                "name": "Bureau",
                "components": ["gov/*"],
                "objective": 99.5,
                "window": "30d",
            },
        },
        "communication": {
            "templates": {
                "outage": {
                    "name": "An outage",
                    "title": "{{ component }} is down",
                    "body": "We look into {{ component }} in {{ cluster }}.",
                    "impact": "major",
                }
            }
        },
    }
)
PAIRS = [(cluster, key) for cluster, each in ESTATE.clusters.items() for key in each.components]
COMPONENTS = {pair: number for number, pair in enumerate(PAIRS, 1)}
REGISTERED = Registered(COMPONENTS, {(*pair, "up"): 100 + each for pair, each in COMPONENTS.items()}, 1)
DIRECTORY = directory_of(ESTATE, REGISTERED)


def subscriber_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _subscribed() -> list[Subscription]:
    kinds = [
        (Channel.MAIL, Standing.ACTIVE),
        (Channel.MAIL, Standing.PENDING),
        (Channel.WEBHOOK, Standing.ACTIVE),
    ]
    return [
        Subscription(
            subscriber_id(number),
            channel,
            "de",
            Scope(frozenset({Topic.INCIDENT, Topic.MAINTENANCE}), frozenset({2}), frozenset({"usa"})),
            standing,
            NOW - timedelta(days=number),
            confirmed_at=None if standing is Standing.PENDING else NOW,
        )
        for number, (channel, standing) in enumerate(kinds, 1)
    ]


class Journal:
    """Everything that was journalled, by whichever store."""

    def __init__(self, identity: MemoryIdentity) -> None:
        self._identity = identity

    async def append(self, entry: JournalEntry) -> None:
        self._identity.journal.append(entry)


class Away(HoldfastError):  # noqa: N818  a state of affairs
    remedy = Remedy.TRANSIENT


class Served:
    """The application with everything behind it."""

    def __init__(self, **gate: float) -> None:
        self.clock = ManualClock(NOW)
        self.identity = MemoryIdentity()
        self.tokens = TokenDesk(self.identity, self.clock)
        self.kept = Kept(self.clock)
        for each in _subscribed():
            self.kept.rows[each.id] = Row(each, b"sealed", each.id.encode(), [NOW])
        self.announcements = MemoryAnnouncements(
            lambda: [row.subscription for row in self.kept.rows.values()]
        )
        self.incidents = MemoryIncidents(self.clock, self.announcements)
        self.maintenance = MemoryMaintenances(self.clock, self.announcements)
        self.availability = MemoryAvailability({100 + each: each for each in COMPONENTS.values()}, self.clock)
        self.reader: Any = Reader(self.availability, self.clock, lambda: Inventory(ESTATE, REGISTERED))
        services = Services(
            self,
            IncidentDesk(self.incidents, self.announcements, self.clock, self.directory),
            MaintenanceDesk(self.maintenance, self.announcements, self.clock, self.directory),
            MemorySubscriptions(self.kept),
            MemoryDeliveries(self.kept).waiting,
            Journal(self.identity),
            self.identity,
            self.reader,
            lambda: ESTATE,
            self.directory,
            self.clock,
        )
        self.app: FastAPI = create_api(services, gate=Gate(self.clock, **gate) if gate else None)  # type: ignore[arg-type]
        self.asked = 0

    def directory(self) -> Directory:
        return DIRECTORY

    async def actor_of_token(self, token: str) -> Actor:
        self.asked += 1
        return await self.tokens.actor_of(token)

    async def measure(self) -> None:
        """Every component is operational but eu/api, which is down since ten minutes."""
        long_ago, lately = NOW - timedelta(days=10), NOW - timedelta(minutes=10)
        line = [Transition(100 + each, long_ago, State.OPERATIONAL, "") for each in COMPONENTS.values()]
        line.append(Transition(102, lately, State.MAJOR_OUTAGE, "connection refused"))
        now = {each.check_id: each for each in line}.values()
        due = NOW + timedelta(hours=1)
        known = [CheckState(each.check_id, each.state, each.at, NOW, NOW, due, each.reason) for each in now]
        await self.availability.record(Batch([], line, known))

    async def token(self, *rights: Right, expires_at: datetime | None = None) -> str:
        name = f"for {len(self.identity.journal)}"
        _, secret = await self.tokens.create(name, rights or ALL, ADMIN, expires_at=expires_at)
        return secret

    async def client(self, *rights: Right) -> httpx.AsyncClient:
        """Somebody with a token of these scopes; of all when none are given."""
        return self.stranger({"authorization": f"Bearer {await self.token(*rights)}"})

    def stranger(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("192.0.2.1", 4000))
        return httpx.AsyncClient(transport=transport, base_url="http://console.example.com", headers=headers)


ALL = (
    Right.READ,
    Right.INCIDENTS,
    Right.MAINTENANCE,
    Right.SUBSCRIBERS,
    Right.AUDIT,
    Right.OPERATE,
    Right.LEDGER,
)
DECLARED = {
    "title": "The API is down",
    "body": "We are **looking** into it.",
    "impact": "major",
    "affected": {"eu/api": "major_outage"},
}
PLANNED = {
    "title": "Database upgrade",
    "components": ["eu/*"],
    "starts_at": "2026-11-29T02:00:00+01:00",
    "ends_at": "2026-11-29T04:00:00+01:00",
    "remind_before_s": [86400],
}
