"""Marks of what is in one region, in memory, for tests and simulation."""

from collections.abc import Sequence
from dataclasses import replace

from holdfast.kernel.clock import Clock
from holdfast.ledger.append.reached import Marked


class MemoryOneRegion:
    """OneRegion over a list."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: list[Marked] = []

    async def mark(self, log_id: int, from_size: int, to_size: int, lsn: int) -> None:
        self._marks.append(Marked(log_id, from_size, to_size, lsn, self._clock.now()))

    async def open(self) -> Sequence[Marked]:
        waiting = [each for each in self._marks if each.reached_at is None]
        return sorted(waiting, key=lambda each: each.lsn)

    async def reached(self, up_to: int) -> int:
        ended = [each.reached_at is None and each.lsn <= up_to for each in self._marks]
        now = self._clock.now()
        self._marks = [
            replace(each, reached_at=now) if ends else each
            for each, ends in zip(self._marks, ended, strict=True)
        ]
        return sum(ended)
