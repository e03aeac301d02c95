"""Messages of a stream that are there at once are written at once."""

from collections.abc import Callable

from holdfast.backup.lsn import Lsn
from holdfast.backup.ports import WalData

MOST_BYTES = 128 * 1024


class Joined:
    """Hands over to `write` what was added: each stretch of bytes that follow each other, in one piece."""

    def __init__(self, write: Callable[[Lsn, bytes], None]) -> None:
        self._write = write
        self._start = self._end = Lsn(0)
        self._parts: list[bytes] = []

    def add(self, data: WalData) -> None:
        if self._parts and (data.start != self._end or self._end - self._start >= MOST_BYTES):
            self.write()
        if not self._parts:
            self._start = data.start
        self._parts.append(data.content)
        self._end = Lsn(data.start + len(data.content))

    def write(self) -> None:
        """What is held back. What `write` raises leaves nothing held back."""
        parts, self._parts = self._parts, []
        if parts:
            self._write(self._start, parts[0] if len(parts) == 1 else b"".join(parts))
