"""What the ledger's process does by the clock: partitions made ahead, entries let go of, persons erased.

Several processes may do it at once: each step may be repeated, and of two that prune one waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from holdfast.adapters.postgres.ledger.leaving import PostgresLeavings
from holdfast.adapters.postgres.ledger.persons import PostgresErasures
from holdfast.bootstrap.ledger.completeness import completeness_of
from holdfast.bootstrap.ledger.persons import ring_of
from holdfast.bootstrap.ledger.retention import declared_keep, entries_of, pruner_of
from holdfast.bootstrap.ledger.working import ACTOR, Working
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.completeness.judging import LOOK_BACK
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.erasure import Eraser, Erasure
from holdfast.ledger.persons.leaving import let_go

PARTITIONS_EVERY_S = 6 * 3600.0
PRUNE_EVERY_S = 24 * 3600.0
ERASE_EVERY_S = 60.0
COMPARE_EVERY_S = 3600.0
OVERDUE_AFTER = timedelta(hours=1)
"""An erasure that is still not done then is an alarm: somebody was promised it."""
AGAIN_IN_S = 300.0
"""After something stood in the way."""


async def keep_up(working: Working) -> None:
    """Until cancelled. What stands in the way of one is told once, and holds up none of the others."""
    stores = _Stores(working)
    working.more_figures.append(stores.figures)
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
    now = working.clock.now()
    for each in done.before:
        if each.keep_days is not None and each.hold is None:
            # What is judged by itself stays comparable, however short entries are kept.
            before = now - max(timedelta(days=each.keep_days), LOOK_BACK + timedelta(days=1))
            await completeness_of(working.ledger).trim_metered(each.tenant, before)
    await let_go(PostgresLeavings(working.ledger.pool), entries_of(working.ledger), actor=ACTOR)
    if done.gone.segments:
        working.tell("segments_removed", {"segments": done.gone.segments, "bytes": done.gone.bytes})


class _Stores:
    """The stores of persons' keys, and whether operators know that one is away."""

    def __init__(self, working: Working) -> None:
        self._ring = ring_of(working.ledger.declared, working.place)
        self._erasures = PostgresErasures(working.ledger.pool)
        self._clock = working.clock
        self._away = False
        self._overdue = False

    async def figures(self) -> str:
        """Lines for /metrics."""
        found = await self._erasures.open()
        oldest = max((self._clock.now() - each.asked_at for each in found), default=timedelta(0))
        return "\n".join(
            (
                "# TYPE holdfast_ledger_erasures_open gauge",
                "# HELP holdfast_ledger_erasures_open Persons who are to be erased and are not yet.",
                f"holdfast_ledger_erasures_open {len(found)}",
                "# TYPE holdfast_ledger_oldest_open_erasure_seconds gauge",
                "# HELP holdfast_ledger_oldest_open_erasure_seconds For how long the oldest of them waits.",
                f"holdfast_ledger_oldest_open_erasure_seconds {max(oldest.total_seconds(), 0):.0f}",
            )
        )

    async def erase(self, working: Working) -> None:
        """Goes on with erasures that some store was away for. Raises KeysAway while one is."""
        tried = await Eraser(self._erasures, self._ring, working.clock).retried()
        self._tell_overdue(working, [each.erasure for each in tried if not each.destroyed.done])
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

    def _tell_overdue(self, working: Working, left: Sequence[Erasure]) -> None:
        """Those of tenants with a legal hold are not among them: that they wait is what somebody wanted."""
        late = [each for each in left if working.clock.now() - each.asked_at >= OVERDUE_AFTER]
        if bool(late) is not self._overdue:
            self._overdue = bool(late)
            # The pseudonyms are in `holdfast ledger person erasures`: an alarm goes to many.
            if late:
                since = min(each.asked_at for each in late)
                facts = {"erasures_open": len(late), "since": since.isoformat()}
                working.tell("erasures_overdue", facts)
            else:
                working.tell("erasures_carried_out", {})

    def _tell(self, working: Working, event: str, facts: Mapping[str, object], *, away: bool) -> None:
        if away is not self._away:
            self._away = away
            working.tell(event, facts)
