"""Indexing: a fold that writes a row for each block of leaves that has become full, and every mention."""

import asyncio
from collections.abc import Sequence

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.finding import BLOCK, UNREADABLE, Entry, Indexed, indexed, mentions_of, named_by
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.ports import LogStore
from holdfast.ledger.searching import Findings, LogSeen, named_entries


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
