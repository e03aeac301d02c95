"""A clock that runs as time does, but from another moment on: histories that were made end when they do."""

import time
from datetime import datetime, timedelta


class ShiftedClock:
    """The wall clock stands at `start` when this is made, and runs on."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=time.monotonic() - self._began)

    def monotonic(self) -> float:
        return time.monotonic()
