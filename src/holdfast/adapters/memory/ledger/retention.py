"""Retention in memory, for tests and simulation: logs that forget entries, and what decides which."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.kernel.clock import Clock
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.log.tiles import TILE_WIDTH
from holdfast.ledger.persons.retention import SETTLES_AFTER_DAYS, Gone, Hold, Kept
from holdfast.ledger.ports import Growth, Packs


class ForgettingLogs(MemoryLogs):
    """LogStore over lists, of which entries may be taken. It knows when each growth came."""

    def __init__(self, packs: Packs, clock: Clock) -> None:
        super().__init__(packs)
        self.came: dict[int, list[tuple[int, int, datetime]]] = {}
        """By log: from size, to size, when."""
        self.gone: dict[int, int] = {}
        self._clock = clock

    async def append(self, growths: Sequence[Growth]) -> int:
        lsn = await super().append(growths)
        for each in growths:
            span = (each.from_size, each.to_size, self._clock.now())
            self.came.setdefault(each.log_id, []).append(span)
        return lsn

    async def entries(self, log_id: int, first: int, count: int) -> Sequence[bytes]:
        gone = self.gone.get(log_id, 0)
        if count and first < gone:
            raise EntriesPruned(f"the entries up to leaf {gone - 1:,} are no longer kept")
        return await super().entries(log_id, first, count)


class MemoryRetention:
    """Retention over such logs. What others would tell is set by the test."""

    def __init__(self, logs: ForgettingLogs, clock: Clock) -> None:
        self.published: dict[int, int] = {}
        self.followed: dict[tuple[str, int], int] = {}
        self.unsettled: dict[str, datetime] = {}
        self.journal: list[str] = []
        self._logs = logs
        self._clock = clock
        self._keeping: dict[str, list[tuple[datetime, int | None]]] = {}
        self._holds: list[Hold] = []
        self._pruned: dict[int, int] = {}

    async def declare(self, keep_days: Mapping[str, int | None]) -> None:
        for tenant, days in keep_days.items():
            known = self._keeping.setdefault(tenant, [])
            if not known or known[-1][1] != days:
                known.append((self._clock.now(), days))
                self.journal.append("ledger.keeping_changed")

    async def kept(self, folds: Sequence[str]) -> Sequence[Kept]:
        return [self._kept(tenant, folds) for tenant in sorted(self._logs.all) if tenant]

    def _kept(self, tenant: str, folds: Sequence[str]) -> Kept:
        log = self._logs.all[tenant]
        size, days, came = len(log.entries), self._in_force(tenant), self._logs.came.get(log.id, [])
        pruned = self._pruned.get(log.id, 0)
        old = pruned
        if days is not None:
            before = self._clock.now() - timedelta(days=days)
            old = next((start for start, _, at in came if start >= pruned and at >= before), size)
        since = self.unsettled.get(tenant)
        settled = size
        if since is not None:
            settled = next((start for start, _, at in came if start >= pruned and at >= since), size)
        limits = {
            "old": old,
            "published": self.published.get(log.id, 0),
            "tiled": size - size % TILE_WIDTH,
            "folded": min((self.followed.get((fold, log.id), 0) for fold in folds), default=size),
            "settled": settled,
        }
        ends = [end for _, end, _ in came if end <= min(limits.values())]
        up_to = max([pruned, *ends])
        return Kept(tenant, log.id, size, days, self._hold_on(tenant), **limits, pruned=pruned, up_to=up_to)

    async def prune(self, log_id: int, folds: Sequence[str], *, actor: str) -> int:
        del actor
        for each in await self.kept(folds):
            if each.log_id == log_id and each.going > 0:
                self._pruned[log_id] = each.up_to
                self.journal.append("ledger.entries_pruned")
        return await self.pruned_to(log_id)

    async def drop(self) -> Gone:
        return Gone()

    async def sweep(self, most: int) -> Gone:
        segments, bytes_ = 0, 0
        for tenant, log in self._logs.all.items():
            if self._hold_on(tenant):
                continue
            for start, end, _ in self._logs.came.get(log.id, []):
                going = self._logs.gone.get(log.id, 0) <= start and end <= self._pruned.get(log.id, 0)
                if going and segments < most:
                    self._logs.gone[log.id] = end
                    segments, bytes_ = segments + 1, bytes_ + sum(map(len, log.entries[start:end]))
        return Gone(segments, bytes_)

    async def pruned_to(self, log_id: int) -> int:
        return self._pruned.get(log_id, 0)

    async def make_partition(self, at: datetime) -> str | None:
        del at
        return None

    async def place_hold(self, tenant: str, reason: str, *, actor: str) -> bool:
        if self._hold_on(tenant):
            return False
        self._holds.append(Hold(tenant, reason, actor, self._clock.now()))
        self.journal.append("ledger.hold_placed")
        return True

    async def lift_hold(self, tenant: str, *, actor: str) -> bool:
        for place, hold in enumerate(self._holds):
            if hold.tenant == tenant and hold.lifted_at is None:
                self._holds[place] = replace(hold, lifted_at=self._clock.now(), lifted_by=actor)
                self.journal.append("ledger.hold_lifted")
                return True
        return False

    async def holds(self, tenant: str | None = None) -> Sequence[Hold]:
        return [hold for hold in self._holds if tenant in (None, hold.tenant)]

    def _hold_on(self, tenant: str) -> str | None:
        open_ = [hold.reason for hold in self._holds if hold.tenant == tenant and hold.lifted_at is None]
        return open_[0] if open_ else None

    def _in_force(self, tenant: str) -> int | None:
        settled = self._clock.now() - timedelta(days=SETTLES_AFTER_DAYS)
        known = self._keeping.get(tenant, [])
        before = [days for since, days in known if since <= settled]
        if not before:
            return None
        counts = [before[-1], *(days for since, days in known if since > settled)]
        return None if None in counts else max(days for days in counts if days is not None)
