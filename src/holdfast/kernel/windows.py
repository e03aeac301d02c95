"""Half-open windows of time in UTC: the start belongs to a window, its end does not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """`[start, end)`, both aware and in UTC. Never negative; an empty window has no moments."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window's times carry a time zone")
        if self.end < self.start:
            raise ValueError(f"a window ends at or after its start, not {self.start} to {self.end}")

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    @property
    def is_empty(self) -> bool:
        return self.start == self.end

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def overlaps(self, other: "Window") -> bool:
        return self.start < other.end and other.start < self.end

    def clipped_to(self, other: "Window") -> "Window | None":
        """The part inside `other`, or None where they share no moment."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start < end else None


def merged(windows: Iterable[Window]) -> list[Window]:
    """The same moments as disjoint, ordered windows. Touching windows become one."""
    result: list[Window] = []
    for window in sorted(w for w in windows if not w.is_empty):
        if result and window.start <= result[-1].end:
            result[-1] = Window(result[-1].start, max(result[-1].end, window.end))
        else:
            result.append(window)
    return result


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of that local day, in UTC.

    With fold=0 a repeated midnight means its first occurrence, and a skipped one (DST that begins at
    midnight) the moment of the jump: both are where the local day begins.
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def month_window(year: int, month: int, zone: ZoneInfo) -> Window:
    """A calendar month in `zone`. It is not a multiple of 24 h when DST changes in it."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return Window(start_of_day(date(year, month, 1), zone), start_of_day(following, zone))


def day_window(day: date, zone: ZoneInfo) -> Window:
    """A local day in `zone`: 23, 24 or 25 hours, or what the zone's history says."""
    return Window(start_of_day(day, zone), start_of_day(day + timedelta(days=1), zone))


def days_of(window: Window, zone: ZoneInfo) -> Iterator[tuple[date, Window]]:
    """The local days that `window` touches, each with its whole window."""
    day = window.start.astimezone(zone).date()
    while (whole := day_window(day, zone)).start < window.end:
        yield day, whole
        day += timedelta(days=1)
