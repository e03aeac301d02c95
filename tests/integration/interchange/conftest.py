"""Installations in folders of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from installation import Installation, installed


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Installation]:
    """Nothing is written and nothing runs."""
    with installed(tmp_path / "bare") as bare:
        yield bare
