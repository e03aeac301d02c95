"""Preparing requests in processes of their own: reading, checking, canonical form and hashes take most of the
time, and the process that appends has none to lose.

The workers are spawned, never forked: nothing of our connections and keys is in them. One that is killed, by
the kernel for its memory say, takes the requests that were in it down; they are prepared again, once.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

import structlog

from holdfast.adapters.packing.bodies import unpacked
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.append.sequences import Before
from holdfast.ledger.errors import Overloaded
from holdfast.ledger.intake.persons import Cleared, anonymised, in_place, speaks_of_persons
from holdfast.ledger.intake.reading import MOST_BODY_BYTES, Form, Read, Sender, read
from holdfast.ledger.intake.taking import Posted
from holdfast.ledger.persons.persons import PersonBook

WORKERS = 2
SMALL_BYTES = 16 * 1024
"""Takes longer to hand over than to prepare."""
WITHIN_S = 60.0
"""The largest request takes a tenth of it."""
MOST_TRIES = 2
MOST_UNPACKED = 4
"""Requests that are unpacked at once, whose memory nobody knows beforehand. Others wait as they came."""

T = TypeVar("T")
log = structlog.get_logger()


class Preparers:
    """`Preparing` by a pool of processes, which starts with the first request that needs it."""

    def __init__(self, book: PersonBook | None = None, workers: int = WORKERS) -> None:
        """`book` seals what is told of persons; None: records that tell of one are refused."""
        self._book = book
        self._workers = workers
        self._large = asyncio.Semaphore(MOST_UNPACKED)
        self._pool: ProcessPoolExecutor | None = None

    async def prepared(self, posted: Posted, sender: Sender, before: Before | None = None) -> Read:
        body, form = posted.body, posted.form
        if posted.coding == "identity" and len(body) <= SMALL_BYTES:
            if speaks_of_persons(body):
                cleared = await anonymised(body, form, sender.tenant, self._book, in_place)
                return _with_refusals(read(cleared.body, cleared.form, sender), cleared)
            # Not packed: with others like it, it takes less room.
            return read(body, form, sender)
        async with self._large:
            found: Read | bytes = await self._off(prepare, body, form, posted.coding, sender, before)
            if isinstance(found, Read):
                return found
            cleared = await anonymised(found, form, sender.tenant, self._book, self._off)
            return _with_refusals(await self._off(prepare_cleared, cleared, sender, before), cleared)

    async def warm_up(self) -> None:
        """Start the workers before the first request needs them."""
        with contextlib.suppress(HoldfastError):
            await self._off(_packs_made)

    async def _off(self, function: Callable[..., T], *given: Any, **named: Any) -> T:
        """What the function returns, called in a worker. Raises what it raises, and Overloaded."""
        for _ in range(MOST_TRIES):
            pool = self._pool = self._pool or self._started()
            try:
                async with asyncio.timeout(WITHIN_S):
                    # One that broke while nobody used it says so at once.
                    return await asyncio.get_running_loop().run_in_executor(
                        pool, partial(function, *given, **named)
                    )
            except BrokenProcessPool:
                log.warning("preparing_worker_died")
                self._give_up(pool)
            except TimeoutError:
                log.warning("preparing_took_too_long")
                self._give_up(pool)
                break
        raise Overloaded("the request could not be prepared", hint="post it again, in smaller parts")

    def close(self) -> None:
        """End the workers; what they have at hand is lost."""
        if self._pool is not None:
            self._give_up(self._pool)

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(),),
        )

    def _give_up(self, pool: ProcessPoolExecutor) -> None:
        """Everybody who waits for it is told by a BrokenProcessPool; the next one to come starts another."""
        if self._pool is pool:
            self._pool = None
        processes = list((getattr(pool, "_processes", None) or {}).values())
        for process in processes:
            with contextlib.suppress(ProcessLookupError, ValueError):
                process.kill()
        pool.shutdown(wait=False, cancel_futures=True)


def prepare(
    body: bytes, form: Form, coding: str, sender: Sender, before: Before | None = None
) -> Read | bytes:
    """In a worker: the records; of a body that may tell of persons in plain the body itself, unpacked."""
    plain = unpacked(body, coding, MOST_BODY_BYTES)
    return plain if speaks_of_persons(plain) else read(plain, form, sender, _packs(), before)


def prepare_cleared(cleared: Cleared, sender: Sender, before: Before | None = None) -> Read:
    """In a worker: the records of a body that tells of nobody any more."""
    return read(cleared.body, cleared.form, sender, _packs(), before)


def _with_refusals(found: Read, cleared: Cleared) -> Read:
    return replace(found, refused=sorted([*found.refused, *cleared.refused], key=lambda each: each.line))


def _packs_made() -> None:
    _packs()


@cache
def _packs() -> ZstdSegments:
    return ZstdSegments()


def _begin(parent: int) -> None:
    """Ctrl-C is for the process that started us; and when that is gone, however it ended, so are we."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)
