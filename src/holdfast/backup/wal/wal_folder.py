"""Segments of the write-ahead log in a folder, by PostgreSQL's own names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.recoverable.lines import Line

AT_ONCE = 16 * 1024 * 1024
_SEGMENT = re.compile("[0-9A-F]{24}")


class WalFolder:
    """What is in the folder. Safe for several threads."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes

    def read(self, timeline: Timeline, start: Lsn, most: int) -> bytes:
        """At most so many bytes from `start` on, out of one segment; empty when it is not there.

        A timeline's first segment begins with a copy of its parent's bytes. So of several files of a segment
        the newest timeline's is read: the others may be cut, and hold what was left behind.
        """
        wanted = Segment.holding(timeline, start, self.segment_bytes)
        for name in sorted(
            (each.name for each in self.folder.glob(f"????????{wanted.name[8:]}")), reverse=True
        ):
            if _SEGMENT.fullmatch(name) and name >= wanted.name:
                with (self.folder / name).open("rb") as file:
                    return os.pread(file.fileno(), min(most, wanted.end - start), start - wanted.start)
        return b""

    def along(self, line: Line, start: Lsn, end: Lsn) -> Iterator[bytes]:
        """The bytes [start, end) of a line of timelines, as far as they are there."""
        for stretch in line.stretches:
            lsn, stop = max(start, stretch.start), min(end, stretch.end)
            while lsn < stop:
                content = self.read(stretch.timeline, lsn, min(AT_ONCE, stop - lsn))
                if not content:
                    return
                yield content
                lsn = Lsn(lsn + len(content))

    def take_from(self, pg_wal: Path) -> None:
        """Move the segments of a data directory here, so that a server on it finds none."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in pg_wal.iterdir():
            if _SEGMENT.fullmatch(each.name):
                each.rename(self.folder / each.name)
