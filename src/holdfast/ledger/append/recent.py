"""What was appended last: a record that comes again soon is known without asking the store.

Most records that come again do so at once: their source has not heard the answer. A cache, bounded over all
logs; what is not in it is in the store.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from holdfast.ledger.append.sequences import Known, Run
from holdfast.ledger.log.tiles import HASH_BYTES

MOST = 1_000_000
"""Over all logs, in hashes: 32 MB."""
MOST_PLACES = 100_000
"""Ranges, over all logs: some 15 MB."""
RUN = 15
"""What a run costs beside its hashes, in hashes: many a growth holds a single record."""

_BEHIND = float("inf")


class _Stretch(NamedTuple):
    """A run, and the hashes of the growth that it came with."""

    first: int
    last: int
    leaf: int
    hashes: bytes
    from_size: int


Standing = tuple[int, int, int, bytes]
"""(first, last, leaf, hashes): the numbers [first, last] are the leaves from `leaf` on, with these hashes;
with none when that is not known.
"""


Whole = tuple[int, int, bytes, Known]
"""(place in the batch, leaf, hashes, where it was known): all of it stands in one growth."""


class _Grown(NamedTuple):
    log_id: int
    cost: int
    runs: Sequence[Run]


class Places:
    """Under which leaves numbers stand, as far as that was seen since the cache was forgotten last. Where a
    source has a log for itself, all that it sent is one range.
    """

    def __init__(self, most: int = MOST_PLACES) -> None:
        self._most = most
        self._ranges = dict[tuple[int, str, int], list[tuple[int, int, int]]]()
        """(first, last, leaf), in the order of their numbers, which no two share."""
        self._count = 0

    def add(self, log_id: int, from_size: int, runs: Sequence[Run]) -> None:
        """A growth that was committed. The runs' leaves count from `from_size`."""
        for run in runs:
            ranges = self._ranges.setdefault((log_id, run.source, run.epoch), [])
            leaf = from_size + run.leaf
            at = bisect_right(ranges, (run.first, _BEHIND))
            if at and ranges[at - 1][1] + 1 == run.first and leaf - run.first == _ahead(ranges[at - 1]):
                ranges[at - 1] = (ranges[at - 1][0], run.last, ranges[at - 1][2])
            else:
                ranges.insert(at, (run.first, run.last, leaf))
                self._count += 1
        if self._count > self._most:  # the store knows them all
            self.forget()

    def found(
        self, log_id: int, those: Sequence[tuple[int, int, Known]]
    ) -> tuple[list[tuple[int, int, Known]], list[tuple[int, int, Known]]]:
        """(place, leaf, where it was known) of those numbers whose leaf is known; and the others. They are
        given by (place, number, where it was known).
        """
        placed, others = list[tuple[int, int, Known]](), list[tuple[int, int, Known]]()
        of, low, high, ahead = None, 0, -1, 0
        ranges: Sequence[tuple[int, int, int]] = ()
        for each in those:
            place, number, came = each
            if of != (came.source, came.epoch):
                of = (came.source, came.epoch)
                ranges, high = self._ranges.get((log_id, *of), ()), -1
            if not low <= number <= high:
                at = bisect_right(ranges, (number, _BEHIND)) - 1
                if at < 0 or number > ranges[at][1]:
                    others.append(each)
                    continue
                low, high, _ = ranges[at]
                ahead = _ahead(ranges[at])
            placed.append((place, number + ahead, came))
        return placed, others

    def forget(self) -> None:
        self._ranges.clear()
        self._count = 0


def _ahead(range_: tuple[int, int, int]) -> int:
    return range_[2] - range_[0]


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

    def standing(self, log_id: int, source: str, epoch: int, first: int, last: int) -> list[Standing]:
        """What stands under the numbers [first, last], all of them in order; with no hash where that is not
        known here.
        """
        found, stretches = list[Standing](), self._stretches.get((log_id, source, epoch), ())
        at = max(bisect_right(stretches, (first, _BEHIND)) - 1, 0)
        while first <= last:
            while at < len(stretches) and stretches[at].last < first:
                at += 1
            if at == len(stretches) or stretches[at].first > first:
                upto = last if at == len(stretches) else min(last, stretches[at].first - 1)
                found.append((first, upto, 0, b""))
            else:
                begin, end, leaf, hashes, from_size = stretches[at]
                upto, leaf = min(last, end), leaf + first - begin
                start = (leaf - from_size) * HASH_BYTES
                found.append((first, upto, leaf, hashes[start : start + (upto - first + 1) * HASH_BYTES]))
            first = upto + 1
        return found

    @property
    def held(self) -> int:
        """What it holds, in hashes."""
        return self._held

    def whole(self, log_id: int, known: Sequence[Known]) -> tuple[list[Whole], list[Known]]:
        """What of these stands in one growth here, and the others: `standing` tells what is known of them.

        Repeats are hundreds of single records as a rule, in the order of their numbers: quick for them.
        """
        found, others = list[Whole](), list[Known]()
        of, low, high, ahead, before, hashes = None, 0, -1, 0, 0, b""
        stretches: Sequence[_Stretch] = ()
        for came in known:
            begin, end, source, epoch, first, _ = came
            if of != (source, epoch):
                of = (source, epoch)
                stretches, high = self._stretches.get((log_id, source, epoch), ()), -1
            last = first + end - begin - 1
            if first < low or last > high:
                at = bisect_right(stretches, (first, _BEHIND)) - 1
                if at < 0 or last > stretches[at].last:
                    others.append(came)
                    continue
                low, high, leaf, hashes, from_size = stretches[at]
                ahead, before = leaf - low, low + from_size - leaf
            start = (first - before) * HASH_BYTES
            found.append((begin, first + ahead, hashes[start : start + (end - begin) * HASH_BYTES], came))
        return found, others

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
    return bisect_right(stretches, (number, _BEHIND))
