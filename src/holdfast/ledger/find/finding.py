"""Finding entries: an index over each log says where something may be, and where it certainly is not. Pure.

A log is cut into **blocks** of 4,096 leaves. A block that is full has a row in the index: between which times
its jobs occurred, and a Bloom filter (Bloom 1970; blocked as by Putze, Sanders, Singler 2007: all bits of a
term lie in one line of 64 bytes, so that a look reads 64 bytes of a filter and not all of it). What the index
cannot rule out is read and looked at, what is behind the last full block too: an index that lags, has holes
or was lost makes finding slower, never wrong. A row follows from the block's leaves alone: folded again, it
is the same, byte for byte.

A **mention** is an entry that names an earlier one: a correction of it, or a record that came in conflict.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import LogDamaged, Unsuitable
from holdfast.ledger.model import Conflict, Kind, Record, Status

BLOCK = 4096
"""Leaves of a block."""
LINES = 256
LINE_BYTES = 64
"""A term has 6 bits in one line. With 10,000 terms in a block (each leaf its own job, hardly any user twice)
one look in 350 sees what is not there; with 5,200 one in 3,000."""
MOST_VALUES = 100
"""Of one dimension that a filter asks for."""
LONGEST_VALUE = 200

Entry = Record | Conflict


class What(StrEnum):
    """What an entry is."""

    RECORD = "record"
    CORRECTION = "correction"
    CONFLICT = "conflict"


JOBS = frozenset({What.RECORD, What.CORRECTION})
"""What a list of jobs shows. A conflict counts nothing, and is shown beside the entry that it is about."""


class Dimension(StrEnum):
    """What entries can be found by, the most telling one first."""

    JOB = "job"
    USER = "user"
    DEVICE = "device"
    COST_CENTRE = "cost_centre"
    SOURCE = "source"
    KIND = "kind"
    STATUS = "status"
    WHAT = "what"


_IN_LEAVES = (Dimension.JOB, Dimension.USER, Dimension.DEVICE, Dimension.COST_CENTRE, Dimension.SOURCE)
_CLOSED: Mapping[Dimension, AbstractSet[str]] = {
    Dimension.KIND: frozenset(Kind),
    Dimension.STATUS: frozenset(Status),
    Dimension.WHAT: frozenset(What),
}


@dataclass(frozen=True)
class Filter:
    """Which entries: all whose job occurred in [since, until) and who have one of the wanted values in each
    dimension. The empty text stands for what a record does not tell.
    """

    since: datetime | None = None
    until: datetime | None = None
    wanted: Mapping[Dimension, AbstractSet[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        since: datetime | None = None,
        until: datetime | None = None,
        wanted: Mapping[Dimension, Iterable[str]] | None = None,
    ) -> "Filter":
        """As somebody asks: a dimension without values is none. Raises Unsuitable."""
        found = {dimension: frozenset(values) for dimension, values in (wanted or {}).items()}
        for dimension, values in found.items():
            if len(values) > MOST_VALUES or any(len(each) > LONGEST_VALUE for each in values):
                raise Unsuitable(
                    f"{dimension}: more than {MOST_VALUES} values, or one above {LONGEST_VALUE} characters"
                )
            if unknown := sorted(values - _CLOSED.get(dimension, values)):
                known = ", ".join(sorted(_CLOSED[dimension]))
                raise Unsuitable(f"there is no {dimension} {unknown[0]!r}", hint=f"there are: {known}")
        for moment in (since, until):
            if moment is not None and moment.tzinfo is None:
                raise Unsuitable("a time needs its offset", hint="as in 2026-11-02T08:30:00Z")
        if since is not None and until is not None and since >= until:
            raise Unsuitable("that time ends before it begins")
        return cls(since, until, {dimension: values for dimension, values in found.items() if values})

    def matches(self, entry: Entry) -> bool:
        record = record_of(entry)
        if self.since is not None and record.occurred_at < self.since:
            return False
        if self.until is not None and record.occurred_at >= self.until:
            return False
        for dimension, values in self.wanted.items():
            found = what_of(entry) if dimension is Dimension.WHAT else told(record, dimension)
            if found not in values:
                return False
        return True

    def may_be(self, leaf: bytes) -> bool:
        """False when the leaf certainly does not match: looked at as bytes, which is quick."""
        if not self._needles:
            return True
        return any(needle in leaf for needle in self._needles) or b'"what":"conflict"' in leaf

    @cached_property
    def asked(self) -> "Asked":
        return Asked.of(self)

    @cached_property
    def _needles(self) -> Sequence[bytes]:
        """How a leaf that matches has one of the values in it: it is canonical, so in one way only."""
        for dimension in _IN_LEAVES:
            values = self.wanted.get(dimension, ())
            if values and "" not in values:
                name = f'"{dimension}":'.encode()
                return [name + msgspec.json.encode(each) for each in values]
        return ()

    def facts(self) -> dict[str, object]:
        """As it is kept: JSON, and `from_facts` reads it."""
        found: dict[str, object] = {str(key): sorted(values) for key, values in self.wanted.items()}
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None:
                found[name] = moment.isoformat()
        return found

    @classmethod
    def from_facts(cls, facts: Mapping[str, object]) -> "Filter":
        """Raises LogDamaged for what `facts` did not write."""
        try:
            moments = {name: facts.get(name) for name in ("since", "until")}
            return cls.of(
                **{
                    name: None if each is None else datetime.fromisoformat(str(each))
                    for name, each in moments.items()
                },
                wanted={
                    Dimension(name): [str(each) for each in values]
                    for name, values in facts.items()
                    if name not in moments and isinstance(values, list)
                },
            )
        except (ValueError, Unsuitable) as error:
            raise LogDamaged(f"a filter that was kept cannot be read: {error}") from error


class Indexed(NamedTuple):
    """A block's row. Without times, and with all bits set, for one that cannot be read any more."""

    occurred_from: datetime | None
    occurred_to: datetime | None
    terms: bytes
    """LINES lines of LINE_BYTES."""


UNREADABLE = Indexed(None, None, b"\xff" * (LINES * LINE_BYTES))


class Look(NamedTuple):
    """What was read of a block's row: its times, and those lines of its filter that were asked for."""

    block: int
    occurred_from: datetime | None
    occurred_to: datetime | None
    lines: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What a filter asks of the index."""

    filter: Filter
    lines: tuple[int, ...]
    groups: tuple[tuple[tuple[int, int], ...], ...]
    """Of each there must be one (its line's place in `lines`, the bits that must be set there)."""

    @classmethod
    def of(cls, wanted: Filter) -> "Asked":
        lines = dict[int, int]()
        groups = [
            tuple(
                (lines.setdefault(line, len(lines)), bits)
                for line, bits in (_term(dimension, value) for value in sorted(values))
            )
            for dimension, values in wanted.wanted.items()
            if not values >= _CLOSED.get(dimension, frozenset({UNSET}))
        ]
        return cls(wanted, tuple(lines), tuple(groups))

    def may_be_in(self, look: Look) -> bool:
        """Whether the block may hold what is asked for."""
        wanted = self.filter
        if wanted.since is not None and look.occurred_to is not None and look.occurred_to < wanted.since:
            return False
        if wanted.until is not None and look.occurred_from is not None and look.occurred_from >= wanted.until:
            return False
        return all(
            any(_line(look.lines, place) & bits == bits for place, bits in group) for group in self.groups
        )


class Mention(NamedTuple):
    """That the entry `by` names `leaf`. A void correction changes nothing (rollups.py)."""

    leaf: int
    by: int
    what: What
    void: bool = False


def indexed(entries: Iterable[Entry]) -> Indexed:
    """The row of the block that has these entries."""
    kept = list(entries)
    records = [entry if isinstance(entry, Record) else record_of(entry) for entry in kept]
    values: dict[Dimension, AbstractSet[object]] = {
        dimension: {getattr(record, dimension) for record in records}
        for dimension in Dimension
        if dimension is not Dimension.WHAT
    }
    values[Dimension.WHAT] = {what_of(entry) for entry in kept}
    times = [record.occurred_at for record in records]
    lines = [0] * LINES
    for dimension, found in values.items():
        for value in found:
            line, bits = _term(dimension, "" if value is UNSET else str(value))
            lines[line] |= bits
    terms = b"".join(line.to_bytes(LINE_BYTES, "big") for line in lines)
    return Indexed(min(times, default=None), max(times, default=None), terms)


def lines_of(terms: bytes, lines: Sequence[int]) -> bytes:
    """These lines of a filter."""
    return b"".join(terms[line * LINE_BYTES : (line + 1) * LINE_BYTES] for line in lines)


def mentions_of(
    entries: Iterable[tuple[int, Entry]], named: Mapping[int, Entry], known: Iterable[Mention]
) -> list[Mention]:
    """What these entries, in the order of their leaves, mention. `named` has the entries that `named_by`
    tells and that can be read; `known` the earlier mentions of those, and those that they are themselves.
    """
    corrected, void = set[int](), set[int]()
    for each in known:
        if each.what is What.CORRECTION:
            (void if each.void else corrected).add(each.by if each.void else each.leaf)
    found = list[Mention]()
    for leaf, entry in entries:
        if isinstance(entry, Conflict):
            found.append(Mention(entry.leaf, leaf, What.CONFLICT))
        elif entry.corrects:
            target = entry.corrects.leaf
            stands = isinstance(named.get(target), Record) and target < leaf
            if not stands or target in corrected or target in void:
                void.add(leaf)
            else:
                corrected.add(target)
            found.append(Mention(target, leaf, What.CORRECTION, leaf in void))
    return found


def named_by(entries: Iterable[tuple[int, Entry]]) -> set[int]:
    """The leaves that corrections among these entries name."""
    return {entry.corrects.leaf for _, entry in entries if isinstance(entry, Record) and entry.corrects}


def record_of(entry: Entry) -> Record:
    """The record that an entry is, or that came in conflict."""
    if isinstance(entry, Record):
        return entry
    came = entry_of(entry.came.encode())
    if isinstance(came, Conflict):
        raise LogDamaged("a conflict entry holds another one, and no record")
    return came


def what_of(entry: Entry) -> What:
    if isinstance(entry, Conflict):
        return What.CONFLICT
    return What.CORRECTION if entry.corrects else What.RECORD


def told(record: Record, dimension: Dimension) -> str:
    """The empty text for what the record does not tell."""
    value = getattr(record, dimension)
    return "" if value is UNSET else str(value)


def stretches(
    blocks: Iterable[int], below: int, *, first: int = 1, most: int = 4
) -> Iterator[tuple[int, int]]:
    """Leaves [start, end) of these blocks, which come from the newest on, none at or behind `below`.

    Neighbours are read together, at first `first` blocks and then more, up to `most`: who wants the newest
    waits for little.
    """
    together, length = list[int](), first
    for block in blocks:
        if together and (block != together[-1] - 1 or len(together) == length):
            yield together[-1] * BLOCK, min((together[0] + 1) * BLOCK, below)
            together, length = [], min(length * 2, most)
        together.append(block)
    if together:
        yield together[-1] * BLOCK, min((together[0] + 1) * BLOCK, below)


def _term(dimension: Dimension, value: str) -> tuple[int, int]:
    """The line of a term, and its bits in it."""
    # 8 bits for the line and 6 times 9 for the bits in it: of one small number, since blocks have many terms.
    hashed = int.from_bytes(blake2b(f"{dimension}={value}".encode(), digest_size=8).digest(), "big")
    bits = (
        1 << (hashed >> 8 & 511)
        | 1 << (hashed >> 17 & 511)
        | 1 << (hashed >> 26 & 511)
        | 1 << (hashed >> 35 & 511)
        | 1 << (hashed >> 44 & 511)
        | 1 << (hashed >> 53 & 511)
    )
    return hashed & 255, bits


def _line(lines: bytes, place: int) -> int:
    return int.from_bytes(lines[place * LINE_BYTES : (place + 1) * LINE_BYTES], "big")
