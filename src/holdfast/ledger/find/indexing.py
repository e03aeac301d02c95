"""Indexing: a fold that writes a row for each block of leaves that has become full, and every mention.

The index follows from the log, and can be compared with it and folded anew.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.find.finding import (
    BLOCK,
    LINES,
    UNREADABLE,
    Entry,
    Indexed,
    Mention,
    indexed,
    mentions_of,
    named_by,
)
from holdfast.ledger.find.searching import Findings, LogSeen, named_entries
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.model import Record
from holdfast.ledger.ports import LogStore


class FindingFold:
    """`Fold` of the index. The beginning of a block that came in earlier is read from the log again."""

    name = "finding"

    def __init__(self, store: LogStore, index: Findings) -> None:
        self._store = store
        self._index = index

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        start, end = growths[0].from_size, growths[-1].to_size
        entries = {leaf: entry for growth in growths for leaf, entry in growth.entries}
        rows = {
            block: await self._row(log.id, block, start, entries)
            for block in range(start // BLOCK, end // BLOCK)
        }
        naming = list(entries.items())
        named = named_by(naming)
        earlier = await named_entries(
            self._store,
            LogSeen(log.id, log.tenant, log.origin, start),
            {leaf for leaf in named if leaf < start},
        )
        known = await self._index.mentions(log.id, sorted(named)) if named else ()
        here = {leaf: entries[leaf] for leaf in named if leaf in entries}
        mentions = mentions_of(naming, earlier | here, known)
        await self._index.keep(log.id, growths, rows, mentions)

    async def _row(self, log_id: int, block: int, start: int, entries: dict[int, Entry]) -> Indexed:
        first = block * BLOCK
        found = list[Entry]()
        if first < start:
            try:
                before = await self._store.entries(log_id, first, start - first)
            except EntriesPruned:
                return UNREADABLE
            found += [entry_of(leaf) for leaf in before]
        there = (entries.get(leaf) for leaf in range(max(first, start), first + BLOCK))
        found += [entry for entry in there if entry is not None]
        # Nothing is ruled out of a block that retention took entries of before they were indexed.
        return await asyncio.to_thread(indexed, found) if len(found) == BLOCK else UNREADABLE


@dataclass(frozen=True, slots=True)
class Compared:
    """An index against its log. What the follower has not come to yet is not compared."""

    size: int
    position: int
    differences: Sequence[str]


async def compared(
    store: LogStore, index: Findings, seen: LogSeen, report: Callable[[int], None] = lambda _: None
) -> Compared:
    """Each row of the index and each mention, against what follows from the entries. `report` hears leaves.

    What retention has taken cannot be compared: its rows, and mentions of or by it, are passed over.
    """
    position = min(await index.position(seen.log_id), seen.size)
    differences = list[str]()
    expected = list[Mention]()
    for first in range(0, position, BLOCK):
        end = min(first + BLOCK, position)
        try:
            leaves = await store.entries(seen.log_id, first, end - first)
        except EntriesPruned:
            continue
        entries = [(first + n, entry_of(leaf)) for n, leaf in enumerate(leaves)]
        if len(leaves) == BLOCK:
            differences += await _differs(index, seen.log_id, first // BLOCK, [each for _, each in entries])
        naming = [(leaf, each) for leaf, each in entries if not isinstance(each, Record) or each.corrects]
        named = named_by(naming)
        fresh = mentions_of(naming, await named_entries(store, seen, named), expected if naming else ())
        expected += fresh
        known = await index.mentions(seen.log_id, [leaf for leaf, _ in entries])
        here = {each for each in known if first <= each.by < end}
        differences += [
            f"leaf {each.by:,} and what it says of leaf {each.leaf:,}" for each in sorted(here ^ set(fresh))
        ]
        report(end)
    return Compared(seen.size, position, differences)


async def _differs(index: Findings, log_id: int, block: int, entries: Sequence[Entry]) -> list[str]:
    looks = await index.looks(log_id, block, block + 1, range(LINES))
    row = await asyncio.to_thread(indexed, entries)
    where = f"leaves {block * BLOCK:,} to {block * BLOCK + BLOCK - 1:,}"
    if not looks:
        return [f"{where}: there is no row of the index"]
    look = looks[0]
    if look.lines == UNREADABLE.terms or look[1:] == (row.occurred_from, row.occurred_to, row.terms):
        return []
    return [f"{where}: the index has a different row"]
