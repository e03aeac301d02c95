"""The console in a real browser: logging in for the first time, on a phone, without JavaScript, in the dark.

One whole Holdfast, with a provider's process beside it. Each test invites somebody of its own.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from e2e.steps import PASSWORD, first_login
from holdfast.bootstrap.actors import command_line
from installation import PROGRAM, Installation, free_port, installed
from oidc_provider import CLIENT, SECRET

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 844}
SMALLEST = {"width": 320, "height": 568}
PROVIDER = Path(__file__).resolve().parents[1] / "oidc_provider.py"
ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{site}', title: Print Cloud}}
console:
  listen: 127.0.0.1:{console}
  openid:
    name: Log in with our provider
    issuer: http://127.0.0.1:{provider}
    client_id: {client}
    client_secret: env:PROVIDER_SECRET
    roles: [{{value: ops, role: operator}}]
regions: {{here: {{name: Here}}}}
customers: {{acme: {{name: Acme Printing}}}}
clusters:
  main:
    name: Main
    region: here
    components:
      web:
        name: Website
        checks:
          page: {{type: tcp, host: 127.0.0.1, port: {site}}}
"""


@dataclass
class Place:
    """A running Holdfast and its console."""

    installation: Installation
    console: str
    phones: dict[str, pyotp.TOTP] = field(default_factory=dict)

    def invited(self, name: str, role: str = "admin", *more: str) -> str:
        """The link with which a new account begins."""
        said = self.installation.run("account", "add", name, "--role", role, *more, "--json").json
        link: str = said["invitation"]
        return link

    def events(self, actor: str) -> list[str]:
        rows = self.installation.query(
            "SELECT event FROM holdfast.journal WHERE actor = %s ORDER BY id", actor
        )
        return [row[0] for row in rows]


@pytest.fixture(scope="module")
def provider() -> Iterator[int]:
    """The port of a provider's process."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(PROVIDER), str(port)], stdout=subprocess.PIPE) as beside:
        try:
            yield port
        finally:
            beside.terminate()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, provider: int) -> Iterator[Place]:
    site, console = free_port(), free_port()
    estate = ESTATE.format(site=site, console=console, provider=provider, client=CLIENT)
    folder = tmp_path_factory.mktemp("console")
    with installed(folder, estate, PROVIDER_SECRET=SECRET) as installation:
        said = installation.up().said.json
        assert said["console"] == f"http://127.0.0.1:{console}/"
        yield Place(installation, said["console"].rstrip("/"))


@pytest_asyncio.fixture(loop_scope="session")
async def sit_down(browser: Browser, place: Place) -> AsyncIterator[Callable[..., Any]]:
    """Somebody at a browser of their own, with what `new_context` takes."""
    contexts: list[BrowserContext] = []

    async def somebody(**how: Any) -> Page:
        context = await browser.new_context(base_url=place.console, locale="en-GB", **how)
        contexts.append(context)
        context.set_default_timeout(60_000)
        return await context.new_page()

    yield somebody
    for context in contexts:
        await context.close()


async def accept(place: Place, page: Page, name: str, role: str = "admin", *more: str) -> None:
    """From the invitation to the overview, as a person does it."""
    await first_login(page, place.invited(name, role, *more))
    key = await page.locator(".key-text").inner_text()
    place.phones[name] = pyotp.TOTP(key.replace(" ", ""))
    await page.get_by_label("six digits").fill(place.phones[name].now())
    await page.get_by_role("button", name="Turn it on").click()
    await expect(page.locator(".codes li")).to_have_count(10)
    await page.get_by_role("link", name="continue").click()
    await expect(page.locator("h1")).to_contain_text("Hello, ")


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
async def test_from_the_invitation_to_the_audit_trail(
    place: Place, sit_down: Callable[..., Any], javascript: bool
) -> None:
    name = f"anna.{javascript}".lower()
    page: Page = await sit_down(java_script_enabled=javascript)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await accept(place, page, name, "admin", "--full-name", "Anna Bell")
    await expect(page.locator("h1")).to_have_text("Hello, Anna Bell")

    await page.get_by_role("link", name="Audit trail").first.click()
    await page.get_by_label("Who", exact=True).fill(name)
    await page.get_by_role("button", name="Show").click()
    trail = page.locator(".trail")
    await expect(trail).to_contain_text("login.succeeded")
    await expect(trail).to_contain_text("account.factor_set")

    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url(f"{place.console}/login")
    # By the page itself: the debugger's own way back fails now and then while one page follows another.
    async with page.expect_navigation():
        await page.evaluate("history.back()")
    # Nothing is left in the browser's cache.
    await expect(page.locator("h1")).to_contain_text("Log in")
    assert place.events(name)[-1] == "session.ended"
    assert not complaints


async def test_the_qr_code_says_what_the_text_says(place: Place, sit_down: Callable[..., Any]) -> None:
    """It is drawn, dark on light, also on a dark page."""
    page: Page = await sit_down(color_scheme="dark")
    await first_login(page, place.invited("quentin", "viewer"))
    box = await page.locator(".qr-frame svg").bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert box["width"] > 150
    colour = await page.locator(".qr-frame").evaluate("each => getComputedStyle(each).backgroundColor")
    assert colour == "rgb(255, 255, 255)"
    uri = await page.get_by_role("link", name="Open it in an app").get_attribute("href")
    assert uri is not None
    assert pyotp.parse_uri(uri).name == "quentin"


async def test_a_click_on_a_foreign_page_does_nothing(place: Place, sit_down: Callable[..., Any]) -> None:
    """A real browser's own word of where a form comes from, and its own handling of frames."""
    page: Page = await sit_down()
    await accept(place, page, "victor")
    before = place.events("victor")
    foreign = await page.context.new_page()
    site = place.installation.config.read_text().split("listen: '")[1].split("'")[0]
    body = (
        f'<form method="post" action="{place.console}/tokens"><input name="name" value="x">'
        '<input name="scope" value="read"><button>Win</button></form>'
        f'<iframe src="{place.console}/account" width="400" height="400"></iframe>'
    )
    await foreign.route("**/trap", lambda route: route.fulfill(body=body, content_type="text/html"))
    await foreign.goto(f"http://{site.replace('127.0.0.1', 'localhost')}/trap")
    framed = await foreign.locator("iframe").element_handle()
    assert framed is not None
    frame = await framed.content_frame()
    assert frame is not None
    assert "victor" not in await frame.content()
    await foreign.get_by_role("button", name="Win").click()
    await expect(foreign.locator("body")).to_contain_text("did not come from a page of the console")
    assert place.events("victor") == before


async def test_logging_in_through_the_provider(place: Place, sit_down: Callable[..., Any]) -> None:
    page: Page = await sit_down()
    await page.goto("/account")
    await page.get_by_role("link", name="Log in with our provider").click()
    await page.get_by_label("User").fill("Carl Öhm")
    await page.get_by_label("Groups").fill("staff ops")
    await page.get_by_role("button", name="Log in there").click()
    await page.wait_for_url(f"{place.console}/account")
    await expect(page.locator("main")).to_contain_text("operator")
    await expect(page.locator("main")).not_to_contain_text("Second factor")
    await page.goto("/")
    assert "Carl Öhm" in await page.locator("h1").inner_text()
    await page.goto("/accounts")
    assert "may not" in await page.locator("h1").inner_text()


async def test_an_administrator_ends_somebodys_access_at_once(
    place: Place, sit_down: Callable[..., Any]
) -> None:
    admin, other = await sit_down(), await sit_down()
    await accept(place, admin, "amanda")
    await accept(place, other, "otto", "operator")
    await admin.goto("/accounts/otto")
    await admin.get_by_role("button", name="Disable").click()
    await expect(admin.locator("[role=status]")).to_contain_text("cannot log in")
    await other.goto("/account")
    assert other.url.startswith(f"{place.console}/login")


async def test_a_forgotten_session_can_be_ended_from_elsewhere(
    place: Place, sit_down: Callable[..., Any]
) -> None:
    one, two = await sit_down(), await sit_down()
    await accept(place, one, "fiona", "operator")
    await two.goto("/login")
    await two.get_by_label("Name").fill("fiona")
    await two.get_by_label("Password").fill(PASSWORD)
    await two.get_by_role("button", name="Log in").click()
    # The code of a moment ago is used up; this phone's clock is a little ahead, and shows the next one.
    await two.get_by_label("Code").fill(place.phones["fiona"].at(datetime.now(UTC), counter_offset=1))
    await two.get_by_role("button", name="Continue").click()
    await expect(two.locator("h1")).to_contain_text("Hello, ")
    await one.goto("/account")
    end = one.get_by_role("button", name="End it")
    await end.click()
    await expect(end).to_have_count(0)
    await two.goto("/account")
    assert two.url.startswith(f"{place.console}/login")


@pytest.fixture
def pages() -> list[str]:
    everyones = ["/", "/account", "/account/password", "/account/second-factor", "/account/recovery-codes"]
    return [
        *everyones,
        "/accounts",
        "/accounts/new",
        "/accounts/pia",
        "/tokens",
        "/audit",
        "/nowhere",
        "/login",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_on_a_phone_and_with_axe(
    place: Place, sit_down: Callable[..., Any], pages: list[str], scheme: str
) -> None:
    # The check is injected as a script, which the console's own policy rightly forbids.
    page: Page = await sit_down(
        viewport=SMALLEST, device_scale_factor=2, is_mobile=True, color_scheme=scheme, bypass_csp=True
    )
    if scheme == "light":
        place.invited("pia", "viewer")
    await accept(place, page, f"paula.{scheme}")
    found = []
    for path in pages:
        await page.goto(path)
        wide: int = await page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= SMALLEST["width"], f"{path} is {wide} px wide"
        small = await page.evaluate(_TOO_SMALL)
        assert not small, f"{path}: {small}"
        for violation in (await Axe().run(page)).response["violations"]:
            nodes = [node["html"][:160] + " " + node["failureSummary"] for node in violation["nodes"][:3]]
            found.append(f"{path}: {violation['id']} at {nodes}")
    assert not found, "\n".join(found)


_TOO_SMALL = """() => [...document.querySelectorAll("main button, main .button, main select, main input")]
    .filter(each => !["hidden", "checkbox"].includes(each.type) && !each.classList.contains("vh"))
    .filter(each => each.getBoundingClientRect().height < 44)
    .map(each => each.outerHTML.slice(0, 120))"""


async def test_what_a_keyboard_reaches_first_is_what_one_came_for(
    place: Place, sit_down: Callable[..., Any]
) -> None:
    page: Page = await sit_down()
    await page.goto("/login")
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("nobody")
    await page.keyboard.press("Tab")
    await page.keyboard.type("not the password")
    await page.keyboard.press("Enter")
    await expect(page.locator("[role=alert]")).to_contain_text("wrong")
    await expect(page.get_by_label("Name")).to_have_value("nobody")
    await expect(page.get_by_label("Password")).to_have_value("")
    await expect(page.get_by_label("Password")).to_be_focused()


async def test_the_command_line_administers_without_a_secret_in_its_arguments(place: Place) -> None:
    run = place.installation.run
    place.invited("clara", "operator", "--full-name", "Clara C")
    no_terminal = run("account", "password", "clara", code=1)
    assert "--password-stdin" in no_terminal.err
    for typed, code in (("short\n", 1), (f"{PASSWORD}\n", 0)):
        done = piped(place, typed)
        assert done.returncode == code, done.stderr
        assert typed.strip() not in done.stdout + done.stderr
    assert "account.password_set" in place.events(command_line())
    (listed,) = [each for each in run("account", "list", "--json").json if each["name"] == "clara"]
    assert (listed["role"], listed["second_factor"]) == ("operator", False)

    made = run("token", "create", "night", "--scope", "read", "--scope", "incidents:write", "--json").json
    assert made["token"].startswith("hf_")
    assert made["token"] not in run("token", "list").out
    assert "night" in run("token", "list").out
    run("token", "revoke", "night")
    assert "no token" in run("token", "revoke", "night", code=1).err
    for wrong in (
        ("account", "role", "clara", "king"),
        ("account", "disable", "nobody"),
        ("account", "add", "clara"),
        ("account", "add", "two words"),
        ("account", "add", "c", "--customer", "acne"),
        ("token", "create", "t", "--scope", "administer"),
    ):
        said = run(*wrong, code=1)
        assert said.err.startswith("holdfast: "), said
        assert "Traceback" not in said.err


def piped(place: Place, typed: str) -> "subprocess.CompletedProcess[str]":
    """The command that reads a password from a pipe."""
    return subprocess.run(
        [*PROGRAM, "account", "password", "clara", "--password-stdin"],
        env=place.installation.environment,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
