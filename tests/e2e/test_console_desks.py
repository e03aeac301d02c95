"""An outage at 3 a.m., told from a phone: declared and resolved; and work announced and cancelled."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from e2e.steps import first_login
from installation import Installation, eventually, fetch, free_port, installed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 844}
ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{site}', url: 'http://127.0.0.1:{site}', time_zone: Europe/Berlin}}
console: {{listen: '127.0.0.1:{console}', second_factor: optional}}
regions: {{here: {{name: Here}}}}
communication:
  templates:
    outage: {{name: Outage, title: '{{{{ component }}}} is down', body: We look into it., impact: major}}
clusters:
  eu:
    name: Europe
    region: here
    components:
      api:
        name: API
        checks: {{page: {{type: tcp, host: 127.0.0.1, port: {site}}}}}
      web:
        name: Website
        checks: {{page: {{type: tcp, host: 127.0.0.1, port: {site}}}}}
"""


@dataclass
class Place:
    """A running Holdfast, with one subscriber, and who is on call."""

    installation: Installation
    site: str
    console: str

    def deliveries(self) -> list[tuple[str, int]]:
        """What was announced, in its order, and to how many."""
        return [
            (event, count)
            for event, count in self.installation.query(
                "SELECT a.event, count(d.id) FROM communication.announcement a "
                "LEFT JOIN communication.delivery d ON d.announcement_id = a.id GROUP BY a.id ORDER BY a.at"
            )
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    site, console = free_port(), free_port()
    estate = ESTATE.format(site=site, console=console)
    with installed(tmp_path_factory.mktemp("desks"), estate) as installation:
        said = installation.up().said.json
        eventually(lambda: fetch(f"{said['console']}health/ready")[0] == 200, "the console is ready")
        installation.query(
            "INSERT INTO communication.subscription (channel, address, address_hash, language, topics, "
            "component_ids, cluster_keys, standing, asked) VALUES ('mail', '\\x00', sha256('a'), 'en', "
            "'{incident,maintenance}', '{}', '{}', 'active', '{}') RETURNING id"
        )
        yield Place(installation, f"http://127.0.0.1:{site}", said["console"].rstrip("/"))


@pytest_asyncio.fixture(loop_scope="session")
async def phone(browser: Browser, place: Place) -> AsyncIterator[Page]:
    """A phone in the dark, without JavaScript, on which somebody is logged in."""
    context = await browser.new_context(
        base_url=place.console,
        viewport=PHONE,
        color_scheme="dark",
        java_script_enabled=False,
        locale="en-GB",
    )
    context.set_default_timeout(60_000)
    page = await context.new_page()
    name = f"anna{len(place.installation.query('SELECT id FROM identity.account'))}"
    said = place.installation.run("account", "add", name, "--role", "communicator", "--json").json
    await first_login(page, said["invitation"])
    await page.wait_for_url(f"{place.console}/")
    yield page
    await context.close()


async def test_an_outage_is_told_from_a_phone_from_beginning_to_end(place: Place, phone: Page) -> None:
    await phone.goto("/incidents")
    await phone.get_by_role("link", name="Declare an incident").click()
    await phone.get_by_role("link", name="Outage").click()
    await phone.get_by_label("API").check()
    await phone.get_by_label("major outage").check()
    await phone.get_by_role("button", name="Preview").click()
    await expect(phone.locator(".whom")).to_contain_text("1 subscriber will be told")
    assert place.deliveries() == []
    await phone.get_by_role("button", name="Declare it").click()
    await expect(phone.locator("h1")).to_have_text("API is down")

    link = await phone.get_by_role("link", name="as readers see it").get_attribute("href")
    assert link is not None
    eventually(lambda: "API is down" in fetch(f"{place.site}/en/")[1], "it is on the overall page")
    eventually(lambda: "API is down" in fetch(f"{place.site}/en/feed.atom")[1], "it is in the feed")
    eventually(lambda: "API is down" in fetch(f"{place.site}/api/v2/summary.json")[1], "programs read it")
    assert fetch(link)[0] == 200
    assert place.deliveries() == [("incident.declared", 1)]

    await phone.get_by_label("resolved").check()
    await phone.get_by_label("What readers should know").fill("A *cable* was back in.")
    await phone.get_by_role("button", name="Say it").click()
    await expect(phone.locator(".banner")).to_contain_text("Said.")
    eventually(lambda: "A <em>cable</em> was back in." in fetch(link)[1], "readers see the end of it")
    assert place.deliveries() == [("incident.declared", 1), ("incident.resolved", 1)]
    (actor,) = {
        row[0]
        for row in place.installation.query("SELECT actor FROM holdfast.journal WHERE event ~ '^incident'")
    }
    assert re.fullmatch(r"anna\d+", actor)


async def test_work_is_announced_and_cancelled(place: Place, phone: Page) -> None:
    await phone.goto("/maintenance/new")
    await phone.get_by_label("What is done").fill("New disks")
    await phone.get_by_label("Website").check()
    await phone.get_by_role("button", name="Announce it").click()
    await expect(phone.locator("h1")).to_have_text("New disks")
    eventually(lambda: "New disks" in fetch(f"{place.site}/en/")[1], "it is on the overall page")
    eventually(lambda: "New disks" in fetch(f"{place.site}/en/maintenance.ics")[1], "it is in the calendar")

    await phone.get_by_label("What readers should know").fill("They come a week later.")
    await phone.get_by_role("button", name="Cancel it").click()
    await expect(phone.locator(".tags").first).to_contain_text("cancelled")
    eventually(
        lambda: "STATUS:CANCELLED" in fetch(f"{place.site}/en/maintenance.ics")[1], "calendars hear of it"
    )


async def test_every_desk_is_open_to_everybody(browser: Browser, place: Place, phone: Page) -> None:
    """axe needs JavaScript: the same person, on another page."""
    incident = place.installation.run(
        *(
            "incident",
            "declare",
            "--title",
            "For axe",
            "--body",
            "A **word**.",
            "--component",
            "eu/api",
            "--json",
        )
    ).json["id"]
    context = await browser.new_context(base_url=place.console, viewport=PHONE)
    await context.add_cookies(await phone.context.cookies())
    page = await context.new_page()
    for path in (
        "/incidents",
        "/incidents/new",
        f"/incidents/{incident}",
        "/maintenance",
        "/maintenance/new",
    ):
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200
        found = (await Axe().run(page)).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        # Nothing sticks out to the side of a phone.
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await context.close()
