"""The ledger's parts as its process puts them together, over a server of the bench's own."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.protected import OWNER_PASSWORD, Protected

from bench.ledger_records import SOURCE
from bench.subjects import FOLDER
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.regions import PostgresOneRegion
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.bootstrap.ledger.preparing import Preparers
from holdfast.ledger.append.acknowledging import Gate, WhenAway
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.reading import Form, Sender
from holdfast.ledger.intake.taking import Posted, Taking
from holdfast.ledger.ports import SecondRegion

AT_ONCE = 4
"""Requests that are under way at the same time."""
SETTINGS = {
    "fsync": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "wal_compression": "off",
}


@dataclass(slots=True)
class Line:
    """What the ledger's process has: a sequencer, and what takes requests in."""

    pool: Pool
    store: PostgresLogs
    packs: ZstdSegments
    sequencer: Sequencer
    gate: Gate
    taking: Taking


async def streamed(
    line: Line, tenant: str, bodies: Sequence[bytes], at_once: int = AT_ONCE, *, again: bool = False
) -> float:
    """Seconds for each of these requests, when so many are under way. `again`: some records were there."""
    waiting = iter(bodies)

    async def client() -> None:
        for body in waiting:
            told = await line.taking.taken(Posted(body, Form.NDJSON), Sender(tenant, SOURCE))
            if told.refused or told.conflicts or bool(told.repeated) is not again:
                raise SystemExit(f"not all of it is new and in order: {told}")

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return (time.perf_counter() - began) / len(bodies)


@contextmanager
def folder() -> Iterator[Path]:
    """Below the bench's, cleared away behind it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=FOLDER) as name:
        yield Path(name)


@contextmanager
def server(**settings: str) -> Iterator[Protected]:
    with folder() as found:
        made = Protected(found / "server", settings={**SETTINGS, **settings})
        try:
            yield made.start()
        finally:
            made.remove()


def conninfo(found: Protected) -> Conninfo:
    params = {name: value for name, value in found.owner_params.items() if name != "password"}
    return Conninfo(Role.OWNER, params, OWNER_PASSWORD)


@asynccontextmanager
async def opened(
    found: Protected, second: Callable[[Pool], SecondRegion] | None = None
) -> AsyncIterator[Line]:
    """Migrated; with a second region, its answers wait for it."""
    await migrate(conninfo(found))
    async with open_pool(conninfo(found), "bench", max_size=8) as pool:
        packs = ZstdSegments()
        store = PostgresLogs(pool, packs)
        sequencer = Sequencer(
            store,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, b"b" * 32),
        )
        gate = Gate(second(pool) if second else None, WhenAway.STALL, 30.0, lambda *_: None)
        preparing = Preparers()
        taking = Taking(
            preparing, sequencer, gate, PostgresOneRegion(pool), PostgresPublished(pool), patience_s=60.0
        )
        try:
            yield Line(pool, store, packs, sequencer, gate, taking)
        finally:
            await taking.aclose()
            await gate.aclose()
            preparing.close()
