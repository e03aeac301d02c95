"""A copy of a whole site on disk."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

_UNIT = Path(__file__).parents[2] / "unit"
for folder in ("staticsite", "reports", "site"):
    sys.path.insert(0, str(_UNIT / folder))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries
