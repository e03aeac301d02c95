"""What a source has sent so far, and what of a batch is new: the decisions of completeness. Pure.

A source counts its records without gaps within an epoch. They may arrive late, in any order and more than
once; a number that is missing while later ones are there is a gap, and the last number that a source says it
has given shows a silent tail.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple


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
        at = bisect_right(self.ranges, (number, float("inf"))) - 1
        return at >= 0 and number <= self.ranges[at][1]

    @property
    def highest(self) -> int | None:
        return self.ranges[-1][1] if self.ranges else None

    def touches(self, first: int, last: int) -> bool:
        """Whether any of the numbers [first, last] is there."""
        at = bisect_right(self.ranges, (last, float("inf"))) - 1
        return at >= 0 and self.ranges[at][1] >= first

    def parts(self, first: int, last: int) -> Iterator[tuple[int, int, bool]]:
        """[first, last] in stretches, in order: every number of one is there, or none of it is."""
        at = max(bisect_right(self.ranges, (first, float("inf"))) - 1, 0)
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
        at = max(bisect_right(ranges, (first, float("inf"))) - 1, 0)
        if ranges[at][1] + 1 < first:
            at += 1
        end = at
        while end < len(ranges) and ranges[end][0] <= last + 1:
            first, last = min(first, ranges[end][0]), max(last, ranges[end][1])
            end += 1
        ranges[at:end] = [(first, last)]

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


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, told apart. Each is the record's place in the batch; `runs` count leaves from 0."""

    new: list[int]
    known: list[int]
    """Its key has come before: its bytes decide whether it is a repeat or a conflict."""
    runs: list[Run]


def sort(
    sources: Sequence[str],
    epochs: Sequence[int],
    seqs: Sequence[int],
    known: Mapping[tuple[str, int], Numbers],
) -> Sorted:
    """Tell new records from those whose key has come before, also within the batch. `known` is not changed.

    The order of arrival is kept. What a source posted in order becomes one run.
    """
    fresh = defaultdict[tuple[str, int], Numbers](Numbers)
    found = Sorted([], [], [])
    for start, end in _stretches(sources, epochs, seqs):
        key = (sources[start], epochs[start])
        before, here, offset = known.get(key, _NOTHING), fresh[key], start - seqs[start]
        for first, last, came in before.parts(seqs[start], seqs[end - 1]):
            for begin, upto, again in [(first, last, True)] if came else list(here.parts(first, last)):
                places = range(begin + offset, upto + offset + 1)
                if again:
                    found.known.extend(places)
                else:
                    _take(found, key, seqs, here, places)
    return found


def _take(found: Sorted, key: tuple[str, int], seqs: Sequence[int], here: Numbers, places: range) -> None:
    first, last = seqs[places[0]], seqs[places[-1]]
    run = found.runs[-1] if found.runs else None
    if run and (run.source, run.epoch) == key and run.last + 1 == first:
        found.runs[-1] = run._replace(last=last)
    else:
        found.runs.append(Run(*key, first, last, len(found.new)))
    here.add(first, last)
    found.new.extend(places)


def _stretches(
    sources: Sequence[str], epochs: Sequence[int], seqs: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Places [start, end) of one source and epoch, with numbers that go up by one."""
    ends = [place for place, (one, two) in enumerate(pairwise(seqs), 1) if two - one != 1]
    if len(set(sources)) > 1:
        ends += [place for place, (one, two) in enumerate(pairwise(sources), 1) if one != two]
    if len(set(epochs)) > 1:
        ends += [place for place, (one, two) in enumerate(pairwise(epochs), 1) if one != two]
    start = 0
    for end in sorted({*ends, len(seqs)} - {0}):
        yield start, end
        start = end
