"""The newest bytes of a spool, in memory: who puts them into a region need not read the file."""

from holdfast.backup.lsn import Segment

MOST_BYTES = 256 * 1024


class Recent:
    """Of the newest segment, up to its last byte. Within the spool's turn."""

    def __init__(self) -> None:
        self._segment: Segment | None = None
        self._start = 0
        self._content = bytearray()

    def append(self, segment: Segment, start: int, piece: bytes) -> None:
        """These bytes come at that offset."""
        if segment != self._segment or start != self._start + len(self._content):
            self._segment, self._start = segment, start
            self._content.clear()
        self._content += piece
        if len(self._content) > 2 * MOST_BYTES:
            gone = len(self._content) - MOST_BYTES
            del self._content[:gone]
            self._start += gone

    def read(self, segment: Segment, start: int, end: int) -> bytes | None:
        """The bytes [start, end) of a segment; None when they are not here."""
        if start < self._start or segment != self._segment:
            return None
        if end > self._start + len(self._content):
            return None
        return bytes(self._content[start - self._start : end - self._start])

    def forget(self) -> None:
        """What is there may be cut back."""
        self._segment = None
        self._content.clear()
