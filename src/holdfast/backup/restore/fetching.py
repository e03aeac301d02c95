"""Fetches and unpacks many objects at once, in bounded memory, and hands each to whoever uses it.

Several objects are fetched while others are unpacked: a region on another continent is slow to answer, and
this machine slow to unpack. Objects get their memory in order, so that one may wait for what an earlier one
brings: the earlier one always has its own.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from holdfast.backup.errors import Damaged, RegionError
from holdfast.backup.model import StoredObject
from holdfast.backup.ports import Packer, Region
from holdfast.backup.restore.rooms import Rooms

WORKERS = 4
STORED_LIMIT = 52 * 1024 * 1024
"""Bytes that are fetched, and not unpacked yet. One object is always let through."""
RAW_LIMIT = 64 * 1024 * 1024
"""Bytes that are unpacked, and not written yet. One object is always let through."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object, and what is done with its content. `use` is called in some thread, once."""

    stored: StoredObject
    use: Callable[[memoryview], None]


class GivenUp(Exception):  # noqa: N818
    """Another thread has failed: its error is the one to tell."""


class _Budget:
    """Bytes, granted in the order of turns. Everybody is told when one has failed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._next = 0
        self._changed = threading.Condition()
        self._given_up = False

    def take(self, turn: int, size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._given_up
                    or (turn == self._next and (self._used == 0 or self._used + size <= self._limit))
                )
            )
            if self._given_up:
                raise GivenUp
            self._used += size
            self._next += 1
            self._changed.notify_all()

    def give(self, size: int) -> None:
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def give_up(self) -> None:
        with self._changed:
            self._given_up = True
            self._changed.notify_all()


class Fetcher:
    """Objects from a region, or from one of the others when it has them damaged or is away.

    `noted` is told of each object that another region had to give.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        packer: Packer,
        *,
        workers: int = WORKERS,
        noted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._regions = tuple(regions)
        self._packer = packer
        self._workers = workers
        self._noted = noted

    def content(self, stored: StoredObject) -> bytes:
        """One object's content. Raises Damaged, KeyMissing, RegionAway, RegionRefused."""
        return self._packer.unpack(self._fetched(stored), stored.sealed_with, stored.raw_bytes)

    def run(self, wanted: Sequence[Wanted], *, give_up: Callable[[], None] = lambda: None) -> None:
        """Fetch all, and have each used. The first error ends it, after `give_up` was called."""
        stored_left, raw_left, rooms = _Budget(STORED_LIMIT), _Budget(RAW_LIMIT), Rooms(RAW_LIMIT)
        turns = iter(range(len(wanted)))
        lock = threading.Lock()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                while not failures:
                    with lock:
                        turn = next(turns, None)
                    if turn is None:
                        return
                    self._one(turn, wanted[turn], stored_left, raw_left, rooms)
            except GivenUp:
                pass
            except BaseException as error:  # noqa: BLE001  told by `run`, whatever it is
                failures.append(error)
                give_up()
                for budget in (stored_left, raw_left):
                    budget.give_up()

        with ThreadPoolExecutor(self._workers, thread_name_prefix="fetch") as pool:
            for _ in range(self._workers):
                pool.submit(work)
        if failures:
            raise failures[0]

    def _one(self, turn: int, wanted: Wanted, stored_left: _Budget, raw_left: _Budget, rooms: Rooms) -> None:
        stored = wanted.stored
        # What is sealed is there twice for a moment: as it was fetched, and opened.
        fetched_bytes = stored.stored_bytes * (2 if stored.sealed_with else 1)
        stored_left.take(turn, fetched_bytes)
        packed: bytes | None = self._fetched(stored)
        raw_left.take(turn, stored.raw_bytes)
        with rooms.of(stored.raw_bytes) as content:
            unpacked = self._packer.unpack_into(packed or b"", stored.sealed_with, content)
            packed = None
            stored_left.give(fetched_bytes)
            if unpacked != stored.raw_bytes:
                raise Damaged(f"{stored.key} holds {unpacked} bytes, and should hold {stored.raw_bytes}")
            wanted.use(content)
        raw_left.give(stored.raw_bytes)

    def _fetched(self, stored: StoredObject) -> bytes:
        """The object as it is stored, proven by its digest, from the first region that has it."""
        trouble: list[Damaged | RegionError] = []
        for region in self._regions:
            try:
                content = region.get(stored.key)
            except FileNotFoundError:
                trouble.append(Damaged(f"{region.name}: {stored.key} is gone"))
                continue
            except RegionError as error:
                trouble.append(error)
                continue
            if hashlib.sha256(content).hexdigest() == stored.sha256:
                if trouble:
                    self._noted(f"{trouble[-1]}; taken from {region.name}")
                return content
            trouble.append(Damaged(f"{region.name}: {stored.key} is not what was stored"))
        raise trouble[0]
