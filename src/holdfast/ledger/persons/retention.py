"""For how long entries are kept, and letting go of them. Hashes, proofs, runs, sums and checkpoints stay.

A log is pruned from its beginning, in whole growths. What may go is decided in the database (migration 0019),
by the least of these:

    old        it came in before the days that the tenant's entries are kept
    published  a checkpoint over it was handed out and cosigned: what goes can be proved for ever
    tiled      its hashes are in full tiles, and not reckoned from the entries
    folded     every follower has read it, so that sums and indexes have it
    settled    it came before the first thing that somebody must still look into

and by a **legal hold** on the tenant, which stops everything. What is kept for a shorter time than before
counts seven days after it was first seen: a slip of the pen takes nothing away.

First it is declared up to where a log is no longer kept, durably; then partitions that are wholly so are
dropped, and segments elsewhere taken out in portions. A process that dies in between has lost nothing: the
next one goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holdfast.kernel.clock import Clock

SETTLES_AFTER_DAYS = 7
"""How long a shorter keep waits. The database has it in `ledger.keep_in_force`."""
SWEPT_AT_ONCE = 1_000
"""Segments, in one transaction."""
MONTHS_AHEAD = 2
"""Partitions are there for this month and so many more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How it stands with one tenant's log. Sizes count leaves from the log's beginning; times in UTC."""

    tenant: str
    log_id: int
    size: int
    keep_days: int | None
    """By what is declared and was before; None: for ever."""
    hold: str | None
    """Why nothing may go."""
    old: int
    published: int
    tiled: int
    folded: int
    settled: int
    pruned: int
    """Up to where it was declared before."""
    up_to: int
    """Up to where it could be now, but for a hold."""

    @property
    def going(self) -> int:
        """Entries that may go now, besides those that are declared."""
        return 0 if self.hold else self.up_to - self.pruned

    @property
    def waits_for(self) -> str:
        """What keeps entries that are old enough; empty when nothing does."""
        if self.old <= self.pruned:
            return ""
        if self.hold:
            return f"a legal hold: {self.hold}"
        for reached, what in (
            (self.settled, "something that is not settled"),
            (self.folded, "a follower that has not read them"),
            (self.published, "a published checkpoint"),
            (self.tiled, "their tile to be full"),
        ):
            if reached == min(self.settled, self.folded, self.published, self.tiled) < self.old:
                return what
        return ""


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold on a tenant."""

    tenant: str
    reason: str
    actor: str
    placed_at: datetime
    lifted_at: datetime | None = None
    lifted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """What left the disk."""

    segments: int = 0
    bytes: int = 0
    partitions: tuple[str, ...] = ()

    def plus(self, other: "Gone") -> "Gone":
        return Gone(
            self.segments + other.segments, self.bytes + other.bytes, self.partitions + other.partitions
        )


class Retention(Protocol):
    """Where it is kept what is kept. What changes anything for good writes the journal in its transaction."""

    async def declare(self, keep_days: Mapping[str, int | None]) -> None:
        """Notes for how long each tenant's entries are to be kept, where that is another time than before."""
        ...

    async def kept(self, folds: Sequence[str]) -> Sequence[Kept]:
        """All tenants' logs, by tenant."""
        ...

    async def prune(self, log_id: int, folds: Sequence[str], *, actor: str) -> int:
        """Declares what may go of a log, and returns up to where that is by now."""
        ...

    async def drop(self) -> Gone:
        """Partitions of which everything is declared and not held."""
        ...

    async def sweep(self, most: int) -> Gone:
        """So many segments that are declared and not held."""
        ...

    async def pruned_to(self, log_id: int) -> int:
        """Entries below this leaf are rightly no longer there."""
        ...

    async def make_partition(self, at: datetime) -> str | None:
        """That of the month; None when it is there."""
        ...

    async def place_hold(self, tenant: str, reason: str, *, actor: str) -> bool:
        """False when one stands already."""
        ...

    async def lift_hold(self, tenant: str, *, actor: str) -> bool:
        """False when none stands."""
        ...

    async def holds(self, tenant: str | None = None) -> Sequence[Hold]:
        """Oldest first, also those that were lifted."""
        ...


@dataclass(frozen=True, slots=True)
class Pruned:
    """What came of it: how each log stood before, up to where it is pruned now, and what left the disk."""

    before: tuple[Kept, ...]
    up_to: Mapping[int, int]
    gone: Gone


class Pruner:
    """Lets go of what is no longer kept. Two at once do no harm: one waits for the other."""

    def __init__(self, retention: Retention, clock: Clock, folds: Sequence[str]) -> None:
        """`folds`: the names of all folds that must have read an entry before it goes."""
        self._retention = retention
        self._clock = clock
        self._folds = tuple(folds)

    async def seen(self) -> Sequence[Kept]:
        """What would be done, without doing any of it."""
        return await self._retention.kept(self._folds)

    async def prune(self, keep_days: Mapping[str, int | None], *, actor: str) -> Pruned:
        """`keep_days` of each tenant as it is declared now; a tenant that is not in it keeps all for ever."""
        await self._retention.declare(keep_days)
        before = tuple(await self._retention.kept(self._folds))
        up_to = {
            each.log_id: await self._retention.prune(each.log_id, self._folds, actor=actor)
            for each in before
            if each.going > 0
        }
        gone = await self._retention.drop()
        while (swept := await self._retention.sweep(SWEPT_AT_ONCE)).segments:
            gone = gone.plus(swept)
        return Pruned(before, up_to, gone)

    async def make_ahead(self) -> Sequence[str]:
        """The partitions of this month and the next ones. Returns those that were not there."""
        month = self._clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        made = list[str]()
        for _ in range(MONTHS_AHEAD + 1):
            if name := await self._retention.make_partition(month):
                made.append(name)
            month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
        return made
