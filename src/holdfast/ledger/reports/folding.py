"""The fold of the roll-ups: reads what corrections name, adds up, and has it kept."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from zoneinfo import ZoneInfo

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.model import Conflict, Record
from holdfast.ledger.ports import LogStore
from holdfast.ledger.reports.rollups import Folded, fold, named_by

ROLL_UPS = "rollups"
"""The name of the fold."""


class Book(Protocol):
    """The sums of one log, while growths are folded into them."""

    @property
    def zone(self) -> ZoneInfo:
        """Its days are days of this zone."""
        ...

    async def settled(self, leaves: AbstractSet[int]) -> AbstractSet[int]:
        """Those of them that were corrected before, or are void corrections."""
        ...

    async def trusted(self, leaves: AbstractSet[int]) -> Mapping[int, int]:
        """Of leaves that cannot be read any more: which leaf is known to correct them."""
        ...

    async def keep(self, folded: Folded) -> None:
        """Add it to the sums."""
        ...


class RollUpStore(Protocol):
    """The sums that are in force."""

    def folding(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> AbstractAsyncContextManager[Book]:
        """A transaction that moves the position over the growths. Raises Overtaken."""
        ...


class RollUps:
    """Fold over a store of roll-ups."""

    name = ROLL_UPS

    def __init__(self, store: RollUpStore, logs: LogStore) -> None:
        self._store = store
        self._logs = logs

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        async with self._store.folding(log, growths) as book:
            await add(self._logs, log.id, growths, book)


async def add(logs: LogStore, log_id: int, growths: Sequence[GrowthRead], book: Book) -> None:
    """Fold these growths into the book."""
    entries = [entry for growth in growths for entry in growth.entries]
    asked = named_by(entries)
    named, unreadable = await _named(logs, log_id, growths, asked)
    await book.keep(
        fold(
            entries,
            book.zone,
            named=named,
            settled=await book.settled(asked) if asked else frozenset(),
            trusted=await book.trusted(unreadable) if unreadable else None,
        )
    )


async def _named(
    logs: LogStore, log_id: int, growths: Sequence[GrowthRead], asked: AbstractSet[int]
) -> tuple[dict[int, Record | Conflict], set[int]]:
    """The entries of these leaves, and those that retention took. What is not in the log yet is neither."""
    first, end = growths[0].from_size, growths[-1].to_size
    named, pruned = dict[int, Record | Conflict](), set[int]()
    if not asked:
        return named, pruned
    for growth in growths:
        named.update((leaf, entry) for leaf, entry in growth.entries if leaf in asked)
    for leaf in sorted(asked - named.keys()):
        if leaf >= end:
            continue
        if leaf >= first:
            pruned.add(leaf)
            continue
        try:
            named[leaf] = entry_of((await logs.entries(log_id, leaf, 1))[0])
        except EntriesPruned:
            pruned.add(leaf)
    return named, pruned
