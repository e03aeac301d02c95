"""How long a restore will take when the data has grown: a warning before an agreement is broken. Pure.

Two lines are laid through what was measured, both by the median of all slopes between two points (Theil and
Sen): one that was slow, because the machine was busy, moves neither. Restore time is laid over the size, size
over time. Fewer than three measurements, or sizes that hardly differ, tell no slope of time over size: then
the time is taken as proportional to the size, which errs on the early side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median

FEWEST = 3
MOST = 200
"""Of the newest: slopes are taken between every two."""
HORIZON = timedelta(days=90)
_LEAST_SPREAD = 0.05
"""Sizes within so much of each other tell nothing of how time grows with size."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Restored:
    """One measured restore."""

    at: datetime
    size_bytes: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the measurements say of the time to come. None is unknown."""

    samples: int
    now_s: float | None = None
    """What a restore would take now."""
    then_s: float | None = None
    """And at the end of the horizon."""
    growth_per_day: float | None = None
    """Bytes."""
    breaks_at: datetime | None = None
    """When a restore will take longer than `limit`; None: not within the horizon, or not known."""
    limit: timedelta | None = None

    @property
    def warns(self) -> bool:
        return self.breaks_at is not None


def forecast_of(
    restores: Sequence[Restored], limit: timedelta | None, now: datetime, horizon: timedelta = HORIZON
) -> Forecast:
    """By the newest measurements of one subject. One without a size, or yet to come, does not count."""
    known = sorted(
        (each for each in restores if each.size_bytes > 0 and each.took_s >= 0 and each.at <= now),
        key=lambda each: each.at,
    )[-MOST:]
    if len(known) < FEWEST:
        return Forecast(len(known), limit=limit)
    growth = _slope([((each.at - known[0].at) / _DAY, each.size_bytes) for each in known]) or 0.0
    size = median(each.size_bytes - growth * ((each.at - now) / _DAY) for each in known)
    fixed, per_byte = _pace(known)

    def takes(days: float) -> float:
        return max(fixed + per_byte * max(size + growth * days, 0.0), 0.0)

    days = horizon / _DAY
    return Forecast(
        len(known),
        now_s=takes(0),
        then_s=takes(days),
        growth_per_day=growth,
        breaks_at=_broken_at(takes, limit, now, days),
        limit=limit,
    )


def _pace(known: Sequence[Restored]) -> tuple[float, float]:
    """(seconds whatever the size, seconds per byte)."""
    sizes = [each.size_bytes for each in known]
    if max(sizes) - min(sizes) >= _LEAST_SPREAD * max(sizes):
        per_byte = _slope([(each.size_bytes, each.took_s) for each in known])
        if per_byte is not None and per_byte > 0:
            fixed = median(each.took_s - per_byte * each.size_bytes for each in known)
            if fixed >= 0:
                return fixed, per_byte
    return 0.0, median(each.took_s / each.size_bytes for each in known)


def _slope(points: Sequence[tuple[float, float]]) -> float | None:
    slopes = [
        (second[1] - first[1]) / (second[0] - first[0])
        for first, second in combinations(points, 2)
        if second[0] != first[0]
    ]
    return median(slopes) if slopes else None


def _broken_at(
    takes: Callable[[float], float], limit: timedelta | None, now: datetime, days: float
) -> datetime | None:
    if limit is None:
        return None
    most_s = limit.total_seconds()
    if takes(0) > most_s:
        return now
    if takes(days) <= most_s:
        return None
    low, high = 0.0, days
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if takes(middle) > most_s else (middle, high)
    return now + high * _DAY
