"""Which bytes of a segment a region has, in which objects."""

from collections.abc import Iterable

from holdfast.backup import layout
from holdfast.backup.lsn import Segment
from holdfast.backup.ports import Region
from holdfast.backup.wal.leaving import Leaving
from holdfast.backup.wal.pieces import BLOCK_BYTES


class StoredSpans:
    """Of one region. What a whole block has replaced is handed to `leaving`. One thread at a time."""

    def __init__(self, database: str, region: Region, leaving: Leaving) -> None:
        self._database = database
        self._region = region
        self._leaving = leaving
        self._spans: dict[Segment, list[tuple[int, int, str]]] = {}

    def ask(self, segment: Segment) -> int:
        """See what the region has of a segment. How far it has it without a hole. Raises BackupError."""
        prefix = layout.segment_prefix(self._database, segment)
        pieces = [layout.piece_of(each.key, each.size) for each in self._region.listed(prefix)]
        self._spans[segment] = [(each.start, each.end, each.key) for each in pieces if each is not None]
        return covered((start, end) for start, end, _ in self._spans[segment])

    def add(self, segment: Segment, start: int, end: int, key: str) -> None:
        """These bytes were put. A whole block lets go of its parts."""
        spans = self._spans.setdefault(segment, [])
        if end - start == min(segment.size, BLOCK_BYTES):
            inside = {key for first, last, key in spans if start <= first and last <= end}
            spans[:] = [each for each in spans if each[2] not in inside]
            self._leaving.add([each for each in inside if each != key])
        spans.append((start, end, key))

    def has_whole(self, segment: Segment, start: int) -> bool:
        """Whether the block from there on is there as one object."""
        block = min(segment.size, BLOCK_BYTES)
        return any(
            first == start and last == start + block for first, last, _ in self._spans.get(segment, ())
        )

    def forget(self, segment: Segment) -> None:
        """Nobody asks for it any more."""
        self._spans.pop(segment, None)


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """How far spans reach from 0 without a hole."""
    reach = 0
    for start, end in sorted(spans):
        if start > reach:
            break
        reach = max(reach, end)
    return reach
