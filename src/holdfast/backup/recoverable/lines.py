"""The line of timelines that leads to one: which timeline counts at which place. Pure.

A promotion begins a timeline at a place in its parent; what the parent wrote behind that place is another
history. The new timeline's first segment holds a copy of its parent's bytes up to the place.
Source: PostgreSQL `src/backend/access/transam/timeline.c`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.backup.lsn import Lsn, Timeline, parse_lsn
from holdfast.backup.model import Backup, TimelineHistory, WalPiece

ENDLESS = Lsn(1 << 64)
_ENTRY = re.compile(r"\s*(\d{1,10})\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(?:\s.*)?")


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bytes [start, end) of a line are this timeline's."""

    timeline: Timeline
    start: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class Line:
    """All stretches from the first known ancestor to `timeline`, whose own is endless."""

    stretches: tuple[Stretch, ...]

    @property
    def timeline(self) -> Timeline:
        return self.stretches[-1].timeline

    def stretch_of(self, timeline: Timeline) -> Stretch | None:
        return next((each for each in self.stretches if each.timeline == timeline), None)

    def holds(self, backup: Backup) -> bool:
        """Whether the backup was taken on this line, and not in a history that was left."""
        stretch = self.stretch_of(backup.timeline)
        return stretch is not None and backup.stop_lsn <= stretch.end

    def within(self, piece: WalPiece) -> tuple[Lsn, Lsn] | None:
        """Which bytes of the line a piece holds, or None when none."""
        stretch = self.stretch_of(piece.segment.timeline)
        if stretch is None:
            return None
        # The first segment begins with the parent's bytes, up to the place of the switch.
        first = Lsn(stretch.start - stretch.start % piece.segment.size)
        start, end = max(piece.start_lsn, first), min(piece.end_lsn, stretch.end)
        return (start, end) if start < end else None


def ancestors_of(history: TimelineHistory) -> tuple[tuple[Timeline, Lsn], ...]:
    """The timelines before this one, each with the place where it was left, oldest first.

    Raises ValueError for what is no history of it.
    """
    found: list[tuple[Timeline, Lsn]] = []
    for line in history.text.splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _ENTRY.fullmatch(text)
        if not match:
            raise ValueError(f"the history of timeline {history.timeline} has a line {text[:80]!r}")
        timeline, left = Timeline(int(match[1])), parse_lsn(match[2])
        if found and (timeline <= found[-1][0] or left < found[-1][1]):
            raise ValueError(f"the history of timeline {history.timeline} runs backwards")
        found.append((timeline, left))
    if not found or found[-1][0] >= history.timeline:
        raise ValueError(f"the history of timeline {history.timeline} does not lead to it")
    return tuple(found)


def line_of(timeline: Timeline, histories: Iterable[TimelineHistory]) -> Line:
    """The line that leads to a timeline. Without its history it is that timeline alone."""
    own = next((each for each in histories if each.timeline == timeline), None)
    stretches: list[Stretch] = []
    start = Lsn(0)
    for before, left in ancestors_of(own) if own else ():
        stretches.append(Stretch(before, start, left))
        start = left
    return Line((*stretches, Stretch(timeline, start, ENDLESS)))


def lines_of(timelines: Iterable[Timeline], histories: Sequence[TimelineHistory]) -> Mapping[Timeline, Line]:
    """A line for each timeline, the newest timeline first."""
    return {each: line_of(each, histories) for each in sorted(set(timelines), reverse=True)}
