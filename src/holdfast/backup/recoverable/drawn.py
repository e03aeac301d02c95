"""Recovery windows on a line of time: where they lie between its ends, as shares and as text. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.backup.recoverable.points import RegionPoints

SHORTEST = timedelta(hours=1)
WINDOW, POINT, NOTHING = "=", "+", "."


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the line, from a share of it to another: 0 is its beginning, 1 its end."""

    left: float
    right: float
    start: datetime
    end: datetime
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line of time from `start` to `end`: what is restorable, and the backups on it."""

    start: datetime
    end: datetime
    windows: tuple[Stretch, ...]
    marks: tuple[float, ...]


def drawn(regions: Sequence[RegionPoints], now: datetime) -> list[Drawn]:
    """A line for each region, all with the same ends, so that they can stand one below the other."""
    starts = [window.start for each in regions for window in each.windows]
    start = min([now - SHORTEST, *starts])
    return [
        Drawn(start, now, tuple(_stretches(each, start, now)), _marks(each, start, now)) for each in regions
    ]


def as_text(line: Drawn, width: int = 60) -> str:
    """`....====.===+`: what is restorable is `=`, a single point `+`."""
    cells = [NOTHING] * width
    for mark in line.marks:
        cells[_cell(mark, width)] = POINT
    for each in line.windows:
        first, last = _cell(each.left, width), _cell(each.right, width)
        for cell in range(first, last + 1):
            if first < last or cells[cell] == NOTHING:
                cells[cell] = WINDOW
    return "".join(cells)


def _stretches(points: RegionPoints, start: datetime, end: datetime) -> Iterator[Stretch]:
    since = min((each.since for each in points.suspects), default=None)
    for window in points.windows:
        if since is not None and window.start < since < window.end:
            yield _stretch(window.start, since, start, end)
            yield _stretch(since, window.end, start, end, suspect=True)
        else:
            suspect = since is not None and window.start >= since
            yield _stretch(window.start, window.end, start, end, suspect=suspect)


def _stretch(
    since: datetime, until: datetime, start: datetime, end: datetime, *, suspect: bool = False
) -> Stretch:
    return Stretch(_share(since, start, end), _share(until, start, end), since, until, suspect)


def _marks(points: RegionPoints, start: datetime, end: datetime) -> tuple[float, ...]:
    return tuple(_share(each.at, start, end) for each in points.points)


def _share(moment: datetime, start: datetime, end: datetime) -> float:
    return min(1.0, max(0.0, (moment - start) / (end - start)))


def _cell(share: float, width: int) -> int:
    return min(width - 1, int(share * width))
