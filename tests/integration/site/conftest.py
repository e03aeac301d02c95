"""What the site's integration tests share. The views come from the factory of its unit tests."""

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "site"))

from site_served import ServedSite


@pytest.fixture
async def served() -> AsyncIterator[ServedSite]:
    site = ServedSite()
    await site.start()
    try:
        yield site
    finally:
        await site.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. `make test` installs it where it may."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    assert found, "no Chromium: install it with `apt-get install chromium`"
    return found
