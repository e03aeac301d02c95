"""Stretches of a log checked in processes of their own, so that verifying uses every core it is given."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.verifying import PostgresLogReading
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.database import packed, unpacked
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.log.tree import Edge
from holdfast.ledger.verify import verifying
from holdfast.ledger.verify.stretches import Checked, Keys
from holdfast.ledger.verify.verifying import STRETCH_LEAVES, Check, Span

SMALL_LEAVES = 2 * STRETCH_LEAVES
"""Verified before a process has started."""
MOST_OUT = 2
"""Stretches handed over for each worker: what they answer is not small."""


@dataclass(frozen=True)
class Checker:
    """Checks stretches over a pool of connections."""

    reading: PostgresLogReading
    store: PostgresLogs
    keys_of: Callable[[str], Keys]
    packs: ZstdSegments

    async def check(self, span: Span, start: Edge | None) -> Checked:
        keys = self.keys_of(span.log.origin)
        return await verifying.check(
            self.reading, self.store, span, start, keys=keys, verifies=verifies, packs=self.packs
        )


def checker_over(pool: Pool, keys_of: Callable[[str], Keys]) -> Checker:
    packs = ZstdSegments()
    store = PostgresLogs(pool, packs)
    return Checker(PostgresLogReading(pool, store), store, keys_of, packs)


@asynccontextmanager
async def checking(
    conninfo: Conninfo, here: Checker, keys: Mapping[str, Keys], *, leaves: int, workers: int
) -> AsyncIterator[Check]:
    """Checks in so many processes, or here where there is little to check. `keys` by origin.

    Raises BrokenOff when a worker ends in the middle of a stretch.
    """
    if workers == 1 or leaves <= SMALL_LEAVES:
        limit = asyncio.Semaphore(1)

        async def check_here(span: Span, start: Edge | None) -> Checked:
            async with limit:
                return await here.check(span, start)

        yield check_here
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(), packed(conninfo), dict(keys)),
    )
    out = asyncio.Semaphore(MOST_OUT * workers)

    async def check_there(span: Span, start: Edge | None) -> Checked:
        async with out:
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, _check, span, start)
            except BrokenProcessPool as error:
                raise BrokenOff(
                    "a process that verified was ended from outside", hint="verify with fewer: --workers 1"
                ) from error

    try:
        yield check_there
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class BrokenOff(HoldfastError):  # noqa: N818
    """Nothing is known of a stretch: that is neither damage nor none."""


_worker: tuple[asyncio.Runner, Checker, AsyncExitStack] | None = None
"""The stack is held, or the pool would be closed with it."""


def _begin(parent: int, login: bytes, keys: Mapping[str, Keys]) -> None:
    """Once in each process: its event loop, its connection."""
    global _worker  # noqa: PLW0603  a pool's worker has no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    runner, stack = asyncio.Runner(), AsyncExitStack()

    async def opened() -> Checker:
        pool = await stack.enter_async_context(open_pool(unpacked(login), "verifying", max_size=1))
        return checker_over(pool, keys.__getitem__)

    _worker = runner, runner.run(opened()), stack


def _check(span: Span, start: Edge | None) -> Checked:
    assert _worker is not None  # noqa: S101  _begin has run
    runner, checker, _ = _worker
    return runner.run(checker.check(span, start))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)
