"""Lines of files that others write, while they write them: what is complete is read, the rest is left.

A line is known again by its mark, a keyed hash of it, and by how often the same line stood before it in the
same file. So a file that is read twice, or whose name a rotation has changed, gives the same marks. What is
asked of files: equal lines of two different jobs stand in the same file. They do where lines carry the time
and files are cut by size or by day.
"""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import BinaryIO, NamedTuple

from holdfast.ledger.model import Refusal

MARK_BYTES = 16
LONGEST_LINE = 16 * 1024
CHUNK_BYTES = 256 * 1024
HEAD_BYTES = 1024
_SHOWN = b"holdfast ledger importer"


class Mark(NamedTuple):
    """What a line is known by within its source."""

    mark: bytes
    occurrence: int
    """Equal lines of one file are counted from 0."""


class Line(NamedTuple):
    """A line without its end. `number` counts from 1."""

    number: int
    content: bytes
    mark: Mark


def marker(key: bytes) -> Callable[[bytes], bytes]:
    """Makes marks: nobody without the key (at most 64 bytes) can try out what a line said."""
    return lambda line: blake2b(line, digest_size=MARK_BYTES, key=key).digest()


def shown_of(key: bytes) -> bytes:
    """By which the same key is known again, and which tells nothing of it."""
    return blake2b(_SHOWN, digest_size=MARK_BYTES, key=key).digest()


class Lines:
    """The lines of one file, from its beginning, in portions."""

    def __init__(self, content: BinaryIO, mark: Callable[[bytes], bytes]) -> None:
        self._content = content
        self._mark = mark
        self._seen = Counter[bytes]()
        self._rest = b""
        self._dropping = False
        self.number = 0
        """Lines read so far."""
        self.head = b""
        """The first bytes that were read, as many as are kept of them."""

    @property
    def half_written(self) -> bool:
        """Whether something stands behind the last line's end."""
        return bool(self._rest)

    def read(self, most: int) -> list[Line | Refusal]:
        """The next lines, at most about so many; none when there is nothing more now."""
        found = list[Line | Refusal]()
        while len(found) < most:
            chunk = self._content.read(CHUNK_BYTES)
            if not chunk:
                break
            if len(self.head) < HEAD_BYTES:
                self.head = (self.head + chunk)[:HEAD_BYTES]
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                found += self._line(line)
            if len(self._rest) > LONGEST_LINE:
                # Of a line that is too long its end alone is waited for: a file without any fills no memory.
                self._dropping, self._rest = True, self._rest[:1]
        return found

    def finish(self) -> list[Line | Refusal]:
        """What stands behind the last line's end, as a line: nobody writes to the file any more."""
        rest, self._rest = self._rest, b""
        return self._line(rest) if rest else []

    def _line(self, line: bytes) -> list[Line | Refusal]:
        self.number += 1
        too_long = self._dropping or len(line) > LONGEST_LINE
        self._dropping = False
        if too_long:
            return [Refusal(self.number, f"a line of more than {LONGEST_LINE:,} bytes")]
        line = line.removesuffix(b"\r")
        if not line.strip():
            return []
        mark = self._mark(line)
        self._seen[mark] += 1
        return [Line(self.number, line, Mark(mark, self._seen[mark] - 1))]
