"""Pages of PostgreSQL's write-ahead log, and where records lie in them. Pure.

A log consists of pages of 8 KiB, each with a header; a record may run over any number of them. What counts
as a record is what PostgreSQL itself would replay: one whose CRC-32C fits, at the place that it must be at.
The log ends at the first bytes that are none: nothing is ever guessed behind them.

Source: PostgreSQL 14 to 18, `src/include/access/{xlogrecord,xlog_internal,rmgrlist}.h`, and `xlogreader.c`.
"""

from collections.abc import Generator, Iterator
from struct import Struct
from typing import NamedTuple

from google_crc32c import extend, value

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, format_lsn

PAGE = 8192
SHORT_HEADER, LONG_HEADER = 24, 40
RECORD_HEADER = 24
LONGEST_RECORD = 1020 * 1024 * 1024
RM_XLOG = 0
LAST_BUILT_IN, FIRST_CUSTOM = 21, 128
XLOG_SWITCH = 0x40
MAGICS = {0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}
"""How a page of each version begins. Of any other nothing is believed: its records may look otherwise."""
MAGIC_FAMILY = 0xD100
"""The high byte of every version's."""
PAGE_HEADER = Struct("<HHIQI")
RECORD = Struct("<IIQBBHI")
_CONTINUES, _LONG, _REPLACES = 0x1, 0x2, 0x8
_LONG_TAIL = Struct("<QII")


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
        if not PAGE_HEADER.unpack_from(raw, at)[1] & _REPLACES or lsn == self._replaced_at:
            return False
        self._replaced_at = lsn
        return True

    def _fits(self, raw: bytes, at: int, lsn: int) -> bool:
        magic, info, _timeline, address, left = PAGE_HEADER.unpack_from(raw, at)
        is_first = lsn % self.pages.segment_bytes == 0
        self._halt = ""
        if magic & 0xFF00 != MAGIC_FAMILY or info > 0xF:
            self._halt = f"no page of the log begins at {format_lsn(lsn)}"
        elif magic not in MAGICS:
            oldest, newest = min(MAGICS.values()), max(MAGICS.values())
            self._halt = (
                f"the log at {format_lsn(lsn)} is of a version (0x{magic:04X}) that cannot be read:"
                f" PostgreSQL {oldest} to {newest} can"
            )
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
