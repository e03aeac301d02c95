"""An installation that is watched from outside while its processes are killed."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_estate import CHECKS, Watch, estate

from installation import free_port, installed
from targets import answering


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Running, with one service that is well, one that flaps, and one that is not there."""
    dice = random.Random(7)
    port = free_port()
    ended = threading.Event()
    with answering() as well, answering() as flapping:

        def flap() -> None:
            while not ended.wait(dice.uniform(1.0, 5.0)):
                flapping.well = not flapping.well

        text = estate(port, well.url, flapping.url, free_port())
        with installed(tmp_path / "chaos", text) as installation:
            thread = threading.Thread(target=flap)
            thread.start()
            try:
                watch = Watch(installation, port, installation.up())
                watch.until_all_are_heard_of(CHECKS)
                yield watch
            finally:
                ended.set()
                thread.join()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the rounds, to be quoted."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, told in report.user_properties:
            if name == "figures" and report.when == "call":
                terminalreporter.write_line(str(told))
