"""Parts that a whole block has replaced: they stay for a while, and are deleted a few at a time."""

import zlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from holdfast.backup.errors import RegionRefused
from holdfast.backup.ports import Region
from holdfast.kernel.clock import Clock

SUPERSEDED_AFTER_S = 300.0
"""How long parts stay when their segment is there whole: a restore that listed them may be reading them."""
DELETED_AT_ONCE, DELETED_EVERY_S = 1000, 1.0
"""Parts, while there is something to store: commits wait for what this thread does meanwhile."""


class Leaving:
    """Of one region. One thread at a time."""

    def __init__(self, region: Region, clock: Clock) -> None:
        self._region = region
        self._clock = clock
        self._superseded: deque[tuple[float, bytes]] = deque()
        self._leaving: deque[str] = deque()
        self._deleted_at = clock.monotonic()

    def add(self, keys: Sequence[str]) -> None:
        """They are not needed any more."""
        if keys:
            # Packed: hundreds of thousands of keys may have to wait.
            self._superseded.append((self._clock.monotonic(), zlib.compress("\n".join(keys).encode(), 1)))

    @property
    def due(self) -> bool:
        """Whether it is time to delete some, though there is something else to do."""
        return self._clock.monotonic() - self._deleted_at >= DELETED_EVERY_S

    def delete_some(self) -> bool:
        """Delete some of the parts whose time has come. Whether there were any. Raises BackupError."""
        now = self._deleted_at = self._clock.monotonic()
        while not self._leaving and self._superseded and now - self._superseded[0][0] >= SUPERSEDED_AFTER_S:
            self._leaving.extend(zlib.decompress(self._superseded.popleft()[1]).decode().split("\n"))
        count = min(len(self._leaving), DELETED_AT_ONCE)
        if count:
            # RegionRefused: they are locked, and retention lets them go in their time.
            with suppress(RegionRefused):
                self._region.delete([self._leaving[each] for each in range(count)])
            # Not before: those of a region that is away are tried again.
            for _ in range(count):
                self._leaving.popleft()
        return count > 0
