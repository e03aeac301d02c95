"""What a follower reads, over the logs in memory, and the positions of folds in memory."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.following import FollowedLog, GrowthRead


class MemoryFollowing:
    """Following over MemoryLogs. Every growth came in at `received_at`."""

    def __init__(
        self, logs: MemoryLogs, *, received_at: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)
    ) -> None:
        self.received_at = received_at
        self.time_zones: dict[str, str] = {}
        self._logs = logs
        self._positions: dict[str, dict[int, int]] = {}

    async def logs(self) -> Sequence[FollowedLog]:
        return [
            FollowedLog(log.id, tenant, log.origin, self.time_zones.get(tenant, "UTC"), len(log.entries))
            for tenant, log in self._logs.all.items()
            if tenant and log.entries
        ]

    async def positions(self, fold: str) -> Mapping[int, int]:
        return dict(self._positions.get(fold, {}))

    async def growths(self, log_id: int, from_size: int, most_leaves: int) -> Sequence[GrowthRead]:
        log = self._logs.log(log_id)
        ends = [size for size, *_ in log.growths]
        found = list[GrowthRead]()
        for start, end in zip([0, *ends], ends, strict=False):
            if start >= from_size and (not found or end <= from_size + most_leaves):
                entries = [(leaf, entry_of(log.entries[leaf])) for leaf in range(start, end)]
                found.append(GrowthRead(start, end, self.received_at, entries))
        return found

    def expect(self, fold: str, log_id: int, growths: Sequence[GrowthRead]) -> None:
        """Raises Overtaken unless the fold stands where the growths begin."""
        if self._positions.get(fold, {}).get(log_id, 0) != growths[0].from_size:
            raise Overtaken(f"{fold!r} does not stand at {growths[0].from_size:,} of this log any more")

    def advanced(self, fold: str, log_id: int, growths: Sequence[GrowthRead]) -> None:
        """See adapters/postgres/ledger_following.py."""
        self.expect(fold, log_id, growths)
        self._positions.setdefault(fold, {})[log_id] = growths[-1].to_size

    def forget(self, fold: str, log_id: int) -> None:
        """The fold begins anew with that log."""
        self._positions.get(fold, {}).pop(log_id, None)
