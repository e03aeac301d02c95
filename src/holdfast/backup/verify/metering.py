"""What a verification costs: the bytes that a region had to give, and the time of each phase."""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

from holdfast.backup.ports import Listed, Progress, Region
from holdfast.backup.verify.verification import Phase
from holdfast.kernel.clock import Clock


class Metered:
    """A region that counts what is read from it."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._mutex = threading.Lock()
        self._read: dict[str, int] = {}

    @property
    def name(self) -> str:
        return self._region.name

    def forget(self) -> None:
        """Begin to count from nothing."""
        with self._mutex:
            self._read = {}

    def bytes_of(self, prefix: str) -> int:
        """Bytes that were read of objects whose keys begin with `prefix`."""
        with self._mutex:
            return sum(count for key, count in self._read.items() if key.startswith(prefix))

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._region.put(key, content)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        content = self._region.get(key, start, end)
        with self._mutex:
            self._read[key] = self._read.get(key, 0) + len(content)
        return content

    def replace(self, key: str, content: bytes | memoryview) -> None:
        self._region.replace(key, content)

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        return self._region.listed(prefix, after)

    def delete(self, keys: Sequence[str]) -> None:
        self._region.delete(keys)

    def lock(self, key: str, until: datetime) -> bool:
        return self._region.lock(key, until)

    def locked_until(self, key: str) -> datetime | None:
        return self._region.locked_until(key)


NAMES = {"fetching": "fetch", "syncing": "unpack", "fetching WAL": "fetch", "replaying": "replay"}
"""What a record calls the phases of a restore. Most is unpacked while the rest is being fetched."""


class PhaseTimes:
    """A `Progress` that also keeps how long each phase took: until the next one began."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress = progress
        self._clock = clock
        self._mutex = threading.Lock()
        self._ended: list[Phase] = []
        self._running: tuple[str, float] | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those that have ended, in their order."""
        with self._mutex:
            return tuple(self._ended)

    def begin(self, phase: str, total_bytes: int | None) -> None:
        self.end()
        with self._mutex:
            self._running = (phase, self._clock.monotonic())
        self._progress.begin(phase, total_bytes)

    def end(self) -> None:
        """The phase that runs is over."""
        with self._mutex:
            if self._running is not None:
                name, began = self._running
                self._ended.append(Phase(NAMES.get(name, name), self._clock.monotonic() - began))
                self._running = None

    def forget(self) -> None:
        with self._mutex:
            self._ended, self._running = [], None

    def advance(self, count: int) -> None:
        self._progress.advance(count)

    def note(self, text: str) -> None:
        self._progress.note(text)
