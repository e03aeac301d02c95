"""Commits of a protected database, found in its write-ahead log: when, which tables, how many rows. Pure.

A transaction's changes count when it commits, with those of its subtransactions that it kept. Only what the
question needs is read of a record: of most, its header and its first block's relation.

Source: PostgreSQL 14 to 18, `src/include/access/{xact,heapam_xlog}.h`, `src/include/catalog/storage_xlog.h`.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from struct import Struct
from struct import error as StructError  # noqa: N812  an exception

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn
from holdfast.backup.wal.wal_pages import FIRST_CUSTOM, Span, WalReader
from holdfast.backup.wal.wal_records import (
    RM_DBASE,
    RM_HEAP,
    RM_HEAP2,
    RM_RELMAP,
    RM_SMGR,
    RM_XACT,
    XACT_ABORT,
    XACT_ABORT_PREPARED,
    XACT_COMMIT,
    XACT_COMMIT_PREPARED,
    XACT_HAS_INFO,
    XACT_OPERATION,
    Locator,
    end_of,
    moment,
    parts_of,
)

_HEAP_INSERT, _HEAP_DELETE, _HEAP_UPDATE, _HEAP_TRUNCATE, _HEAP_HOT_UPDATE = 0, 0x10, 0x20, 0x30, 0x40
_HEAP_OPERATION = 0x70
_MULTI_INSERT = 0x50
_SMGR_CREATE, _SMGR_TRUNCATE = 0x10, 0x20
_MAIN_FORK = 0
_DELETED_AGAIN = 0x08
"""XLH_DELETE_IS_SUPER: an INSERT ... ON CONFLICT takes its own row back."""
_DELETE_FLAGS = 7

_INSERTED, _UPDATED, _DELETED, _COPIED, _TRUNCATED = range(5)
_COLUMN = {
    _HEAP_INSERT: _INSERTED,
    _HEAP_DELETE: _DELETED,
    _HEAP_UPDATE: _UPDATED,
    _HEAP_HOT_UPDATE: _UPDATED,
}

_HAS_DATABASE, _HAS_SUBXACTS, _HAS_FILES, _HAS_INVALS, _HAS_TWOPHASE, _HAS_STATS = 1, 2, 4, 8, 16, 256
_MAGIC_18 = 0xD118
_TIME = Struct("<q")
_U32 = Struct("<I")
_LOCATOR = Struct("<III")
_TRUNCATE = Struct("<IIB3x")


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction did to the rows of one relation. `copied` of the `inserted` came in bulk (COPY)."""

    locator: Locator
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    copied: int = 0
    truncated: bool = False

    @property
    def rows(self) -> int:
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction that committed, by the record [lsn, end) of the log. `at` is by the server's clock."""

    lsn: Lsn
    end: Lsn
    xid: int
    at: datetime
    database: int
    """The oid of the database; 0 when the log does not say."""
    changes: tuple[Change, ...] = ()
    made: tuple[Locator, ...] = ()
    """Files of relations that it made: of new ones, and of those that it wrote anew."""
    dropped: tuple[Locator, ...] = ()
    truncated: tuple[int, ...] = ()
    """Oids of tables, where the log says so (`wal_level` logical)."""
    prepared: bool = False
    databases_changed: bool = False
    """It made or dropped a database, or moved a catalog."""
    subxids: tuple[int, ...] = ()
    """Subtransactions that it kept: rows that these wrote bear their numbers, and not its own."""


class _Open:
    """What a transaction did that has not ended yet."""

    __slots__ = ("made", "moved", "rows", "truncated")

    def __init__(self) -> None:
        self.rows: dict[bytes, list[int]] = {}
        self.made: list[Locator] = []
        self.truncated: list[int] = []
        self.moved = False

    def counts(self, locator: bytes) -> list[int]:
        found = self.rows.get(locator)
        if found is None:
            found = self.rows[locator] = [0, 0, 0, 0, 0]
        return found


class CommitReader:
    """Finds commits in a log that arrives in parts, one behind the other, from `start` on.

    A transaction that began before `start` shows what it did since. `problem` tells why the log ended.
    """

    def __init__(self, start: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> None:
        self._log = WalReader(start, segment_bytes)
        self._open: dict[int, _Open] = {}

    @property
    def problem(self) -> str:
        return self._log.problem

    @property
    def reached(self) -> Lsn:
        """The end of the last whole record."""
        return self._log.reached

    def read(self, content: bytes) -> Iterator[Commit]:
        """The commits whose records are whole by now, in their order. Exhaust it before the next call."""
        open_, column = self._open, _COLUMN
        for span in self._log.read(content):
            rmid, xid = span.rmid, span.xid
            if rmid == RM_HEAP and xid:
                operation = column.get(span.info & _HEAP_OPERATION)
                if operation is not None and (locator := self._locator(span)):
                    transaction = open_.get(xid)
                    if transaction is None:
                        transaction = open_[xid] = _Open()
                    transaction.counts(locator)[operation] += 1
                    if operation == _DELETED:
                        _take_back(span, transaction.counts(locator))
                elif span.info & _HEAP_OPERATION == _HEAP_TRUNCATE:
                    self._of(xid).truncated += _truncated(parts_of(span)[1])
            elif rmid == RM_XACT:
                if (commit := self._ended(span)) is not None:
                    yield commit
            elif xid and (rmid in _RARER or rmid >= FIRST_CUSTOM):
                self._rarer(span)

    def _of(self, xid: int) -> _Open:
        return self._open.setdefault(xid, _Open())

    def _locator(self, span: Span) -> bytes:
        """The relation of a heap record's first block, as it stands in the log. Empty when it has none."""
        buffer, at = span.buffer, span.offset + 24
        if buffer[at] or span.total < 24 + 20:
            return b""
        if buffer[at + 1] & 0x10:
            locators, _ = parts_of(span, self._log.magic)
            return _LOCATOR.pack(*locators[0]) if locators else b""
        return buffer[at + 4 : at + 16]

    def _rarer(self, span: Span) -> None:
        operation = span.info & 0x70
        if span.rmid == RM_HEAP2:
            if operation == _MULTI_INSERT and (locator := self._locator(span)):
                main = parts_of(span, self._log.magic)[1]
                count = int.from_bytes(main[2:4], "little")
                counts = self._of(span.xid).counts(locator)
                counts[_INSERTED] += count
                counts[_COPIED] += count
        elif span.rmid == RM_SMGR:
            main = parts_of(span)[1]
            if operation == _SMGR_CREATE and len(main) >= 16 and _U32.unpack_from(main, 12)[0] == _MAIN_FORK:
                self._of(span.xid).made.append(Locator(*_LOCATOR.unpack_from(main)))
            elif operation == _SMGR_TRUNCATE and len(main) >= 16 and main[:4] == b"\0\0\0\0":
                self._of(span.xid).counts(main[4:16])[_TRUNCATED] += 1
        elif span.rmid in (RM_DBASE, RM_RELMAP):
            self._of(span.xid).moved = True
        else:
            # A table of another kind than heap: all that is known is that it was written to.
            for each in parts_of(span, self._log.magic)[0]:
                self._of(span.xid).counts(_LOCATOR.pack(*each))

    def _ended(self, span: Span) -> Commit | None:
        operation = span.info & XACT_OPERATION
        if operation not in (XACT_COMMIT, XACT_COMMIT_PREPARED, XACT_ABORT, XACT_ABORT_PREPARED):
            return None
        try:
            end = TransactionEnd(parts_of(span)[1], span.info, self._log.magic)
        except StructError:
            return None
        xid = end.prepared_xid or span.xid
        parts = [self._open.pop(each) for each in (xid, *end.subxids) if each in self._open]
        if operation in (XACT_ABORT, XACT_ABORT_PREPARED) or end.at is None:
            return None
        return Commit(
            lsn=self._log.pages.lsn(span.position),
            end=end_of(span, self._log.pages),
            xid=xid,
            at=end.at,
            database=end.database,
            changes=tuple(_changes(parts)),
            made=tuple(each for part in parts for each in part.made),
            dropped=end.dropped,
            truncated=tuple(each for part in parts for each in part.truncated),
            prepared=operation == XACT_COMMIT_PREPARED,
            databases_changed=any(part.moved for part in parts),
            subxids=end.subxids,
        )


_RARER = frozenset((RM_HEAP2, RM_SMGR, RM_DBASE, RM_RELMAP))


class TransactionEnd:
    """What the record of a commit or an abort says."""

    __slots__ = ("at", "database", "dropped", "prepared_xid", "subxids")

    def __init__(self, main: bytes, info: int, magic: int) -> None:
        """Raises StructError when there is not even a time."""
        self.at = moment(_TIME.unpack_from(main)[0])
        self.database = 0
        self.subxids: tuple[int, ...] = ()
        self.dropped: tuple[Locator, ...] = ()
        self.prepared_xid = 0
        if info & XACT_HAS_INFO:
            # It did commit, whatever else it says: what makes no sense is left out.
            with suppress(StructError):
                self._read(main, magic)

    def _read(self, main: bytes, magic: int) -> None:
        info, at = _U32.unpack_from(main, 8)[0], 12
        if info & _HAS_DATABASE:
            self.database, at = _U32.unpack_from(main, at)[0], at + 8
        if info & _HAS_SUBXACTS:
            count, at = _count(main, at, 4)
            self.subxids, at = Struct(f"<{count}I").unpack_from(main, at), at + 4 * count
        if info & _HAS_FILES:
            count, at = _count(main, at, 12)
            stop = at + 12 * count
            self.dropped = tuple(Locator(*each) for each in _LOCATOR.iter_unpack(main[at:stop]))
            at = stop
        stats_item = 16 if magic >= _MAGIC_18 else 12
        for flag, size in ((_HAS_STATS, stats_item), (_HAS_INVALS, 16)):
            if info & flag:
                count, at = _count(main, at, size)
                at += size * count
        if info & _HAS_TWOPHASE:
            self.prepared_xid = _U32.unpack_from(main, at)[0]


def _count(main: bytes, at: int, size: int) -> tuple[int, int]:
    """How many things of `size` bytes follow, and where. StructError when they are not there."""
    count = _U32.unpack_from(main, at)[0]
    if at + 4 + count * size > len(main):
        raise StructError("more is announced than there is")
    return count, at + 4


def _changes(parts: list[_Open]) -> Iterator[Change]:
    if len(parts) == 1:
        rows = parts[0].rows
    else:
        rows = {}
        for part in parts:
            for locator, counts in part.rows.items():
                known = rows.setdefault(locator, [0, 0, 0, 0, 0])
                known[:] = map(sum, zip(known, counts, strict=True))
    for locator, (inserted, updated, deleted, copied, truncated) in rows.items():
        where = Locator(*_LOCATOR.unpack(locator))
        yield Change(where, inserted, updated, deleted, copied, bool(truncated))


def _take_back(span: Span, counts: list[int]) -> None:
    main = parts_of(span)[1]
    if len(main) > _DELETE_FLAGS and main[_DELETE_FLAGS] & _DELETED_AGAIN:
        counts[_DELETED] -= 1
        counts[_INSERTED] -= 1


def _truncated(main: bytes) -> list[int]:
    """The oids in an xl_heap_truncate: the database, how many, flags, then they."""
    try:
        _, count, _ = _TRUNCATE.unpack_from(main)
        return list(Struct(f"<{min(count, len(main) // 4)}I").unpack_from(main, _TRUNCATE.size))
    except StructError:
        return []
