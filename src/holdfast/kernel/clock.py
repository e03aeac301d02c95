"""The clock is handed in, so that every decision can be replayed and every jump can be tested."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, twice: on the wall for records, and monotonic for durations and schedules."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC. It may jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. Never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until told otherwise. For tests, simulation and replays."""

    def __init__(self, now: datetime, monotonic: float = 0.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let both clocks run on, as time does."""
        self._monotonic += seconds
        self._now = datetime.fromtimestamp(self._now.timestamp() + seconds, UTC)

    def jump_to(self, now: datetime) -> None:
        """Set the wall clock alone, as an operator or a time server does."""
        self._now = now
