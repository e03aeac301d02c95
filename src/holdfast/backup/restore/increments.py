"""PostgreSQL's incremental files, and how a chain of them becomes one file. Pure.

A file `INCREMENTAL.NAME` holds the blocks of NAME that changed since the backup before: a header, then the
blocks. All numbers are 32 bits, little-endian:

    magic, count of blocks, truncation length in blocks, one number per block, zeros up to a whole block

without the zeros when it has no blocks. The truncation length is the shortest that the file has been: what
the backups before hold behind it is gone, and what is missing there is zeros.

Source: PostgreSQL 17, `src/backend/backup/basebackup_incremental.c` (GetIncrementalHeaderSize) and
`src/bin/pg_combinebackup/reconstruct.c`.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

from holdfast.backup.errors import Damaged

MAGIC = 0xD3AE1F0D
BLOCK = 8192
"""Bytes. Servers built with another size of blocks are not known to this."""

PREFIX = "INCREMENTAL."
LONGEST_FILE = 1 << 17
"""Blocks of a file of a relation: PostgreSQL begins another one at 1 GiB."""

_FIXED = 12


@dataclass(frozen=True, slots=True)
class Run:
    """`size` bytes from `start` of what an incremental file holds belong to `to` of the whole file."""

    start: int
    to: int
    size: int


@dataclass(frozen=True, slots=True)
class Increment:
    """The header of an incremental file. `blocks` are sorted, and each is there once."""

    truncation: int
    """Blocks of the backups before that still count."""
    blocks: "array[int]"

    @property
    def length(self) -> int:
        """Blocks of the whole file."""
        return max(self.truncation, self.blocks[-1] + 1) if self.blocks else self.truncation

    @property
    def header_bytes(self) -> int:
        return header_bytes(len(self.blocks))


def plain_path(path: str) -> str:
    """The whole file's path, of an incremental one's; any other's as it is."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.removeprefix(PREFIX)}" if is_increment(path) else path


def is_increment(path: str) -> bool:
    """Whether a file of this path in a backup is an incremental one. Only data of relations is."""
    return path.rpartition("/")[2].startswith(PREFIX) and path.startswith(("base/", "global/", "pg_tblspc/"))


def header_bytes(count: int) -> int:
    """How long a header with so many blocks is."""
    plain = _FIXED + 4 * count
    return plain if count == 0 else -(-plain // BLOCK) * BLOCK


def header_wanted(content: bytes | bytearray | memoryview, name: str) -> int:
    """How many bytes of an incremental file its header needs, as far as `content`, its beginning, tells.

    Raises Damaged for what is no header.
    """
    if len(content) < _FIXED:
        return _FIXED
    magic, count = int.from_bytes(content[:4], "little"), int.from_bytes(content[4:8], "little")
    if magic != MAGIC or count > LONGEST_FILE:
        raise Damaged(f"{name} is no incremental file of PostgreSQL")
    return header_bytes(count)


def read_header(content: bytes | bytearray | memoryview, name: str, size: int) -> Increment:
    """The header of an incremental file of `size` bytes, of which `content` is the beginning, long enough.

    Raises Damaged for what is no header, and for one that does not fit the file's size.
    """
    count = int.from_bytes(content[4:8], "little")
    truncation = int.from_bytes(content[8:12], "little")
    blocks = array("I", bytes(content[_FIXED : _FIXED + 4 * count]))
    if sys.byteorder == "big":
        blocks.byteswap()
    if any(blocks[at] >= blocks[at + 1] for at in range(count - 1)):
        raise Damaged(f"{name}: its blocks are not in order")
    if truncation > LONGEST_FILE or (count and blocks[-1] >= LONGEST_FILE):
        raise Damaged(f"{name}: its blocks lie behind the end of any file")
    if size != header_bytes(count) + count * BLOCK:
        raise Damaged(f"{name} has {size} bytes, and says that it holds {count} blocks")
    return Increment(truncation, blocks)


class Overlay:
    """What of one file is still wanted from older backups, while its sources come in, the newest first."""

    def __init__(self, newest: Increment) -> None:
        self.length = newest.length
        self._limit = newest.truncation
        self._taken: list[array[int]] = [array("I"), newest.blocks]
        self._sources = [newest]

    def add(self, older: Increment) -> None:
        """The next older source, which is incremental too."""
        known = self._taken[-1]
        fresh = _without(older.blocks, known)
        self._sources.append(older)
        self._taken.append(array("I", merge(known, fresh)) if fresh else known)

    @property
    def sources(self) -> int:
        """How many are known."""
        return len(self._sources)

    @property
    def is_unchanged(self) -> bool:
        """Whether none of the increments has a block: the file is the oldest source's, up to `length`."""
        return not self._taken[-1]

    def from_increment(self, source: int, start: int, end: int) -> Iterator[Run]:
        """Which bytes [start, end) behind the header of the increment number `source` go where."""
        blocks, taken = self._sources[source].blocks, self._taken[source]
        limit = self._limit if source else self.length
        at, last = start // BLOCK, -(-end // BLOCK)
        while at < last:
            if not _is_free(blocks[at], taken, limit):
                at += 1
                continue
            first = at
            at += 1
            while at < last and blocks[at] == blocks[at - 1] + 1 and _is_free(blocks[at], taken, limit):
                at += 1
            low, high = max(first * BLOCK, start), min(at * BLOCK, end)
            yield Run(low - start, blocks[first] * BLOCK + low - first * BLOCK, high - low)

    def from_whole(self, size: int, start: int, end: int) -> Iterator[Run]:
        """Which bytes [start, end) of the oldest source, a whole file of `size` bytes, go where."""
        taken = self._taken[-1]
        at, end = start, min(end, self._limit * BLOCK, size // BLOCK * BLOCK)
        place = bisect_left(taken, at // BLOCK)
        while at < end:
            low = taken[place] * BLOCK if place < len(taken) else end
            if low > at:
                yield Run(at - start, at, min(low, end) - at)
            at = max(at, low + BLOCK)
            place += 1


def _is_free(block: int, taken: "array[int]", limit: int) -> bool:
    if block >= limit:
        return False
    place = bisect_left(taken, block)
    return place == len(taken) or taken[place] != block


def _without(blocks: "array[int]", known: "array[int]") -> list[int]:
    if not known:
        return list(blocks)
    taken = set(known)
    return [each for each in blocks if each not in taken]


def label_of_whole(label: bytes) -> bytes:
    """The `backup_label` of what a chain became: it is an increment of nothing any more."""
    lines = label.splitlines(keepends=True)
    return b"".join(
        each for each in lines if not each.startswith((b"INCREMENTAL FROM LSN: ", b"INCREMENTAL FROM TLI: "))
    )
