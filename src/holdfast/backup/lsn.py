"""Places in the write-ahead log: LSNs, timelines and segments, as PostgreSQL counts and names them.

Source: PostgreSQL `src/include/access/xlog_internal.h`.
"""

import re
from dataclasses import dataclass
from typing import NewType

Lsn = NewType("Lsn", int)
"""A byte's place in the write-ahead log, counted from the beginning of the cluster's life."""

Timeline = NewType("Timeline", int)
"""Which history of the cluster: it grows by a promotion, from 1."""

FIRST_TIMELINE = Timeline(1)
DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_SEGMENT = re.compile(r"[0-9A-F]{24}")


def parse_lsn(text: str) -> Lsn:
    """The place that `text` names, such as `0/16B3748`; ValueError when it names none."""
    match = _LSN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not an LSN; it looks like 0/16B3748")
    return Lsn(int(match[1], 16) << 32 | int(match[2], 16))


def format_lsn(lsn: int) -> str:
    """As PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of the write-ahead log: `number` counts segments of `size` bytes from LSN 0."""

    timeline: Timeline
    number: int
    size: int = DEFAULT_SEGMENT_BYTES

    @classmethod
    def holding(cls, timeline: Timeline, lsn: int, size: int = DEFAULT_SEGMENT_BYTES) -> "Segment":
        """The segment that the byte at `lsn` lies in."""
        return cls(timeline, lsn // size, size)

    @classmethod
    def named(cls, name: str, size: int = DEFAULT_SEGMENT_BYTES) -> "Segment":
        """The segment with this file name of 24 hexadecimal digits; ValueError when it is none."""
        if not _SEGMENT.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a WAL segment")
        per_log = 0x1_0000_0000 // size
        return cls(Timeline(int(name[:8], 16)), int(name[8:16], 16) * per_log + int(name[16:], 16), size)

    @property
    def name(self) -> str:
        """Its file name: 24 hexadecimal digits."""
        per_log = 0x1_0000_0000 // self.size
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"

    @property
    def start(self) -> Lsn:
        return Lsn(self.number * self.size)

    @property
    def end(self) -> Lsn:
        """The first byte behind it."""
        return Lsn((self.number + 1) * self.size)

    @property
    def following(self) -> "Segment":
        return Segment(self.timeline, self.number + 1, self.size)
