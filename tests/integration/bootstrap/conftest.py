"""Installations in folders of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from estates import estate, put_link
from installation import Installation, free_port, installed
from targets import Target, answering


@pytest.fixture
def target() -> Iterator[Target]:
    with answering() as target:
        yield target


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Installation]:
    """Nothing is written and nothing runs."""
    with installed(tmp_path / "bare") as bare:
        yield bare


@pytest.fixture
def ready(tmp_path: Path, target: Target) -> Iterator[Installation]:
    """Its estate file is written; nothing runs."""
    with installed(tmp_path / "ready", estate(free_port(), target.url)) as ready:
        put_link(ready.folder, "x" * 40)
        yield ready
