"""What reports are read from: sums by day, kind, device, user and cost centre, folded out of the log. Pure.

The log is the truth, and a roll-up is a way to read it quickly: it can be folded anew at any time, and must
come to the same sums. Folding is a sum, so that it matters neither in which order entries came nor in what
portions they are folded. A day is one of the tenant's time zone, by when the job occurred.

A correction takes the leaf that it names out of the sums and puts itself in. A leaf is corrected once: the
next correction names the one before. One that names anything else is void: it counts nothing, and is told.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from holdfast.ledger.model import Conflict, Kind, Record, Status

CLOCK_AHEAD = timedelta(days=1)
CLOCK_BEHIND = timedelta(days=366 * 2)
"""How far a source's clock may be from ours before its entries are marked. They count all the same."""


class Cell(NamedTuple):
    """What is summed up together. What a record does not tell is the empty text.

    A record with prices in several currencies is counted in the cell of the first one (by its letters), and
    only its amounts in those of the others: over all currencies each job counts once.
    """

    day: date
    kind: Kind
    device: str
    user: str
    cost_centre: str
    currency: str


class Sums(NamedTuple):
    """Quantities. Sheets and impressions stand beside each other: neither follows from the other."""

    jobs: int = 0
    failed: int = 0
    sheets: int = 0
    mono_impressions: int = 0
    colour_impressions: int = 0
    scan_pages: int = 0
    fax_pages: int = 0
    amount: int = 0
    """In minor units of the cell's currency."""

    def plus(self, other: "Sums", sign: int = 1) -> "Sums":
        return Sums(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


class Paper(NamedTuple):
    """Sheets of one format are summed up by this."""

    day: date
    device: str
    user: str
    cost_centre: str
    format: str


@dataclass(slots=True)
class Folded:
    """What a stretch of the log adds. Sums may be below zero: a correction's, in the day it takes from."""

    sums: dict[Cell, Sums] = field(default_factory=dict)
    """Never all zero."""
    sheets: dict[Paper, int] = field(default_factory=dict)
    """Never zero."""
    corrected: dict[int, int] = field(default_factory=dict)
    """By the leaf that was corrected, the leaf that does."""
    void: list[int] = field(default_factory=list)
    """Corrections that name nothing that could be corrected."""
    touched: dict[date, int] = field(default_factory=dict)
    """By day, the first leaf that added something to it, or took something out."""


def named_by(entries: Iterable[tuple[int, Record | Conflict]]) -> set[int]:
    """The leaves that corrections among these entries name: `fold` wants to know them."""
    return {entry.corrects.leaf for _, entry in entries if isinstance(entry, Record) and entry.corrects}


def fold(
    entries: Iterable[tuple[int, Record | Conflict]],
    zone: ZoneInfo,
    *,
    named: Mapping[int, Record | Conflict],
    settled: AbstractSet[int],
    trusted: Mapping[int, int] | None = None,
) -> Folded:
    """What these entries, in the order of their leaves, add.

    `named` has the leaves that `named_by` asked for and that are in the log; `settled` those of them that
    were corrected before, or are void. `trusted` tells which leaf corrects a leaf that retention took and
    that can be read no more: nothing is taken out for it, so that its day comes out wrong, and only that one.
    """
    folding = _Folding(zone)
    corrected, void = folding.folded.corrected, folding.folded.void
    for leaf, entry in entries:
        if isinstance(entry, Conflict):
            continue
        if entry.corrects:
            target = entry.corrects.leaf
            former = named.get(target)
            known = target in settled or target in corrected or target in void
            if not known and target < leaf and isinstance(former, Record):
                corrected[target] = leaf
                folding.add(leaf, former, -1)
            elif former is None and trusted and trusted.get(target) == leaf:
                corrected[target] = leaf
            else:
                void.append(leaf)
                continue
        folding.add(leaf, entry)
    return folding.done()


class _Folding:
    """Adds up in lists: that is several times as fast as with values that cannot change."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.folded = Folded()
        self._zone = zone
        self._sums: dict[Cell, list[int]] = {}

    def add(self, leaf: int, record: Record, sign: int = 1) -> None:
        day = day_of(record, self._zone)
        device, user, cost_centre = record.device or "", record.user or "", record.cost_centre or ""
        self.folded.touched.setdefault(day, leaf)
        currency, amounts = "", dict[str, int]()
        if record.prices:
            for price in record.prices.values():
                amounts[price.currency] = amounts.get(price.currency, 0) + price.amount
            currency = min(amounts)
        sums = self._of(Cell(day, record.kind, device, user, cost_centre, currency))
        sums[0] += sign
        if record.status is Status.FAILED:
            sums[1] += sign
        if record.sheets:
            papers = self.folded.sheets
            for format_, count in record.sheets.items():
                sums[2] += sign * count
                paper = Paper(day, device, user, cost_centre, format_)
                papers[paper] = papers.get(paper, 0) + sign * count
        sums[3] += sign * told(record.mono_impressions)
        sums[4] += sign * told(record.colour_impressions)
        sums[5] += sign * told(record.scan_pages)
        sums[6] += sign * told(record.fax_pages)
        for each, amount in amounts.items():
            cell = (
                sums
                if each == currency
                else self._of(Cell(day, record.kind, device, user, cost_centre, each))
            )
            cell[7] += sign * amount

    def done(self) -> Folded:
        self.folded.sums = {cell: Sums(*sums) for cell, sums in self._sums.items() if any(sums)}
        self.folded.sheets = {paper: count for paper, count in self.folded.sheets.items() if count}
        return self.folded

    def _of(self, cell: Cell) -> list[int]:
        found = self._sums.get(cell)
        if found is None:
            found = self._sums[cell] = [0] * len(Sums._fields)
        return found


def day_of(record: Record, zone: ZoneInfo) -> date:
    """The local day on which the job occurred."""
    try:
        return record.occurred_at.astimezone(zone).date()
    except OverflowError:  # the first day of year 1 or the last one of 9999: a clock that is off, not more
        return record.occurred_at.date()


def told(count: int | UnsetType) -> int:
    """A quantity that was not told adds nothing."""
    return 0 if count is UNSET else count
