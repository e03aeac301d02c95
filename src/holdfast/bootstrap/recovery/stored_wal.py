"""Whether what a database has written is stored: what is not cannot be searched, and is in no copy."""

import asyncio
import time

from holdfast.backup.errors import BackupError
from holdfast.backup.lsn import Lsn
from holdfast.backup.recoverable.chain import reaches_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.recovery.surroundings import Surroundings

WITHIN_S = 60.0
STILL_S = 15.0
"""So long it is waited for while nothing more comes. What is streamed is there within seconds; what is
archived may take minutes, and the database may only read meanwhile."""
_AGAIN_IN_S = 1.0


async def stored_until(
    around: Surroundings, database: str, region: str, lsn: Lsn, within_s: float = WITHIN_S
) -> bool:
    """Whether all of the log up to `lsn` can be restored from a region (empty: the first one), after a while.

    False also where the region does not answer: what it holds is told by who asks it next.
    """
    newest, came = None, time.monotonic()
    deadline = came + within_s
    while True:
        reached = await asyncio.to_thread(_reached, around, database, region)
        if reached is not None and reached >= lsn:
            return True
        if reached != newest:
            newest, came = reached, time.monotonic()
        if time.monotonic() >= min(deadline, came + STILL_S):
            return False
        await asyncio.sleep(_AGAIN_IN_S)


def _reached(around: Surroundings, database: str, region: str) -> Lsn | None:
    """Where what can be restored ends; None for nothing."""
    place = around.place
    try:
        regions = regions_of(around.estate, database, place.config, place.data_dir)
        named = [each for each in regions if each.name == region] or regions
        reaches = reaches_of(holdings_of(named[0], database, around.clock))
    except BackupError:
        return None
    return reaches[-1].run.end if reaches else None
