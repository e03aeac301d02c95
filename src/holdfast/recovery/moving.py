"""What a cluster is moved with, and what every action on it shares."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import Bound, Position, bound
from holdfast.recovery.outage import Judged, Looked, Seen, Standing, judged
from holdfast.recovery.region_ports import (
    WITNESS,
    Cluster,
    Edge,
    Fleet,
    Incidents,
    Ledgers,
    LedgerStands,
    Lookouts,
    Names,
    Tails,
    Told,
    UserWrite,
    database_seen,
    lock_in,
    waits_for,
)

T = TypeVar("T")
LOOK_EVERY_S = 0.2
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Parts:
    """One cluster's. What is None, or missing of a region, the estate does not declare."""

    key: str
    primary: str
    secondary: str
    cluster: Cluster
    edges: Mapping[str, Edge]
    lookouts: Lookouts
    clock: Clock
    names: Names | None = None
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)
    """By region: how many there are while it serves all users."""
    write: UserWrite | None = None
    incidents: Incidents | None = None
    ledgers: Ledgers | None = None
    tails: Tails | None = None
    release_lock: bool = False
    damaged: Callable[[], Awaitable[Sequence[str]]] | None = None
    """What says now that data is wrong: the other region has the same rows."""

    async def damage(self) -> Sequence[str]:
        """Why leaving a region would not help, in words; empty when nothing is known."""
        return [] if self.damaged is None else await self.damaged()

    @property
    def regions(self) -> Sequence[str]:
        return (self.primary, self.secondary)

    def other(self, region: str) -> str:
        """Raises StepFailed for what is no region of the cluster."""
        if region not in self.regions:
            raise StepFailed(f"{region!r} is no region of {self.key}: {', '.join(self.regions)}")
        return self.secondary if region == self.primary else self.primary

    async def looked(self) -> tuple[Looked, Mapping[str, Told]]:
        """All that is seen now."""
        told, sights = await asyncio.gather(self.cluster.told(), self.lookouts.look())
        witness = told.get(WITNESS)
        look = Looked(
            at=self.clock.now(),
            vantages=self.lookouts.vantages,
            sights=sights,
            database=database_seen(told, self.regions),
            witness=Seen.UNKNOWN if witness is None else Seen.UP,
            witness_sees={} if witness is None else witness.connected,
        )
        return look, told

    async def judged(self, region: str) -> tuple[Judged, Mapping[str, Told]]:
        """How a region stands now."""
        look, told = await self.looked()
        return judged(look, region), told


PartsOf = Callable[[str], Parts]
"""By the key of a cluster. Raises StepFailed when the estate does not say how it is moved."""


def leader_in(told: Mapping[str, Told], region: str) -> str | None:
    """The name of the member in `region` that leads and runs, by its own word."""
    place = told.get(region)
    own = None if place is None else place.own()
    return own.name if own is not None and own.leads and own.running else None


async def stands_of(parts: Parts) -> Mapping[str, LedgerStands]:
    """The ledger as far as it can be asked before a failover; empty where there is none, or none answers."""
    if parts.ledgers is None:
        return {}
    try:
        return await parts.ledgers.stands(parts.key)
    except HoldfastError:
        return {}


def bound_of(
    told: Mapping[str, Told],
    lost: str,
    to: str,
    at: datetime,
    before: bool | None = None,
    ledgers: Mapping[str, LedgerStands] | None = None,
) -> Bound:
    """What is known before a failover, by those who still answer.

    `before`: whether commits waited for `to`, as somebody saw while `lost` led. What is seen after another
    one took the lead says nothing of that time. `ledgers`: as they stand where they can be asked now.
    """
    lock = lock_in(told)
    leads = lock is not None and lock.region == lost
    taken = lock is not None and lock.region == to
    primary = candidate = None
    for place in told.values():
        for member in place.members:
            if member.lsn is None:
                continue
            position = Position(lsn=member.lsn, at=place.at, timeline=member.timeline)
            if member.region == lost and (primary is None or position.lsn > primary.lsn):
                primary = position
            if member.region == to and not taken and (candidate is None or position.lsn > candidate.lsn):
                candidate = position
    waited = waits_for(told, to) if leads else before
    caught_up = None if taken else _caught_up_at(told, to)
    known = ledgers or {}
    return bound(
        primary,
        candidate,
        waited=waited,
        caught_up_at=caught_up,
        at=at,
        acknowledged={name: each.acknowledged for name, each in known.items()},
        has={name: each.there for name, each in known.items()},
        sequences={name: each.sources for name, each in known.items()},
    )


def _caught_up_at(told: Mapping[str, Told], to: str) -> datetime | None:
    """The newest commit that a member in `to` has: nothing older is missing there."""
    times = [
        member.replayed_at
        for place in told.values()
        for member in place.members
        if member.region == to and member.replayed_at is not None
    ]
    return max(times, default=None)


async def until(look: Callable[[], Awaitable[T | None]], within: timedelta, failing: str, clock: Clock) -> T:
    """What `look` finds, once it finds something. Raises StepFailed with `failing` after so long."""
    found, last = await _sought(look, within, clock)
    if found is None:
        raise StepFailed(f"{failing} within {within.total_seconds():g} s{last}")
    return found


async def found_within(look: Callable[[], Awaitable[T | None]], within: timedelta, clock: Clock) -> T | None:
    """The same, or None after so long."""
    return (await _sought(look, within, clock))[0]


async def _sought(
    look: Callable[[], Awaitable[T | None]], within: timedelta, clock: Clock
) -> tuple[T | None, str]:
    ends, last = clock.monotonic() + within.total_seconds(), ""
    while True:
        try:
            if (found := await look()) is not None:
                return found, ""
        except StepFailed as error:
            last = f": {error}"
        if clock.monotonic() >= ends:
            return None, last
        await asyncio.sleep(LOOK_EVERY_S)


async def sent_until(
    send: Awaitable[None],
    look: Callable[[], Awaitable[T | None]],
    within: timedelta,
    failing: str,
    clock: Clock,
) -> T:
    """What `look` finds, though what was sent is not answered yet; raises what sending it raises."""
    sending = asyncio.ensure_future(send)
    looking = asyncio.ensure_future(until(look, within, failing, clock))
    try:
        await asyncio.wait({sending, looking}, return_when=asyncio.FIRST_COMPLETED)
        if not looking.done():
            sending.result()
        return await looking
    finally:
        for each in (sending, looking):
            each.cancel()
        await asyncio.gather(sending, looking, return_exceptions=True)


async def told_of_failure(doing: Awaitable[None]) -> str:
    """Empty when it went well, else why not: for what may be out of reach."""
    try:
        await doing
    except HoldfastError as error:
        return str(error)
    return ""


def asked(given: Mapping[str, str], name: str) -> str:
    """Raises StepFailed when nobody gave it."""
    if not given.get(name):
        raise StepFailed(f"the step is not given {name!r}")
    return given[name]


def standing_text(judgement: Judged) -> str:
    """For people, in one line."""
    return f"{judgement.region} is {judgement.standing.value}: {'; '.join(judgement.why)}"


def is_lost(judgement: Judged) -> bool:
    return judgement.standing is Standing.LOST
