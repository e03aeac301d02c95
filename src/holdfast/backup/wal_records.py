"""Records of PostgreSQL's write-ahead log, read from its bytes. Pure.

A log consists of pages of 8 KiB, each with a header; a record may run over any number of them. What counts
as a record is what PostgreSQL itself would replay: one whose CRC-32C fits, at the place that it must be at.
The log ends at the first bytes that are none: nothing is ever guessed behind them.

Source: PostgreSQL 14 to 18, `src/include/access/{xlogrecord,xlog_internal,xact,rmgrlist}.h`.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception
from typing import NamedTuple

from google_crc32c import extend, value

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, format_lsn

PAGE = 8192
SHORT_HEADER, LONG_HEADER = 24, 40
RECORD_HEADER = 24
LONGEST_RECORD = 1020 * 1024 * 1024

RM_XLOG, RM_XACT, RM_SMGR, RM_DBASE, RM_RELMAP, RM_HEAP2, RM_HEAP = 0, 1, 2, 4, 7, 9, 10
LAST_BUILT_IN, FIRST_CUSTOM = 21, 128
XLOG_SWITCH = 0x40
XACT_COMMIT, XACT_PREPARE, XACT_ABORT, XACT_COMMIT_PREPARED, XACT_ABORT_PREPARED = 0, 0x10, 0x20, 0x30, 0x40
XACT_OPERATION, XACT_HAS_INFO = 0x70, 0x80

_MAGIC_FAMILY = 0xD100
_MAGIC_14 = 0xD10D
_CONTINUES, _LONG, _REPLACES = 0x1, 0x2, 0x8
_PAGE_HEADER = Struct("<HHIQI")
_LONG_TAIL = Struct("<QII")
RECORD = Struct("<IIQBBHI")
_BLOCK = Struct("<BBH")
_IMAGE = Struct("<HHB")
_LOCATOR = Struct("<III")
_U32 = Struct("<I")
_I64 = Struct("<q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts time in microseconds from here."""
# info, rmid and the padding of a commit's header. A record begins at a multiple of 8, as pages do, and so
# these four bytes are never torn apart.
_COMMIT_HEADER = re.compile(rb"[\x00\x30\x80\xb0]\x01\x00\x00", re.DOTALL)
_LOOK_BACK = 64 * 1024


class Locator(NamedTuple):
    """Where a relation's file is: tablespace, database (0: shared by all) and file number."""

    tablespace: int
    database: int
    number: int


class Span(NamedTuple):
    """A record found: bytes [offset, offset + total) of `buffer`, without page headers."""

    buffer: bytes
    offset: int
    total: int
    xid: int
    info: int
    rmid: int
    position: int
    """Of its first byte, counted without page headers: see `Pages`."""


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


class Pages:
    """Counts bytes of a log without its page headers, as PostgreSQL's `XLogRecPtrToBytePos` does."""

    def __init__(self, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self.segment_bytes = segment_bytes
        self._per_page = PAGE - SHORT_HEADER
        self._first = PAGE - LONG_HEADER
        self.per_segment = segment_bytes // PAGE * self._per_page - (LONG_HEADER - SHORT_HEADER)

    def position(self, lsn: int) -> int:
        segment, within = divmod(lsn, self.segment_bytes)
        page, offset = divmod(within, PAGE)
        if page == 0:
            return segment * self.per_segment + max(offset - LONG_HEADER, 0)
        full = self._first + (page - 1) * self._per_page
        return segment * self.per_segment + full + max(offset - SHORT_HEADER, 0)

    def lsn(self, position: int) -> Lsn:
        """The place of the byte at `position`: behind a page's header, where it is a page's first."""
        segment, left = divmod(position, self.per_segment)
        if left < self._first:
            return Lsn(segment * self.segment_bytes + LONG_HEADER + left)
        page, left = divmod(left - self._first, self._per_page)
        return Lsn(segment * self.segment_bytes + (page + 1) * PAGE + SHORT_HEADER + left)

    def end(self, position: int) -> Lsn:
        """The same as the end of what is before: a page's border, where nothing of the page is needed."""
        segment, left = divmod(position, self.per_segment)
        if left == 0:
            return Lsn(segment * self.segment_bytes)
        if left < self._first:
            return Lsn(segment * self.segment_bytes + LONG_HEADER + left)
        page, left = divmod(left - self._first, self._per_page)
        return Lsn(segment * self.segment_bytes + (page + 1) * PAGE + (SHORT_HEADER + left if left else 0))


class WalReader:
    """Finds records in a log that arrives in parts, one behind the other, from `start` on.

    `start` is where a record begins, or a page. `problem` tells why the log ended, once it has: anything
    behind is not looked at. It is empty while more may come.
    """

    def __init__(self, start: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self.pages = Pages(segment_bytes)
        self.problem = ""
        self.magic = 0
        self._raw = b""
        self._raw_lsn = int(start)
        self._buffer = b""
        self._base = self.pages.position(start)
        self._skip = 0
        self._zeros = 0
        self._fresh = start % PAGE == 0
        self._previous: int | None = None
        self._halt = ""
        self._replaced_at = -1

    @property
    def reached(self) -> Lsn:
        """The end of the last whole record."""
        return self.pages.end(self._base + self._skip)

    def read(self, content: bytes) -> Iterator[Span]:
        """The records that are whole by now. Exhaust it before the next call."""
        self._raw = self._raw + content if self._raw else content
        while not self.problem:
            self._drop_zeros()
            replaced = self._strip()
            switched = yield from self._parse()
            if switched:
                self._skip_segment()
            elif replaced:
                # What was there was never finished: the server died writing it, and went on here.
                self._begin_at(self._raw_lsn)
            else:
                self.problem = self.problem or self._halt
                return

    def _drop_zeros(self) -> None:
        dropped = min(self._zeros, len(self._raw))
        self._zeros -= dropped
        self._raw, self._raw_lsn = self._raw[dropped:], self._raw_lsn + dropped

    def _strip(self) -> bool:
        """Take the page headers away from what came, up to a page that does not fit.

        True: a page was reached that replaces an unfinished record before it.
        """
        replaced = False
        raw, at, lsn, count = self._raw, 0, self._raw_lsn, len(self._raw)
        parts = [self._buffer]
        while at < count:
            within = lsn % PAGE
            start = at
            if within == 0:
                size = LONG_HEADER if lsn % self.pages.segment_bytes == 0 else SHORT_HEADER
                if count - at < size:
                    break
                if not self._fits(raw, at, lsn):
                    break
                if self._replaces(raw, at, lsn):
                    replaced = True
                    break
                start += size
            stop = min(at + PAGE - within, count)
            parts.append(raw[start:stop])
            lsn += stop - at
            at = stop
        self._raw, self._raw_lsn = raw[at:], lsn
        self._buffer = b"".join(parts)
        return replaced

    def _replaces(self, raw: bytes, at: int, lsn: int) -> bool:
        if not _PAGE_HEADER.unpack_from(raw, at)[1] & _REPLACES or lsn == self._replaced_at:
            return False
        self._replaced_at = lsn
        return True

    def _fits(self, raw: bytes, at: int, lsn: int) -> bool:
        magic, info, _timeline, address, left = _PAGE_HEADER.unpack_from(raw, at)
        is_first = lsn % self.pages.segment_bytes == 0
        self._halt = ""
        if magic & 0xFF00 != _MAGIC_FAMILY or info > 0xF:
            self._halt = f"no page of the log begins at {format_lsn(lsn)}"
        elif address != lsn:
            self._halt = f"the page at {format_lsn(lsn)} says that it is {format_lsn(address)}"
        elif bool(info & _LONG) != is_first:
            self._halt = f"the page at {format_lsn(lsn)} has the wrong kind of header"
        elif is_first and _LONG_TAIL.unpack_from(raw, at + SHORT_HEADER)[1] != self.pages.segment_bytes:
            self._halt = f"the segment at {format_lsn(lsn)} is of another size"
        if self._halt:
            return False
        self.magic = magic
        if self._fresh:
            self._skip = ((left + 7) & ~7) if info & _CONTINUES else 0
            self._fresh = False
        return True

    def _parse(self) -> Generator[Span, None, bool]:
        buffer, count, base = self._buffer, len(self._buffer), self._base
        offset = min(self._skip, count)
        self._skip -= offset
        unpack = RECORD.unpack_from
        switched = False
        while count - offset >= RECORD_HEADER:
            total, xid, previous, info, rmid, _, crc = unpack(buffer, offset)
            stop = offset + total
            if total < RECORD_HEADER or total > LONGEST_RECORD:
                self.problem = f"no record begins at {format_lsn(self.pages.lsn(base + offset))}"
                break
            if stop > count:
                # A length out of nowhere must not make us wait for a gigabyte.
                if not self._believable(previous, rmid, base + offset):
                    self.problem = f"no record begins at {format_lsn(self.pages.lsn(base + offset))}"
                break
            if extend(value(buffer[offset + RECORD_HEADER : stop]), buffer[offset : offset + 20]) != crc:
                self.problem = f"the record at {format_lsn(self.pages.lsn(base + offset))} is damaged"
                break
            yield Span(buffer, offset, total, xid, info, rmid, base + offset)
            self._previous = base + offset
            offset = ((base + stop + 7) & ~7) - base
            if rmid == RM_XLOG and info & 0xF0 == XLOG_SWITCH:
                switched = True
                break
        if offset > count:
            # The padding behind the last record has not come yet.
            self._skip, offset = offset - count, count
        self._buffer, self._base = buffer[offset:], base + offset
        return switched

    def _believable(self, previous: int, rmid: int, position: int) -> bool:
        if LAST_BUILT_IN < rmid < FIRST_CUSTOM:
            return False
        if self._previous is None:
            return previous < self.pages.lsn(position)
        return previous == self.pages.lsn(self._previous)

    def _skip_segment(self) -> None:
        """Behind a switch the rest of the segment is nothing: not even pages."""
        target = self.pages.segment_bytes * -(-self._base // self.pages.per_segment)
        if target < self._raw_lsn:
            self.problem = f"the log goes on behind its switch before {format_lsn(target)}"
            return
        self._zeros = target - self._raw_lsn
        self._begin_at(target)

    def _begin_at(self, lsn: int) -> None:
        self._buffer, self._base, self._skip, self._halt = b"", self.pages.position(lsn), 0, ""


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
    high = len(content)
    while high > 0:
        low = max(high - _LOOK_BACK, 0)
        # Three bytes more: a match that begins in this window may end in the one before.
        hits = [hit.start() for hit in _COMMIT_HEADER.finditer(content, low, min(high + 3, len(content)))]
        for hit in reversed(hits):
            if hit < high and (found := view.commit_at(hit)) is not None:
                return found
        high = low
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
        if at + _PAGE_HEADER.size > len(self._content):
            return False
        magic, _, _, address, _ = _PAGE_HEADER.unpack_from(self._content, at)
        return bool(magic & 0xFF00 == _MAGIC_FAMILY and address == lsn)

    def _follows(self, previous: int, position: int) -> bool:
        """The record at `previous` ends at `position`, or is not there to be asked."""
        if previous < self._start:
            return True
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
