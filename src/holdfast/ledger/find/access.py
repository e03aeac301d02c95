"""Who read or exported what: written before anything is handed out, and never changed.

What somebody was handed is kept as the filter and the stretch of leaves that it was answered from. Entries
never change, so that it can be told for ever, entry by entry, whether it was among them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from holdfast.ledger.find.finding import Entry, Filter


class Way(StrEnum):
    """How somebody came."""

    CONSOLE = "console"
    API = "api"
    CLI = "cli"


class Act(StrEnum):
    """What they were handed."""

    READ = "read"
    EXPORT = "export"
    TRACE = "trace"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the trail names them."""

    who: str
    way: Way


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody is about to be handed."""

    tenant: str
    caller: Caller
    act: Act
    wanted: Filter
    start: int
    end: int
    """Leaves [start, end) that match were handed out."""
    also: tuple[int, ...] = ()
    """Leaves that were shown beside them, matching or not: a correction's original."""
    rows: int | None = None
    """How many entries; None for an export, which tells it at its end."""

    def has(self, leaf: int, entry: Entry) -> bool:
        """Whether that entry was among what was handed out."""
        return leaf in self.also or (self.start <= leaf < self.end and self.wanted.matches(entry))


@dataclass(frozen=True, slots=True)
class Access:
    """A line of the trail. `rows` stays None for an export that was broken off: it may have got all of it."""

    id: int
    at: datetime
    reading: Reading


class AccessTrail(Protocol):
    """Where it is kept. Lines are added, never changed and never removed."""

    async def begin(self, reading: Reading) -> int:
        """Durably writes that this is about to be handed out. Returns the line's id."""
        ...

    async def ended(self, tenant: str, access_id: int, rows: int) -> None:
        """An export was handed out whole."""
        ...

    async def accesses(
        self,
        tenant: str,
        *,
        start: int = 0,
        end: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Access]:
        """Newest first, of ids below `before`: those that touch leaves [start, end)."""
        ...


AT_ONCE = 500
MOST_LOOKED_AT = 50_000
"""Lines of the trail that are looked through for one trace."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Who was handed any of some entries, newest first, and which."""

    accesses: Sequence[tuple[Access, tuple[int, ...]]]
    complete: bool
    """False when there are more than were looked through, or than were asked for."""


async def who_saw(
    trail: AccessTrail, tenant: str, entries: Iterable[tuple[int, Entry]], *, most: int
) -> Seen:
    """Who read or exported any of these entries."""
    asked = dict(entries)
    if not asked:
        return Seen((), complete=True)
    found = list[tuple[Access, tuple[int, ...]]]()
    before, looked_at = None, 0
    while True:
        lines = await trail.accesses(
            tenant, start=min(asked), end=max(asked) + 1, before=before, limit=AT_ONCE
        )
        for each in lines:
            leaves = tuple(leaf for leaf, entry in asked.items() if each.reading.has(leaf, entry))
            if leaves and len(found) == most:
                return Seen(found, complete=False)
            if leaves:
                found.append((each, leaves))
        looked_at += len(lines)
        if len(lines) < AT_ONCE:
            return Seen(found, complete=True)
        if looked_at >= MOST_LOOKED_AT:
            return Seen(found, complete=False)
        before = lines[-1].id
