"""Segments of a ledger's log that a write-ahead log says were inserted: rows of `ledger.segment`. Pure.

They are known by their shape and by how what they hold begins, not by the number of a file: also those of a
partition that only the lost primary had are found, and no server has to be asked. A long value stands in rows
of its own, which are written before the row that refers to them (TOAST).

Source: `ledger.segment` in migration 0013; PostgreSQL's `src/include/varatt.h`, `access/toast_internals.h`.
"""

from collections.abc import Container, Iterable, Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception
from typing import NamedTuple

from holdfast.backup.search.inserted import InsertedRow
from holdfast.ledger.append.pieces import MARK

_ZSTD = b"\x28\xb5\x2f\xfd"
_BEGINNINGS = (MARK, _ZSTD)
_SEGMENT = Struct("<i4xqqi")
"""log_id, first, at, leaves; then `entries`."""
_SEGMENT_COLUMNS, _CHUNK_COLUMNS = 5, 3
_CHUNK = Struct("<Ii")
_POINTER = Struct("<BBiIII")
_ON_DISK = 18
_SIZE_BITS = 0x3FFF_FFFF
MOST_HELD_BYTES = 256 * 1024 * 1024
"""Of values whose row has not come yet. It comes right behind them: more is none of a ledger."""


class FoundSegment(NamedTuple):
    """A row of `ledger.segment`. `packed` is empty where its bytes are not all there."""

    database: int
    log_id: int
    first: int
    leaves: int
    packed: bytes


class _Value:
    """A long value, as its chunks come."""

    __slots__ = ("chunks", "size")

    def __init__(self) -> None:
        self.chunks: dict[int, bytes] = {}
        self.size = 0

    def add(self, number: int, chunk: bytes) -> None:
        self.size += len(chunk) - len(self.chunks.get(number, b""))
        self.chunks[number] = chunk

    def whole(self) -> bytes:
        return b"".join(self.chunks[number] for number in sorted(self.chunks))


def segments_in(rows: Iterable[InsertedRow], committed: Container[int]) -> Iterator[FoundSegment]:
    """Those of transactions that committed, in the order of the log."""
    values = _Values()
    for row in rows:
        if row.has_nulls or row.xid not in committed:
            continue
        if row.columns == _CHUNK_COLUMNS:
            values.keep(row)
        elif row.columns == _SEGMENT_COLUMNS and (found := _segment(row, values)) is not None:
            yield found


class _Values:
    """Long values whose row has not come yet, by database and number; by file, as numbers are a table's."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], dict[int, _Value]] = {}
        self._bytes = 0

    def keep(self, row: InsertedRow) -> None:
        """Values that begin like nothing of a ledger are left out."""
        try:
            value_id, number = _CHUNK.unpack_from(row.content)
        except StructError:
            return
        chunk = _inline(row.content, _CHUNK.size)
        if chunk is None or number < 0:
            return
        key, file = (row.locator.database, value_id), row.locator.number
        value = self._held.get(key, {}).get(file)
        if value is None:
            if number or not chunk.startswith(_BEGINNINGS):
                return
            value = self._held.setdefault(key, {})[file] = _Value()
        self._bytes -= value.size
        value.add(number, chunk)
        self._bytes += value.size
        if self._bytes > MOST_HELD_BYTES:
            self._held.clear()
            self._bytes = 0

    def take(self, database: int, value_id: int, length: int) -> bytes:
        """The value; empty when it is not there, or not all of it."""
        found = self._held.pop((database, value_id), {}).values()
        self._bytes -= sum(each.size for each in found)
        return next((each.whole() for each in found if each.size == length), b"")


def _segment(row: InsertedRow, values: _Values) -> FoundSegment | None:
    try:
        log_id, first, _, leaves = _SEGMENT.unpack_from(row.content)
    except StructError:
        return None
    if log_id <= 0 or first < 0 or leaves <= 0:
        return None
    packed = _inline(row.content, _SEGMENT.size)
    if packed is None:
        if (place := _elsewhere(row.content, _SEGMENT.size)) is None:
            return None
        length, value_id = place
        packed = values.take(row.locator.database, value_id, length)
        if not packed and not _plausible(row):
            return None
    elif not packed.startswith(_BEGINNINGS):
        return None
    return FoundSegment(row.locator.database, log_id, first, leaves, packed)


def _plausible(row: InsertedRow) -> bool:
    """A row of that shape whose value did not come: it ends where a segment's would."""
    return len(row.content) == _SEGMENT.size + _POINTER.size


def _inline(content: bytes, at: int) -> bytes | None:
    """A value that stands in the row itself, uncompressed: short, or with a header of four bytes."""
    if at >= len(content):
        return None
    first = content[at]
    if first & 1:
        return None if first == 1 else content[at + 1 : at + (first >> 1)]
    at = (at + 3) & ~3
    header = int.from_bytes(content[at : at + 4], "little")
    if header & 0x3 or header >> 2 < 4 or at + (header >> 2) > len(content):
        return None
    return content[at + 4 : at + (header >> 2)]


def _elsewhere(content: bytes, at: int) -> tuple[int, int] | None:
    """(length, id) of an uncompressed value that stands in rows of its own."""
    try:
        mark, tag, raw, external, value_id, _ = _POINTER.unpack_from(content, at)
    except StructError:
        return None
    length = external & _SIZE_BITS
    return (length, value_id) if (mark, tag, raw) == (1, _ON_DISK, length + 4) else None
