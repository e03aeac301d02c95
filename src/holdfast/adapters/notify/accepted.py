"""What was accepted, in a file that outlives kill -9: one key of 16 bytes after the other, appended.

The file is in the page cache as soon as it is written, which is enough: what the death of the machine takes
with it, is delivered again under the same key. Whoever holds the file's lock knows that its last writer is
dead: the kernel lets go of it, however the process ended.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

_KEY_BYTES = 16
LONGEST = 64 * 1024
"""A file that long is begun anew as soon as all in it is settled."""


class AcceptedFile:
    """An `Accepted`. Make it with `accepted_file`, which holds the lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        # A last one that is cut short was never noted: its writer died, or the disk was full.
        whole = len(content) // _KEY_BYTES * _KEY_BYTES
        os.ftruncate(descriptor, whole)
        self._size = whole
        self._left = [str(UUID(bytes=content[at : at + _KEY_BYTES])) for at in range(0, whole, _KEY_BYTES)]
        self._open = set(self._left)

    def add(self, key: str) -> None:
        self._open.add(key)
        try:
            written = os.pwrite(self._descriptor, UUID(key).bytes, self._size)
        except OSError:
            return  # a full disk: the mark in the database, a moment later, has to do
        if written == _KEY_BYTES:
            self._size += _KEY_BYTES

    def settle(self, keys: Sequence[str]) -> None:
        self._open.difference_update(keys)
        if not self._open and self.is_long:
            self.clear()

    def take_over(self, keys: Sequence[str]) -> None:
        """Note what another file held. It is left like what was in this one."""
        for key in keys:
            self.add(key)
        self._left += keys

    def clear(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._left.clear()
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            self._size = 0

    @property
    def is_long(self) -> bool:
        return self._size >= LONGEST

    def left(self) -> Sequence[str]:
        left, self._left = self._left, []
        return left


@contextlib.contextmanager
def accepted_file(path: Path) -> Iterator[AcceptedFile]:
    """The file at `path`, made when there is none; raises BlockingIOError while another process has it."""
    descriptor = locked(path)
    try:
        yield AcceptedFile(descriptor)
    finally:
        os.close(descriptor)


def locked(path: Path) -> int:
    """A descriptor that holds the file's lock, as does every process that inherits it.

    Raises BlockingIOError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
