"""The console's pages of jobs in a real browser: on a phone, without JavaScript of ours, by axe's rules."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from holdfast.identity.model import Role
from holdfast.ledger.model import Correction
from installation import free_port

sys.path.append(str(Path(__file__).parents[1] / "unit" / "console"))
from jobs_console import JobsConsole, record

pytestmark = pytest.mark.asyncio(loop_scope="session")

SMALLEST = {"width": 320, "height": 640}


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An administrator, on the console over a ledger in memory."""
    port = free_port()
    console = JobsConsole(f"127.0.0.1:{port}")
    await console.post(
        *(record(n, user="K7Q2", device="mfp-7", sheets={"A4": n}, reporter="x" * 200) for n in range(60)),
        record(60, corrects=Correction(actor="ops", leaf=59, reason="counted twice")),
        record(3, user="another"),
    )
    server = uvicorn.Server(uvicorn.Config(console.app, port=port, log_level="warning", lifespan="off"))  # type: ignore[arg-type]
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.05)
    context = await browser.new_context(
        viewport=SMALLEST, device_scale_factor=2, is_mobile=True, bypass_csp=True, base_url=console.address
    )
    cookie = await console.session(Role.ADMIN)
    await context.add_cookies([{"name": "hf_session", "value": cookie, "url": console.address}])
    try:
        yield await context.new_page()
    finally:
        await context.close()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_pages_of_jobs_on_a_phone_and_with_axe(page: Page) -> None:
    found = []
    everything = "&".join(f"column={each}" for each in ("leaf", "job", "user", "reporter", "standing"))
    for path in (
        "/jobs",
        "/jobs?tenant=acme",
        f"/jobs?tenant=acme&{everything}&below=20",
        "/jobs?tenant=acme&since=yesterday",
        "/jobs/entry/acme/59",
        "/jobs/entry/acme/999",
        "/jobs/accesses?tenant=acme",
    ):
        await page.goto(path)
        wide: int = await page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= SMALLEST["width"], f"{path} is {wide} px wide"
        for violation in (await Axe().run(page)).response["violations"]:
            nodes = [node["html"][:160] + " " + node["failureSummary"] for node in violation["nodes"][:3]]
            found.append(f"{path}: {violation['id']} at {nodes}")
    assert not found, "\n".join(found)


async def test_somebody_looks_a_job_up_and_takes_a_file_along(page: Page, tmp_path: Path) -> None:
    await page.goto("/jobs")
    await page.get_by_label("Tenant").select_option("acme")
    await page.get_by_role("textbox", name="Device").fill("mfp-7")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.get_by_role("row")).to_have_count(51)
    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("row")).to_have_count(11)
    async with page.expect_download() as started:
        await page.get_by_role("link", name="All as CSV").click()
    download = await started.value
    assert download.suggested_filename == "jobs-acme.csv"
    await download.save_as(tmp_path / "jobs.csv")
    assert len((tmp_path / "jobs.csv").read_text().splitlines()) == 61
    await page.get_by_role("link", name="3", exact=True).click()
    await expect(page.get_by_text("proved", exact=True).first).to_be_visible()
    await expect(page.get_by_role("heading", name="conflict")).to_be_visible()
