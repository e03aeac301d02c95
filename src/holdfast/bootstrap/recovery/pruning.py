"""Runs that ended long ago are let go of, once their evidence is kept; evidence stays for ever."""

import asyncio
from datetime import timedelta

import structlog

from holdfast.bootstrap.recovery.working import Working
from holdfast.recovery.ports import RunStore

LOOK_EVERY_S = 3600.0
AT_ONCE = 200

log = structlog.get_logger()


async def keep_pruning(working: Working) -> None:
    """A duty: until cancelled. Several processes may do so at once."""
    if working.estate.recovery is None:
        return
    while True:
        await pruned(working.runs, working.estate.recovery.keep_runs)
        await asyncio.sleep(LOOK_EVERY_S)


async def pruned(runs: RunStore, keep: timedelta) -> int:
    """How many went, in transactions of few."""
    total = 0
    while gone := await runs.prune(keep, AT_ONCE):
        total += gone
        log.info("runs_pruned", runs=gone)
    return total
