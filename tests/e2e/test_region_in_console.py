"""A region is lost, and somebody agrees to leave it in the console, in a real browser."""

import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from e2e.steps import first_login
from installation import eventually, fetch
from regions import ADDRESSES, TwoRegions, Users, members

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

PATIENCE_MS = 240_000


class InConsole(TwoRegions):
    """Into whose console people get without a second factor."""

    def _estate(self) -> str:
        return super()._estate().replace("\nconsole:\n", "\nconsole:\n  second_factor: optional\n", 1)


async def test_a_lost_region_is_left_from_the_console(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with InConsole(Path(tmp_path_factory.mktemp("console")), fast=True) as regions:
        installation = regions.installation
        console = f"http://{_console_of(regions)}"
        eventually(lambda: fetch(f"{console}/health/ready")[0] == 200, "the console is ready")
        said = installation.run("account", "add", "cora", "--role", "commander", "--json").json
        context = await browser.new_context(locale="en-GB")
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        await first_login(page, said["invitation"])
        await page.wait_for_url(f"{console}/")
        await page.goto(f"{console}/recovery")
        regions.whole()

        with (
            Users(f"http://{ADDRESSES['a']}:{regions.edge_port}") as in_a,
            Users(f"http://{ADDRESSES['b']}:{regions.edge_port}") as in_b,
        ):
            in_a.first_write_after(time.monotonic())
            regions.lab("break", "region-a")
            broken = time.monotonic()
            # Nobody has loaded the page anew: the run comes onto it by itself.
            await page.get_by_role("link", name="Fail over from a lost region: print").click()
            await page.get_by_role("button", name="Approve").click()
            await expect(page.locator("#standing")).to_have_text("done", timeout=PATIENCE_MS)
            in_b.first_write_after(broken)
        await expect(page.locator("#steps .tag.bad")).to_have_count(0)
        await expect(page.get_by_text("Approved by cora.")).to_be_visible()
        there = members(f"http://{ADDRESSES['b']}:{regions.edge_port}")
        assert (in_a.acknowledged | in_b.acknowledged) - there == set()
        await context.close()


def _console_of(regions: TwoRegions) -> str:
    """Where the estate has it listen."""
    text = regions.installation.config.read_text(encoding="utf-8")
    section = text.partition("\nconsole:\n")[2]
    return section.partition("listen: ")[2].split()[0]
