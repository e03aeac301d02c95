"""Reports on the site: found, downloaded, bounded, and silent about what is private."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from reported import DOWN_AT, NOW, WEBSITE, Past, incident
from site_client import NEVER, ask

from holdfast.interfaces.reports.desk import ReportDesk
from holdfast.interfaces.reports.model import Report
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.readership import readership_of
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.windows import Window

TOKEN = "t" * 40
LINKS = {"premium": TOKEN}
PAGE = "p" * 40


class Slow:
    """A ReportSource that waits until it is let, and may be away."""

    months_offered = 12

    def __init__(self, desk: ReportDesk) -> None:
        self._desk = desk
        self.let = asyncio.Event()
        self.let.set()
        self.away = False
        self.asked = 0

    def zone_of(self, agreement: str) -> Any:
        return self._desk.zone_of(agreement)

    async def _ready(self) -> None:
        self.asked += 1
        await self.let.wait()
        if self.away:
            raise AwayError("the database does not answer")

    async def component(self, cluster_key: str, key: str, window: Window) -> Report | None:
        await self._ready()
        return await self._desk.component(cluster_key, key, window)

    async def cluster(self, cluster_key: str, window: Window) -> Report | None:
        await self._ready()
        return await self._desk.cluster(cluster_key, window)

    async def agreement(self, key: str, window: Window) -> Report | None:
        await self._ready()
        return await self._desk.agreement(key, window)


class AwayError(HoldfastError):
    remedy = Remedy.TRANSIENT


@asynccontextmanager
async def site_of(past: Past, source: Slow, links: Mapping[str, str] = LINKS) -> AsyncIterator[StatusSite]:
    site = create_site(
        past.reader,
        settings=lambda: past.inventory.estate.site,
        clock=past.clock,
        reports=source,
        readership=lambda: readership_of(past.inventory.estate, past.inventory.registered),
        report_links=lambda: links,
        page_links=lambda: {"nordwind": PAGE, "other": "o" * 40},
        rhythm=NEVER,
    )
    async with site.router.lifespan_context(site):
        async with asyncio.timeout(60):
            while not site.publisher.counts.renders:  # noqa: ASYNC110 - a counter rings no bell
                await asyncio.sleep(0.005)
        yield site


@pytest.fixture
async def source(past: Past) -> Slow:
    return Slow(past.desk())


@pytest.fixture
async def site(past: Past, source: Slow) -> AsyncIterator[StatusSite]:
    async with site_of(past, source) as made:
        yield made


async def test_the_index_offers_every_public_component_and_month(site: StatusSite) -> None:
    page = await ask(site, "/de/reports")

    assert page.status == 200
    assert "Berichte" in page.text
    assert '<option value="eu/website"' in page.text
    assert "/de/reports/eu/api?month=2026-10" in page.text
    assert "/de/reports/eu?month=2025-11" in page.text
    assert "ault" not in page.text
    assert 'href="/de/reports" aria-current="page"' in page.text


@pytest.mark.parametrize("address", ["/en/reports/eu/website", "/en/reports/eu/website?month=2026-10"])
async def test_a_month_is_a_page_with_its_downloads(site: StatusSite, address: str) -> None:
    page = await ask(site, address)

    assert page.status == 200
    assert "1 October 2026" in page.text
    assert "99.730%" in page.text
    assert 'href="/en/incidents/inc000000001"' in page.text
    for form in ("pdf", "csv", "json"):
        assert f"/en/reports/eu/website?month=2026-10&amp;format={form}" in page.text
    assert "?month=2026-09" in page.text
    assert "?month=2026-11" in page.text


async def test_the_page_and_every_file_have_the_same_figure(site: StatusSite) -> None:
    address = "/en/reports/eu?month=2026-10"
    page = await ask(site, address)
    told = await ask(site, f"{address}&format=json", accept_encoding="br")
    table = await ask(site, f"{address}&format=csv")
    pdf = await ask(site, f"{address}&format=pdf")

    assert told.headers["content-type"] == "application/json"
    assert told.json["figure"]["availability_percent"].startswith("99.831")
    assert "99.831%" in page.text
    assert table.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert table.text.splitlines()[1].split(",")[7].startswith("99.831")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"] == 'attachment; filename="cluster-eu-2026-10.pdf"'
    assert pdf.body.startswith(b"%PDF-")
    assert pdf.headers["x-content-type-options"] == "nosniff"


async def test_any_range_may_be_asked_for_with_the_form(site: StatusSite) -> None:
    told = await ask(site, "/de/reports?of=eu%2Fapi&from=2026-10-10&to=2026-10-20&format=json")

    assert told.status == 200
    assert told.json["from"] == "2026-10-09T22:00:00Z"
    assert told.json["to"] == "2026-10-20T22:00:00Z"
    assert told.json["subject"]["key"] == "eu/api"


@pytest.mark.parametrize(
    "query",
    [
        "month=2026-13",
        "month=1999-01",
        "month=2027-01",
        "from=2026-10-01",
        "from=2026-10-02&to=2026-10-01",
        "from=2026-10-02&to=2027-10-01",
        "from=1999-10-02&to=2026-10-01",
        "from=2016-10-02&to=2026-10-01",
        "format=exe",
        "month=%00",
        "from=%F0%9F%98%80&to=1",
    ],
)
async def test_what_makes_no_sense_gets_the_form_again(site: StatusSite, query: str, source: Slow) -> None:
    page = await ask(site, f"/de/reports/eu/website?{query}")

    assert page.status == 400
    assert 'role="alert"' in page.text
    assert "<form" in page.text
    assert source.asked == 0


@pytest.mark.parametrize("address", ["vip", "vip/vault", "nope", "eu/nope", "eu/website/x", "%2e%2e/eu"])
async def test_what_is_private_and_what_is_not_there_look_the_same(site: StatusSite, address: str) -> None:
    page = await ask(site, f"/en/reports/{address}?month=2026-10")
    unknown = await ask(site, "/en/reports/never?month=2026-10")

    assert page.status == unknown.status == 404
    assert page.text == unknown.text


async def test_an_agreement_s_report_needs_its_secret(site: StatusSite) -> None:
    address = f"/de/agreements/{TOKEN}/report?month=2026-10"
    page, told = await ask(site, address), await ask(site, f"{address}&format=json")

    assert page.status == 200
    assert "Nordwind Drück &lt;AG&gt;" in page.text
    assert "99,842\xa0%" in page.text
    assert told.json["credit_percent"] == "10"
    for answer in (page, told):
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    for token in ("x" * 40, "premium", TOKEN[:-1]):
        assert (await ask(site, f"/de/agreements/{token}/report?month=2026-10")).status == 404
    assert (await ask(site, f"/de/agreements/{TOKEN}/report?month=2026-99")).status == 404


async def test_a_customer_s_pages_have_the_reports_of_its_own_agreements(site: StatusSite) -> None:
    address = f"/de/customers/{PAGE}/agreements/premium/report?month=2026-10&format=json"
    told = await ask(site, address)

    assert told.status == 200
    assert told.json["subject"]["key"] == "premium"
    assert told.headers["cache-control"] == "private, no-store"
    assert (await ask(site, address.replace("premium", "rolling"))).status == 404, "another customer's"
    assert (await ask(site, address.replace(PAGE, "o" * 40))).status == 404
    assert (await ask(site, address.replace(PAGE, "x" * 40))).status == 404


async def test_an_agreement_s_page_links_to_its_report(site: StatusSite) -> None:
    page = await ask(site, f"/en/agreements/{TOKEN}?month=2026-10")
    assert f'href="/en/agreements/{TOKEN}/report?month=2026-10"' in page.text
    theirs = await ask(site, f"/en/customers/{PAGE}/agreements/premium?month=2026-10")
    assert f'href="/en/customers/{PAGE}/agreements/premium/report?month=2026-10"' in theirs.text


async def test_a_link_that_was_taken_back_opens_nothing(past: Past, source: Slow) -> None:
    links = dict(LINKS)
    async with site_of(past, source, links) as site:
        address = f"/en/agreements/{TOKEN}/report?format=json"
        assert (await ask(site, address)).status == 200
        links.clear()
        assert (await ask(site, address)).status == 404


async def test_one_report_is_made_once_for_all_who_ask(site: StatusSite, source: Slow) -> None:
    source.let.clear()
    asking = [asyncio.create_task(ask(site, "/en/reports/eu?month=2026-10")) for _ in range(20)]
    await asyncio.sleep(0.05)
    source.let.set()
    answers = await asyncio.gather(*asking)

    assert {each.status for each in answers} == {200}
    assert source.asked == 1


async def test_more_than_may_wait_are_sent_away(site: StatusSite, source: Slow) -> None:
    source.let.clear()
    days = [f"2026-10-{day:02}" for day in range(1, 32)]
    addresses = [
        f"/en/reports/eu/{key}?from={day}&to=2026-11-01&format=json"
        for key in ("api", "website")
        for day in days
    ]
    asking = [asyncio.create_task(ask(site, each)) for each in addresses]
    await asyncio.sleep(0.1)
    assert source.asked <= 2, "few at a time"
    source.let.set()
    answers = await asyncio.gather(*asking)

    statuses = [each.status for each in answers]
    assert statuses.count(200) == 32
    assert statuses.count(429) == len(addresses) - 32
    assert all(each.headers["retry-after"] for each in answers if each.status == 429)


async def test_a_database_that_is_away_is_said_so(site: StatusSite, source: Slow) -> None:
    source.away = True
    assert (await ask(site, "/en/reports/eu?format=pdf")).status == 503
    source.away = False
    assert (await ask(site, "/en/reports/eu?format=json")).status == 200, "failures are not kept"


async def test_a_new_incident_shows_in_a_report_that_was_kept(past: Past, site: StatusSite) -> None:
    address = "/en/reports/eu?month=2026-10&format=json"
    assert (await ask(site, address)).status == 200
    past.incidents.incidents_told.append(incident(3, "Told later", WEBSITE, began_at=DOWN_AT))
    past.incidents.incidents_told.pop(0)
    past.clock.advance(61)

    told = json.loads((await ask(site, address)).text)

    assert told["downtimes"][0]["incident"]["title"] == "Told later"
    assert told["made_at"] > NOW.isoformat()
