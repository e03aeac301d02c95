"""Inclusion proofs out of a log of 10 million leaves, with nothing of it in memory.

Before each proof the server is stopped and started, and the system is told to forget its files; a proof out
of a small log comes first, so that connection, statements and catalogue are there, as in a process that
serves. The leaf is another one each time. HOLDFAST_BENCH_LEAVES says how many (300,000 with --quick).
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from tests.protected import Protected

from bench.ledger_line import conninfo, opened, server
from bench.subjects import Options
from bench.table import Measurement, at_most
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, borrowed, open_pool
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.append.pieces import in_pieces
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.publish import proving

BATCH = 10_000
LARGE, SMALL = "large", "small"
MOST_MS = 5.0


def measure(options: Options) -> Sequence[Measurement]:
    leaves = int(os.environ.get("HOLDFAST_BENCH_LEAVES", "300000" if options.quick else "10000000"))
    return list(asyncio.run(_measure(leaves, 6 if options.quick else 30)))


async def _measure(leaves: int, times: int) -> list[Measurement]:
    with server() as found:
        await filled(found, leaves)
        dice, cold, warm = random.Random(9), list[float](), list[float]()
        for _ in range(times):
            first, second = await _proofs(found, dice.sample(range(leaves), 2))
            cold.append(first * 1000)
            warm.append(second * 1000)
    return list(measurements(leaves, cold, warm))


async def filled(found: Protected, leaves: int) -> None:
    """Two logs: a large one, and one that is small."""
    async with opened(found) as line:
        for tenant, count in ((SMALL, 1_000), (LARGE, leaves)):
            for first in range(0, count, BATCH):
                await line.sequencer.append([batch(tenant, first, min(BATCH, count - first), line.packs)])
                if not first % 1_000_000:
                    print(f"  {tenant}: {first:,} leaves", file=sys.stderr, flush=True)
    found.sql("VACUUM ANALYZE")


def batch(tenant: str, first: int, count: int, packs: ZstdSegments) -> Prepared:
    """Leaves as long as records, and told apart."""
    numbers = list(range(first, first + count))
    filler = b'{"tenant":"acme","filler":"' + b"x" * 280 + b'","number":'
    leaves = [b"%b%d}" % (filler, number) for number in numbers]
    hashes, pieces = leaf_hashes(leaves), in_pieces(leaves, packs)
    return Prepared(tenant, [], hashes, [Numbered("s", 1, first, count)], pieces)


async def _proofs(found: Protected, leaves: Sequence[int]) -> tuple[float, float]:
    """Seconds for a proof with nothing in memory, and for another one behind it."""
    found.stop()
    os.sync()
    forgotten(found.data)
    found.start()
    async with open_pool(conninfo(found), "bench", wait=timedelta(seconds=60)) as pool:
        await _proof(pool, SMALL, 7)
        cold = await _proof(pool, LARGE, leaves[0])
        warm = await _proof(pool, LARGE, leaves[1])
    return cold, warm


async def _proof(pool: Pool, tenant: str, leaf: int) -> float:
    """Which log it is and its checkpoint are known beforehand, as to who serves. The proof is verified."""
    store = PostgresLogs(pool, ZstdSegments())
    async with borrowed(pool) as connection:
        cursor = await connection.execute("SELECT id FROM ledger.log WHERE tenant = %s", [tenant])
        [(log_id,)] = await cursor.fetchall()
    size, _, note = await store.grown_to(log_id, 1) or (0, b"", "")
    began = time.perf_counter()
    proof = await proving.inclusion(store, log_id, leaf, note, size)
    took = time.perf_counter() - began
    [entry] = await store.entries(log_id, leaf, 1)
    proof.verify(entry, Ed25519Signer(f"ledger.example/{tenant}", b"b" * 32).key, verifies)
    return took


def forgotten(folder: Path) -> None:
    """Let the system drop what it holds of these files."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def measurements(leaves: int, cold: Sequence[float], warm: Sequence[float]) -> Iterator[Measurement]:
    name = f"inclusion proof, one of {leaves:,} leaves"
    yield Measurement(f"{name}: cold", "ms", cold, at_most(MOST_MS), "nothing of the log in memory")
    yield Measurement(f"{name}: the next one", "ms", warm)
