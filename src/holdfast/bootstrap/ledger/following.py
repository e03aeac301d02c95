"""The follower, in a process of its own: what is derived from the logs is folded in after they have grown.

It is a child of the process that serves, and ends with it. It has a core to itself, so that summing up ten
million entries takes nothing from who takes records in. Of all that run beside one database one follows; the
others wait until it is gone. Should two follow for a moment, each entry still counts once: a fold's position
moves in the fold's own transaction.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

import structlog
import uvloop

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import connect, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.adapters.postgres.ledger.books import PostgresBooks
from holdfast.adapters.postgres.ledger.finding import PostgresFindings
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.rollups import PostgresRollUps
from holdfast.bootstrap.database import packed, unpacked
from holdfast.bootstrap.ledger.completeness import folds_of
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.working import ACTOR, Working
from holdfast.bootstrap.logs import configure_logs
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.errors import KeyRefused
from holdfast.ledger.find.indexing import FindingFold
from holdfast.ledger.following import Behind, Fold, Follower
from holdfast.ledger.reports.folding import RollUps
from holdfast.ledger.reports.rebuilding import rebuilt

LOOK_EVERY_S = 1.0
ZONES_EVERY_S = 30.0
END_WITHIN_S = 10.0
CONNECTIONS = 8
NICENESS = 5
"""Records that come in go first."""
LEAD = "SELECT pg_try_advisory_lock(7015, 50)"
"""The number is the follower's. The lock goes with its connection."""

log = structlog.get_logger()


class FollowerEnded(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The child is gone; another one is started."""

    remedy = Remedy.TRANSIENT


def folds_for(ledger: Ledger) -> Sequence[Fold]:
    """All that is derived from the logs."""
    return [
        RollUps(PostgresRollUps(ledger.pool), ledger.logs),
        FindingFold(ledger.logs, PostgresFindings(ledger.pool)),
        *folds_of(ledger),
    ]


async def follow(working: Working) -> None:
    """Keep the follower running, as a child. Raises FollowerEnded. Cancelled, it ends the child."""
    spawn = multiprocessing.get_context("spawn")
    given = (os.getpid(), packed(working.conninfo), working.ledger.declared)
    child = spawn.Process(target=_child, args=given, name="ledger follower", daemon=True)
    await asyncio.to_thread(child.start)
    try:
        await _ended(child)
    finally:
        child.terminate()
        await asyncio.to_thread(child.join, END_WITHIN_S)
        child.kill()
    raise FollowerEnded(f"the follower ended with {child.exitcode}", hint="it is started again")


async def _ended(child: BaseProcess) -> None:
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(child.sentinel, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(child.sentinel)


def _child(parent: int, login: bytes, declared: DeclaredLedger) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to tidy up: transactions end as they are
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.nice(NICENESS)
    configure_logs("ledger follower")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(follow_logs(unpacked(login), declared))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


async def follow_logs(conninfo: Conninfo, declared: DeclaredLedger) -> None:
    """For ever. While the database is away there is nothing to do."""
    told = ""
    while True:
        try:
            await _lead(conninfo, declared)
        except HoldfastError as error:
            if told != str(error):
                told = str(error)
                log.warning("ledger_not_followed", error=told, hint=error.hint)
        await asyncio.sleep(LOOK_EVERY_S)


async def _lead(conninfo: Conninfo, declared: DeclaredLedger) -> None:
    """Follow, once nobody else does, until the connection that says so is lost."""
    packs = ZstdSegments()
    async with (
        connect(conninfo, "ledger follower") as leading,
        open_pool(conninfo, "ledger follower", max_size=CONNECTIONS) as pool,
    ):
        while not (await (await leading.execute(LEAD)).fetchone() or (False,))[0]:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        log.info("ledger_followed")
        ledger = Ledger(declared, pool, packs, PostgresLogs(pool, packs), _no_key)
        follower = Follower(PostgresFollowing(pool, packs), folds_for(ledger))
        zones = asyncio.create_task(_keep_zones(ledger, PostgresJournal(conninfo)))
        standing = dict[tuple[str, str], str]()
        try:
            while True:
                await leading.execute("SELECT 1")  # who has lost the lock follows no longer
                done = await follower.round()
                _tell(done.behind, standing)
                if not done.more:
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            zones.cancel()
            await asyncio.gather(zones, return_exceptions=True)


def _tell(behind: Sequence[Behind], standing: dict[tuple[str, str], str]) -> None:
    """Into the log: once when a fold stands still in a tenant's log, and once when it goes on."""
    now = {(each.fold, each.tenant): each for each in behind}
    for key in standing.keys() - now.keys():
        log.info("ledger_fold_goes_on", fold=key[0], tenant=key[1])
        del standing[key]
    for key, each in now.items():
        text = f"{type(each.error).__name__}: {each.error}"
        if standing.get(key) != text:
            standing[key] = text
            hint = getattr(each.error, "hint", "")
            facts = {"position": each.position, "size": each.size, "error": text, "hint": hint}
            log.warning("ledger_fold_waits", fold=each.fold, tenant=each.tenant, **facts)


async def _keep_zones(ledger: Ledger, journal: PostgresJournal) -> None:
    """Sums of another time zone than their tenant's are made anew. Until cancelled."""
    books, following = PostgresBooks(ledger.pool), PostgresFollowing(ledger.pool, ledger.packs)
    while True:
        try:
            other = set(await books.other_zones())
            for each in await following.logs() if other else ():
                if each.id in other:
                    await rebuilt(books, following, ledger.logs, each)
                    facts = {"tenant": each.tenant, "time_zone": each.time_zone}
                    log.info("ledger_rollups_rebuilt", **facts)
                    entry = JournalEntry(SystemClock().now(), ACTOR, "ledger.rollups_rebuilt", facts)
                    with contextlib.suppress(HoldfastError):
                        await journal.append(entry)
        except HoldfastError as error:
            log.warning("ledger_rollups_not_rebuilt", error=str(error))
        await asyncio.sleep(ZONES_EVERY_S)


def _no_key() -> bytes:
    raise KeyRefused("the follower signs nothing")
