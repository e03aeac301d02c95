"""Runs Patroni with a clock that the lab can set: `python -m holdfast.lab.regions.clocked FILE ARGUMENTS...`.

FILE holds how many seconds the wall clock is wrong; it may change at any moment, and the clock jumps with it.
Only `time.time` is wrong, by which Patroni and its raft judge when a lock expires: where the lab could build
its library (shim.py), that sets the clock instead, PostgreSQL's as well. The monotonic clock is right.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.lab.regions.shim import is_there

LOOK_EVERY_S = 0.2


def set_clock(file: Path) -> None:
    """From now on `time.time` is wrong by what the file says; by nothing where there is none."""
    if is_there():  # else it would be wrong twice
        return
    time.time = _wrong_by(file, time.time, time.monotonic)


def _wrong_by(file: Path, wall: Callable[[], float], monotonic: Callable[[], float]) -> Callable[[], float]:
    looked, offset = -LOOK_EVERY_S, 0.0

    def now() -> float:
        nonlocal looked, offset
        if (moment := monotonic()) - looked >= LOOK_EVERY_S:
            looked = moment
            try:
                offset = float(file.read_text(encoding="ascii"))
            except (OSError, ValueError):
                offset = 0.0
        return wall() + offset

    return now


def main() -> None:
    set_clock(Path(sys.argv[1]))
    # Only now: what it imports may keep a reference to the clock.
    from patroni.__main__ import main as patroni  # noqa: PLC0415

    sys.argv = ["patroni", *sys.argv[2:]]
    patroni()


if __name__ == "__main__":
    main()
