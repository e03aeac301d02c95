"""Gives memory back to the operating system between pieces of long work."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Let go of what was freed. The C library keeps chunks of up to 32 MB for later, for each thread.

    A process that takes a backup and then verifies one would otherwise hold the most that each of them
    needed. Does nothing where the C library has no malloc_trim(3).
    """
    # Chunks that hang on a circle of references wait for the collector, who counts objects and not bytes.
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
