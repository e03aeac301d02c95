"""How long the machine itself stood still: a process writes a line and flushes it, again and again."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

EVERY_S = 0.02


class Pulse:
    """Beats in a process of its own, on the disk of `folder`. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pulse"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._path.write_bytes(b"")
        self._process = subprocess.Popen([sys.executable, __file__, str(self._path)])
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def longest_s(self) -> float:
        """The longest from one beat to the next, up to now."""
        beats = [float(line) for line in self._path.read_text("ascii").splitlines()[:-1]]
        beats.append(time.monotonic())
        return max((after - before for before, after in itertools.pairwise(beats)), default=0.0)


def _beat(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    while True:
        os.write(descriptor, f"{time.monotonic():.6f}\n".encode())
        os.fdatasync(descriptor)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    _beat(sys.argv[1])
