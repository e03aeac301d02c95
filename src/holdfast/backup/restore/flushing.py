"""Getting what was written onto the disk: begun as soon as it is written, proven once at the end."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

WORTH_BEGINNING = 1024 * 1024
"""Bytes. Below that a call for each costs more than it brings forward."""
_SYNC_FILE_RANGE_WRITE = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def begin_flush(descriptor: int, at: int, size: int) -> None:
    """Have the kernel begin to write these bytes to the disk, without waiting for it.

    Left to itself it lets them gather, and a restore's last step would wait for gigabytes while the disk did
    nothing before. It promises nothing: `synced` does, and hears of what could not be written.
    """
    if size >= WORTH_BEGINNING and hasattr(_LIBC, "sync_file_range"):  # Linux has it, on most machines
        offset = ctypes.c_int64
        _LIBC.sync_file_range(descriptor, offset(at), offset(size), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))


def synced(folders: Iterable[Path]) -> None:
    """Make all that was written below these folders durable. Raises OSError when it could not be written."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _LIBC.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(folder))
        finally:
            os.close(descriptor)
