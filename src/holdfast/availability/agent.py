"""An agent: runs a vantage point's checks, keeps what they came to, and delivers it when it can.

    orders (from the controller, or the last ones) -> rounds -> spool -> delivery -> receipt -> forget

Nothing is forgotten before the controller has said that it has it. While the controller is away the checks go
on, and what they came to waits in the spool with its own times. A spool that is full gives up its oldest
results, and keeps count of them: the count is delivered in their place.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from holdfast.availability.errors import AvailabilityError
from holdfast.availability.exchange import MOST_RESULTS, Orders, ReceiptMessage
from holdfast.availability.ingest import Losses
from holdfast.availability.model import Result
from holdfast.availability.ports import Probe
from holdfast.availability.rounds import Rounds
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError, Remedy

MOST_SAID = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How often an agent does what, in seconds. After trouble it waits between the two pauses."""

    keep: float = 1.0
    ask: float = 10.0
    shortest_pause: float = 1.0
    longest_pause: float = 30.0


class UplinkError(AvailabilityError):
    """The controller could not be asked, or did not answer as it should. Trying again later may help."""

    remedy = Remedy.TRANSIENT


class LoginRefused(UplinkError):  # noqa: N818  the operator's word
    """The token is worth nothing (any more), or its vantage point is not in the estate."""

    remedy = Remedy.NEEDS_OPERATOR


class DeliveryRefused(UplinkError):  # noqa: N818
    """This delivery will never be taken: the controller does not understand it, or finds it too large."""

    remedy = Remedy.PERMANENT


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be delivered next. `mark` is the spool's own note of where it came from."""

    results: Sequence[Result]
    losses: Losses | None
    mark: object = None

    @property
    def is_empty(self) -> bool:
        return not self.results and self.losses is None

    @property
    def first_half(self) -> int:
        """How many results half of it has."""
        return (len(self.results) + 1) // 2


class Spool(Protocol):
    """Keeps results until they are delivered, in the order in which they came, within bounds.

    Its methods may wait for the disk, and may be called from several threads.
    """

    def put(self, results: Sequence[Result]) -> None:
        """Keep these, durably where that is possible. Never raises for want of room.

        Without room on the disk they are kept in memory, and beyond that counted as given up.
        """
        ...

    def next(self, most: int) -> Parcel:
        """The oldest results, at most `most`, or what was given up. The same again until `delivered`."""
        ...

    def delivered(self, parcel: Parcel) -> None:
        """Forget what `parcel` held."""
        ...

    def set_aside(self, parcel: Parcel, reason: str) -> None:
        """Keep what `parcel` held for a person to look at, and never deliver it."""
        ...

    @property
    def waiting(self) -> int:
        """How many results there are."""
        ...


class Uplink(Protocol):
    """The way to the controller. Raises UplinkError."""

    async def orders(self) -> Orders | None:
        """What there is to run; None when nothing changed since it was asked last."""
        ...

    async def deliver(self, results: Sequence[Result], losses: Losses | None) -> ReceiptMessage: ...


@dataclass(slots=True)
class AgentCounters:
    """What the agent did since it started."""

    delivered: int = 0
    refused: int = 0
    deliveries: int = 0
    failures: int = 0


class Agent:
    """Runs until cancelled. `known` are the orders of an earlier run, to begin with."""

    def __init__(
        self,
        probe: Probe,
        spool: Spool,
        uplink: Uplink,
        clock: Clock,
        *,
        on_event: Callable[[str, Mapping[str, object]], None],
        known: Orders | None = None,
        pace: Pace | None = None,
        random: Random | None = None,
    ) -> None:
        self.counters = AgentCounters()
        self._spool = spool
        self._uplink = uplink
        self._on_event = on_event
        self._pace = pace or Pace()
        self._random = random or Random()  # noqa: S311  it spreads retries, and guards nothing
        self._fresh: list[Result] = []
        self._last_trouble: dict[str, str] = {}
        self._most = MOST_RESULTS
        self.rounds = Rounds(probe, clock, on_result=self._fresh.append, on_event=on_event)
        if known is not None:
            self._put_in_force(known)

    async def run(self) -> None:
        """Ends only by cancellation; what was found until then is in the spool."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.rounds.run())
                group.create_task(self._follow_orders())
                group.create_task(self._keep_results())
                group.create_task(self._deliver())
        finally:
            # Not in a thread: whoever cancels may not wait for one.
            self._spool.put(self._taken())

    async def _follow_orders(self) -> None:
        pause = self._pace.shortest_pause
        while True:
            try:
                orders = await self._uplink.orders()
            except HoldfastError as error:
                self._trouble("orders_not_read", error)
                await asyncio.sleep(self._spread(pause))
                pause = min(2 * pause, self._pace.longest_pause)
                continue
            self._over("orders_not_read")
            pause = self._pace.shortest_pause
            if orders is not None:
                self._put_in_force(orders)
            await asyncio.sleep(self._spread(self._pace.ask))

    def _put_in_force(self, orders: Orders) -> None:
        self.rounds.watch(orders.watched)
        facts: dict[str, object] = {"vantage": orders.vantage, "checks": len(orders.watched)}
        if orders.unreadable:
            facts["not_understood"] = {orders.labels[probe]: why for probe, why in orders.unreadable.items()}
        self._on_event("orders_taken", facts)

    async def _keep_results(self) -> None:
        """Into the spool at least every second: what is not there yet is what a kill can cost."""
        while True:
            await asyncio.sleep(self._pace.keep)
            if fresh := self._taken():
                await asyncio.to_thread(self._spool.put, fresh)

    def _taken(self) -> list[Result]:
        taken = self._fresh.copy()
        self._fresh.clear()
        return taken

    async def _deliver(self) -> None:
        """One delivery after another, oldest first; after trouble in growing, spread intervals."""
        pause = self._pace.shortest_pause
        while True:
            parcel = await asyncio.to_thread(self._spool.next, self._most)
            if parcel.is_empty:
                await asyncio.sleep(self._pace.keep)
                continue
            try:
                receipt = await self._uplink.deliver(parcel.results, parcel.losses)
            except DeliveryRefused as error:
                await self._refused(parcel, error)
            except HoldfastError as error:
                self.counters.failures += 1
                self._trouble("delivery_failed", error)
                await asyncio.sleep(self._spread(pause))
                pause = min(2 * pause, self._pace.longest_pause)
            else:
                await asyncio.to_thread(self._spool.delivered, parcel)
                self._note(parcel, receipt)
                self._most = MOST_RESULTS
                pause = self._pace.shortest_pause

    async def _refused(self, parcel: Parcel, error: DeliveryRefused) -> None:
        """Find the one that is not understood by halves; it must not hold up all the others."""
        if len(parcel.results) > 1:
            self._most = parcel.first_half
            return
        await asyncio.to_thread(self._spool.set_aside, parcel, str(error))
        self._on_event("delivery_set_aside", {"results": len(parcel.results), "error": str(error)})
        self._most = MOST_RESULTS

    def _note(self, parcel: Parcel, receipt: ReceiptMessage) -> None:
        self._over("delivery_failed")
        self.counters.deliveries += 1
        self.counters.delivered += len(parcel.results)
        self.counters.refused += len(receipt.refused)
        if receipt.refused:
            why = sorted({f"probe {each.probe}: {each.reason}" for each in receipt.refused})
            self._on_event("results_refused", {"results": len(receipt.refused), "reasons": why[:MOST_SAID]})
        if parcel.losses is not None:
            lost = sum(loss.results for loss in parcel.losses.by_probe)
            self._on_event("losses_delivered", {"results": lost})

    def _trouble(self, event: str, error: HoldfastError) -> None:
        """Said once, however long it lasts."""
        if self._last_trouble.get(event) != str(error):
            self._last_trouble[event] = str(error)
            self._on_event(event, {"error": str(error), "waiting": self._spool.waiting})

    def _over(self, event: str) -> None:
        if self._last_trouble.pop(event, None) is not None:
            self._on_event(f"{event}_no_more", {"waiting": self._spool.waiting})

    def _spread(self, pause: float) -> float:
        """Between half and all of it: many agents do not come back at the same moment."""
        return pause * (0.5 + self._random.random() / 2)
