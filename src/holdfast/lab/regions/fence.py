"""What keeps a late command out: the newest (epoch, turn) that was seen, in a file, compared under a lock."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Fence = tuple[int, int]


class StaleFenceError(Exception):
    """A newer run or turn has been here; `newest` is its fence."""

    def __init__(self, newest: Fence) -> None:
        super().__init__(f"overtaken by epoch {newest[0]}, turn {newest[1]}")
        self.newest = newest


@contextmanager
def passing(file: Path, fence: Fence | None) -> Iterator[Fence]:
    """Inside this block nobody else passes; yields the newest fence, now at least `fence`.

    Raises StaleFenceError for one that is older than the newest. None passes, and advances nothing: it is
    what a person says by hand.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        text = os.pread(descriptor, 100, 0)
        known = json.loads(text) if text.strip() else [0, 0]
        newest = (int(known[0]), int(known[1]))
        if fence is not None and fence < newest:
            raise StaleFenceError(newest)
        if fence is not None and fence > newest:
            newest = fence
            # Padded to one length: written over in place, it is never longer than what is read.
            os.pwrite(descriptor, json.dumps(list(newest)).ljust(64).encode(), 0)
            os.fsync(descriptor)
        yield newest
    finally:
        os.close(descriptor)


def newest(file: Path) -> Fence:
    """The newest fence that passed; (0, 0) before the first."""
    with passing(file, None) as fence:
        return fence
