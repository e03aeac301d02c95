"""What the static site's tests share: the reports' past, and the site's client."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

for folder in ("reports", "site"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries
