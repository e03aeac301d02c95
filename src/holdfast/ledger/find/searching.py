"""Searching a log: what the index cannot rule out is read, from the newest leaf on, and looked at.

Newest is what came in last: a leaf's place never changes, so that a page that was read stays the same page
while the log grows, and the next one begins exactly behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.find.finding import (
    BLOCK,
    Entry,
    Filter,
    Indexed,
    Look,
    Mention,
    mentions_of,
    named_by,
    stretches,
)
from holdfast.ledger.following import GrowthRead
from holdfast.ledger.ports import LogStore

LOOKED_AT_ONCE = 512
"""Blocks of the index that are asked for at a time: two million leaves."""
MOST_BEHIND = 65_536
"""Leaves behind the index whose mentions are found by reading them all. Beyond, the result says so."""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """A tenant's log, as it was when somebody began to read it."""

    log_id: int
    tenant: str
    origin: str
    size: int


class Findings(Protocol):
    """The index of the logs. What is in it follows from the entries (finding.py)."""

    async def log_of(self, tenant: str) -> LogSeen | None:
        """None for a tenant without a log."""
        ...

    async def looks(self, log_id: int, start: int, end: int, lines: Sequence[int]) -> Sequence[Look]:
        """The rows that there are of the blocks [start, end), with these lines of their filters."""
        ...

    async def position(self, log_id: int) -> int:
        """Up to which leaf all mentions are known."""
        ...

    async def mentions(self, log_id: int, leaves: Sequence[int]) -> Sequence[Mention]:
        """Of these leaves and by them, in the order of those who mention."""
        ...

    async def keep(
        self,
        log_id: int,
        growths: Sequence[GrowthRead],
        rows: Mapping[int, Indexed],
        mentions: Sequence[Mention],
    ) -> None:
        """The rows of blocks and the mentions, and the position moved over the growths, in one transaction.

        Raises Overtaken, and keeps nothing, when the position is another one.
        """
        ...

    async def forget(self, log_id: int) -> None:
        """Everything of that log, and its position: the follower folds it anew. Entries are not touched."""
        ...

    async def received(self, log_id: int, leaves: Sequence[int]) -> Mapping[int, datetime]:
        """When each of these leaves came in (UTC)."""
        ...


@dataclass(frozen=True, slots=True)
class Searched:
    """What a stretch had: by leaf, the newest first."""

    found: Sequence[tuple[int, Entry]]
    start: int
    """Everything from here to the stretch before was looked at, or ruled out."""
    end: int
    pruned_below: int | None = None
    """Nothing below is kept any more: that was the last stretch."""
    read: int = 0
    """Leaves that were read for it."""


async def search(
    store: LogStore, index: Findings, log_id: int, wanted: Filter, below: int
) -> AsyncIterator[Searched]:
    """All leaves below `below` that match, stretch by stretch down to leaf 0. Raises LogDamaged."""
    end = -(-below // BLOCK)
    first = 1
    while end > 0:
        start = max(end - LOOKED_AT_ONCE, 0)
        looks = await index.looks(log_id, start, end, wanted.asked.lines)
        ruled_out = {look.block for look in looks if not wanted.asked.may_be_in(look)}
        blocks = [block for block in range(end - 1, start - 1, -1) if block not in ruled_out]
        for low, high in stretches(blocks, below, first=first):
            searched = await _searched(store, log_id, wanted, low, high)
            yield searched
            if searched.pruned_below is not None:
                return
        yield Searched((), start * BLOCK, start * BLOCK)
        end, first = start, 4


async def _searched(store: LogStore, log_id: int, wanted: Filter, start: int, end: int) -> Searched:
    try:
        leaves: Sequence[bytes] = await store.entries(log_id, start, end - start)
        kept = start
    except EntriesPruned:
        kept, leaves = await _still_kept(store, log_id, start, end)
    found = await asyncio.to_thread(_picked, leaves, kept, wanted)
    return Searched(found, start, end, kept if kept > start else None, len(leaves))


def _picked(leaves: Sequence[bytes], start: int, wanted: Filter) -> list[tuple[int, Entry]]:
    found = list[tuple[int, Entry]]()
    for place in range(len(leaves) - 1, -1, -1):
        if wanted.may_be(leaves[place]):
            entry = entry_of(leaves[place])
            if wanted.matches(entry):
                found.append((start + place, entry))
    return found


async def _still_kept(store: LogStore, log_id: int, start: int, end: int) -> tuple[int, Sequence[bytes]]:
    """From which leaf on they can be read, and those: retention takes the oldest first."""
    low, kept = start, end
    found: Sequence[bytes] = ()
    while low < kept:
        middle = (low + kept) // 2
        try:
            found = await store.entries(log_id, middle, end - middle)
            kept = middle
        except EntriesPruned:
            low = middle + 1
    return kept, found


@dataclass(frozen=True, slots=True)
class Mentions:
    """Who mentions whom in a log, for the length of one reading."""

    index: Findings
    log_id: int
    position: int
    behind: Sequence[Mention]
    """Those that the index has not seen yet."""
    complete: bool
    """False when there was too much behind the index to be read: newer mentions may be missing."""

    @classmethod
    async def read(cls, store: LogStore, index: Findings, seen: LogSeen) -> "Mentions":
        position = min(await index.position(seen.log_id), seen.size)
        if seen.size - position > MOST_BEHIND:
            return cls(index, seen.log_id, position, (), complete=False)
        found = list[Mention]()
        for start in range(position, seen.size, BLOCK):
            try:
                leaves = await store.entries(seen.log_id, start, min(seen.size - start, BLOCK))
            except EntriesPruned:
                continue
            naming = [(start + n, entry_of(leaf)) for n, leaf in enumerate(leaves) if names_another(leaf)]
            named = named_by(naming)
            indexed = await index.mentions(seen.log_id, sorted(named)) if named else ()
            before = [*found, *(each for each in indexed if each.by < position)]
            found += mentions_of(naming, await named_entries(store, seen, named), before)
        return cls(index, seen.log_id, position, found, complete=True)

    async def of(self, leaves: Iterable[int]) -> Sequence[Mention]:
        """Of these leaves, and by them."""
        asked = set(leaves)
        # What the follower adds meanwhile is left out: it is in `behind` already.
        known = [
            each for each in await self.index.mentions(self.log_id, sorted(asked)) if each.by < self.position
        ]
        return [*known, *(each for each in self.behind if asked & {each.leaf, each.by})]


def names_another(leaf: bytes) -> bool:
    """Whether the entry may mention another one. None that does is missed."""
    return b'"corrects":{' in leaf or b'"what":"conflict"' in leaf


async def named_entries(store: LogStore, seen: LogSeen, leaves: AbstractSet[int]) -> dict[int, Entry]:
    """Those of the entries that can be read: a leaf that is not there, or was pruned, is left out."""
    found = dict[int, Entry]()
    for leaf in sorted(each for each in leaves if each < seen.size):
        try:
            [content] = await store.entries(seen.log_id, leaf, 1)
        except EntriesPruned:
            continue
        found[leaf] = entry_of(content)
    return found
