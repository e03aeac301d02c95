"""Rows that a database's write-ahead log says were inserted, as the bytes of their columns. Pure.

Of what a table's rows mean nothing is known here: who knows its columns reads them out of the bytes.

Source: PostgreSQL 14 to 18, `src/include/access/{xlogrecord,heapam_xlog,htup_details}.h`,
`src/include/storage/bufpage.h`.
"""

from collections.abc import Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception
from typing import NamedTuple

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn
from holdfast.backup.wal.wal_pages import PAGE, RECORD_HEADER, Span, WalReader
from holdfast.backup.wal.wal_records import RM_HEAP, Locator

_HEAP_INSERT, _HEAP_OPERATION = 0, 0x70
_HAS_IMAGE, _HAS_DATA, _SAME_RELATION = 0x10, 0x20, 0x80
_HAS_HOLE = 0x01
_MAGIC_14 = 0xD10D
_BLOCK, _IMAGE, _LOCATOR = Struct("<BBH"), Struct("<HHB"), Struct("<III")
_TUPLE, _IN_PAGE = Struct("<HHB"), Struct("<18xHHB")
_ITEM, _PLACE = Struct("<I"), Struct("<H")
_PAGE_HEADER, _TUPLE_HEADER = 24, 23
_HAS_NULL, _COLUMNS = 0x0001, 0x07FF
_LONG_MAIN, _SHORT_MAIN, _TOP_XID, _ORIGIN = 254, 255, 252, 253


class InsertedRow(NamedTuple):
    """One row, of the transaction or subtransaction `xid`, which may have ended either way."""

    xid: int
    locator: Locator
    columns: int
    has_nulls: bool
    content: bytes
    """Its columns, one behind the other as on the page: the first begins at a multiple of 8."""


class InsertReader:
    """Finds inserted rows in a log that arrives in parts, one behind the other, from `start` on.

    `unread` counts rows that the log holds in a form that is not read here: in a compressed image of a page.
    """

    def __init__(self, start: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self._log = WalReader(start, segment_bytes)
        self.unread = 0

    @property
    def problem(self) -> str:
        """Why the log ended, once it has."""
        return self._log.problem

    def read(self, content: bytes) -> Iterator[InsertedRow]:
        """The rows whose records are whole by now. Exhaust it before the next call."""
        for span in self._log.read(content):
            if span.rmid == RM_HEAP and span.info & _HEAP_OPERATION == _HEAP_INSERT and span.xid:
                row = _row(span, self._log.magic)
                if row is None:
                    self.unread += 1
                else:
                    yield row


def _row(span: Span, magic: int) -> InsertedRow | None:
    """None for one that stands there in no way that is known."""
    try:
        return _decoded(span, magic)
    except (IndexError, StructError):
        return None


def _decoded(span: Span, magic: int) -> InsertedRow | None:
    buffer, at, stop = span.buffer, span.offset + RECORD_HEADER, span.offset + span.total
    while buffer[at] in (_TOP_XID, _ORIGIN):
        at += 5 if buffer[at] == _TOP_XID else 3
    number, flags, length = _BLOCK.unpack_from(buffer, at)
    if number or flags & _SAME_RELATION:
        return None
    at += _BLOCK.size
    image_bytes = hole_at = 0
    compressed = False
    if flags & _HAS_IMAGE:
        image_bytes, hole_at, info = _IMAGE.unpack_from(buffer, at)
        compressed = bool(info & 0x02 if magic == _MAGIC_14 else info & 0x1C)
        at += 7 if compressed and info & _HAS_HOLE else 5
    locator = Locator(*_LOCATOR.unpack_from(buffer, at))
    at += _LOCATOR.size + 4  # and the block's number
    while buffer[at] in (_TOP_XID, _ORIGIN):
        at += 5 if buffer[at] == _TOP_XID else 3
    if buffer[at] == _SHORT_MAIN:
        at += 2
    elif buffer[at] == _LONG_MAIN:
        at += 5
    else:
        return None
    image, at = buffer[at : at + image_bytes], at + image_bytes
    content, at = buffer[at : at + length], at + length
    if at > stop:
        return None
    if flags & _HAS_DATA and length > _TUPLE.size:
        columns, info, header = _TUPLE.unpack_from(content)
        kept = content[_TUPLE.size + header - _TUPLE_HEADER :]
    elif image_bytes and not compressed:
        page = image[:hole_at] + bytes(PAGE - image_bytes) + image[hole_at:]
        item = _ITEM.unpack_from(page, _PAGE_HEADER + 4 * (_PLACE.unpack_from(buffer, at)[0] - 1))[0]
        begin, size = item & 0x7FFF, item >> 17
        columns, info, header = _IN_PAGE.unpack_from(page, begin)
        kept = page[begin + header : begin + size]
    else:
        return None
    return InsertedRow(span.xid, locator, columns & _COLUMNS, bool(info & _HAS_NULL), bytes(kept))
