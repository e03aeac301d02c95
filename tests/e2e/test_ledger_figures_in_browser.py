"""The console's pages of the ledger's sums and completeness in a browser: on a phone, dark, by axe's."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect
from tests.ledger_records import job, kept_ledger

from holdfast.identity.model import Role
from holdfast.interfaces.console.ledger_report_pages import ReportPages
from holdfast.ledger.model import Price
from holdfast.ledger.sources import Tenant
from installation import free_port

sys.path.append(str(Path(__file__).parents[1] / "unit" / "console"))
from completeness_console import NOON, Consoled, everything_amiss
from desks import ADMIN, PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

SMALLEST = {"width": 320, "height": 640}
REPORT = "/jobs/reports?tenant=acme&first=2026-11-01&last=2026-11-30"
LONG = "p-wmhy7xmgemobhfoenjbvq5qdhu"


@pytest_asyncio.fixture(loop_scope="session")
async def address() -> AsyncIterator[tuple[str, str]]:
    """Where the console is, and the cookie of a viewer."""
    async with kept_ledger(None) as ledger:
        await ledger.post(
            *(
                job(
                    seq,
                    occurred_at=NOON.replace(day=seq % 20 + 1),
                    user=f"{LONG}-{seq % 9}",
                    sheets={"A4": seq},
                    prices={"paper": Price(125_000 * seq, ("EUR", "USD")[seq % 2])},
                )
                for seq in range(60)
            )
        )
        await ledger.follow()

        async def tenants() -> list[Tenant]:
            return [Tenant("acme", "Acme with a very long name, Sons and Co Limited", "UTC", None, NOON)]

        port = free_port()
        console = Consoled(f"127.0.0.1:{port}", more=ReportPages(lambda: ledger.reports, tenants).pages())
        await everything_amiss(console)
        await console.identity.accounts.add("anna", Role.VIEWER, ADMIN)
        await console.identity.accounts.set_password("anna", PASSWORD, ADMIN)
        cookie = (await console.identity.login("anna", PASSWORD, "127.0.0.1")).cookie
        app: Any = console.app
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{port}", cookie
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_pages_of_figures_on_a_phone_and_with_axe(
    browser: Browser, address: tuple[str, str], look: Any
) -> None:
    url, cookie = address
    context = await browser.new_context(
        viewport=SMALLEST,  # type: ignore[arg-type]
        is_mobile=True,
        bypass_csp=True,
        base_url=url,
        color_scheme=look,
    )
    found = []
    try:
        await context.add_cookies([{"name": "hf_session", "value": cookie, "url": url}])
        page = await context.new_page()
        for path, shown in (
            (REPORT, "All as CSV"),
            (f"{REPORT}&by=user&order=sheets", LONG),
            (f"{REPORT}&by=user&per=day", "These numbers as a table"),
            (f"{REPORT}&device=none", "Nothing of that kind"),
            ("/jobs/reports?tenant=acme&first=today", "is no day"),
            ("/ledger/completeness", "What devices counted otherwise"),
        ):
            await page.goto(path)
            await expect(page.get_by_text(shown).first).to_be_visible()
            wide: int = await page.evaluate("document.scrollingElement.scrollWidth")
            assert wide <= SMALLEST["width"], f"{path} is {wide} px wide"
            await expect(page.locator("nav [aria-current=page]")).to_have_count(1)
            for violation in (await Axe().run(page)).response["violations"]:
                nodes = [node["html"][:160] + " " + node["failureSummary"] for node in violation["nodes"][:3]]
                found.append(f"{path}: {violation['id']} at {nodes}")
    finally:
        await context.close()
    assert not found, "\n".join(found)
