"""Logs are kept from the terminal: structlog's default prints tracebacks with every local variable."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries
