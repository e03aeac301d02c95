"""Erasing a person: their keys are destroyed in every store, and that is all that has to be done.

    asked for (durable, in the journal) -> keys destroyed in each store -> done (in the journal)

It is done when every store has said so. Until then it stays open and is tried again: a store that was away
still has the key. Any step may be repeated, by anybody, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holdfast.kernel.clock import Clock
from holdfast.ledger.errors import OnHold
from holdfast.ledger.persons.keys import Destroyed, KeyRing


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a person is to be erased, and since when they are. Times in UTC."""

    tenant: str
    pseudonym: str
    actor: str
    reason: str
    asked_at: datetime
    done_at: datetime | None = None


class Erasures(Protocol):
    """Where it is kept what is to be erased. `ask` and `done` write the journal in their transaction."""

    async def ask(self, erasure: Erasure) -> Erasure:
        """Durable. The one that was asked for before, when there is one."""
        ...

    async def done(self, tenant: str, pseudonym: str, at: datetime, stores: Sequence[str]) -> None:
        """The first `at` stays."""
        ...

    async def of(self, tenant: str, pseudonym: str) -> Erasure | None: ...

    async def open(self) -> Sequence[Erasure]:
        """Those that are not done, oldest first."""
        ...

    async def all(self) -> Sequence[Erasure]:
        """Oldest first."""
        ...

    async def hold_on(self, tenant: str) -> str | None:
        """Why nothing of the tenant may go, when a legal hold stands."""
        ...


@dataclass(frozen=True, slots=True)
class Erased:
    """What came of an erasure."""

    erasure: Erasure
    destroyed: Destroyed


class Eraser:
    """Erases persons."""

    def __init__(self, erasures: Erasures, ring: KeyRing, clock: Clock) -> None:
        self._erasures = erasures
        self._ring = ring
        self._clock = clock

    async def erase(self, tenant: str, pseudonym: str, *, actor: str, reason: str) -> Erased:
        """Raises OnHold. A store that is away leaves it open: `retried` goes on."""
        await self.refuse_on_hold(tenant)
        asked = Erasure(tenant, pseudonym, actor, reason, self._clock.now())
        return await self._carried_out(await self._erasures.ask(asked))

    async def retried(self) -> Sequence[Erased]:
        """Tries what is open once more, but for tenants on which a hold was put meanwhile."""
        return [
            await self._carried_out(each)
            for each in await self._erasures.open()
            if await self._erasures.hold_on(each.tenant) is None
        ]

    async def refuse_on_hold(self, tenant: str) -> None:
        if reason := await self._erasures.hold_on(tenant):
            raise OnHold(
                f"a legal hold stands on the tenant {tenant!r}: {reason}",
                hint=f"when it has ended: holdfast ledger hold lift {tenant}",
            )

    async def _carried_out(self, erasure: Erasure) -> Erased:
        destroyed = await self._ring.destroy(erasure.tenant, erasure.pseudonym, self._clock.now())
        if destroyed.done:
            await self._erasures.done(
                erasure.tenant, erasure.pseudonym, self._clock.now(), destroyed.gone_from
            )
            erasure = await self._erasures.of(erasure.tenant, erasure.pseudonym) or erasure
        return Erased(erasure, destroyed)
