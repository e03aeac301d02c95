"""What devices counted against what their entries say: differences are told, never corrected. Pure.

A device's counters only go up. Between two readings of a counter the device has counted so much, and the
entries of jobs that occurred in between add up to so much. More counted than recorded: jobs are missing.
More recorded than counted: something was recorded that the device did not do. What was corrected counts as it
was corrected.

A counter that is read while a job runs splits the job: one stretch has too much and the next one lacks as
much. Those two are told apart from a difference that stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from holdfast.ledger.model import Conflict, Kind, Record


class Counter(StrEnum):
    """What is counted; the words of a record. `impressions` are those in mono and in colour together."""

    IMPRESSIONS = "impressions"
    MONO = "mono_impressions"
    COLOUR = "colour_impressions"
    SHEETS = "sheets"
    SCAN_PAGES = "scan_pages"
    FAX_PAGES = "fax_pages"


@dataclass(frozen=True, slots=True)
class Reading:
    """A counter's value since the device was built, as it was read at `read_at`."""

    device: str
    counter: Counter
    read_at: datetime
    value: int


class Taken(StrEnum):
    """What became of a reading."""

    TAKEN = "taken"
    REPEATED = "repeated"
    """It is there already."""
    CONFLICT = "conflict"
    """The source told another value for that counter and moment before. The first one stays."""


class Metered(NamedTuple):
    """What an entry adds to a device's counters. None: it should, and the entry does not tell how much."""

    sheets: int | None
    mono: int | None
    colour: int | None
    scan_pages: int | None
    fax_pages: int | None


_PRINTING = frozenset({Kind.PRINT, Kind.COPY, Kind.FAX})
_SCANNING = frozenset({Kind.SCAN, Kind.COPY, Kind.FAX})


def metered_of(record: Record) -> Metered:
    """What is not told of a quantity that such a job has nothing of is 0, and unknown otherwise."""
    prints, scans = record.kind in _PRINTING, record.kind in _SCANNING
    return Metered(
        _quantity(UNSET if record.sheets is UNSET else sum(record.sheets.values()), prints),
        _quantity(record.mono_impressions, prints),
        _quantity(record.colour_impressions, prints),
        _quantity(record.scan_pages, scans),
        _quantity(record.fax_pages, record.kind is Kind.FAX),
    )


def told(quantities: Metered, counter: Counter) -> int | None:
    """What of it concerns the counter."""
    if counter is Counter.IMPRESSIONS:
        mono, colour = quantities.mono, quantities.colour
        return None if mono is None and colour is None else (mono or 0) + (colour or 0)
    names = {Counter.MONO: "mono", Counter.COLOUR: "colour"}
    found: int | None = getattr(quantities, names.get(counter, counter.value))
    return found


class Job(NamedTuple):
    """What a leaf adds to a device's counters (sign 1), or takes out again (-1: what it corrects)."""

    device: str
    occurred_at: datetime
    leaf: int
    sign: int
    corrects: int | None
    quantities: Metered


def jobs_of(
    entries: Iterable[tuple[int, Record | Conflict]],
    devices: Mapping[str, datetime],
    named: Mapping[int, Record | Conflict],
    corrected: dict[int, int],
) -> list[Job]:
    """The jobs of these devices, each after the time that it is metered from.

    `named` are the leaves that corrections name. `corrected` has by leaf the one that corrects it, and is
    added to: a leaf is corrected once, and a correction of what cannot be corrected counts nothing.
    """
    found = list[Job]()
    for leaf, entry in entries:
        if isinstance(entry, Conflict):
            continue
        signed, target = [(1, entry)], None
        if entry.corrects:
            target = entry.corrects.leaf
            former = named.get(target)
            if corrected.get(target, leaf) != leaf or target >= leaf or not isinstance(former, Record):
                continue
            corrected[target] = leaf
            signed.append((-1, former))
        found += [
            Job(record.device, record.occurred_at, leaf, sign, target, metered_of(record))
            for sign, record in signed
            if record.device and record.device in devices and record.occurred_at > devices[record.device]
        ]
    return found


class Verdict(StrEnum):
    """What a stretch comes to."""

    AGREES = "agrees"
    DIFFERS = "differs"
    CARRIED = "carried"
    """The next stretch, or the one before, differs by as much the other way: a job ran while it was read."""
    UNTOLD = "untold"
    """More was counted than recorded, and there are entries that do not tell how much they were."""
    WENT_BACK = "went back"
    """The counter is lower than before: it was reset, or the device replaced. Nothing can be said."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A counter between two readings of one source, (since, until]: what it counted, and what the entries of
    all sources about that device add up to.
    """

    source: str
    device: str
    counter: Counter
    since: datetime
    until: datetime
    counted: int
    recorded: int
    jobs: int
    untold: int
    """Entries among them that do not tell this quantity."""
    verdict: Verdict = Verdict.AGREES

    @property
    def difference(self) -> int:
        """Counted and not recorded; below zero: recorded and not counted."""
        return self.counted - self.recorded


def judged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """With their verdicts, by device, counter, source and time."""
    ordered = sorted(stretches, key=lambda each: (each.device, each.counter, each.source, each.until))
    found = list[Stretch]()
    for _, group in groupby(ordered, key=lambda each: (each.device, each.counter, each.source)):
        found += _judged(list(group))
    return found


def _judged(stretches: Sequence[Stretch]) -> list[Stretch]:
    verdicts = [_alone(each) for each in stretches]
    for at in range(1, len(stretches)):
        pair = stretches[at - 1], stretches[at]
        adjacent = pair[0].until == pair[1].since
        amiss = {Verdict.DIFFERS, Verdict.UNTOLD}
        open_ = verdicts[at - 1] in amiss and verdicts[at] in amiss
        if adjacent and open_ and pair[0].difference + pair[1].difference == 0:
            verdicts[at - 1] = verdicts[at] = Verdict.CARRIED
    return [replace(each, verdict=verdict) for each, verdict in zip(stretches, verdicts, strict=True)]


def _alone(stretch: Stretch) -> Verdict:
    if stretch.counted < 0:
        return Verdict.WENT_BACK
    if stretch.difference == 0:
        return Verdict.AGREES
    return Verdict.UNTOLD if stretch.difference > 0 and stretch.untold else Verdict.DIFFERS


def _quantity(told_: int | UnsetType, concerns: bool) -> int | None:
    if told_ is not UNSET:
        return told_
    return None if concerns else 0
