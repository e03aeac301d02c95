"""What has not come, what does not fit, and whose clock is off: the judgements of completeness. Pure.

A source counts its records without gaps within an epoch, from 0 or 1 on. A number below the highest that is
not there is a **gap**; it may be late, and closes when it comes. Gaps alone show nothing of a source that
fell silent: so sources **claim** what the last number is that they gave out, and what of it has not come is
missing as well. What will never come is **settled** by an operator, with a reason: it is listed, and alarms
nobody.

Whether numbers come in order, in what portions and how often makes no difference to what is missing then.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.model import Conflict, Gap, Record
from holdfast.ledger.reports.rollups import CLOCK_AHEAD, CLOCK_BEHIND

BEGINNING = 1
"""A source may begin with 0, and nobody misses it. What lies between 1 and the first number that it sent is
missed, unless it claims that it began there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What came of a source's epoch. `leaf` is the newest entry, `received_at` and `occurred_at` are its."""

    source: str
    epoch: int
    lowest: int
    highest: int
    entries: int
    leaf: int
    received_at: datetime
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A source said, first at `at` and last at `again_at`, that it has given out the numbers up to `highest`.

    `lowest` is the one that it began with, where it says so.
    """

    source: str
    epoch: int
    highest: int
    lowest: int | None
    at: datetime
    again_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """Numbers [first, last] of a source that an operator does not wait for any more."""

    source: str
    epoch: int
    first: int
    last: int
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Missing:
    """Numbers [first, last] that have not come. `since` is when it could be known (UTC)."""

    source: str
    epoch: int
    first: int
    last: int
    since: datetime
    is_tail: bool = False
    """Nothing later came: the source claims them."""

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class Arrived:
    """Numbers of one source's epoch that came in together."""

    numbers: Numbers = field(default_factory=Numbers)
    entries: int = 0
    leaf: int = 0
    occurred_at: datetime | None = None


def arrivals(entries: Iterable[tuple[int, Record | Conflict]]) -> dict[tuple[str, int], Arrived]:
    """By (source, epoch), what of a growth has come. Conflicts take no number."""
    found = defaultdict[tuple[str, int], Arrived](Arrived)
    for leaf, entry in entries:
        if isinstance(entry, Record):
            each = found[entry.source, entry.epoch]
            each.numbers.add(entry.seq, entry.seq)
            each.entries += 1
            each.leaf, each.occurred_at = leaf, entry.occurred_at
    return dict(found)


@dataclass(slots=True)
class Book:
    """A source's epoch while growths are folded in. `gaps` are in order.

    Of the gaps that are stored only those need to be given that something arrived for.
    """

    source: str
    epoch: int
    standing: Standing | None = None
    gaps: list[Gap] = field(default_factory=list)

    def take(self, arrived: Arrived, at: datetime) -> None:
        """What came in at `at`. A gap that is partly filled keeps the moment from which on it was one."""
        before, ranges = self.standing, arrived.numbers.ranges
        for first, last in ranges:
            self._fill(first, last)
        start = BEGINNING if before is None else before.highest + 1
        self.gaps += [
            Gap(self.source, self.epoch, first, last, at) for first, last in arrived.numbers.missing(start)
        ]
        self.standing = Standing(
            self.source,
            self.epoch,
            min(ranges[0][0], before.lowest if before else ranges[0][0]),
            max(ranges[-1][1], before.highest if before else ranges[-1][1]),
            arrived.entries + (before.entries if before else 0),
            arrived.leaf,
            at,
            arrived.occurred_at or at,
        )

    def _fill(self, first: int, last: int) -> None:
        at = end = bisect_left(self.gaps, first, key=lambda gap: gap.last)
        left = list[Gap]()
        while end < len(self.gaps) and (gap := self.gaps[end]).first <= last:
            rest = without(gap.first, gap.last, [(first, last)])
            left += [replace(gap, first=start, last=stop) for start, stop in rest]
            end += 1
        self.gaps[at:end] = left


def without(first: int, last: int, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of [first, last] is in none of the ranges, which are in order."""
    found = list[tuple[int, int]]()
    for start, end in ranges:
        if end < first:
            continue
        if start > last:
            break
        if start > first:
            found.append((first, start - 1))
        first = end + 1
    if first <= last:
        found.append((first, last))
    return found


def missing(
    standings: Iterable[Standing],
    gaps: Iterable[Gap],
    claims: Iterable[Claim],
    settled: Iterable[Settled] = (),
) -> list[Missing]:
    """What has not come and is not settled, the oldest first."""
    stands = {(each.source, each.epoch): each for each in standings}
    claimed = defaultdict[tuple[str, int], list[Claim]](list)
    for claim in claims:
        claimed[claim.source, claim.epoch].append(claim)
    begins = {key: min(told) for key, each in claimed.items() if (told := _lowest(each))}
    found = [
        Missing(gap.source, gap.epoch, max(gap.first, begin), gap.last, gap.since)
        for gap in gaps
        if gap.last >= (begin := begins.get((gap.source, gap.epoch), gap.first))
    ]
    for key, each in claimed.items():
        found += _claimed(key, stands.get(key), each, begins.get(key))
    away = defaultdict[tuple[str, int], Numbers](Numbers)
    for closed in settled:
        away[closed.source, closed.epoch].add(closed.first, closed.last)
    kept = (
        replace(each, first=first, last=last)
        for each in found
        for first, last in without(each.first, each.last, _ranges(away, each))
    )
    return sorted(kept, key=lambda each: (each.since, each.source, each.epoch, each.first))


def _claimed(
    key: tuple[str, int], standing: Standing | None, claims: Sequence[Claim], begin: int | None
) -> list[Missing]:
    """What of the claims no entry has shown: the tail, and the number 0 where the source names it."""
    found = list[Missing]()
    highest = max(claim.highest for claim in claims)
    known = (BEGINNING if begin is None else begin) - 1 if standing is None else standing.highest
    unfulfilled = [claim.at for claim in claims if claim.highest > known]
    if begin == 0 and standing is not None and standing.lowest > 0:
        found.append(Missing(*key, 0, 0, min(claim.at for claim in claims)))
    if unfulfilled and highest > known:
        found.append(Missing(*key, known + 1, highest, min(unfulfilled), is_tail=True))
    return found


def _lowest(claims: Sequence[Claim]) -> list[int]:
    return [claim.lowest for claim in claims if claim.lowest is not None]


def _ranges(settled: Mapping[tuple[str, int], Numbers], each: Missing) -> Sequence[tuple[int, int]]:
    numbers = settled.get((each.source, each.epoch))
    return numbers.ranges if numbers else ()


class Off(StrEnum):
    """How a clock is wrong."""

    AHEAD = "ahead"
    BEHIND = "behind"


def clock_off(occurred_at: datetime, received_at: datetime) -> Off | None:
    """Whether a job's time cannot be right, seen from when it came in. It counts all the same, and is marked.

    A device that printed while nobody collected its records is late for months: that is no wrong clock.
    """
    if occurred_at - received_at > CLOCK_AHEAD:
        return Off.AHEAD
    if received_at - occurred_at > CLOCK_BEHIND:
        return Off.BEHIND
    return None


@dataclass(frozen=True, slots=True)
class ClockMarked:
    """The marked entries of a source's device; `device` is empty where its records name none.

    `off` is by how much in the newest of them, ahead is positive. `right_leaf` is the entry with which it was
    well again; None while there was none.
    """

    source: str
    device: str
    marked: int
    first_leaf: int
    last_leaf: int
    since: datetime
    last_at: datetime
    off: timedelta
    right_leaf: int | None = None

    @property
    def is_off(self) -> bool:
        """Its newest entry was marked."""
        return self.right_leaf is None or self.right_leaf < self.last_leaf


def clocks(
    entries: Iterable[tuple[int, Record | Conflict]],
    received_at: datetime,
    before: Mapping[tuple[str, str], ClockMarked],
) -> dict[tuple[str, str], ClockMarked]:
    """By (source, device), what a growth's entries change of the clocks that are or were off."""
    found = dict[tuple[str, str], ClockMarked]()
    for leaf, entry in entries:
        if isinstance(entry, Conflict):
            continue
        key = entry.source, entry.device or ""
        known = found.get(key) or before.get(key)
        if clock_off(entry.occurred_at, received_at) is None:
            if known is not None and known.is_off:
                found[key] = replace(known, right_leaf=leaf)
            continue
        off = entry.occurred_at - received_at
        if known is None:
            found[key] = ClockMarked(*key, 1, leaf, leaf, received_at, received_at, off)
        else:
            since = known.since if known.is_off else received_at
            found[key] = replace(
                known, marked=known.marked + 1, last_leaf=leaf, since=since, last_at=received_at, off=off
            )
    return found
