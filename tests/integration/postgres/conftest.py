"""Servers that a test may break: each in its own folder, ended at the test's end whatever became of them."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.server.layout import place_elsewhere
from holdfast.adapters.postgres.server.process import processes_of

Make = Callable[..., EmbeddedPostgres]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """The handle of a server, by default in the test's own folder. Safe settings, as an operator has."""
    folders: set[Path] = set()

    def make_server(directory: Path | None = None, **options: object) -> EmbeddedPostgres:
        directory = directory or tmp_path / "postgres"
        folders.add(directory)
        return EmbeddedPostgres(directory, **options)  # type: ignore[arg-type]

    yield make_server
    for folder in folders:
        end(folder / "data")
        shutil.rmtree(place_elsewhere(folder / "data"), ignore_errors=True)


def end(data: Path) -> None:
    """Kill whatever still runs on `data`, which exists in this test only."""
    while data.is_dir() and (left := processes_of(data)):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                pass
        time.sleep(0.02)
