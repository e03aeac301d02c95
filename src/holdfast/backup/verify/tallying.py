"""Counts deleted rows, dropped and emptied files in the write-ahead log, reading little of it. Pure.

Where `holdfast.backup.search.commits` proves every record by its CRC, here most are passed over by their
headers: the bytes were proven by their SHA-256 when they were fetched, and each record names the place of
the one before it, so that foreign bytes end the log here too. What is read of a record behind its header is
proven by its CRC, but for single deletes.

Source: PostgreSQL 14 to 18, `src/include/access/{xlogrecord,heapam_xlog,xact}.h`.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception

from google_crc32c import extend, value

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, format_lsn
from holdfast.backup.search.commits import TransactionEnd
from holdfast.backup.wal.wal_pages import (
    LONGEST_RECORD,
    RECORD_HEADER,
    RM_XLOG,
    XLOG_SWITCH,
    Span,
    WalReader,
)
from holdfast.backup.wal.wal_records import (
    RM_HEAP,
    RM_SMGR,
    RM_XACT,
    XACT_ABORT,
    XACT_ABORT_PREPARED,
    XACT_COMMIT,
    XACT_COMMIT_PREPARED,
    XACT_OPERATION,
    parts_of,
)

MOST_OPEN = 50_000
"""Transactions that are remembered until they end. What a crash cut off never ends: the oldest go."""
FIRST_USER_FILE = 16384
_HEADER = Struct("<IIQBB")
_DELETE = Struct("<BBHIIIIBBIHBB")
"""From behind a delete's header: its block, without an image of the page, and all that is its own."""
_PLAIN_DELETE = RECORD_HEADER + _DELETE.size
_CRC_AT = 20
_OPERATION, _HEAP_DELETE, _SMGR_CREATE = 0x70, 0x10, 0x10
_WHOLE_OPERATION = 0xF0
"""Of a commit, also whether it says more than its time."""
_HAS_IMAGE, _SHORT_MAIN = 0x10, 255
_SMGR_MAIN, _MAIN_FORK = 16, bytes(4)
_IS_SUPER = 0x08
"""An INSERT ... ON CONFLICT takes its own row back."""
_DELETE_FLAGS = 7
_ENDS = (XACT_COMMIT, XACT_COMMIT_PREPARED, XACT_ABORT, XACT_ABORT_PREPARED)
_ABORTS = (XACT_ABORT, XACT_ABORT_PREPARED)


@dataclass(frozen=True, slots=True)
class Open:
    """What a transaction has done that had not ended where counting ended."""

    xid: int
    deletes: int
    made: int
    """Files."""


@dataclass(slots=True)
class Tallied:
    """What committed. Dropped files that others came for are `truncates`."""

    commits: int = 0
    deletes: int = 0
    drops: int = 0
    truncates: int = 0


class Tally(WalReader):
    """Counts in a log that arrives in parts, one behind the other, from `start` on, where a record begins.

    `tallied` is what committed so far. `problem` tells why the log ended, `reached` how far it was counted.
    """

    def __init__(
        self, start: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES, still_open: Iterable[Open] = ()
    ) -> None:
        super().__init__(start, segment_bytes)
        self.tallied = Tallied()
        self._deletes = {each.xid: each.deletes for each in still_open if each.deletes}
        self._made = {each.xid: each.made for each in still_open if each.made}

    def count(self, content: bytes) -> None:
        """Count what the next bytes of the log tell."""
        for _ in self.read(content):
            pass
        for known in (self._deletes, self._made):
            for xid in list(known)[: max(0, len(known) - MOST_OPEN)]:
                del known[xid]

    def still_open(self, most: int) -> tuple[Open, ...]:
        """What has not ended yet, those that did most."""
        found = [
            Open(xid, self._deletes.get(xid, 0), self._made.get(xid, 0))
            for xid in {**self._deletes, **self._made}
        ]
        return tuple(sorted(found, key=lambda each: (-each.deletes, -each.made, each.xid))[:most])

    def _parse(self) -> Generator[Span, None, bool]:
        yield from ()  # all that is found is counted here
        buffer, count, base = self._buffer, len(self._buffer), self._base
        offset = min(self._skip, count)
        self._skip -= offset
        unpack, deletes, made, tallied = _HEADER.unpack_from, self._deletes, self._made, self.tallied
        # A record names the place of the one before. So two such places lie as far apart as the record at the
        # first of them is long, unless a page's header lies between: then it is asked more closely.
        named, length, next_length, here = 0, -1, -1, -1
        switched = False
        while count - offset >= RECORD_HEADER:
            total, xid, previous, info, rmid = unpack(buffer, offset)
            if (previous - named != length and not self._follows(here, previous, rmid, base + offset)) or (
                not RECORD_HEADER <= total <= LONGEST_RECORD
            ):
                self.problem = f"no record begins at {format_lsn(self.pages.lsn(base + offset))}"
                break
            if offset + total > count:
                break
            if rmid == RM_HEAP:
                if info & _OPERATION == _HEAP_DELETE and _is_a_users(buffer, offset, total, self.magic):
                    deletes[xid] = deletes.get(xid, 0) + 1
            elif rmid == RM_XACT and not info & _WHOLE_OPERATION:
                # By far the most: a commit that dropped nothing, and has no subtransactions.
                tallied.commits += 1
                if xid in deletes:
                    tallied.deletes += deletes.pop(xid)
                if xid in made:
                    del made[xid]
            elif rmid <= RM_SMGR:
                if not self._look(Span(buffer, offset, total, xid, info, rmid, base + offset)):
                    break
                switched = rmid == RM_XLOG and info & 0xF0 == XLOG_SWITCH
            here = base + offset
            named, length, next_length = previous, next_length, (total + 7) & ~7
            offset += next_length
            if switched:
                break
        self._previous = here if here >= 0 else self._previous
        if offset > count:
            # The padding behind the last record has not come yet.
            self._skip, offset = offset - count, count
        self._buffer, self._base = buffer[offset:], base + offset
        return switched

    def _follows(self, here: int, previous: int, rmid: int, position: int) -> bool:
        """Whether a record at `position` that names `previous` comes behind the one at `here`."""
        if here >= 0:
            self._previous = here
        return self._believable(previous, rmid, position)

    def _look(self, span: Span) -> bool:
        """Read the record that ends a transaction, or makes a file. False when it is damaged."""
        buffer, at, stop = span.buffer, span.offset, span.offset + span.total
        crc = int.from_bytes(buffer[at + _CRC_AT : at + RECORD_HEADER], "little")
        if extend(value(buffer[at + RECORD_HEADER : stop]), buffer[at : at + _CRC_AT]) != crc:
            self.problem = f"the record at {format_lsn(self.pages.lsn(span.position))} is damaged"
            return False
        if span.rmid == RM_XACT and span.info & XACT_OPERATION in _ENDS:
            self._end(span)
        elif span.rmid == RM_SMGR and span.info & _OPERATION == _SMGR_CREATE and span.xid:
            main = parts_of(span)[1]
            if len(main) >= _SMGR_MAIN and main[12:16] == _MAIN_FORK:
                self._made[span.xid] = self._made.get(span.xid, 0) + 1
        return True

    def _end(self, span: Span) -> None:
        try:
            end = TransactionEnd(parts_of(span)[1], span.info, self.magic)
        except StructError:
            return
        deletes = made = 0
        for xid in (end.prepared_xid or span.xid, *end.subxids):
            deletes += self._deletes.pop(xid, 0)
            made += self._made.pop(xid, 0)
        if span.info & XACT_OPERATION in _ABORTS or end.at is None:
            return
        replaced = min(made, len(end.dropped))
        self.tallied.commits += 1
        self.tallied.deletes += deletes
        self.tallied.truncates += replaced
        self.tallied.drops += len(end.dropped) - replaced


def _is_a_users(buffer: bytes, at: int, total: int, magic: int) -> bool:
    """Whether a delete's row was in a table of a user's, and was not an insert's own that it takes back."""
    if total >= _PLAIN_DELETE:
        block, fork, _, _, _, number, _, main, _, _, _, _, flags = _DELETE.unpack_from(
            buffer, at + RECORD_HEADER
        )
        if block == 0 and not fork & _HAS_IMAGE and main == _SHORT_MAIN:
            return bool(number >= FIRST_USER_FILE and not flags & _IS_SUPER)
    locators, rest = parts_of(Span(buffer, at, total, 0, 0, RM_HEAP, 0), magic)
    is_super = len(rest) > _DELETE_FLAGS and rest[_DELETE_FLAGS] & _IS_SUPER
    return bool(locators) and locators[0].number >= FIRST_USER_FILE and not is_super
