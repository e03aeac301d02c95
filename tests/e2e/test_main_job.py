"""The main job, on real input: a real service is broken for real, and everybody who should know it does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from e2e.demo import PROMISED_S, Demo
from holdfast.availability.model import State

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREMIUM = "Premium SLA, EU"


async def _comes_to_say(page: Page, text: str) -> datetime:
    """Wait until the page's heading says `text`, by itself; returns when that was, by the browser's clock."""
    await page.wait_for_function("text => document.querySelector('h1').textContent.includes(text)", arg=text)
    millis: float = await page.evaluate("Date.now()")
    return datetime.fromtimestamp(millis / 1000, UTC)


def _newest_event(report: Mapping[str, Any], component: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each for each in report["events"] if each["component"] == component)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def healed(demo: Demo) -> AsyncIterator[None]:
    """Whatever becomes of the test, the next one finds the service whole."""
    yield
    await asyncio.to_thread(demo.heal, "eu")
    await asyncio.to_thread(demo.until_whole)


@pytest.mark.usefixtures("healed")
async def test_an_outage_shows_by_itself_and_is_accounted(demo: Demo, visit: Callable[..., Any]) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/")
    assert await page.locator("h1").inner_text() == "All systems operational"
    await page.evaluate("window.neverReloaded = true")
    before = await asyncio.to_thread(demo.report, "acme-eu")
    known = len(demo.timeline("eu/api"))

    broken_at = await asyncio.to_thread(demo.break_, "eu-api")
    seen_at = await _comes_to_say(page, "Major outage: EU API")

    # The open page has changed, and was not loaded anew.
    assert await page.evaluate("window.neverReloaded") is True
    assert (seen_at - broken_at).total_seconds() <= PROMISED_S
    api = page.locator("#c-eu li.component", has=page.get_by_role("link", name="API", exact=True))
    assert "Major outage" in await api.inner_text()
    assert await page.title() == "Major outage: EU API · Printcloud status"

    # The interval is open in the database.
    begins, state, recorded = demo.timeline("eu/api")[-1]
    assert len(demo.timeline("eu/api")) == known + 1
    assert state == State.MAJOR_OUTAGE
    assert broken_at - timedelta(seconds=1) <= begins <= recorded
    assert (recorded - broken_at).total_seconds() <= PROMISED_S

    # The component's page tells of it as under way.
    await page.goto("/en/clusters/eu/api")
    event = page.locator("li.event").first
    assert "Major outage" in await event.inner_text()
    assert "ongoing" in await event.inner_text()

    # So does a browser without JavaScript, once it looks again.
    plain = await (await visit(java_script_enabled=False)).new_page()
    await plain.goto("/en/")
    assert "Major outage: EU API" in await plain.locator("h1").inner_text()

    # The customer's budget falls, and is said to on the customer's page.
    during = await asyncio.to_thread(demo.report, "acme-eu")
    assert during["budget"]["left_s"] < before["budget"]["left_s"]
    assert _newest_event(during, "eu/api")["state"] == "major_outage"
    await page.goto(demo.report_path(PREMIUM))
    assert "Error budget left" in await page.locator("main").inner_text()

    await page.goto("/en/")
    await asyncio.to_thread(demo.heal, "eu-api")
    await _comes_to_say(page, "All systems operational")
    await plain.reload()
    assert await plain.locator("h1").inner_text() == "All systems operational"

    # Healing closed the interval, and the agreement counts exactly its length.
    first, last = demo.timeline("eu/api")[-2:]
    assert (first[0], last[1]) == (begins, State.OPERATIONAL)
    after = await asyncio.to_thread(demo.report, "acme-eu")
    length = (last[0] - begins).total_seconds()
    api_before, api_after = before["components"]["eu/api"], after["components"]["eu/api"]
    counted = api_after["major_outage_s"] - api_before["major_outage_s"]
    assert counted == pytest.approx(length, abs=1e-5)
    downtime = api_after["weighted_downtime_s"] - api_before["weighted_downtime_s"]
    assert downtime == pytest.approx(length, abs=1e-5)
    assert datetime.fromisoformat(_newest_event(after, "eu/api")["to"]) == last[0]
