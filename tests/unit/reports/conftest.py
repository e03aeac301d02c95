"""What the reports' tests share. The site's client comes from its own tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "site"))

from reported import Past


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def past() -> Past:
    made = Past()
    await made.fill()
    await made.freeze()
    return made
