"""Records of PostgreSQL's write-ahead log: whose they are, what they touch, and the newest commit. Pure.

Source: PostgreSQL 14 to 18, `src/include/access/{xlogrecord,xact,rmgrlist}.h`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception
from typing import NamedTuple

from google_crc32c import extend, value

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn
from holdfast.backup.wal.wal_pages import (
    MAGICS,
    PAGE,
    PAGE_HEADER,
    RECORD,
    RECORD_HEADER,
    RM_XLOG,
    XLOG_SWITCH,
    Pages,
    Span,
    WalReader,
)

RM_XACT, RM_SMGR, RM_DBASE, RM_RELMAP, RM_HEAP2, RM_HEAP = 1, 2, 4, 7, 9, 10
XACT_COMMIT, XACT_PREPARE, XACT_ABORT, XACT_COMMIT_PREPARED, XACT_ABORT_PREPARED = 0, 0x10, 0x20, 0x30, 0x40
XACT_OPERATION, XACT_HAS_INFO = 0x70, 0x80

_MAGIC_14 = 0xD10D
_BLOCK = Struct("<BBH")
_IMAGE = Struct("<HHB")
_LOCATOR = Struct("<III")
_U32 = Struct("<I")
_I64 = Struct("<q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts time in microseconds from here."""
# rmid and the padding of a commit's header, and the byte before, its info. A record begins at a multiple of
# 8, as pages do, and so these four bytes are never torn apart. The lowest bits of info are XLogInsert's own.
_COMMIT_HEADER = b"\x01\x00\x00"
_COMMIT_INFO = frozenset(info + own for info in (0x00, 0x30, 0x80, 0xB0) for own in range(4))


class Locator(NamedTuple):
    """Where a relation's file is: tablespace, database (0: shared by all) and file number."""

    tablespace: int
    database: int
    number: int


@dataclass(frozen=True, slots=True)
class WalRecord:
    """A record of the log: [lsn, end), where `end` is what PostgreSQL calls replayed once it is."""

    lsn: Lsn
    end: Lsn
    xid: int
    previous: Lsn
    rmid: int
    info: int
    locators: tuple[Locator, ...]
    """Of its blocks, in their order, each once."""
    main: bytes
    total: int


def records(
    content: bytes, start_lsn: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES
) -> Iterator[WalRecord]:
    """The records that are whole in `content`, the log's bytes from `start_lsn` on, wherever that is.

    From the middle of a record, the first one is found behind the next page's header. Ends at the first
    bytes that are no log.
    """
    reader = WalReader(start_lsn, segment_bytes)
    found = False
    for span in reader.read(content):
        found = True
        yield record_of(span, reader)
    ahead = -start_lsn % PAGE
    if not found and 0 < ahead < len(content):
        yield from records(content[ahead:], Lsn(start_lsn + ahead), segment_bytes)


def record_of(span: Span, reader: WalReader) -> WalRecord:
    """All that can be told of a record without knowing what its kind means."""
    locators, main = parts_of(span, reader.magic)
    return WalRecord(
        lsn=reader.pages.lsn(span.position),
        end=end_of(span, reader.pages),
        xid=span.xid,
        previous=Lsn(RECORD.unpack_from(span.buffer, span.offset)[2]),
        rmid=span.rmid,
        info=span.info,
        locators=locators,
        main=main,
        total=span.total,
    )


def end_of(span: Span, pages: Pages) -> Lsn:
    """Where the log must be replayed to, so that this record is."""
    end = pages.end((span.position + span.total + 7) & ~7)
    if span.rmid == RM_XLOG and span.info & 0xF0 == XLOG_SWITCH:
        return Lsn(-(-end // pages.segment_bytes) * pages.segment_bytes)
    return end


def parts_of(span: Span, magic: int = 0) -> tuple[tuple[Locator, ...], bytes]:
    """The relations of a record's blocks, and its main data: what is always at its end.

    Nothing is there for a record whose inside makes no sense, though its CRC fits.
    """
    buffer, at, stop = span.buffer, span.offset + RECORD_HEADER, span.offset + span.total
    locators: dict[Locator, None] = {}
    content = 0
    try:
        # The headers end where only what they announced is left.
        while stop - at > content:
            kind = buffer[at]
            if kind <= 32:
                at, length, locator = _block(buffer, at, magic)
                content += length
                if locator is not None:
                    locators[locator] = None
            elif kind == 255:
                return tuple(locators), buffer[stop - buffer[at + 1] : stop]
            elif kind == 254:
                length = _U32.unpack_from(buffer, at + 1)[0]
                return tuple(locators), buffer[max(stop - length, span.offset) : stop]
            elif kind in (252, 253):
                at += 5 if kind == 252 else 3
            else:
                break
    except (IndexError, StructError):
        pass
    return tuple(locators), b""


def _block(buffer: bytes, at: int, magic: int) -> tuple[int, int, Locator | None]:
    """Where a block's header ends, how much content it announces, and whose block it is.

    None: of the same relation as the block before.
    """
    _, flags, length = _BLOCK.unpack_from(buffer, at)
    at += _BLOCK.size
    if flags & 0x10:
        size, _, image = _IMAGE.unpack_from(buffer, at)
        length += size
        # PostgreSQL 15 gave each way to compress a bit of its own.
        compressed = image & 0x02 if magic == _MAGIC_14 else image & 0x1C
        at += 7 if compressed and image & 0x01 else 5
    if flags & 0x80:
        return at + 4, length, None
    return at + 16, length, Locator(*_LOCATOR.unpack_from(buffer, at))


def moment(micros: int) -> datetime | None:
    """PostgreSQL's microseconds since 2000 as a time, or None when no calendar has it."""
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None


def last_commit(
    content: bytes, start_lsn: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES
) -> datetime | None:
    """The time of the newest commit that is whole in `content`, the log's bytes from `start_lsn` on.

    By the server's clock. Found from the end, so that it is cheap. Where the bytes leave doubt it is an
    older one, or None. A commit counts when its CRC-32C fits, and the record before it, where that is there
    too, ends where it begins.
    """
    view = _Backwards(content, start_lsn, segment_bytes)
    at = len(content)
    while (at := content.rfind(_COMMIT_HEADER, 0, at + len(_COMMIT_HEADER) - 1)) > 0:
        hit = at - 1
        if content[hit] in _COMMIT_INFO and (found := view.commit_at(hit)) is not None:
            return found
    return None


class _Backwards:
    """Looks at single records of a log, without having read what is before them."""

    def __init__(self, content: bytes, start_lsn: Lsn, segment_bytes: int) -> None:
        self._content, self._start = content, int(start_lsn)
        self._pages = Pages(segment_bytes)

    def commit_at(self, hit: int) -> datetime | None:
        """The time of the commit whose byte 16, its info, is at `hit`; None when there is none."""
        if (self._start + hit) % 8:
            return None
        position = self._pages.position(self._start + hit) - 16
        lsn = self._pages.lsn(position)
        header = self._taken(position, RECORD_HEADER)
        if lsn < self._start or header is None or not self._is_page(lsn - lsn % PAGE):
            return None
        total, _, previous, _, rmid, padding, crc = RECORD.unpack(header)
        if rmid != RM_XACT or padding or total < RECORD_HEADER + 10 or previous >= lsn:
            return None
        body = self._taken(position + RECORD_HEADER, total - RECORD_HEADER)
        if body is None or extend(value(body), header[:20]) != crc or not self._follows(previous, position):
            return None
        _, main = parts_of(Span(header + body, 0, total, 0, 0, RM_XACT, position))
        return moment(_I64.unpack_from(main)[0]) if len(main) >= _I64.size else None

    def _is_page(self, lsn: int) -> bool:
        """False for what an earlier use of the segment's file left behind. A page's middle is believed."""
        at = lsn - self._start
        if at < 0:
            return True
        if at + PAGE_HEADER.size > len(self._content):
            return False
        magic, _, _, address, _ = PAGE_HEADER.unpack_from(self._content, at)
        return bool(magic in MAGICS and address == lsn)

    def _follows(self, previous: int, position: int) -> bool:
        """The record at `previous` ends at `position`, or is not there to be asked."""
        if previous < self._start:
            # In what an earlier use of the file left behind, all places are whole segments too low.
            return self._pages.lsn(position) - previous < self._pages.segment_bytes
        before = self._pages.position(previous)
        header = self._taken(before, RECORD_HEADER)
        if header is None:
            return False
        total, _, _, info, rmid, _, _ = RECORD.unpack(header)
        if rmid == RM_XLOG and info & 0xF0 == XLOG_SWITCH:
            return position % self._pages.per_segment == 0
        return bool((before + total + 7) & ~7 == position)

    def _taken(self, position: int, count: int) -> bytes | None:
        """Bytes without the headers of pages between them; None when they are not all there."""
        if count > len(self._content):
            return None
        parts, lsn = [], int(self._pages.lsn(position))
        while count:
            at = lsn - self._start
            piece = min(count, PAGE - lsn % PAGE)
            if at < 0 or at + piece > len(self._content):
                return None
            parts.append(self._content[at : at + piece])
            count -= piece
            position += piece
            lsn = int(self._pages.lsn(position))
        return b"".join(parts)
