"""What is declared reaches readers: on the page, in the feed, in their language, also without script."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from e2e.demo import PACE, Demo
from installation import eventually, fetch

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMISED_S = 2.0 * PACE
"""So soon after it was declared an incident is on the page and in the feed."""
TITLE = "Druckaufträge bleiben liegen"
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest_asyncio.fixture(loop_scope="session")
async def declared(demo: Demo) -> AsyncIterator[dict[str, Any]]:
    """An open incident that is on the site, resolved when the test is done."""
    arguments = ("--title", TITLE, "--body", "Wir *sehen* nach.", "--impact", "major")
    made = await asyncio.to_thread(
        demo.incident, "declare", *arguments, "--component", "eu/api=partial_outage"
    )
    await asyncio.to_thread(
        eventually, lambda: made["id"] in fetch(f"{demo.site}/en/")[1], "the site tells of it"
    )
    yield made
    await asyncio.to_thread(demo.incident, "resolve", made["id"], "--body", "Es ist vorbei.")
    await asyncio.to_thread(demo.until_whole)


async def test_an_incident_is_on_the_page_and_in_the_feed_at_once(demo: Demo) -> None:
    """Seen by who asks all the time; the clock of who declared it and of who looks is the same."""
    addresses = {"page": "/en/", "atom": "/en/feed.atom", "rss": "/de/feed.rss", "api": "/api/v1/status.json"}
    seen: dict[str, datetime] = {}

    def watch() -> bool:
        for what, path in addresses.items():
            if what not in seen and TITLE in fetch(f"{demo.site}{path}")[1]:
                seen[what] = datetime.now(UTC)
        return len(seen) == len(addresses)

    watching = asyncio.create_task(asyncio.to_thread(eventually, watch, "everybody is told"))
    arguments = ("--title", TITLE, "--body", "Wir sehen nach.", "--component", "eu/api=partial_outage")
    made = await asyncio.to_thread(demo.incident, "declare", *arguments)
    try:
        await watching
        published = datetime.fromisoformat(made["published_at"])
        late = {what: (at - published).total_seconds() for what, at in seen.items()}
        assert max(late.values()) <= PROMISED_S, late
    finally:
        await asyncio.to_thread(demo.incident, "resolve", made["id"], "--body", "Es ist vorbei.")
        await asyncio.to_thread(demo.until_whole)


async def test_an_open_page_tells_of_it_by_itself_and_leads_to_its_record(
    demo: Demo, visit: Callable[..., Any], declared: dict[str, Any]
) -> None:
    page = await (await visit(locale="de-DE")).new_page()
    await page.goto("/")
    assert await page.locator("h1").inner_text() == "Teilausfall: EU API"
    assert "Gemessen: Alle Systeme betriebsbereit" in await page.locator(".hero").inner_text()
    told = page.locator("section[aria-labelledby=incidents]")
    assert "In Untersuchung" in await told.inner_text()

    update = ("--phase", "identified", "--body", "Eine Platte ist voll.")
    await asyncio.to_thread(demo.incident, "update", declared["id"], *update)
    await page.wait_for_selector("section[aria-labelledby=incidents]:has-text('Eine Platte ist voll.')")

    await told.get_by_role("link", name=TITLE).click()
    await expect(page.locator("h1")).to_have_text(TITLE)
    await expect(page.locator(".timeline h3")).to_have_text(["Ursache gefunden", "In Untersuchung"])


@pytest.mark.usefixtures("declared")
async def test_everything_is_readable_with_script_off_and_on_a_phone(
    demo: Demo, visit: Callable[..., Any]
) -> None:
    visitor = await visit(java_script_enabled=False, viewport={"width": 320, "height": 568})
    page = await visitor.new_page()
    await page.goto("/en/")
    assert TITLE in await page.locator("section[aria-labelledby=incidents]").inner_text()
    for path in ("/en/", "/de/incidents", f"/de/{demo.told['incident']}", f"/en/{demo.told['maintenance']}"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320, path
    # The edit opens without a script, too.
    await page.goto(f"/en/{demo.told['incident']}")
    before = page.locator("details.edited")
    await expect(before.locator(".before")).to_be_hidden()
    await before.locator("summary").click()
    await expect(before.locator(".before")).to_be_visible()
    await expect(before.locator(".before")).to_contain_text("Wir suchen die Ursache.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_while_an_incident_is_open(
    visit: Callable[..., Any], declared: dict[str, Any], scheme: str
) -> None:
    page = await (await visit(color_scheme=scheme, bypass_csp=True)).new_page()
    for path in ("/en/", "/de/clusters/eu", "/en/clusters/eu/api", f"/de/incidents/{declared['id']}"):
        await page.goto(path)
        found = [
            f"{each['id']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in (await Axe().run(page)).response["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert not found, f"{path}: {found}"


@pytest.mark.usefixtures("declared")
async def test_feeds_are_found_and_read(demo: Demo, visit: Callable[..., Any]) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/clusters/eu/api")
    for link in await page.locator("link[type='application/atom+xml']").all():
        code, text = await asyncio.to_thread(fetch, f"{demo.site}{await link.get_attribute('href')}")
        assert code == 200
        titles = [each.findtext(f"{ATOM}title", "") for each in ET.fromstring(text).iter(f"{ATOM}entry")]
        assert f"Investigating: {TITLE}" in titles
    code, text = await asyncio.to_thread(fetch, f"{demo.site}/de/maintenance.ics")
    assert code == 200
    assert "SUMMARY;LANGUAGE=de:Neue Platten" in text


@pytest.mark.usefixtures("declared", "frozen")
async def test_without_its_database_the_site_still_tells_with_its_age(
    demo: Demo, visit: Callable[..., Any]
) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/")
    await page.wait_for_selector("section.banner:has-text('Live figures are unavailable')")
    assert TITLE in await page.locator("section[aria-labelledby=incidents]").inner_text()
    for path in ("/en/incidents", f"/en/{demo.told['incident']}", f"/en/{demo.told['maintenance']}"):
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert "was known as of" in await page.locator("section.banner:not(.sample)").inner_text(), path
    code, text = await asyncio.to_thread(fetch, f"{demo.site}/en/feed.atom")
    assert code == 200
    assert re.search(TITLE, text)
