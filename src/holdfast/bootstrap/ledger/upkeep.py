"""What the ledger's process does by the clock: partitions made ahead, entries let go of, persons erased.

Several processes may do it at once: each step may be repeated, and of two that prune one waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from holdfast.adapters.postgres.ledger.persons import PostgresErasures
from holdfast.bootstrap.ledger.persons import ring_of
from holdfast.bootstrap.ledger.retention import declared_keep, pruner_of
from holdfast.bootstrap.ledger.working import ACTOR, Working
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.erasure import Eraser

PARTITIONS_EVERY_S = 6 * 3600.0
PRUNE_EVERY_S = 24 * 3600.0
ERASE_EVERY_S = 60.0
COMPARE_EVERY_S = 3600.0
AGAIN_IN_S = 300.0
"""After something stood in the way."""


async def keep_up(working: Working) -> None:
    """Until cancelled. What stands in the way of one is told once, and holds up none of the others."""
    stores = _Stores(working)
    async with asyncio.TaskGroup() as group:
        for name, act, every_s in (
            ("partitions", _make_ahead, PARTITIONS_EVERY_S),
            ("pruning", _prune, PRUNE_EVERY_S),
        ):
            group.create_task(_repeat(working, name, act, every_s))
        group.create_task(_repeat(working, "erasing", stores.erase, ERASE_EVERY_S))
        group.create_task(_repeat(working, "person_keys", stores.compare, COMPARE_EVERY_S))


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


class _Stores:
    """The stores of persons' keys, and whether operators know that one is away."""

    def __init__(self, working: Working) -> None:
        self._ring = ring_of(working.ledger.declared, working.place)
        self._erasures = PostgresErasures(working.ledger.pool)
        self._away = False

    async def erase(self, working: Working) -> None:
        """Goes on with erasures that some store was away for. Raises KeysAway while one is."""
        tried = await Eraser(self._erasures, self._ring, working.clock).retried()
        away = {store: why for each in tried for store, why in each.destroyed.away.items()}
        if away:
            count = sum(not each.destroyed.done for each in tried)
            raise KeysAway(
                f"{count} {'person is' if count == 1 else 'persons are'} not erased yet: "
                + "; ".join(away.values()),
                hint="holdfast ledger person stores shows what is away",
            )

    async def compare(self, working: Working) -> None:
        """Gives each store what it lacks: a copy that was put back is erased again. Raises KeysAway."""
        found = await self._ring.reconciled()
        if found.erased or found.copied:
            working.tell("person_keys_carried", {"keys": found.copied, "erasures": found.erased})
        if found.away:
            facts = {"stores": list(found.away), "erasures_open": len(await self._erasures.open())}
            self._tell(working, "person_keys_away", facts, away=True)
            raise KeysAway(
                "; ".join(found.away.values()),
                hint="new persons' keys are in the other stores alone until it is back",
            )
        self._tell(working, "person_keys_back", {}, away=False)

    def _tell(self, working: Working, event: str, facts: Mapping[str, object], *, away: bool) -> None:
        if away is not self._away:
            self._away = away
            working.tell(event, facts)
