"""Whether a spool fills up: said while there is time to act, and again when it is over. Pure.

It is said at four fifths and taken back at three fifths, so that a spool that swings around one mark is not
told of again and again. How long it takes until it is full is what it grew by within the last minute.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

FULL_AT, OVER_AT = 0.8, 0.6
"""Shares of what it can hold."""
LOOKED_BACK_S = 60.0
LEAST_S = 5.0
"""In less time nothing is known of how fast it grows."""


class Said(StrEnum):
    """What is to be told."""

    FILLING = "spool_filling"
    OVER = "spool_emptied"


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a spool is: bytes of WAL in it, and how many more it takes, by its limit and by its disk."""

    there: int
    room: int

    @property
    def share(self) -> float:
        return self.there / max(self.there + self.room, 1)


@dataclass(slots=True)
class Filling:
    """Looks at one spool. Times are monotonic seconds."""

    _looks: deque[tuple[float, int]] = field(default_factory=deque)
    _said: bool = False

    def look(self, fill: Fill, now: float, *, is_full: bool = False) -> Said | None:
        """Take up a look, and say what is to be told. `is_full`: that it takes no more is told already."""
        while self._looks and now - self._looks[0][0] > LOOKED_BACK_S:
            self._looks.popleft()
        self._looks.append((now, fill.there))
        if self._said:
            if is_full or fill.share > OVER_AT:
                return None
            self._said = False
            return Said.OVER
        if is_full or fill.share < FULL_AT:
            return None
        self._said = True
        return Said.FILLING

    def full_in_s(self, fill: Fill) -> float | None:
        """Seconds until nothing fits any more, if it goes on as it did; None when nobody knows."""
        if len(self._looks) < 2:
            return None
        (began, first), (ended, last) = self._looks[0], self._looks[-1]
        if ended - began < LEAST_S or last <= first:
            return None
        return fill.room * (ended - began) / (last - first)
