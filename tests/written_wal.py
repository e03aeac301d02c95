"""A write-ahead log that is written here, as PostgreSQL does: for logs that no server would write."""

import struct

from google_crc32c import value

from holdfast.backup.lsn import Lsn
from holdfast.backup.wal.wal_pages import PAGE, Pages

SEGMENT = 1024 * 1024
START = Lsn(3 * SEGMENT)
MICROS = 800_000_000_000_000
"""When everything commits, since 2000."""


class Writer:
    """Writes a log as PostgreSQL does."""

    def __init__(self) -> None:
        self.pages = Pages(SEGMENT)
        self.text = bytearray()
        self.replaced: set[int] = set()
        self._ends: list[tuple[int, int]] = []
        self._previous = self._before = int(START) - 96

    @property
    def place(self) -> Lsn:
        """Where the next record begins."""
        return self.pages.lsn(self.pages.position(START) + len(self.text))

    def record(self, rmid: int, info: int, main: bytes, xid: int = 7, block: bytes = b"") -> Lsn:
        """Append a record; where it begins."""
        assert len(main) < 256
        return self.whole(rmid, info, block + bytes((255, len(main))) + main, xid)

    def whole(self, rmid: int, info: int, body: bytes, xid: int = 7) -> Lsn:
        """The same, of all that stands behind its header."""
        lsn = self.place
        head = struct.pack("<IIQBBH", 24 + len(body), xid, self._previous, info, rmid, 0)
        whole = head + struct.pack("<I", value(body + head)) + body
        self._ends.append((len(self.text), len(self.text) + len(whole)))
        self._before = self._previous
        self.text += whole + bytes(-len(whole) % 8)
        self._previous = lsn
        return lsn

    def commit(self, xid: int = 7) -> Lsn:
        return self.record(1, 0, struct.pack("<q", MICROS), xid)

    def delete(self, xid: int = 7, table: int = 20_000) -> Lsn:
        """A row of a table goes."""
        block = struct.pack("<BBHIIII", 0, 0, 0, 1663, 5, table, 0)
        return self.record(10, 0x10, struct.pack("<IHBB", xid, 1, 0, 0), xid, block)

    @property
    def room(self) -> int:
        """Bytes that are left on the page."""
        return PAGE - self.pages.lsn(self.pages.position(START) + len(self.text)) % PAGE

    def cut(self, page: int) -> None:
        """The server died when it had written the log up to this page, and went on there."""
        del self.text[self.pages.position(page) - self.pages.position(START) :]
        self.replaced.add(page)
        start, _ = self._ends.pop()
        # What comes next names the last record that is whole.
        self._previous = self._before
        self._ends.append((start, len(self.text)))

    def log(self) -> bytes:
        out, at, lsn = bytearray(), 0, int(START)
        while at < len(self.text):
            first = lsn % SEGMENT == 0
            left = 0
            if lsn not in self.replaced:
                left = max((end - at for begin, end in self._ends if begin < at < end), default=0)
            info = (1 if left else 0) | (2 if first else 0) | (8 if lsn in self.replaced else 0)
            out += struct.pack("<HHIQI", 0xD118, info, 1, lsn, left) + bytes(4)
            if first:
                out += struct.pack("<QII", 1, SEGMENT, PAGE)
            take = PAGE - (40 if first else 24)
            out += self.text[at : at + take]
            at += take
            lsn += PAGE
        return bytes(out)
