"""Subscribing as visitors do it: in a real browser, with real mail, real receivers, and a whole Holdfast."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from aiosmtpd.controller import Controller
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from installation import PATIENCE_S, Installation, free_port, installed
from web_receivers import WebReceiver, receiver, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = itertools.count(1)
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 568}
LEAST_S = 1.1
"""A form is not believed to be a person's before this."""
ESTATE = """\
version: 1
site:
  title: Printcloud
  time_zone: Europe/Berlin
  listen: '127.0.0.1:{site}'
  url: 'http://127.0.0.1:{site}'
console: {{listen: '127.0.0.1:{console}'}}
regions: {{eu: {{name: Frankfurt}}, usa: {{name: Virginia}}}}
clusters:
  eu:
    name: EU
    region: eu
    components:
      api: {{name: API, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {mail}}}}}}}
      website: {{name: Website, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {mail}}}}}}}
  usa:
    name: USA
    region: usa
    components:
      api: {{name: API, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {mail}}}}}}}
mail: {{host: 127.0.0.1, port: {mail}, security: none, sender: status@printcloud.example}}
communication:
  subscriptions: {{private_targets: {private}}}
"""


@dataclass
class Post:
    """A mail server's handler that keeps what arrives."""

    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 kept"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if str(mail["To"]) == address]


@dataclass
class Status:
    """A running Holdfast with its mail server."""

    installation: Installation
    post: Post
    site: str

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        """As `eventually`, without keeping the receivers of this loop waiting."""
        deadline = time.monotonic() + PATIENCE_S
        while not (seen := look()):
            assert time.monotonic() < deadline, f"after {PATIENCE_S:.0f} s still not: {what}"
            await asyncio.sleep(0.05)
        return seen

    async def mail(self, address: str, number: int = 1) -> EmailMessage:
        """The so-manieth mail to that address."""
        await self.until(lambda: len(self.post.to(address)) >= number, f"mail {number} to {address}")
        return self.post.to(address)[number - 1]

    async def run(self, *arguments: str) -> Any:
        said = await asyncio.to_thread(self.installation.run, *arguments, "--json")
        return said.json

    async def declare(self, title: str, component: str = "eu/api=degraded") -> str:
        made = await self.run(
            "incident", "declare", "--title", title, "--component", component, "--body", f"{title}: we look."
        )
        return str(made["id"])

    def standing(self, channel: str) -> list[str]:
        rows = self.installation.query(
            "SELECT standing FROM communication.subscription WHERE channel = %s ORDER BY created_at", channel
        )
        return [standing for (standing,) in rows]


def _status(folder: Path, *, private: bool) -> Iterator[Status]:
    post, ports = Post(), {name: free_port() for name in ("site", "console", "mail")}
    relay = Controller(post, hostname="127.0.0.1", port=ports["mail"])
    relay.start()
    try:
        with installed(folder, ESTATE.format(private=str(private).lower(), **ports)) as installation:
            installation.up()
            yield Status(installation, post, f"http://127.0.0.1:{ports['site']}")
    finally:
        relay.stop()


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    yield from _status(tmp_path_factory.mktemp("status"), private=True)


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, status: Status) -> AsyncIterator[Callable[..., Any]]:
    """Opens a browser context on the site."""
    contexts: list[BrowserContext] = []

    async def visit(**how: Any) -> Page:
        # A client of its own for each, since the site counts what one asks for. It believes the proxy on this
        # machine that says so.
        headers = {"X-Forwarded-For": f"192.0.2.{next(CLIENTS)}"}
        context = await browser.new_context(
            base_url=status.site, locale=how.pop("locale", "en-GB"), extra_http_headers=headers, **how
        )
        contexts.append(context)
        context.set_default_timeout(60_000)
        return await context.new_page()

    yield visit
    for context in contexts:
        assert await context.cookies() == [], "no page needs one"
        await context.close()


def link_in(mail: EmailMessage, what: str) -> str:
    """The first link of that kind in the mail's plain text."""
    body = mail.get_body(("plain",))
    assert body is not None
    found = re.search(rf"https?://\S+/subscriptions/{what}/[\w-]+", body.get_content())
    assert found is not None, body.get_content()
    return found[0]


async def ask(page: Page, path: str, address: str) -> None:
    """Fill in the form and send it, as a person who reads it first."""
    await page.goto(path)
    await page.locator("input[name=address]").fill(address)
    await asyncio.sleep(LEAST_S)
    async with page.expect_navigation():
        await page.locator("main button[type=submit]").click()


async def test_a_german_visitor_without_scripts_subscribes_by_mail_and_ends_it_with_one_click(
    status: Status, visitor: Callable[..., Any]
) -> None:
    page = await visitor(locale="de-DE", java_script_enabled=False, viewport=PHONE, is_mobile=True)
    await page.goto("/")
    await page.get_by_role("link", name="Abonnieren").first.click()
    await page.get_by_label("Ihre Mailadresse").fill("Zoe@example.org")
    await page.get_by_text("Komponenten von EU").click()
    await page.get_by_role("checkbox", name="API").first.check()
    await page.get_by_role("checkbox", name="Wartung").uncheck()
    await asyncio.sleep(LEAST_S)
    await page.get_by_role("button", name="Abonnieren").click()
    await expect(page.locator("h1")).to_have_text("Noch ein Schritt")

    request = await status.mail("Zoe@example.org")
    assert "bestätigen" in str(request["Subject"])
    await page.goto(link_in(request, "confirm"))
    assert await page.locator("h1").inner_text() == "Abonnement bestätigen"
    assert "EU API" in await page.locator("main").inner_text()
    await page.get_by_role("button", name="Ja, senden").click()
    await expect(page.get_by_role("status").first).to_have_text("Das Abonnement gilt.")

    await status.declare("Drucken geht nicht")
    await status.declare("Another place", "usa/api=degraded")
    told = await status.mail("Zoe@example.org", 2)
    assert "Drucken geht nicht" in str(told["Subject"])
    assert told["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    one_click = str(told["List-Unsubscribe"]).strip("<>")
    async with httpx.AsyncClient() as program:
        ended = await program.post(
            one_click,
            content=b"List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    assert (ended.status_code, ended.history) == (200, [])
    assert await page.goto(link_in(told, "manage")) is not None
    assert await page.locator("h1").inner_text() == "Dieser Link führt zu keinem Abonnement"

    await status.declare("Später")
    await asyncio.sleep(2)
    assert len(status.post.to("Zoe@example.org")) == 2, "nothing after the end, and nothing of other places"
    assert status.standing("mail").count("ended") == 1
    rows = status.installation.query(
        "SELECT address, address_hash FROM communication.subscription WHERE standing = 'ended'"
    )
    assert rows == [(None, None)]


async def test_a_visitor_changes_and_ends_a_subscription_on_its_page(
    status: Status, visitor: Callable[..., Any]
) -> None:
    page = await visitor()
    await ask(page, "/en/subscribe", "ann@example.org")
    await page.goto(link_in(await status.mail("ann@example.org"), "confirm"))
    await page.get_by_role("button", name="Yes, send them").click()
    await expect(page.locator("main")).to_contain_text("You are subscribed.")
    await page.reload()

    await page.get_by_role("checkbox", name="All of USA").check()
    await page.get_by_label("Language of the messages").select_option("de")
    await page.get_by_role("button", name="Store changes").click()
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await expect(page.get_by_role("checkbox", name="Alles von USA")).to_be_checked()
    await status.declare("Elsewhere", "eu/website=degraded")
    await status.declare("In the USA", "usa/api=degraded")
    told = await status.mail("ann@example.org", 2)
    assert "In the USA" in str(told["Subject"])

    await page.get_by_role("button", name="Abonnement beenden").click()
    await expect(page.locator("h1")).to_have_text("Das Abonnement ist beendet")


async def test_who_is_subscribed_already_is_told_so_by_mail_and_nobody_else_learns_it(
    status: Status, visitor: Callable[..., Any]
) -> None:
    page = await visitor()
    await ask(page, "/en/subscribe", "twice@example.org")
    first = await page.locator("main").inner_text()
    await page.goto(link_in(await status.mail("twice@example.org"), "confirm"))
    await page.get_by_role("button", name="Yes, send them").click()
    await expect(page.locator("main")).to_contain_text("You are subscribed.")
    await ask(page, "/en/subscribe", "twice@example.org")
    assert await page.locator("main").inner_text() == first
    known = await status.mail("twice@example.org", 2)
    assert "/subscriptions/confirm/" not in known.as_string()
    assert link_in(known, "manage")


async def _echo(_: web.Request, body: bytes) -> web.StreamResponse:
    return web.Response(text=json.loads(body)["holdfast"].get("challenge", ""))


def _events(there: WebReceiver) -> list[str]:
    return [json.loads(got.body)["holdfast"]["event"] for got in there.received]


async def test_a_webhook_that_answers_the_challenge_is_told(
    status: Status, visitor: Callable[..., Any]
) -> None:
    async with receiver(_echo) as there:
        page = await visitor()
        await ask(page, "/en/subscribe?channel=webhook", there.url)
        await expect(page.locator("h1")).to_have_text("One more step")
        await status.until(lambda: status.standing("webhook") == ["active"], "the receiver has agreed")
        incident = await status.declare("For machines")
        await status.until(lambda: len(there.received) >= 2, "the incident")
        assert _events(there)[:2] == ["subscription.confirm", "incident.declared"]
        told = there.received[1]
        assert json.loads(told.body)["incident"]["id"] == incident

        # The page of the subscription shows the secret, and the signature is made with it.
        await page.goto(json.loads(told.body)["holdfast"]["manage_url"])
        await page.get_by_text("Show the secret").click()
        await expect(page.locator("code.secret")).to_be_visible()
        secret = await page.locator("code.secret").inner_text()
        assert _is_genuine()(secret, told.headers, told.body)
        await page.get_by_role("button", name="End the subscription").click()
        await status.until(lambda: status.standing("webhook") == ["ended"], "its end")


def _is_genuine() -> Any:
    """The verification that the documentation shows."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names["is_genuine"]


async def test_a_receiver_that_fails_gets_its_message_later_and_one_that_is_gone_is_let_go(
    status: Status, visitor: Callable[..., Any]
) -> None:
    answers = iter([503, 200])

    async def falters(_: web.Request, body: bytes) -> web.StreamResponse:
        if "challenge" in json.loads(body)["holdfast"]:
            return await _echo(_, body)
        return web.Response(status=next(answers), headers={"Retry-After": "1"})

    async def leaves(_: web.Request, body: bytes) -> web.StreamResponse:
        if "challenge" in json.loads(body)["holdfast"]:
            return await _echo(_, body)
        return web.Response(status=410)

    async with receiver(falters) as faltering, receiver(leaves) as leaving:
        page = await visitor()
        before = len(status.standing("webhook"))
        for there in (faltering, leaving):
            await ask(page, "/en/subscribe?channel=webhook", there.url)
        await status.until(lambda: status.standing("webhook")[before:] == ["active"] * 2, "both agreed")
        await status.declare("Twice is better")
        await status.until(lambda: len(faltering.received) >= 3, "the second attempt")
        await status.until(lambda: status.standing("webhook")[before:] == ["active", "ended"], "one is gone")
    first, second = faltering.received[1:3]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_a_webhook_that_redirects_inward_is_followed_nowhere(
    status: Status, visitor: Callable[..., Any]
) -> None:
    async with receiver(says(302, Location="http://169.254.169.254/latest/meta-data/")) as there:
        page = await visitor()
        await ask(page, "/en/subscribe?channel=webhook", there.url)
        await status.until(lambda: there.received, "the request")
        refused = "SELECT last_error FROM communication.delivery WHERE last_error LIKE %s"
        await status.until(
            lambda: status.installation.query(refused, "it redirects%link-local%"), "the refusal"
        )
    assert status.standing("webhook")[-1] == "pending"


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("mail", "ann@localhost"),
        ("webhook", "http://169.254.169.254/latest/meta-data/"),
        ("webhook", "http://2130706433/"),
        ("webhook", "https://ann:secret@hooks.example.com/"),
    ],
)
async def test_what_cannot_be_subscribed_is_said_on_the_form(
    visitor: Callable[..., Any], channel: str, address: str
) -> None:
    page = await visitor(java_script_enabled=False)
    await ask(page, f"/en/subscribe?channel={channel}", address)
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator("input[name=address]")).to_have_value(address)


async def _pages(status: Status, page: Page, language: str) -> dict[str, str]:
    """One address of each kind of page, by what it is. Subscribes somebody for it."""
    address = f"pages-{language}@example.org"
    await ask(page, f"/{language}/subscribe", address)
    request = await status.mail(address)
    confirm = urlsplit(link_in(request, "confirm")).path
    await page.goto(confirm)
    await page.locator("main button[type=submit]").click()
    await page.wait_for_url("**/subscriptions/manage/*")
    manage = urlsplit(page.url).path
    return {
        "subscribe": f"/{language}/subscribe",
        "subscribe a webhook": f"/{language}/subscribe?channel=webhook",
        "subscribe Slack": f"/{language}/subscribe?channel=slack",
        "sent": f"/{language}/subscribe/sent?channel=mail",
        "webhooks": f"/{language}/subscribe/webhooks",
        "confirm": confirm,
        "manage": manage + "?done=changed",
        "unsubscribe": manage.replace("/manage/", "/unsubscribe/"),
        "lapsed": f"/{language}/subscriptions/manage/nothing",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "de"])
async def test_the_pages_are_accessible_in_either_scheme_and_fit_on_a_phone(
    status: Status, visitor: Callable[..., Any], language: str, scheme: str
) -> None:
    wide = await visitor(color_scheme=scheme)
    narrow = await visitor(color_scheme=scheme, viewport=NARROW, is_mobile=True, device_scale_factor=2)
    faults: list[str] = []
    wide.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    pages = await _pages(status, wide, language)
    faults.clear()
    found = []
    for what, path in pages.items():
        await wide.goto(path)
        assert await wide.locator("h1").count() == 1, what
        for violation in (await Axe().run(wide)).response["violations"]:
            nodes = [node["html"][:160] + " " + node["failureSummary"] for node in violation["nodes"][:3]]
            found.append(f"{what}: {violation['id']} at {nodes}")
        await narrow.goto(path)
        width = await narrow.evaluate("document.scrollingElement.scrollWidth")
        if width > NARROW["width"]:
            found.append(f"{what}: {width} px wide")
    assert not found, "\n".join(found)
    assert not [each for each in faults if "404" not in each], "nothing breaks the content security policy"


async def test_the_form_works_by_keyboard_alone(status: Status, visitor: Callable[..., Any]) -> None:
    page = await visitor()
    await page.goto("/en/subscribe")
    await page.locator("input[name=address]").focus()
    await page.keyboard.type("keys@example.org")
    await asyncio.sleep(LEAST_S)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.name") == "topic", (
        "the trap for programs is passed over"
    )
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/subscribe/sent?channel=mail")
    assert await status.mail("keys@example.org")
