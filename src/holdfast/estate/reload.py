"""Watching the estate file, so that an edit takes effect without a restart."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from holdfast.estate.check_rules import ConditionCheck
from holdfast.estate.errors import EstateError
from holdfast.estate.loader import parse_estate, read_estate_file
from holdfast.estate.model import Estate

_Signature: TypeAlias = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the file says: an estate, or what is wrong with it. `sha256` is empty when it cannot be read."""

    sha256: str
    outcome: Estate | EstateError


class EstateWatcher:
    """Looks at the file every second and tells each change once.

    It polls, which works for every way in which files change: written in place, renamed over, or a symbolic
    link of a ConfigMap that is turned. A file is believed when two looks, `settle` apart, see the same: one
    that is half written would remove what it does not name yet. A broken file is told, and the consumer
    keeps the estate that it has.
    """

    def __init__(
        self,
        path: Path,
        check_condition: ConditionCheck,
        *,
        every: timedelta = timedelta(seconds=1),
        settle: timedelta = timedelta(milliseconds=200),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._check_condition = check_condition
        self._every = every.total_seconds()
        self._settle = settle.total_seconds()
        self._pause = pause
        self._poked = asyncio.Event()
        self._last: Reading | None = None
        self._signature: _Signature | None = None
        self._unchanged_looks = 0

    def poke(self) -> None:
        """Look at once, and judge anew even if the file is the same: a logo beside it may be right now.

        To be called in the event loop's own thread, as its signal handlers are.
        """
        self._poked.set()

    async def readings(self) -> AsyncIterator[Reading]:
        """The file as it is now, and then anew whenever it says something else. Ends when it is cancelled.

        No two readings in a row are the same. Problems are yielded, never raised.
        """
        while True:
            poked = self._poked.is_set()
            self._poked.clear()
            if (reading := await self._look(poked=poked)) is not None:
                yield reading
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poked.wait(), self._every)

    async def _look(self, *, poked: bool) -> Reading | None:
        if not poked and not await asyncio.to_thread(self._may_have_changed):
            return None
        content = await self._settled()
        sha256 = _sha256(content) if isinstance(content, bytes) else ""
        last = self._last
        if not poked and last is not None and sha256 and sha256 == last.sha256:
            return None
        outcome = (
            content if isinstance(content, EstateError) else await asyncio.to_thread(self._judge, content)
        )
        if last is not None and sha256 == last.sha256 and _same(outcome, last.outcome):
            return None
        self._last = Reading(sha256, outcome)
        return self._last

    def _may_have_changed(self) -> bool:
        """Whether the file must be read.

        Two looks at the same signature pass before it is trusted: a second change within the clock tick of
        the first would not show in it.
        """
        try:
            status = self._path.stat()
            signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        except OSError:
            self._signature = None
            return True
        if signature != self._signature:
            self._signature, self._unchanged_looks = signature, 0
        else:
            self._unchanged_looks += 1
        return self._unchanged_looks < 2

    async def _settled(self) -> bytes | EstateError:
        """What two looks in a row agree on. Missing for a moment is what a rename looks like, too."""
        seen = await asyncio.to_thread(self._read)
        while True:
            if isinstance(seen, bytes) and self._last is not None and _sha256(seen) == self._last.sha256:
                return seen
            await self._pause(self._settle)
            again = await asyncio.to_thread(self._read)
            if _same(seen, again):
                return again
            seen = again

    def _read(self) -> bytes | EstateError:
        try:
            return read_estate_file(self._path)
        except EstateError as error:
            return error

    def _judge(self, content: bytes) -> Estate | EstateError:
        try:
            return parse_estate(content, self._path, self._check_condition)
        except EstateError as error:
            return error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same(one: object, other: object) -> bool:
    if isinstance(one, EstateError) and isinstance(other, EstateError):
        return one.problems == other.problems
    return one == other
