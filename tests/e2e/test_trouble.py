"""Two services in trouble at once, each in its own way; and the README's picture of the site on such a day.

HOLDFAST_UPDATE_IMAGES=1 replaces the picture that is kept.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from e2e.demo import ARTIFACTS, Demo
from holdfast.availability.model import State
from installation import REPOSITORY, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = REPOSITORY / "docs" / "images" / "status-site.png"
SIZE = (1280, 900)


@dataclass(frozen=True)
class Trouble:
    """What was known before it began, and when that was."""

    frozen_at: datetime
    transitions: int
    report: Mapping[str, Any]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def trouble(demo: Demo) -> AsyncIterator[Trouble]:
    """EU's messaging is frozen, and USA's API ended in order."""
    report = await asyncio.to_thread(demo.report, "liberty-usa")
    transitions = len(demo.timeline("eu/messaging"))
    await asyncio.to_thread(demo.break_, "usa-api", "stop")
    frozen_at = await asyncio.to_thread(demo.break_, "eu-messaging", "hang")
    wanted = {"eu/messaging": "major_outage", "usa/api": "major_outage", "usa/website": "degraded"}
    await asyncio.to_thread(
        eventually, lambda: wanted.items() <= demo.shown().items(), "the site shows all of it"
    )
    yield Trouble(frozen_at, transitions, report)
    for part in ("eu-messaging", "usa-api"):
        await asyncio.to_thread(demo.heal, part)
    await asyncio.to_thread(demo.until_whole)


async def test_a_frozen_service_counts_as_down(demo: Demo, trouble: Trouble) -> None:
    """It accepts connections and answers nobody: only the time-out tells."""
    at, state, _ = demo.timeline("eu/messaging")[trouble.transitions]

    assert state == State.MAJOR_OUTAGE
    # A run that was under way when it froze may have begun before.
    assert at >= trouble.frozen_at - timedelta(seconds=10)


async def test_a_worse_website_is_degraded_and_costs_nothing(demo: Demo, trouble: Trouble) -> None:
    """Without its API the website comes without its queue: worse, but not down."""
    now = await asyncio.to_thread(demo.report, "liberty-usa")

    before, after = (each["components"]["usa/website"] for each in (trouble.report, now))
    assert after["degraded_s"] > before["degraded_s"]
    assert after["weighted_downtime_s"] == before["weighted_downtime_s"]


@pytest.mark.usefixtures("trouble")
async def test_a_picture_of_the_status_site(visit: Callable[..., Any]) -> None:
    page = await (
        await visit(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
    ).new_page()
    await page.goto("/en/")
    assert await page.locator("h1").inner_text() == "Major outage: EU Messaging and USA API"
    ARTIFACTS.mkdir(exist_ok=True)
    picture = ARTIFACTS / KEPT.name

    await page.screenshot(path=picture)

    if os.environ.get("HOLDFAST_UPDATE_IMAGES") == "1":
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_bytes(picture.read_bytes())
    assert _size(picture) == SIZE
    assert _size(KEPT) == SIZE
    # With something on it: a blank page of this size takes a tenth of that.
    assert picture.stat().st_size > 40_000
    assert KEPT.stat().st_size < 400_000


def _size(picture: Path) -> tuple[int, int]:
    """Width and height, from the header chunk (PNG specification, 11.2.1)."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    return width, height
