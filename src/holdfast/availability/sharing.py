"""Several controllers on one database: the checks are divided into shares, and each share has one monitor.

Who is there decides who should have which share (`wanted_shares`); the lease of each share decides who has
it. Views of who is there may differ for a moment: then a share is left waiting or wanted twice, and is never
run twice, because the second monitor does not get the lease.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.availability.monitor import Monitor
from holdfast.availability.rounds import Counters, Watched
from holdfast.estate.model import Retention
from holdfast.kernel.errors import HoldfastError

SHARES = 6
"""Divides evenly among one, two, three and six controllers. Each share costs a connection and a flush."""

FIRST_SHARE = 0
"""Whoever has it also does what is to be done once: housekeeping, alerts, freezing months."""

LOOK_EVERY_S = 2.0
LOOKS_AFTER_RETURN = 4


def share_of(check_id: int) -> int:
    """The share that a check belongs to."""
    return check_id % SHARES


def wanted_shares(members: Sequence[str], me: str) -> frozenset[int]:
    """The shares that `me` should have when `members` are there: disjoint and complete over all members."""
    present = sorted({*members, me})
    rank = present.index(me)
    return frozenset(share for share in range(SHARES) if share % len(present) == rank)


@dataclass(frozen=True, slots=True)
class Present:
    """Who is there, and who we are among them."""

    members: Sequence[str]
    me: str


class Membership(Protocol):
    """Which controllers live."""

    async def present(self) -> Present:
        """Everybody who lives, ourselves included. Raises HoldfastError while that cannot be known."""
        ...

    async def close(self) -> None:
        """Leave. Idempotent."""
        ...


class SharedMonitor:
    """A Monitor for every share that this controller should have. `watch` may be called at any time."""

    def __init__(
        self,
        membership: Membership,
        monitor_for: Callable[[int], Monitor],
        on_event: Callable[[str, Mapping[str, object]], None],
        *,
        look_every: float = LOOK_EVERY_S,
    ) -> None:
        self._membership = membership
        self._monitor_for = monitor_for
        self._on_event = on_event
        self._look_every = look_every
        self._monitors: dict[int, Monitor] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._checks: Mapping[int, list[Watched]] | None = None
        self._retention: Retention | None = None

    @property
    def leading(self) -> bool:
        """Whether this controller does what is to be done once."""
        first = self._monitors.get(FIRST_SHARE)
        return first is not None and first.leading

    @property
    def counters(self) -> Sequence[Counters]:
        """Those of the monitors that run here now."""
        return [monitor.counters for monitor in self._monitors.values()]

    def watch(self, checks: Iterable[Watched], retention: Retention | None = None) -> None:
        """From now on these checks are in force, each in its share. See Monitor.watch."""
        divided: dict[int, list[Watched]] = {share: [] for share in range(SHARES)}
        for check in checks:
            divided[share_of(check.id)].append(check)
        self._checks, self._retention = divided, retention
        for share, monitor in self._monitors.items():
            monitor.watch(divided[share], retention)

    async def run(self) -> None:
        """Take and give up shares as controllers come and go. Ends by cancellation; leaves nothing running.

        While it cannot be known who is there, everybody keeps what they have, and for a while after: those
        who come back one by one must not take the shares of those who come a moment later.
        """
        returning = 0
        try:
            while True:
                try:
                    present = await self._membership.present()
                except HoldfastError:
                    returning = LOOKS_AFTER_RETURN
                else:
                    returning = max(0, returning - 1)
                    if not returning:
                        await self._settle(wanted_shares(present.members, present.me))
                for task in self._tasks.values():
                    if task.done():
                        task.result()  # a monitor that ended by itself is a fault: it ends the controller
                await asyncio.sleep(self._look_every)
        finally:
            await self._give_up(set(self._tasks))
            await self._membership.close()

    async def _settle(self, wanted: frozenset[int]) -> None:
        held = frozenset(self._tasks)
        if wanted == held:
            return
        self._on_event("shares_changed", {"from": sorted(held), "to": sorted(wanted)})
        await self._give_up(held - wanted)
        for share in sorted(wanted - held):
            monitor = self._monitor_for(share)
            if self._checks is not None:
                monitor.watch(self._checks[share], self._retention)
            self._monitors[share] = monitor
            self._tasks[share] = asyncio.create_task(monitor.run(), name=f"share {share}")

    async def _give_up(self, shares: Iterable[int]) -> None:
        """Each monitor stores what it still has and then lets go of its lease."""
        tasks = [self._tasks.pop(share) for share in sorted(shares)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._monitors = {share: each for share, each in self._monitors.items() if share in self._tasks}
