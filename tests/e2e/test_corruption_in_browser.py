"""Damaged data, put back from the console: begun by one, approved by another, watched to its evidence."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from tests.installation import Installation, eventually, fetch, free_port, installed
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, OWNER, OWNER_PASSWORD, Protected
from tests.restorable import Restorable

from e2e.steps import first_login, is_accessible
from holdfast.adapters.objectstore.regions import open_region

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

PATIENCE_MS = 240_000
WELL = "-- while all is well\nSELECT min(pages) > 0\nFROM jobs;"
ESTATE = (
    TWO_FOLDERS
    + """\
site: {{listen: "127.0.0.1:{site}", url: "http://127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}", second_factor: optional}}
databases:
  shop:
    name: Shop
    cluster: print
    mode: archive
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    schedule: {{full_every: 300d, incremental_every: 300d}}
    verification: {{every: 300d}}
recovery:
  listen: "127.0.0.1:{recovery}"
  databases:
    shop:
      owner:
        {{host: 127.0.0.1, port: {port}, tls: "off", user: {owner}, dbname: shop, password: "file:owner"}}
"""
)
Login = Callable[..., Awaitable[Page]]


@dataclass(frozen=True)
class Shop:
    """A Holdfast that runs, on a shop with copies in two folders."""

    holdfast: Installation
    server: Protected
    stored: Restorable
    console: str

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return self.server.sql(text, "shop")


@pytest.fixture
def shop(protected: Protected, tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "whole"
    folder.mkdir()
    for name, password in (("password", LOGIN_PASSWORD), ("owner", OWNER_PASSWORD)):
        (folder / name).write_text(password, encoding="ascii")
        (folder / name).chmod(0o600)
    for name in ("eu", "us"):
        (folder / name).mkdir()
    protected.sql("CREATE DATABASE shop")
    protected.sql("CREATE TABLE jobs (id int PRIMARY KEY, pages int NOT NULL)", "shop")
    protected.sql("INSERT INTO jobs SELECT n, n FROM generate_series(1, 40) n", "shop")
    stored = Restorable(
        protected, [open_region(name, f"file://{folder / name}", {}, "none") for name in ("eu", "us")]
    )
    stored.take()
    protected.sql("UPDATE jobs SET pages = 41 WHERE id = 40", "shop")
    ports = {name: free_port() for name in ("site", "console", "recovery")}
    estate = ESTATE.format(folder=folder, port=protected.port, owner=OWNER, **ports)
    with installed(folder, estate) as holdfast:
        said = holdfast.up().said.json
        eventually(lambda: fetch(f"{said['console']}health/ready")[0] == 200, "the console is ready")
        yield Shop(holdfast, protected, stored, said["console"].rstrip("/"))


@pytest_asyncio.fixture(loop_scope="session")
async def login(browser: Browser, shop: Shop) -> AsyncIterator[Login]:
    """Somebody of that name and role at a browser of their own."""
    contexts: list[BrowserContext] = []

    async def logged_in(name: str, role: str, **how: object) -> Page:
        context = await browser.new_context(base_url=shop.console, locale="en-GB", **how)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        said = shop.holdfast.run("account", "add", name, "--role", role, "--json").json
        await first_login(page, said["invitation"])
        await page.wait_for_url(f"{shop.console}/")
        return page

    yield logged_in
    for context in contexts:
        await context.close()


async def test_damaged_data_is_put_back_from_the_console_with_a_second_person(
    shop: Shop, login: Login, tmp_path: Path
) -> None:
    good = shop.sql("SELECT * FROM jobs ORDER BY id")
    shop.sql("UPDATE jobs SET pages = -1 WHERE id <= 25")
    shop.sql("INSERT INTO jobs VALUES (100, 7)")
    shop.stored.store_wal()

    desk = await login("olga", "commander")
    await _asked_for(desk, tmp_path)
    standing = desk.locator("#standing")
    await expect(standing).to_have_text("waits for people", timeout=PATIENCE_MS)
    await desk.evaluate("window.notReloaded = true")
    decisive = desk.locator("#say .decisive")
    await expect(decisive.locator("dd").first).to_contain_text("UPDATE of public.jobs")
    await expect(decisive).to_contain_text("Last good commit")
    await expect(decisive).to_contain_text("UPDATE of public.jobs")
    await expect(decisive).to_contain_text("25 rows put back, 0 that are gone put in again")
    await expect(decisive).to_contain_text("1 row new since then stay")
    await expect(desk.get_by_text("whoever started the run cannot approve it")).to_be_visible()
    await expect(desk.get_by_role("button", name="Approve")).to_have_count(0)
    await is_accessible(desk)
    await desk.screenshot(path=tmp_path / "gate.png", full_page=True)
    assert shop.sql("SELECT count(*) FROM jobs WHERE pages < 0") == [(25,)], "nothing is changed yet"
    assert shop.sql("SHOW default_transaction_read_only") == [("on",)]

    await _approved_on_a_phone(login, tmp_path)
    await expect(standing).to_have_text("done", timeout=PATIENCE_MS)
    assert await desk.evaluate("window.notReloaded"), "it was watched, and not loaded anew"
    await expect(desk.get_by_text("Approved by cora.")).to_be_visible()
    await expect(desk.locator("#result .decisive")).to_contain_text(
        "public.jobs: 25 rows that were damaged or gone"
    )
    await expect(desk.locator("#steps .tag.bad")).to_have_count(0)
    await is_accessible(desk)
    await desk.screenshot(path=tmp_path / "done.png", full_page=True)
    assert shop.sql("SELECT * FROM jobs ORDER BY id") == [*good, (100, 7)]
    assert shop.sql("SHOW default_transaction_read_only") == [("off",)]
    await _proven(desk, shop)


async def _asked_for(desk: Page, screenshots: Path) -> None:
    await desk.get_by_role("link", name="Recovery").first.click()
    await desk.get_by_role("link", name="Put damaged data back", exact=True).click()
    await is_accessible(desk)
    await desk.screenshot(path=screenshots / "form.png", full_page=True)
    await desk.get_by_label("Which database").select_option("shop")
    await desk.get_by_label("A check: SQL that returns one row, true while all is well").fill(WELL)
    await desk.get_by_label("Which tables are damaged").fill("a.b.c")
    await desk.get_by_role("button", name="Begin").click()
    await expect(desk.get_by_role("alert")).to_contain_text("is no name of a table")
    await expect(desk.get_by_label("A check")).to_have_value(WELL)
    await desk.get_by_label("Which tables are damaged").fill("")
    await desk.get_by_role("button", name="Begin").click()


async def _approved_on_a_phone(login: Login, screenshots: Path) -> None:
    phone = await login(
        "cora",
        "admin",
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        java_script_enabled=False,
    )
    await phone.goto("/recovery")
    await phone.get_by_role("link", name="Put damaged data back: shop").click()
    await expect(phone.locator("#say .decisive")).to_contain_text("25 rows put back")
    await phone.screenshot(path=screenshots / "phone.png", full_page=True)
    assert await phone.evaluate("document.documentElement.scrollWidth") <= 390
    await phone.get_by_role("button", name="Approve: Put it back like this").click()
    await expect(phone.locator(".banner")).to_contain_text("You approved it.")


async def _proven(desk: Page, shop: Shop) -> None:
    run = desk.url.rpartition("/")[2]
    await desk.get_by_role("link", name="Its evidence, signed").click()
    await expect(desk.get_by_role("heading", name="shop: corruption")).to_be_visible()
    await expect(desk.locator("main")).to_contain_text("25 rows put back")
    await is_accessible(desk)
    assert "it holds" in shop.holdfast.run("evidence", "verify").out
    steps = shop.holdfast.query(
        "SELECT actor, event FROM holdfast.journal"
        " WHERE facts->>'run' = %s AND actor <> 'recovery' ORDER BY id",
        run,
    )
    assert steps == [("olga", "run.started"), ("cora", "run.approved")]


async def test_who_may_only_look_cannot_begin_it(shop: Shop, login: Login) -> None:
    page = await login("vic", "viewer")
    await page.goto("/recovery")
    await expect(page.get_by_role("heading", name="Recovery")).to_be_visible()
    await expect(page.get_by_role("link", name="Put damaged data back", exact=True)).to_have_count(0)
    answer = await page.goto("/recovery/damaged")
    assert answer is not None
    assert answer.status == 403
    assert shop.holdfast.run("run", "list", "--all", "--json").json == []
