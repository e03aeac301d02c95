"""What a source has sent so far, and what of a batch is new: the decisions of completeness. Pure.

A source counts its records without gaps within an epoch. They may arrive late, in any order and more than
once; a number that is missing while later ones are there is a gap, and the last number that a source says it
has given shows a silent tail.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.ledger.model import Numbered

_BEHIND = float("inf")
"""Behind every number, where a range is looked up by its first."""


class Run(NamedTuple):
    """Consecutive numbers [first, last] of a source whose entries are consecutive leaves from `leaf` on."""

    source: str
    epoch: int
    first: int
    last: int
    leaf: int


@dataclass(slots=True)
class Numbers:
    """A set of numbers, kept as ranges [first, last] in order, none touching the next."""

    ranges: list[tuple[int, int]] = field(default_factory=list)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.ranges, (number, _BEHIND)) - 1
        return at >= 0 and number <= self.ranges[at][1]

    @property
    def highest(self) -> int | None:
        return self.ranges[-1][1] if self.ranges else None

    def touches(self, first: int, last: int) -> bool:
        """Whether any of the numbers [first, last] is there."""
        at = bisect_right(self.ranges, (last, _BEHIND)) - 1
        return at >= 0 and self.ranges[at][1] >= first

    def parts(self, first: int, last: int) -> Iterable[tuple[int, int, bool]]:
        """[first, last] in stretches, in order: every number of one is there, or none of it is."""
        at = bisect_right(self.ranges, (first, _BEHIND)) - 1
        if at >= 0 and last <= self.ranges[at][1]:  # the two common cases: all of it, or nothing
            return ((first, last, True),)
        if (at < 0 or self.ranges[at][1] < first) and (
            at + 1 == len(self.ranges) or last < self.ranges[at + 1][0]
        ):
            return ((first, last, False),)
        return self._parts(first, last, max(at, 0))

    def _parts(self, first: int, last: int, at: int) -> Iterator[tuple[int, int, bool]]:
        while first <= last:
            while at < len(self.ranges) and self.ranges[at][1] < first:
                at += 1
            begin, end = self.ranges[at] if at < len(self.ranges) else (last + 1, last + 1)
            there = begin <= first
            upto = min(last, end if there else begin - 1)
            yield first, upto, there
            first = upto + 1

    def add(self, first: int, last: int) -> None:
        """Numbers that are there already may be among them."""
        ranges = self.ranges
        if not ranges or first > ranges[-1][1] + 1:
            ranges.append((first, last))
            return
        if ranges[-1][0] <= first:  # the common case: it goes on
            ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
            return
        at = max(bisect_right(ranges, (first, _BEHIND)) - 1, 0)
        if ranges[at][1] + 1 < first:
            at += 1
        end = at
        while end < len(ranges) and ranges[end][0] <= last + 1:
            first, last = min(first, ranges[end][0]), max(last, ranges[end][1])
            end += 1
        ranges[at:end] = [(first, last)]

    def remove(self, first: int, last: int) -> None:
        """Numbers that are not there may be among them."""
        at = max(bisect_right(self.ranges, (first, _BEHIND)) - 1, 0)
        end, left = at, list[tuple[int, int]]()
        while end < len(self.ranges) and self.ranges[end][0] <= last:
            begin, behind = self.ranges[end]
            if begin < first:
                left.append((begin, min(behind, first - 1)))
            if behind > last:
                left.append((last + 1, behind))
            end += 1
        self.ranges[at:end] = left

    def missing(self, start: int, claimed: int | None = None) -> list[tuple[int, int]]:
        """What lies between `start` and the highest number known or claimed, and is not there."""
        found, expected = [], start
        for first, last in self.ranges:
            if first > expected:
                found.append((expected, first - 1))
            expected = max(expected, last + 1)
        if claimed is not None and claimed >= expected:
            found.append((expected, claimed))
        return found


_NOTHING = Numbers()


class Before(NamedTuple):
    """Numbers of an epoch that a source had sent when this was told, as far as it was told: a hint."""

    epoch: int
    ranges: Sequence[tuple[int, int]]


class Known(NamedTuple):
    """Records [begin, end) of a batch, numbered from `first` on, whose keys came before: what they hold
    decides whether they are repeats or conflicts.
    """

    begin: int
    end: int
    source: str
    epoch: int
    first: int
    here: bool
    """They came first in this very batch."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, told apart, in its order."""

    new: list[range]
    """Places in the batch, none touching the next."""
    known: list[Known]
    runs: list[Run]
    """`leaf` counts from 0, over the new ones."""


def numbered(sources: Sequence[str], epochs: Sequence[int], seqs: Sequence[int]) -> list[Numbered]:
    """The stretches of records whose numbers are these, one by one."""
    found = list[Numbered]()
    for source, epoch, seq in zip(sources, epochs, seqs, strict=True):
        last = found[-1] if found else None
        if last and (last.source, last.epoch, last.first + last.length) == (source, epoch, seq):
            found[-1] = last._replace(length=last.length + 1)
        else:
            found.append(Numbered(source, epoch, seq, 1))
    return found


def sort(stretches: Sequence[Numbered], known: Mapping[tuple[str, int], Numbers]) -> Sorted:
    """Tell new records from those whose key has come before, also within the batch. `known` is not changed.

    The order of arrival is kept. What a source posted in order becomes one run.
    """
    fresh = defaultdict[tuple[str, int], Numbers](Numbers)
    found, place, leaf, of = Sorted([], [], []), 0, 0, None
    before = here = _NOTHING
    for source, epoch, number, count in stretches:
        if of != (source, epoch):  # as a rule many of one source stand one behind the other
            of = (source, epoch)
            before, here = known.get(of, _NOTHING), fresh[of]
        at = bisect_right(before.ranges, (number, _BEHIND)) - 1
        if at >= 0 and number + count - 1 <= before.ranges[at][1]:
            found.known.append(Known(place, place + count, source, epoch, number, False))
            place += count
            continue
        for first, last, came in before.parts(number, number + count - 1):
            for begin, upto, again in ((first, last, True),) if came else tuple(here.parts(first, last)):
                end = place + upto - begin + 1
                if again:
                    found.known.append(Known(place, end, source, epoch, begin, not came))
                else:
                    _take(found, Run(source, epoch, begin, upto, leaf), range(place, end))
                    here.add(begin, upto)
                    leaf += end - place
                place = end
    return found


def _take(found: Sorted, run: Run, places: range) -> None:
    before = found.runs[-1] if found.runs else None
    if before and (before.source, before.epoch, before.last + 1) == (run.source, run.epoch, run.first):
        found.runs[-1] = before._replace(last=run.last)
    else:
        found.runs.append(run)
    if found.new and found.new[-1].stop == places.start:
        found.new[-1] = range(found.new[-1].start, places.stop)
    else:
        found.new.append(places)
