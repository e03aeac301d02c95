"""WAL as objects: which bytes make the next piece, what it is called, and until when it proves anything."""

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from holdfast.backup import layout
from holdfast.backup.lsn import Lsn, Segment
from holdfast.backup.model import StoredObject
from holdfast.backup.ports import Packer, WalData
from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.wal_records import last_commit

BLOCK_BYTES = 16 * 1024 * 1024
"""The most that one piece holds: a segment of the usual size. Longer segments are stored in several."""
LAST_BYTES = 256 * 1024
"""More than that is stored as quickly with its whole block."""
SETTLED = timedelta(seconds=1)
"""The server reads how far it has written, then the clock. It is believed to do both within this time."""


@dataclass(frozen=True, slots=True)
class PackedPiece:
    """A piece as it is stored: the same bytes under the same key, however often it is tried."""

    segment: Segment
    start: int
    end: int
    key: str
    content: bytes

    @property
    def is_whole(self) -> bool:
        """A block of its own."""
        return self.end - self.start == min(self.segment.size, BLOCK_BYTES)


def next_piece(
    has: int, flushed: int, segment: Segment, *, due: bool, waited_for: bool = False
) -> tuple[int, int] | None:
    """The bytes of a segment to store next, when a region has it up to `has`; None: nothing now.

    A block that is complete is stored whole, also when parts of it are there: then they can go. `due`: what
    there is of an incomplete one is wanted. `waited_for`: its last part comes before the whole.
    """
    block = min(segment.size, BLOCK_BYTES)
    start = has - has % block
    if flushed >= start + block:
        if waited_for and start < has and start + block - has <= LAST_BYTES:
            return has, start + block
        return start, start + block
    return (has, flushed) if due and has < flushed else None


def packed_piece(
    database: str, spool: Spool, packer: Packer, segment: Segment, start: int, end: int, covers: "Covers"
) -> PackedPiece:
    """Those bytes of the spool as an object. KeyError when the spool has let go of them."""
    raw = spool.read(segment, start, end)
    return piece_from(database, packer, segment, start, raw, covers.until(Lsn(segment.start + end)))


def piece_from(
    database: str, packer: Packer, segment: Segment, start: int, raw: bytes, covered_at: datetime | None
) -> PackedPiece:
    """`raw` from that offset of the segment on, as an object."""
    content = packer.pack(raw)
    stored = StoredObject("", len(raw), len(content), hashlib.sha256(content).hexdigest(), packer.sealed_with)
    commit_at = last_commit(raw, Lsn(segment.start + start), segment.size)
    end = start + len(raw)
    key = layout.piece_key(database, segment, start, end, stored, commit_at, covered_at)
    return PackedPiece(segment, start, end, key, content)


class Covers:
    """When the server had written nothing behind a place. From any thread."""

    def __init__(self, most: int = 1000) -> None:
        self._turn = Lock()
        self._known: deque[tuple[Lsn, datetime]] = deque(maxlen=most)
        self._heard_at: datetime | None = None

    def heard(self, event: WalData) -> None:
        """What the server said beside its WAL.

        A moment between reading the end and reading the clock could hold a commit that is not in `event`. So
        the moment that counts is that of the message before, and SETTLED before this one at the earliest.
        """
        before, self._heard_at = self._heard_at, event.sent_at
        if event.server_end > event.start + len(event.content):
            return
        moment = event.sent_at - SETTLED
        if before is not None and moment < before <= event.sent_at:
            moment = before
        with self._turn:
            self._known.append((event.server_end, moment))

    def seen(self, at: datetime) -> None:
        """The server's clock at a message that told nothing else."""
        self._heard_at = at

    def until(self, end: Lsn) -> datetime | None:
        """The moment at which nothing behind `end` was written, as far as it was told."""
        with self._turn:
            # By order, not by the clock: it may have been set back, and what was told last is true now.
            return next((moment for place, moment in reversed(self._known) if place <= end), None)

    def forget(self) -> None:
        """Another timeline: its places are other bytes."""
        with self._turn:
            self._known.clear()


class PackedOnce:
    """The newest whole pieces, packed once for all regions. From any thread."""

    def __init__(self, most: int = 2) -> None:
        self._turn = Lock()
        self._most = most
        self._packed: OrderedDict[tuple[Segment, int, int], PackedPiece] = OrderedDict()

    def piece(
        self,
        database: str,
        spool: Spool,
        packer: Packer,
        segment: Segment,
        span: tuple[int, int],
        covers: Covers,
    ) -> PackedPiece:
        """That piece, packed now or before. KeyError when the spool has let go of it."""
        start, end = span
        if end - start < min(segment.size, BLOCK_BYTES):
            return packed_piece(database, spool, packer, segment, start, end, covers)
        # Under the lock: regions that come for the same one wait, instead of packing it again.
        with self._turn:
            known = self._packed.get((segment, start, end))
            if known is None:
                known = packed_piece(database, spool, packer, segment, start, end, covers)
                self._packed[segment, start, end] = known
                while len(self._packed) > self._most:
                    self._packed.popitem(last=False)
            return known
