"""What reports are read from: sums by day, kind, device, user and cost centre, folded out of the log. Pure.

The log is the truth, and a roll-up is a way to read it quickly: it can be folded anew at any time, and must
come to the same sums. Folding is a sum, so that it matters neither in which order entries came nor in what
portions they are folded. A day is one of the tenant's time zone, by when the job occurred.

A correction takes the leaf that it names out of the sums and puts itself in. A leaf is corrected once: the
next correction names the one before. One that names anything else is void: it counts nothing, and is told.
"""

from collections import defaultdict
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
    """What is summed up together. What a record does not tell is the empty text."""

    day: date
    kind: Kind
    device: str
    user: str
    cost_centre: str


class Sums(NamedTuple):
    """Quantities. Sheets and impressions stand beside each other: neither follows from the other."""

    jobs: int = 0
    failed: int = 0
    sheets: int = 0
    mono_impressions: int = 0
    colour_impressions: int = 0
    scan_pages: int = 0
    fax_pages: int = 0

    def plus(self, other: "Sums", sign: int = 1) -> "Sums":
        return Sums(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


class Cost(NamedTuple):
    """A cell's costs in one currency, in its minor units."""

    cell: Cell
    currency: str


@dataclass(slots=True)
class Folded:
    """What a stretch of the log adds. Sums may be below zero: a correction's, in the day it takes from."""

    sums: defaultdict[Cell, Sums] = field(default_factory=lambda: defaultdict(Sums))
    costs: defaultdict[Cost, int] = field(default_factory=lambda: defaultdict(int))
    corrected: dict[int, int] = field(default_factory=dict)
    """By the leaf that was corrected, the leaf that does."""
    void: list[int] = field(default_factory=list)
    """Corrections that name nothing that could be corrected."""

    def add(self, record: Record, zone: ZoneInfo, sign: int = 1) -> None:
        cell = cell_of(record, zone)
        self.sums[cell] = self.sums[cell].plus(sums_of(record), sign)
        for price in (record.prices or {}).values():
            self.costs[Cost(cell, price.currency)] += sign * price.amount


def named_by(entries: Iterable[tuple[int, Record | Conflict]]) -> set[int]:
    """The leaves that corrections among these entries name: `fold` wants to know them."""
    return {entry.corrects.leaf for _, entry in entries if isinstance(entry, Record) and entry.corrects}


def fold(
    entries: Iterable[tuple[int, Record | Conflict]],
    zone: ZoneInfo,
    *,
    named: Mapping[int, Record | Conflict],
    settled: AbstractSet[int],
) -> Folded:
    """What these entries, in the order of their leaves, add. `named` has the leaves that `named_by` asked for
    and that are in the log; `corrected` those of them that were corrected before.
    """
    folded = Folded()
    for leaf, entry in entries:
        if isinstance(entry, Conflict):
            continue
        if entry.corrects:
            target = entry.corrects.leaf
            former = named.get(target)
            known = target in settled or target in folded.corrected or target in folded.void
            if known or target >= leaf or not isinstance(former, Record):
                folded.void.append(leaf)
                continue
            folded.corrected[target] = leaf
            folded.add(former, zone, -1)
        folded.add(entry, zone)
    return folded


def cell_of(record: Record, zone: ZoneInfo) -> Cell:
    day = record.occurred_at.astimezone(zone).date()
    return Cell(day, record.kind, record.device or "", record.user or "", record.cost_centre or "")


def sums_of(record: Record) -> Sums:
    return Sums(
        jobs=1,
        failed=int(record.status is Status.FAILED),
        sheets=sum((record.sheets or {}).values()),
        mono_impressions=_told(record.mono_impressions),
        colour_impressions=_told(record.colour_impressions),
        scan_pages=_told(record.scan_pages),
        fax_pages=_told(record.fax_pages),
    )


def _told(count: int | UnsetType) -> int:
    return 0 if count is UNSET else count
