"""A run in a browser: started by one person, approved from another one's phone, watched live to its end."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from e2e.steps import first_login, is_accessible
from installation import Installation, eventually, fetch, free_port, installed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE_MS = 60_000
ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{site}', url: 'http://127.0.0.1:{site}'}}
console: {{listen: '127.0.0.1:{console}', second_factor: optional}}
regions: {{here: {{name: Here}}, there: {{name: There}}}}
clusters:
  eu:
    name: Europe
    region: here
    secondary: there
    components: {{api: {{name: API, checks: {{page: {{type: tcp, host: 127.0.0.1, port: {site}}}}}}}}}
recovery: {{}}
"""
Login = Callable[..., Awaitable[Page]]


@dataclass
class Place:
    installation: Installation
    console: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    estate = ESTATE.format(site=free_port(), console=free_port())
    with installed(tmp_path_factory.mktemp("rehearsal"), estate) as installation:
        said = installation.up().said.json
        eventually(lambda: fetch(f"{said['console']}health/ready")[0] == 200, "the console is ready")
        yield Place(installation, said["console"].rstrip("/"))


@pytest_asyncio.fixture(loop_scope="session")
async def login(browser: Browser, place: Place) -> AsyncIterator[Login]:
    """Somebody of that name and role at a browser of their own."""
    contexts: list[BrowserContext] = []

    async def logged_in(name: str, role: str, **how: object) -> Page:
        context = await browser.new_context(base_url=place.console, locale="en-GB", **how)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        said = place.installation.run("account", "add", name, "--role", role, "--json").json
        await first_login(page, said["invitation"])
        await page.wait_for_url(f"{place.console}/")
        return page

    yield logged_in
    for context in contexts:
        await context.close()


async def test_a_run_is_started_approved_by_somebody_else_and_watched_to_its_end(
    place: Place, login: Login
) -> None:
    complaints = list[str]()
    desk = await login("cora", "commander")
    desk.on("console", lambda message: complaints.append(message.text))
    await desk.get_by_role("link", name="Recovery").first.click()
    await expect(desk.get_by_text("No run is under way.")).to_be_visible()
    await is_accessible(desk)
    await desk.get_by_role("link", name="Rehearse a run").click()
    await expect(desk.get_by_label("What it works on")).to_be_visible()
    await is_accessible(desk)
    await desk.get_by_label("What it works on").fill("eu")
    await desk.get_by_label("seconds").fill("1")
    await desk.get_by_role("button", name="Start: Rehearse a run").click()
    standing = desk.locator("#standing")
    await expect(standing).to_have_text("waits for people", timeout=PATIENCE_MS)
    await expect(desk.get_by_text("whoever started the run cannot approve it")).to_be_visible()
    await expect(desk.get_by_role("button", name="Approve")).to_have_count(0)
    await is_accessible(desk)
    await desk.evaluate("window.notReloaded = true")
    await desk.get_by_text("What it found").first.click()

    phone = await login(
        "dora",
        "admin",
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        java_script_enabled=False,
    )
    await phone.goto("/recovery")
    await phone.get_by_role("link", name="Rehearse a run: eu").click()
    await phone.get_by_role("button", name="Approve: Somebody else agrees").click()
    await expect(phone.locator(".banner")).to_contain_text("You approved it.")
    width = await phone.evaluate("document.documentElement.scrollWidth")
    assert width <= 390

    await expect(standing).to_have_text("done", timeout=PATIENCE_MS)
    await expect(desk.get_by_text("Approved by dora.")).to_be_visible()
    await expect(desk.locator("#steps .tag").last).to_have_text("done")
    assert await desk.evaluate("window.notReloaded")
    # What somebody opened stays open.
    await expect(desk.locator("details[open]")).to_have_count(1)
    await expect(desk.get_by_role("button", name="Cancel the run")).to_have_count(0)
    assert complaints == []
    await is_accessible(desk)

    run = desk.url.rpartition("/")[2]
    steps = place.installation.query(
        "SELECT actor, event FROM holdfast.journal "
        "WHERE facts->>'run' = %s AND actor <> 'recovery' ORDER BY id",
        run,
    )
    assert steps == [("cora", "run.started"), ("dora", "run.approved")]
    await phone.goto("/audit?event=run.")
    await expect(phone.get_by_text("run.approved").first).to_be_visible()


async def test_a_cancel_takes_back_what_was_done(place: Place, login: Login) -> None:
    page = await login("carl", "commander")
    await page.goto("/recovery/playbooks/rehearsal?for=eu")
    await page.get_by_role("button", name="Start: Rehearse a run").click()
    await expect(page.locator("#standing")).to_have_text("waits for people", timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Cancel the run").click()
    await expect(page.locator("#standing")).to_have_text("cancelled", timeout=PATIENCE_MS)
    await expect(page.get_by_text("Cancelled by carl.")).to_be_visible()
    await page.get_by_role("link", name="As a runbook").click()
    await expect(page.locator("pre")).to_contain_text("# Rehearse a run: eu")


async def test_whoever_looks_away_for_long_is_not_kept_logged_in(place: Place, login: Login) -> None:
    page = await login("idle", "commander")
    await page.clock.install()
    await page.goto("/recovery")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    async with page.expect_request("**/recovery"):
        await page.clock.run_for(10_000)
    await page.route("**/recovery", lambda route: route.fulfill(status=503, body="away"))
    await page.clock.run_for(5_000)
    await expect(page.locator("#live-note")).to_contain_text("does not answer")
    await page.unroute("**/recovery")
    await page.clock.run_for(20_000)
    await expect(page.locator("#live-note")).to_be_hidden()
    await expect(page.get_by_role("heading", name="Under way")).to_be_visible()
    await page.clock.fast_forward(31 * 60_000)
    await page.clock.run_for(5_000)
    await expect(page.locator("#live-note")).to_contain_text("stands still")
    before = len(asked)
    await page.clock.run_for(60_000)
    assert len(asked) == before
    async with page.expect_request("**/recovery"):
        await page.keyboard.press("Shift")
        await page.clock.run_for(5_000)
