"""Watches a cluster's regions, and begins a failover when it is decided.

What it remembers from look to look is when users were served last, since when the region has been lost, and
what was known of the other region while all was well. A watcher that begins anew knows less, and so asks a
person where the old one would have acted. Several may watch the same cluster: only one run that moves its
traffic can be under way, so the second one to begin it is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.deciding import Decision, FailOver, Known, Policy, decided
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.moving import Parts, standing_text
from holdfast.recovery.outage import Judged, Standing, judged
from holdfast.recovery.region_ports import Told, waits_for

Drilled = Callable[[str], Awaitable[datetime | None]]
Corrupt = Callable[[str], Awaitable[Sequence[str]]]
AUTOMATIC, GATED = "region-outage-automatic", "region-outage"
ACTOR = "holdfast"
"""Who starts a run that nobody started."""
AGAIN_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a look came to: how the regions stand, and what is done about it."""

    at: datetime
    active: str | None
    regions: Mapping[str, Judged]
    decision: Decision
    lost_since: datetime | None
    witness_lost: bool


@dataclass
class Watcher:
    """One cluster's. `drilled`: when a drill of this went well last; `corrupt`: what says data is wrong."""

    parts: Parts
    policy: Policy
    drilled: Drilled
    corrupt: Corrupt
    every: timedelta = timedelta(seconds=1)
    """How often it is looked: where commits do not wait, so much more may be missing than was seen."""
    _active: str | None = None
    _lost_since: datetime | None = None
    _served_at: datetime | None = None
    _lag: timedelta | None = None
    _lag_at: datetime | None = None
    _waited: bool | None = None
    _paused: bool | None = None

    async def look(self) -> Outlook:
        """Look once, and decide."""
        parts = self.parts
        look, told = await parts.looked()
        regions = {each: judged(look, each) for each in parts.regions}
        active = await self._where()
        judgement = regions[active or parts.primary]
        lost = active is not None and judgement.standing is Standing.LOST
        self._remember(look.at, judgement, told, parts.other(active or parts.primary), lost=lost)
        known = Known(
            now=look.at,
            primary=parts.primary,
            secondary=parts.secondary,
            active=active,
            lost_since=self._lost_since,
            lag=self._lag,
            lag_at=self._lag_at,
            # Asked only when it matters: each look would ask the database else.
            drilled_at=await self.drilled(parts.key) if lost else None,
            other=self._other(regions[parts.other(active or parts.primary)], told),
            paused=self._paused,
            corrupt=await self.corrupt(parts.key) if lost else (),
            witness=look.witness,
        )
        return Outlook(
            at=look.at,
            active=active,
            regions=regions,
            decision=decided(judgement, self.policy, known),
            lost_since=self._lost_since,
            witness_lost="witness" not in told,
        )

    def begun_with(self, outlook: Outlook, decision: FailOver) -> Mapping[str, str]:
        """What the run is given."""
        limits = [
            f"{each.name}: {'holds' if each.holds else 'unknown' if each.holds is None else 'DOES NOT HOLD'}"
            f" ({each.why})"
            for each in decision.limits
        ]
        return {
            "lost": decision.lost,
            "to": decision.to,
            "began": _iso(self._served_at or outlook.lost_since),
            "lost_since": _iso(outlook.lost_since),
            "started": _iso(outlook.at),
            "waited": {True: "yes", False: "no", None: "unknown"}[self._waited],
            "why": "; ".join([*decision.why, *limits]),
        }

    async def _where(self) -> str | None:
        """The region where users are sent. What was seen last counts while nobody can be asked."""
        parts = self.parts
        found: str | None = None
        try:
            if parts.names is not None:
                found = await parts.names.pointing()
        except StepFailed:
            found = None
        for region in parts.regions if found is None else ():
            try:
                found = (await parts.edges[region].pointing()).to
            except StepFailed:
                continue
            if found is not None:
                break
        if found is not None and found != self._active:
            self._active, self._lost_since = found, None
        return self._active

    def _remember(
        self, at: datetime, judgement: Judged, told: Mapping[str, Told], other: str, *, lost: bool
    ) -> None:
        if lost:
            self._lost_since = self._lost_since or at
        else:
            self._lost_since = None
        if judgement.standing is Standing.UP:
            self._served_at = at
            lag = _lag_of(told, other, at)
            if lag is not None:
                self._lag, self._lag_at = lag, at
                self._lag += timedelta(0) if waits_for(told, other) else self.every
            self._waited = waits_for(told, other)
        elif lost and waits_for(told, other) is True and self._lag_at is None:
            # Nobody watched before. But the vote remembers for whom commits waited, and lets only them lead.
            self._lag, self._lag_at = timedelta(0), at
        paused = [each.paused for each in told.values() if each.paused is not None]
        if paused:
            self._paused = any(paused)

    def _other(self, judgement: Judged, told: Mapping[str, Told]) -> Standing:
        """The other region can take over when users reach it and its database runs."""
        if judgement.standing is not Standing.UP:
            return judgement.standing
        place = told.get(judgement.region)
        own = None if place is None else place.own()
        return Standing.UP if own is not None and own.running else Standing.UNKNOWN


def _lag_of(told: Mapping[str, Told], other: str, at: datetime) -> timedelta | None:
    """How far the other region is behind; 0 where commits wait for it."""
    if waits_for(told, other) is True:
        return timedelta(0)
    place = told.get(other)
    own = None if place is None else place.own()
    if own is None or own.lsn is None:
        return None
    leader = next((each.own() for each in told.values() if (m := each.own()) is not None and m.leads), None)
    if leader is not None and leader.lsn is not None and own.lsn >= leader.lsn:
        return timedelta(0)
    return None if own.replayed_at is None else max(at - own.replayed_at, timedelta(0))


async def keep(
    watcher: Watcher,
    every: timedelta,
    begin: Callable[[str, Mapping[str, str]], Awaitable[None]],
    tell: Callable[[Outlook], None],
    fail: Callable[[HoldfastError], None],
) -> None:
    """Look, tell, and begin what is decided, until cancelled.

    `begin` gets the playbook's name and what it is given. After it was called, nothing else is begun for
    AGAIN_AFTER: what is under way is seen in what the regions show only when it has come somewhere. A region
    that was well again since then, and is lost once more, is another loss: that one does not wait.
    """
    clock = watcher.parts.clock
    quiet_until = 0.0
    while True:
        began = clock.monotonic()
        try:
            outlook = await watcher.look()
            tell(outlook)
            decision = outlook.decision
            if outlook.lost_since is None:
                quiet_until = 0.0
            if isinstance(decision, FailOver) and began >= quiet_until:
                quiet_until = began + AGAIN_AFTER.total_seconds()
                name = AUTOMATIC if decision.automatic else GATED
                await begin(name, watcher.begun_with(outlook, decision))
        except HoldfastError as error:
            fail(error)
        await asyncio.sleep(max(began + every.total_seconds() - clock.monotonic(), 0.0))


def outlook_lines(outlook: Outlook) -> Sequence[str]:
    """For logs and people."""
    return [standing_text(each) for each in outlook.regions.values()]


def _iso(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()
