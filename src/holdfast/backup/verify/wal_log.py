"""A region's write-ahead log as one row of bytes: from a copy that has it on the disk, else fetched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.backup.errors import Damaged
from holdfast.backup.lsn import Lsn
from holdfast.backup.model import StoredObject, WalPiece
from holdfast.backup.recoverable.chain import pieces_on
from holdfast.backup.recoverable.lines import Line
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.wal.wal_folder import AT_ONCE, WalFolder


@dataclass(frozen=True, slots=True)
class Here:
    """The bytes [start, end) of the log lie in this folder."""

    folder: WalFolder
    start: Lsn
    end: Lsn


class StoredLog:
    """Reads along a line of timelines. What is fetched is one segment at a time, and is not kept."""

    def __init__(self, line: Line, pieces: Sequence[WalPiece], fetcher: Fetcher, here: Here) -> None:
        self._line = line
        self._placed = sorted(pieces_on(line, pieces), key=lambda each: (each[0], each[1]))
        self._fetcher = fetcher
        self._here = here

    def __call__(self, start: Lsn, end: Lsn) -> Iterator[bytes]:
        """The bytes from `start` to `end`, as far as they are there without a hole.

        Raises Damaged, KeyMissing, RegionAway, RegionRefused.
        """
        here = self._here
        place = start
        while place < end:
            if here.start <= place < here.end:
                parts, stop = here.folder.along(self._line, place, min(end, here.end)), min(end, here.end)
            else:
                stop = min(end, here.start) if place < here.start else end
                parts = self._fetched(place, stop)
            came = place
            for part in parts:
                yield part
                came = Lsn(came + len(part))
            if came < stop:
                return
            place = stop

    def _fetched(self, start: Lsn, end: Lsn) -> Iterator[bytes]:
        place = start
        # By their beginning: one that serves is never before one that was passed.
        waiting = iter(self._placed)
        following = next(waiting, None)
        while place < end:
            best: tuple[Lsn, Lsn, WalPiece] | None = None
            while following is not None and following[0] <= place:
                if best is None or (following[1], following[2].segment.timeline) > (
                    best[1],
                    best[2].segment.timeline,
                ):
                    best = following
                following = next(waiting, None)
            if best is None or best[1] <= place:
                return
            content = self._content(best[2])
            first, last = place - best[2].start_lsn, min(best[1], end) - best[2].start_lsn
            for at in range(first, last, AT_ONCE):
                yield content[at : min(at + AT_ONCE, last)]
            place = Lsn(min(best[1], end))

    def _content(self, piece: WalPiece) -> bytes:
        stored = StoredObject(
            piece.key, piece.end - piece.start, piece.stored_bytes, piece.sha256, piece.sealed_with
        )
        content = self._fetcher.content(stored)
        if len(content) != stored.raw_bytes:
            raise Damaged(f"{stored.key} holds {len(content)} bytes, and should hold {stored.raw_bytes}")
        return content
