"""A customer who logs in sees what their secret link shows, and nothing of the console but their account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from site_client import SETTINGS
from site_estates import NOW, FakeReader, agreement
from test_site_private import SECRETS, estate, secrets_told

from holdfast.adapters.hashing.argon import Argon2
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import EVERYTHING, Actor, Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.customer_pages import CustomerConsole
from holdfast.kernel.clock import ManualClock

PASSWORD = "four words that fit"
ROOT = Actor("root", EVERYTHING)


@asynccontextmanager
async def logged_in(customer: str) -> AsyncIterator[tuple[httpx.AsyncClient, FakeReader, ManualClock]]:
    """A browser in which somebody of that customer is logged in, and what stands behind the console."""
    seen, who = estate()
    reader, clock, vault = FakeReader(seen), ManualClock(NOW), AesVault(bytes(32))
    reader.agreements["premium"] = agreement()
    identity = IdentityDesk(
        MemoryIdentity(), vault, Argon2(), clock, lambda: Terms(second_factor_required=False)
    )
    await identity.accounts.add("nora", Role.VIEWER, ROOT, customer=customer, password=PASSWORD)
    console = create_console(
        identity,
        MemoryIdentity(),
        vault,
        clock,
        site=lambda: SETTINGS,
        pages=CustomerConsole(reader, secrets_told(), lambda: who).pages(),
    )
    transport = httpx.ASGITransport(console)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8082") as browser:
        opened = await identity.login("nora", PASSWORD, "127.0.0.1")
        browser.cookies.set("hf_session", opened.cookie)
        yield browser, reader, clock


async def test_a_customer_finds_their_own_page_in_their_language() -> None:
    async with logged_in("nordwind") as (browser, _, _):
        start = await browser.get("/", headers={"accept-language": "de"}, follow_redirects=True)
        incident = await browser.get("/customer/en/incidents/qqqqqqqqqqqq")
        report = await browser.get("/customer/en/agreements/premium")

    assert start.url.path == "/customer/de/"
    for answer in (start, incident, report):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert "noindex" in answer.headers["x-robots-tag"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
    assert "Quagga escaped" in start.text
    assert 'href="/account">Ihr Konto' in start.text
    assert 'href="/customer/en/"' in start.text
    assert "USA" not in start.text


async def test_its_stylesheets_are_there() -> None:
    async with logged_in("nordwind") as (browser, _, _):
        page = (await browser.get("/customer/en/")).text
        for line in page.splitlines():
            if 'rel="stylesheet"' in line:
                address = line.split('href="')[1].split('"')[0]
                assert (await browser.get(address)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("clusters/usa", "clusters/zebra/messaging", "incidents/rrrrrrrrrrrr", "agreements/other"),
        *("nowhere", "../../incidents", "agreements/premium/x"),
    ],
)
async def test_nobody_elses_is_there(path: str) -> None:
    async with logged_in("nordwind") as (browser, _, _):
        assert (await browser.get(f"/customer/en/{path}")).status_code in {303, 404}
        assert (await browser.get(f"/customer/xx/{path}")).status_code in {303, 404}
    async with logged_in("liberty") as (browser, _, _):
        told = (await browser.get("/customer/en/")).text
        assert not [word for word in SECRETS if word in told]
        assert (await browser.get("/customer/en/incidents/qqqqqqqqqqqq")).status_code == 404


async def test_a_customer_without_anything_is_told_so() -> None:
    async with logged_in("gone") as (browser, _, _):
        page = await browser.get("/customer/en/")

    assert page.status_code == 200
    assert "There is nothing here for you yet." in page.text


async def test_one_reading_serves_all_for_some_seconds() -> None:
    async with logged_in("nordwind") as (browser, reader, clock):
        for _ in range(3):
            await browser.get("/customer/en/")
        assert len(reader.calls) == 1
        clock.advance(11)
        await browser.get("/customer/en/")
        assert len(reader.calls) == 2


async def test_a_database_that_is_away_is_said_to_be() -> None:
    async with logged_in("nordwind") as (browser, reader, _):
        reader.away = True
        page = await browser.get("/customer/en/")

    assert page.status_code == 503
    assert "The database is away." in page.text
