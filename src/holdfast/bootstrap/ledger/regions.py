"""The second region: what it is, and what was acknowledged without it."""

import asyncio

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.standby import PostgresStandby
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.working import Told, Working
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.ledger.append.acknowledging import Gate, WhenAway
from holdfast.ledger.append.reached import caught_up

LOOK_EVERY_S = 5.0


def second_of(declared: DeclaredLedger, pool: Pool) -> PostgresStandby | None:
    """In both modes the standby is asked: a commit that no longer waits, because somebody cancelled that or
    emptied `synchronous_standby_names`, looks like one that waited.
    """
    region = declared.second_region
    return None if region is None else PostgresStandby(pool, region.standby)


def gate_of(ledger: Ledger, second: PostgresStandby | None, tell: Told) -> Gate:
    region = ledger.declared.second_region
    if region is None:
        return Gate(None, WhenAway.ACCEPT, 0.0, tell)
    return Gate(second, WhenAway(region.when_away), region.within.total_seconds(), tell)


async def mark_what_arrived(working: Working) -> None:
    """Mark what was acknowledged in one region, once the second one has it. An earlier process left some."""
    if working.second is None:
        return
    within_s = working.gate.within_s
    working.more_figures.append(lambda: _figures(working))
    while True:
        await working.gate.until_back()
        await caught_up(working.one_region, working.second, within_s, working.tell)
        await asyncio.sleep(LOOK_EVERY_S)


async def _figures(working: Working) -> str:
    waiting = await working.one_region.open()
    leaves = sum(each.to_size - each.from_size for each in waiting)
    return (
        "# TYPE holdfast_ledger_one_region_leaves gauge\n"
        "# HELP holdfast_ledger_one_region_leaves Leaves the second region is not known to have.\n"
        f"holdfast_ledger_one_region_leaves {leaves}"
    )
