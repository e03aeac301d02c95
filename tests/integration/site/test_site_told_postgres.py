"""What is declared in the database is on the site at once; what is private there never is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from site_client import ask

from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.incident_desk import IncidentDesk, NewIncident, NewUpdate
from holdfast.communication.maintenance_desk import MaintenanceDesk, NewMaintenance
from holdfast.communication.model import ComponentState, Impact, Phase
from holdfast.communication.news import NewsReader
from holdfast.estate.model import Estate
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.publisher import Rhythm
from holdfast.interfaces.site.readership import Readership, readership_of
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

LINK = "k" * 40
CHECK = {"type": "http", "url": "http://127.0.0.1:9/health"}
DOWN = ComponentState.MAJOR_OUTAGE


def estate(*, zebra: bool = True) -> Estate:
    """EU for everybody, and Zebra, of which its customer alone may know."""
    cluster = {"name": "EU", "region": "a", "components": {"api": {"name": "API", "checks": {"http": CHECK}}}}
    clusters: dict[str, Any] = {"eu": cluster}
    if zebra:
        clusters["zebra"] = cluster | {"name": "Zebra", "private": True}
    return Estate.model_validate(
        {
            "site": {"title": "Printcloud", "url": "https://status.example.test"},
            "regions": {"a": {"name": "Frankfurt"}},
            "clusters": clusters,
            "customers": {"zoo": {"name": "The zoo"}},
            "agreements": {
                "zoo": {
                    "customer": "zoo",
                    "name": "Zoo SLA",
                    "components": ["zebra/*" if zebra else "eu/*"],
                    "objective": 99.9,
                }
            },
        }
    )


class Applied:
    """The estate in force."""

    def __init__(self, database: "Database") -> None:
        self._registry = PostgresRegistry(database.conninfo(Role.CONTROLLER))
        self.inventory: Inventory

    def __call__(self) -> Inventory:
        return self.inventory

    def directory(self) -> Directory:
        return directory_of(self.inventory.estate, self.inventory.registered)

    def readership(self) -> Readership:
        return readership_of(self.inventory.estate, self.inventory.registered)

    async def apply(self, of: Estate) -> None:
        at = datetime.now(UTC)
        registered = await self._registry.apply(of, source_sha256="", at=at, actor="test")
        self.inventory = Inventory(of, registered)


@dataclass
class Told:
    """A site over the database with the site's own login, and desks with the console's."""

    applied: Applied
    incidents: IncidentDesk
    maintenance: MaintenanceDesk
    site: StatusSite

    def id_of(self, cluster: str) -> int:
        return self.applied.inventory.component_id(cluster, "api")

    async def until(self, address: str, words: str) -> str:
        """The page at `address`, once it says so."""
        async with asyncio.timeout(60):
            while words not in (page := (await ask(self.site, address)).text):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return page


@pytest.fixture
async def told(migrated_database: "Database") -> AsyncIterator[Told]:
    applied = Applied(migrated_database)
    await applied.apply(estate())
    async with (
        open_pool(migrated_database.conninfo(Role.SITE), "site", max_size=3) as reading,
        open_pool(migrated_database.conninfo(Role.CONSOLE), "console", max_size=2) as writing,
    ):
        site = _site(reading, applied, PostgresChanges(migrated_database.conninfo(Role.SITE)))
        clock, audiences = SystemClock(), PostgresAnnouncements(writing)
        incidents = IncidentDesk(PostgresIncidents(writing), audiences, clock, applied.directory)
        works = MaintenanceDesk(PostgresMaintenances(writing), audiences, clock, applied.directory)
        async with _running(site):
            yield Told(applied, incidents, works, site)


def _site(pool: Pool, applied: Applied, changes: PostgresChanges) -> StatusSite:
    clock = SystemClock()
    return create_site(
        Reader(PostgresReadingStore(pool), clock, applied),
        settings=lambda: applied.inventory.estate.site,
        clock=clock,
        news=NewsReader(PostgresIncidents(pool), PostgresMaintenances(pool), clock),
        readership=applied.readership,
        changes=changes,
        page_links=lambda: {"zoo": LINK},
        # It never reads by itself: only the word of a change makes it.
        rhythm=Rhythm(refresh_s=3600),
    )


@asynccontextmanager
async def _running(site: StatusSite) -> AsyncIterator[None]:
    async with site.router.lifespan_context(site):
        async with asyncio.timeout(60):
            while site.publisher.edition.snapshot is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield


def declared(title: str, affected: Mapping[int, ComponentState]) -> NewIncident:
    return NewIncident(title, Impact.MAJOR, Phase.INVESTIGATING, "We *look*.", dict(affected))


async def test_what_is_declared_edited_and_resolved_is_on_the_page_and_in_the_feed(told: Told) -> None:
    made = await told.incidents.declare(declared("Login fails", {told.id_of("eu"): DOWN}), "ada")
    assert "Major outage: EU API" in await told.until("/en/", "Login fails")
    feed = ET.fromstring((await ask(told.site, "/en/feed.atom")).text)
    assert "Login fails" in ET.tostring(feed, encoding="unicode")

    await told.incidents.edit(made.id, made.updates[0].id, body="We *found* it.", shown_at=None, actor="bo")
    page = await told.until(f"/en/incidents/{made.id}", "<em>found</em>")
    assert "<em>look</em>" in page
    assert "show what it said before" in page

    other = await told.incidents.declare(declared("Same again", {told.id_of("eu"): DOWN}), "ada")
    await told.incidents.merge(other.id, made.id, "ada")
    async with asyncio.timeout(60):
        while (answer := await ask(told.site, f"/en/incidents/{other.id}")).status != 302:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert answer.headers["location"] == f"/en/incidents/{made.id}"

    await told.incidents.post(made.id, NewUpdate(Phase.RESOLVED, "All *well*."), "ada")
    page = await told.until(f"/de/incidents/{made.id}", "Behoben")
    assert "Offene Vorfälle" not in (await ask(told.site, "/de/")).text


async def test_a_draft_is_seen_by_nobody(told: Told) -> None:
    draft = declared("Unripe thoughts", {told.id_of("eu"): DOWN})
    made = await told.incidents.declare(NewIncident(**_fields(draft) | {"draft": True}), "ada")
    await told.incidents.edit(made.id, made.updates[0].id, body="Riper.", shown_at=None, actor="ada")
    await told.site.publisher.turn()
    for address in ("/en/", "/en/incidents", "/en/feed.atom", "/api/v1/status.json", "/api/v2/summary.json"):
        assert "Unripe" not in (await ask(told.site, address)).text
    assert (await ask(told.site, f"/en/incidents/{made.id}")).status == 404

    await told.incidents.publish(made.id, "ada")
    page = await told.until(f"/en/incidents/{made.id}", "Riper.")
    # What was replaced while nobody saw it is not part of the public record.
    assert "show what it said before" not in page


def _fields(new: NewIncident) -> dict[str, Any]:
    return {name: getattr(new, name) for name in new.__dataclass_fields__}


async def test_planned_work_is_on_the_page_at_once(told: Told) -> None:
    start = datetime.now(UTC) + timedelta(days=2)
    window = Window(start, start + timedelta(hours=1))
    made = await told.maintenance.plan(
        NewMaintenance("New disks", "They *spin*.", frozenset({told.id_of("eu")}), window), "ada"
    )
    await told.until("/en/", "New disks")
    page = await told.until(f"/en/maintenance/{made.id}", "<em>spin</em>")
    assert "EU API" in page
    assert made.id in (await ask(told.site, "/en/maintenance.ics")).text


async def test_what_is_private_is_on_its_customers_page_alone(told: Told) -> None:
    secret = await told.incidents.declare(declared("Quagga escaped", {told.id_of("zebra"): DOWN}), "ada")
    home = f"/en/customers/{LINK}"
    await told.until(home, "Quagga escaped")
    assert (await ask(told.site, f"{home}/incidents/{secret.id}")).status == 200
    await _hidden(told, secret.id)

    # The cluster leaves the estate: what was told of it stays as private as it was.
    await told.applied.apply(estate(zebra=False))
    await told.site.publisher.turn()
    await _hidden(told, secret.id)
    assert (await ask(told.site, home)).status == 200
    assert "Quagga" not in (await ask(told.site, home)).text


async def _hidden(told: Told, incident_id: str) -> None:
    for address in ("/en/", "/en/incidents", "/en/feed.atom", "/en/history", "/api/v1/status.json"):
        answer = await ask(told.site, address)
        assert answer.status == 200
        assert "Quagga" not in answer.text
        assert "Zebra" not in answer.text
    for address in (f"/en/incidents/{incident_id}", "/en/clusters/zebra", "/en/clusters/zebra/api"):
        assert (await ask(told.site, address)).status == 404


async def test_a_component_that_comes_back_is_no_secret_when_it_is_public(told: Told) -> None:
    """And one that was public when it was removed keeps its public record."""
    of = estate(zebra=False)
    public = await told.incidents.declare(declared("For everybody", {told.id_of("eu"): DOWN}), "ada")
    await told.applied.apply(of)
    without_eu = of.model_copy(update={"clusters": {"eu2": of.clusters["eu"]}, "agreements": {}})
    await told.applied.apply(without_eu)
    assert told.applied.inventory.registered.hidden
    await told.site.publisher.turn()
    assert (await ask(told.site, f"/en/incidents/{public.id}")).status == 200
    zebra = of.model_copy(update={"clusters": {**of.clusters, "zebra": of.clusters["eu"]}})
    await told.applied.apply(zebra)
    assert told.applied.inventory.registered.hidden == frozenset()
