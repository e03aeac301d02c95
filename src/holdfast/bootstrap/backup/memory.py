"""Gives memory back to the operating system: at once where it is much, and between pieces of long work."""

import ctypes
import gc
from contextlib import suppress

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
"""malloc.h of the GNU C library."""


def give_back_at_once() -> None:
    """Have what is large go back to the operating system as soon as it is freed. Idempotent.

    Left to itself, the C library learns from the first chunk that is freed to keep such memory for later, up
    to 32 MB a piece, for each thread that ever held one. Does nothing where there is no mallopt(3).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Let go of what was freed, also of what is small.

    A process that takes a backup and then verifies one would otherwise hold the most that each of them
    needed. Does nothing where the C library has no malloc_trim(3).
    """
    # What hangs on a circle of references waits for the collector, who counts objects and not bytes.
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
