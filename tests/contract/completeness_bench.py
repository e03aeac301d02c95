"""A store of completeness with its logs and folds, in memory or on PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from holdfast.adapters.memory.ledger.completeness import (
    MemoryCompleteness,
    MemoryCompletenessFold,
    MemoryMetersFold,
)
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.completeness import PostgresCompleteness
from holdfast.adapters.postgres.ledger.completeness_folds import CompletenessFold, MetersFold
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.completeness.judging import Completeness
from holdfast.ledger.following import Fold, Following
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Kind, Prepared, Record, Status
from holdfast.ledger.ports import LogStore

if TYPE_CHECKING:
    from conftest import Database

TENANT = "acme"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class Bench:
    """A store with its logs and folds. `append` takes records in, `fold` folds what came, as of a time."""

    store: Completeness
    logs: LogStore
    following: Following
    folds: Sequence[Fold]
    sequencer: Sequencer

    async def append(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        sources, epochs, seqs = map(list, columns)
        batch = Prepared(TENANT, leaves, leaf_hashes(leaves), numbered(sources, epochs, seqs))
        await self.sequencer.append([batch])

    async def fold(self, at: datetime = NOON) -> None:
        for log in await self.following.logs():
            for each in self.folds:
                position = (await self.following.positions(each.name)).get(log.id, 0)
                growths = await self.following.growths(log.id, position, 100_000)
                if growths:
                    await each.fold(log, [replace(growth, received_at=at) for growth in growths])


def record(source: str, seq: int, at: datetime = NOON, **more: Any) -> Record:
    fields = {"epoch": 1, "job": f"{source}-{seq}", "kind": Kind.PRINT, "status": Status.COMPLETED}
    return Record(**{**fields, "occurred_at": at, "seq": seq, "source": source, "tenant": TENANT, **more})


@asynccontextmanager
async def opened(database: "Database | None") -> AsyncIterator[Bench]:
    """In memory where there is no database."""
    packs = ZstdSegments()

    def sequencer(logs: LogStore) -> Sequencer:
        return Sequencer(
            logs,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )

    if database is None:
        logs = MemoryLogs(packs)
        following = MemoryFollowing(logs)
        store = MemoryCompleteness(logs, following, NOON)
        folds = [MemoryCompletenessFold(store), MemoryMetersFold(store)]
        yield Bench(store, logs, following, folds, sequencer(logs))
        return
    # The role that serves: so its rights are tried as well.
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        stored = PostgresLogs(pool, packs)
        follows = PostgresFollowing(pool, packs)
        yield Bench(
            PostgresCompleteness(pool, follows, stored),
            stored,
            follows,
            [CompletenessFold(pool), MetersFold(pool, follows, stored)],
            sequencer(stored),
        )
