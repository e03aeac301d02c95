"""What was appended last: a record that comes again soon is known without asking the store.

Most records that come again do so at once: their source has not heard the answer. A cache, bounded over all
logs; what is not in it is in the store.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from holdfast.ledger.append.sequences import Run
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.ports import Key

MOST = 500_000
"""Over all logs, in hashes: 16 MB."""
RUN = 15
"""What a run costs beside its hashes, in hashes: many a growth holds a single record."""


class _Stretch(NamedTuple):
    """A run, and the hashes of the growth that it came with."""

    first: int
    last: int
    leaf: int
    hashes: bytes
    from_size: int


class _Grown(NamedTuple):
    log_id: int
    cost: int
    runs: Sequence[Run]


class Recent:
    """The newest leaves' hashes, by key."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = 0
        self._growths = deque[_Grown]()
        self._stretches = dict[tuple[int, str, int], list[_Stretch]]()
        """In the order of their numbers, which no two share."""

    def add(self, log_id: int, from_size: int, hashes: bytes, runs: Sequence[Run]) -> None:
        """A growth that was committed. The runs' leaves count from `from_size`."""
        for run in runs:
            stretches = self._stretches.setdefault((log_id, run.source, run.epoch), [])
            stretch = _Stretch(run.first, run.last, from_size + run.leaf, hashes, from_size)
            stretches.insert(_after(stretches, run.first), stretch)
        grown = _Grown(log_id, len(hashes) // HASH_BYTES + RUN * len(runs), runs)
        self._growths.append(grown)
        self._held += grown.cost
        while self._held > self._most:
            self._drop(self._growths.popleft())

    def standing(self, log_id: int, key: Key) -> tuple[int, bytes] | None:
        """The leaf under the key and its hash; None when it is not known here."""
        stretches = self._stretches.get((log_id, key.source, key.epoch), ())
        at = _after(stretches, key.seq) - 1
        if at < 0 or stretches[at].last < key.seq:
            return None
        stretch = stretches[at]
        leaf = stretch.leaf + key.seq - stretch.first
        begin = (leaf - stretch.from_size) * HASH_BYTES
        return leaf, stretch.hashes[begin : begin + HASH_BYTES]

    def forget(self) -> None:
        self._held = 0
        self._growths.clear()
        self._stretches.clear()

    def _drop(self, grown: _Grown) -> None:
        self._held -= grown.cost
        for run in grown.runs:
            key = (grown.log_id, run.source, run.epoch)
            stretches = self._stretches[key]
            del stretches[_after(stretches, run.first) - 1]
            if not stretches:
                del self._stretches[key]


def _after(stretches: Sequence[_Stretch], number: int) -> int:
    return bisect_right(stretches, number, key=lambda each: each.first)
