"""The README's picture of the status site. HOLDFAST_UPDATE_IMAGES=1 replaces the one that is kept."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from installation import REPOSITORY, eventually

from e2e.demo import ARTIFACTS, Demo

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = REPOSITORY / "docs" / "images" / "status-site.png"
SIZE = (1280, 900)


@pytest_asyncio.fixture(loop_scope="session")
async def broken(demo: Demo) -> AsyncIterator[None]:
    """One component is down, as on a day when somebody looks at a status site."""
    await asyncio.to_thread(demo.break_, "eu2-messaging")
    await asyncio.to_thread(
        eventually, lambda: demo.shown().get("eu2/messaging") == "major_outage", "the outage is shown"
    )
    yield
    await asyncio.to_thread(demo.heal, "eu2-messaging")
    await asyncio.to_thread(demo.until_whole)


@pytest.mark.usefixtures("broken")
async def test_a_picture_of_the_status_site(visit: Callable[..., Any]) -> None:
    page = await (await visit(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")).new_page()
    await page.goto("/en/")
    assert await page.locator("h1").inner_text() == "Major outage: EU2 Messaging"
    ARTIFACTS.mkdir(exist_ok=True)
    picture = ARTIFACTS / KEPT.name

    await page.screenshot(path=picture)

    if os.environ.get("HOLDFAST_UPDATE_IMAGES") == "1":
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_bytes(picture.read_bytes())
    assert _size(picture) == SIZE
    assert _size(KEPT) == SIZE
    # A picture with something on it: a blank page of this size takes a tenth of that.
    assert 40_000 < picture.stat().st_size
    assert KEPT.stat().st_size < 400_000


def _size(picture: Path) -> tuple[int, int]:
    """Width and height, from the header chunk (PNG specification, 11.2.1)."""
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    return width, height
