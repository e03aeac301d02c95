"""The index of the logs and the trail of who read them, in memory. Everything ends with the process."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.kernel.clock import Clock
from holdfast.ledger.find.access import Access, Reading
from holdfast.ledger.find.finding import Indexed, Look, Mention, lines_of
from holdfast.ledger.find.indexing import FindingFold
from holdfast.ledger.find.searching import LogSeen
from holdfast.ledger.following import GrowthRead
from holdfast.ledger.ports import LogStore


class MemoryFindings:
    """Findings over dictionaries, of the logs that are followed."""

    def __init__(self, store: LogStore, following: MemoryFollowing) -> None:
        self._store = store
        self._following = following
        self._rows: dict[tuple[int, int], Indexed] = {}
        self._mentions: dict[int, list[Mention]] = {}

    async def log_of(self, tenant: str) -> LogSeen | None:
        head = await self._store.head(tenant)
        if head is None or not head.edge.size:
            return None
        return LogSeen(head.log_id, tenant, head.origin, head.edge.size)

    async def looks(self, log_id: int, start: int, end: int, lines: Sequence[int]) -> Sequence[Look]:
        return [
            Look(block, row.occurred_from, row.occurred_to, lines_of(row.terms, lines))
            for (log, block), row in self._rows.items()
            if log == log_id and start <= block < end
        ]

    async def position(self, log_id: int) -> int:
        return (await self._following.positions(FindingFold.name)).get(log_id, 0)

    async def mentions(self, log_id: int, leaves: Sequence[int]) -> Sequence[Mention]:
        asked = set(leaves)
        return [each for each in self._mentions.get(log_id, ()) if asked & {each.leaf, each.by}]

    async def keep(
        self,
        log_id: int,
        growths: Sequence[GrowthRead],
        rows: Mapping[int, Indexed],
        mentions: Sequence[Mention],
    ) -> None:
        self._following.advanced(FindingFold.name, log_id, growths)
        self._rows |= {(log_id, block): row for block, row in rows.items()}
        self._mentions.setdefault(log_id, []).extend(mentions)

    async def forget(self, log_id: int) -> None:
        self._rows = {key: row for key, row in self._rows.items() if key[0] != log_id}
        self._mentions.pop(log_id, None)
        self._following.forget(FindingFold.name, log_id)

    async def received(self, log_id: int, leaves: Sequence[int]) -> Mapping[int, datetime]:
        del log_id
        return dict.fromkeys(leaves, self._following.received_at)


class MemoryAccessTrail:
    """AccessTrail over a list."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[tuple[datetime, Reading]] = []
        self._ended: dict[int, int] = {}

    async def begin(self, reading: Reading) -> int:
        self._lines.append((self._clock.now(), reading))
        return len(self._lines)

    async def ended(self, tenant: str, access_id: int, rows: int) -> None:
        del tenant
        self._ended[access_id] = rows

    async def accesses(
        self,
        tenant: str,
        *,
        start: int = 0,
        end: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[Access]:
        found = [
            Access(number, at, self._with_rows(number, reading))
            for number, (at, reading) in enumerate(self._lines, 1)
            if reading.tenant == tenant
            and (before is None or number < before)
            and (reading.also or (reading.end > start and (end is None or reading.start < end)))
        ]
        return found[::-1][:limit]

    def _with_rows(self, number: int, reading: Reading) -> Reading:
        return replace(reading, rows=self._ended.get(number, reading.rows))
