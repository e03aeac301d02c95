"""What the ledger's process does by the clock: partitions made ahead, entries let go of, persons erased.

Several processes may do it at once: each step may be repeated, and of two that prune one waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from holdfast.adapters.postgres.ledger_persons import PostgresErasures
from holdfast.bootstrap.ledger.persons import ring_of
from holdfast.bootstrap.ledger.retention import declared_keep, pruner_of
from holdfast.bootstrap.ledger.working import ACTOR, Working
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.erasure import Eraser
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.person_keys import KeyRing

PARTITIONS_EVERY_S = 6 * 3600.0
PRUNE_EVERY_S = 24 * 3600.0
ERASE_EVERY_S = 60.0
COMPARE_EVERY_S = 3600.0
AGAIN_IN_S = 300.0
"""After something stood in the way."""


async def keep_up(working: Working) -> None:
    """Until cancelled. What stands in the way of one of them is told once, and does not hold up the others."""
    ring = ring_of(working.ledger.declared, working.place)
    async with asyncio.TaskGroup() as group:
        for name, act, every_s in (
            ("partitions", _make_ahead, PARTITIONS_EVERY_S),
            ("pruning", _prune, PRUNE_EVERY_S),
        ):
            group.create_task(_repeat(working, name, act, every_s))
        group.create_task(_repeat(working, "erasing", lambda each: _erase(each, ring), ERASE_EVERY_S))
        group.create_task(_repeat(working, "person_keys", lambda each: _compare(each, ring), COMPARE_EVERY_S))


async def _repeat(
    working: Working, name: str, act: Callable[[Working], Awaitable[None]], every_s: float
) -> None:
    while True:
        try:
            await act(working)
        except HoldfastError as error:
            working.tell.trouble(f"{name}_waits", error)
            await asyncio.sleep(min(every_s, AGAIN_IN_S))
        else:
            working.tell.trouble(f"{name}_waits", None)
            await asyncio.sleep(every_s)


async def _make_ahead(working: Working) -> None:
    await pruner_of(working.ledger, working.clock).make_ahead()


async def _prune(working: Working) -> None:
    keep = await declared_keep(working.ledger)
    done = await pruner_of(working.ledger, working.clock).prune(keep, actor=ACTOR)
    if done.gone.segments:
        working.tell("segments_removed", {"segments": done.gone.segments, "bytes": done.gone.bytes})


async def _erase(working: Working, ring: KeyRing) -> None:
    """Goes on with erasures that some key store was away for."""
    tried = await Eraser(PostgresErasures(working.ledger.pool), ring, working.clock).retried()
    away: Mapping[str, str] = {store: why for each in tried for store, why in each.destroyed.away.items()}
    if away:
        raise KeysAway(
            f"{sum(not each.destroyed.done for each in tried)} persons are not erased yet: "
            + "; ".join(away.values()),
            hint="mount the stores of persons' keys; holdfast ledger person stores shows them",
        )


async def _compare(working: Working, ring: KeyRing) -> None:
    """Gives each key store what it lacks: a copy that was put back is erased again."""
    found = await ring.reconciled()
    if found.erased or found.copied:
        working.tell("person_keys_carried", {"keys": found.copied, "erasures": found.erased})
    if found.away:
        raise KeysAway(
            "; ".join(found.away.values()),
            hint="new persons' keys are in the other stores alone until it is back",
        )
