"""A region's store in memory, for tests and simulation, with everything that may go wrong at a switch."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.backup.errors import AlreadyThere, RegionAway, RegionRefused
from holdfast.backup.layout import wrong_key
from holdfast.backup.ports import Listed
from holdfast.kernel.clock import Clock, SystemClock


@dataclass(slots=True)
class Faults:
    """What is wrong with the region, from now on."""

    away: bool = False
    refusing: bool = False
    full: bool = False
    """It takes nothing more; all else works."""
    corrupting: bool = False
    """A bit of what is put flips, and nobody is told."""
    losing: bool = False
    """What is put is acknowledged, and lost."""
    slow_s: float = 0.0
    """Each call takes so long."""
    away_after: int | None = None
    """So many more puts work, then it is away."""


@dataclass(slots=True)
class _Kept:
    content: bytes
    modified_at: datetime
    locked_until: datetime | None = None


@dataclass(slots=True)
class MemoryRegion:
    """A `Region` over a dictionary. `calls` tells what was asked of it, in order."""

    name: str
    locks: bool = False
    """Whether it knows locks. A locked object is deleted by nobody, and replaced by putting over it."""
    clock: Clock = field(default_factory=SystemClock)
    faults: Faults = field(default_factory=Faults)
    calls: list[tuple[str, str]] = field(default_factory=list)
    _objects: dict[str, _Kept] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._asked("put", key)
        kept = _Kept(self._arriving(content), self.clock.now())
        with self._mutex:
            if key in self._objects:
                raise AlreadyThere(f"{self.name}: {key} is there already")
            if not self.faults.losing:
                self._objects[key] = kept

    def replace(self, key: str, content: bytes | memoryview) -> None:
        self._asked("replace", key)
        kept = _Kept(self._arriving(content), self.clock.now())
        with self._mutex:
            self._objects[key] = kept

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self._asked("get", key)
        with self._mutex:
            kept = self._objects.get(key)
        if kept is None:
            raise FileNotFoundError(key)
        return kept.content[start:end]

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self._asked("listed", prefix)
        with self._mutex:
            found = [
                Listed(key, len(kept.content), kept.modified_at)
                for key, kept in sorted(self._objects.items())
                if key.startswith(prefix) and key > after
            ]
        yield from found

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._asked("delete", key)
        now = self.clock.now()
        with self._mutex:
            kept = {key: self._objects[key] for key in keys if key in self._objects}
            locked = [key for key, each in kept.items() if each.locked_until and each.locked_until > now]
            for key in kept.keys() - set(locked):
                del self._objects[key]
        if locked:
            raise RegionRefused(f"{self.name}: {locked[0]} is locked", hint="it can be deleted later")

    def lock(self, key: str, until: datetime) -> bool:
        self._asked("lock", key)
        if not self.locks:
            return False
        with self._mutex:
            kept = self._objects.get(key)
            if kept is None:
                raise FileNotFoundError(key)
            if kept.locked_until is None or kept.locked_until < until:
                kept.locked_until = until
        return True

    def locked_until(self, key: str) -> datetime | None:
        self._asked("locked_until", key)
        with self._mutex:
            kept = self._objects.get(key)
        return kept.locked_until if kept else None

    # --- for tests: what no caller of a region can do

    @property
    def keys(self) -> list[str]:
        with self._mutex:
            return sorted(self._objects)

    def damage(self, key: str, at: int = 0) -> None:
        """Flip a bit of what is stored, behind everybody's back."""
        with self._mutex:
            kept = self._objects[key]
            kept.content = _flipped(kept.content, at)

    def lose(self, key: str) -> None:
        """Lose an object, locked or not."""
        with self._mutex:
            del self._objects[key]

    def _asked(self, what: str, key: str) -> None:
        self.calls.append((what, key))
        faults = self.faults
        if faults.slow_s:
            time.sleep(faults.slow_s)
        if what in ("put", "replace") and faults.away_after is not None:
            faults.away = faults.away or faults.away_after <= 0
            faults.away_after -= 1
        if faults.away:
            raise RegionAway(f"{self.name}: nobody answers")
        if faults.refusing:
            raise RegionRefused(f"{self.name}: access denied", hint="look at the options and the rights")
        if what in ("put", "replace"):
            if wrong := wrong_key(key):
                raise RegionRefused(f"{self.name}: {key[:100]!r}: {wrong}")
            if faults.full:
                raise RegionRefused(f"{self.name}: there is no space left", hint="make room, or keep less")

    def _arriving(self, content: bytes | memoryview) -> bytes:
        return _flipped(bytes(content), len(content) // 2) if self.faults.corrupting else bytes(content)


def _flipped(content: bytes, at: int) -> bytes:
    if not content:
        return b"\x01"
    at %= len(content)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
