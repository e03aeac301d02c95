"""The site while its database is away, and what is left when it is back."""

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from e2e.demo import Demo
from installation import eventually, fetch

pytestmark = pytest.mark.asyncio(loop_scope="session")

RESULTS = "SELECT check_id, at FROM availability.result"


async def test_a_killed_database_is_started_again_and_has_lost_nothing(
    demo: Demo, visit: Callable[..., Any]
) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/")
    installation = demo.installation
    recorded = set(installation.query(RESULTS))
    killed = installation.postmaster
    assert killed is not None

    os.kill(killed, signal.SIGKILL)
    # Meanwhile the page answers.
    answer = await page.reload()
    assert answer is not None
    assert answer.status == 200

    await asyncio.to_thread(
        eventually, lambda: installation.postmaster not in {None, killed}, "the database runs again"
    )
    await asyncio.to_thread(
        eventually, lambda: len(installation.available(RESULTS)) > len(recorded), "results arrive again"
    )
    assert recorded <= set(installation.query(RESULTS))
    await asyncio.to_thread(demo.until_whole)


@pytest.mark.usefixtures("frozen")
async def test_without_its_database_the_site_shows_what_it_knew_and_how_old_that_is(
    demo: Demo, visit: Callable[..., Any]
) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/")
    known = datetime.fromisoformat(demo.status()["as_of"])

    # An open page says so by itself.
    await page.wait_for_selector("section.banner:has-text('Live figures are unavailable')")
    assert demo.status()["stale"] is True
    assert datetime.fromisoformat(demo.status()["as_of"]) >= known
    for path in ("/en/", "/en/clusters/eu", "/en/clusters/eu/api", "/de/clusters/usa/website?range=7d"):
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        banner = page.locator("section.banner:not(.sample)")
        said = "was known as of" if path.startswith("/en/") else "Stand"
        assert said in await banner.inner_text(), path
    # A site that begins now has only the snapshot on its disk, and answers from that.
    before = demo.installation.role("site")
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await asyncio.to_thread(
        eventually, lambda: demo.installation.role("site") not in {None, before}, "the site runs again"
    )
    await asyncio.to_thread(
        eventually, lambda: fetch(f"{demo.site}/en/")[0] == 200, "it answers from its stored snapshot"
    )
    assert demo.status()["stale"] is True
    # It is written at each change, and else every 15 s.
    assert datetime.fromisoformat(demo.status()["as_of"]) >= known - timedelta(seconds=30)
    await page.goto("/en/")
    assert "was known as of" in await page.locator("section.banner:not(.sample)").inner_text()


async def test_what_was_measured_meanwhile_is_recorded_afterwards(demo: Demo) -> None:
    """The controller goes on while the database is away: its results have no gap."""
    rows = await asyncio.to_thread(
        demo.installation.query,
        "SELECT max(at - before) FROM (SELECT at, lag(at) OVER (PARTITION BY check_id ORDER BY at) AS before "
        "FROM availability.result) AS pairs",
    )
    assert rows[0][0].total_seconds() < 20
