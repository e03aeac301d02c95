"""A whole lab on free ports, shared by the tests of one module; each test leaves it whole."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_lab import RunningLab


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    found = RunningLab(tmp_path_factory.mktemp("holdfast") / "lab")
    try:
        asyncio.run(found.lab.up())
        yield found
    finally:
        asyncio.run(found.lab.down())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningLab]:
    """A lab of the test's own, not started yet."""
    found = RunningLab(tmp_path / "lab")
    try:
        yield found
    finally:
        asyncio.run(found.again().down())
