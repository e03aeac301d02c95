"""When each check runs next. Pure: times are monotonic seconds handed in."""

import heapq
import math
from dataclasses import dataclass

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, spread any number of checks evenly over their interval."""
FIRST_WITHIN = 10.0
"""A check runs for the first time within so many seconds: after a restart nobody waits an hour to know."""


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to begin: which check, and when it should have begun."""

    check_id: int
    at: float


@dataclass(slots=True)
class _Rhythm:
    """Runs are due at `anchor + n * every`; the next one, which the heap holds, at `next_at`."""

    every: float
    anchor: float
    next_at: float


class Schedule:
    """A fixed rhythm per check: run n is due at `anchor + n * every`, however long the runs take.

    A check that fell behind by whole periods (the machine slept) runs once, not once per missed period.
    The first run of a slow rhythm comes early, besides the rhythm.
    """

    def __init__(self) -> None:
        self._rhythms: dict[int, _Rhythm] = {}
        self._heap: list[tuple[float, int]] = []

    def put(self, check_id: int, every: float, now: float) -> None:
        """Run the check each `every` seconds. One that is known keeps its rhythm unless `every` changed."""
        known = self._rhythms.get(check_id)
        if known is not None and known.every == every:
            return
        phase = (check_id * _GOLDEN) % 1.0
        self._plan(check_id, _Rhythm(every, now + phase * every, now + phase * min(every, FIRST_WITHIN)))

    def drop(self, check_id: int) -> None:
        """Never run it again."""
        self._rhythms.pop(check_id, None)

    def clear(self) -> None:
        self._rhythms.clear()
        self._heap.clear()

    def next_due(self) -> float | None:
        """When to look again: not after the next run is due. None when there is nothing to run."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[Due]:
        """The runs that are due by `now`, each with its time, and their followers planned."""
        due: list[Due] = []
        while self._heap and self._heap[0][0] <= now:
            at, check_id = heapq.heappop(self._heap)
            rhythm = self._rhythms.get(check_id)
            if rhythm is None or rhythm.next_at != at:
                continue  # dropped, or left over from another rhythm: the check has one entry that counts
            due.append(Due(check_id, at))
            rhythm.next_at = _following(rhythm, now)
            self._plan(check_id, rhythm)
        return due

    def _plan(self, check_id: int, rhythm: _Rhythm) -> None:
        self._rhythms[check_id] = rhythm
        heapq.heappush(self._heap, (rhythm.next_at, check_id))


def _following(rhythm: _Rhythm, now: float) -> float:
    """The first moment of the rhythm after `now`."""
    periods = math.floor((now - rhythm.anchor) / rhythm.every) + 1
    following = rhythm.anchor + periods * rhythm.every
    # Rounding may land on `now` itself, which has just been run.
    return following if following > now else following + rhythm.every
