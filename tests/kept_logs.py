"""A stored log of some growths, for who verifies it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished
from holdfast.adapters.memory.ledger.verifying import MemoryLogReading
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.verifying import PostgresLogReading
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.model import Kind, Prepared, Record, Status
from holdfast.ledger.ports import LogStore, Published
from holdfast.ledger.publish.publishing import Handed, over_all
from holdfast.ledger.verify import verifying
from holdfast.ledger.verify.stretches import Checked, Keys
from holdfast.ledger.verify.verifying import LogReading, LogVerified, Span, verify_log

if TYPE_CHECKING:
    from conftest import Database

SEED = bytes(32)
TENANT, ORIGIN = "acme", "ledger.example/acme"
NOON = "2026-11-22T12:00:00Z"
BATCHES = (1, 300, 256, 2, 700, 1, 1, 520)
KEYS = Keys([Ed25519Signer(ORIGIN, SEED).key])
OVER = "ledger.example"


def record(source: str, seq: int, *, epoch: int = 1, job: str = "") -> Record:
    return Record(
        epoch=epoch,
        job=job or f"{source}-{epoch}-{seq}",
        kind=Kind.PRINT,
        occurred_at=msgspec.convert(NOON, Record.__annotations__["occurred_at"]),
        seq=seq,
        source=source,
        status=Status.COMPLETED,
        tenant=TENANT,
    )


def prepared(*records: Record) -> Prepared:
    leaves = [leaf_of(each) for each in records]
    return Prepared(
        TENANT,
        leaves,
        leaf_hashes(leaves),
        numbered(
            [each.source for each in records],
            [each.epoch for each in records],
            [each.seq for each in records],
        ),
    )


@dataclass
class Stored:
    """A log of some growths, with repeats and conflicts, published now and then."""

    store: LogStore
    published: Published
    reading: LogReading
    pool: Pool | None

    async def grow(self) -> None:
        line = Sequencer(
            self.store,
            ZstdSegments(),
            origin_of=lambda tenant: f"{OVER}/{tenant}" if tenant else OVER,
            signer_for=lambda origin: Ed25519Signer(origin, SEED),
        )
        for number, count in enumerate(BATCHES):
            batch = [record("ab"[number % 2], number * 1000 + n) for n in range(count)]
            if number == 4:
                batch += [record("b", 1003), record("b", 1004, job="other"), record("b", 4005, job="another")]
            await line.append([prepared(*batch)])
            if number in {1, 5}:
                handed = await self.publish()
                await line.append([over_all({ORIGIN: handed})])
        await self.publish()

    async def publish(self) -> Handed:
        head = await self.store.head(TENANT)
        assert head is not None
        grown = await self.store.grown_to(head.log_id, 1)
        assert grown is not None
        await self.published.publish(head.log_id, grown[0], grown[2])
        return Handed(head.log_id, Checkpoint.parsed(Note.parsed(grown[2]).body), grown[2])

    async def check(self, span: Span, start: Edge | None) -> Checked:
        key = Ed25519Signer(span.log.origin, SEED).key
        return await verifying.check(
            self.reading, self.store, span, start, keys=Keys([key]), verifies=verifies, packs=ZstdSegments()
        )

    async def verified(self) -> dict[str, LogVerified]:
        logs = await self.reading.logs()
        return {log.tenant: await verify_log(self.reading, log, self.check) for log in logs}


@asynccontextmanager
async def stored_in(database: "Database | None") -> AsyncIterator[Stored]:
    """In memory without a database."""
    packs = ZstdSegments()
    if database is None:
        logs = MemoryLogs(packs)
        published = MemoryPublished(logs)
        found = Stored(logs, published, MemoryLogReading(logs, published, packs), None)
        await found.grow()
        yield found
        return
    async with open_pool(database.conninfo(Role.OWNER), "test") as pool:
        store = PostgresLogs(pool, packs)
        found = Stored(store, PostgresPublished(pool), PostgresLogReading(pool, store), pool)
        await found.grow()
        yield found
