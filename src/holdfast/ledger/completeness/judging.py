"""Judging: looks at what has come, tells what somebody must look into, and when that is over.

    entries -> folds -> standings, gaps, clocks, metered jobs  -> found -> concerns -> journal and alarms
    sources ---------> claims, readings of counters           ->

Two may judge at once: a concern begins once and ends once, whoever finds it first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.completeness.concerns import Clash, Concern, Found, StandsStill, changed, concerns
from holdfast.ledger.completeness.meters import Reading, Stretch, Taken, judged
from holdfast.ledger.completeness.missing import Claim, ClockMarked, Missing, Settled, Standing, missing
from holdfast.ledger.model import Gap

ACTOR = "ledger"
LOOK_BACK = timedelta(days=35)
"""Stretches that ended within it are judged. Entries that come later are found by whoever asks for more."""
AGAIN_AFTER = timedelta(hours=1)
"""Operators are told again of what still stands."""
MOST_OF_A_SOURCE = 1000
"""So many gaps and conflicts of a source are looked at, the oldest first."""


class ClaimMade(NamedTuple):
    """A source has given out the numbers up to `highest`, from `lowest` on where it says so."""

    epoch: int
    highest: int
    lowest: int | None = None


@dataclass(frozen=True, slots=True)
class Settling:
    """What an operator settles: numbers [first, last] of a source's epoch, conflict entries by their leaves
    [first, last], or everything of a device's meters until a moment.
    """

    tenant: str
    what: str
    """gap, conflict, meter"""
    subject: str
    reason: str
    epoch: int | None = None
    first: int | None = None
    last: int | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogStanding:
    """How a tenant's log stands. Times are None before there was anything."""

    tenant: str
    origin: str
    size: int
    grown_at: datetime | None
    published: int
    published_at: datetime | None
    one_region: int
    """Leaves that were acknowledged as in one region, and are not known to be in two."""
    folded: int | None
    """What the fold that has come least far has folded; None before any has begun."""


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """A tenant's log, what is missing in it, and what somebody must look into."""

    log: LogStanding
    sources: int
    missing: Sequence[Missing]
    overdue: int
    """Of those that are missing: gaps that are older than what is usual."""
    conflicts: int
    concerns: Sequence[Concern]


class Completeness(Protocol):
    """What is kept of it. All tenants' where `tenant` is None."""

    async def tenants(self) -> Sequence[str]:
        """Those with a log, a claim or a reading."""
        ...

    async def claim(self, tenant: str, source: str, claims: Sequence[ClaimMade]) -> None:
        """Claims come again and again; a lower one than before changes nothing."""
        ...

    async def read_meters(self, tenant: str, source: str, readings: Sequence[Reading]) -> Sequence[Taken]:
        """What became of each. Those of one call are taken together, or none."""
        ...

    async def meter_new_devices(self) -> int:
        """Collect the jobs of devices with readings from before they were collected. How many devices."""
        ...

    async def trim_metered(self, tenant: str, before: datetime) -> int:
        """Forget the jobs behind each counter's last reading before that time: nothing is compared that far
        back any more. Readings stay. How many jobs' quantities that were.
        """
        ...

    async def standings(self, tenant: str, source: str | None = None) -> Sequence[Standing]:
        """Of one source or, as with the next three, of all."""
        ...

    async def gaps(
        self, tenant: str, source: str | None = None, *, most: int = MOST_OF_A_SOURCE
    ) -> Sequence[Gap]:
        """The oldest `most` of each source."""
        ...

    async def claims(self, tenant: str, source: str | None = None) -> Sequence[Claim]: ...

    async def settled(self, tenant: str, source: str | None = None) -> Sequence[Settled]:
        """The numbers."""
        ...

    async def clashes(self, tenant: str, *, most: int = MOST_OF_A_SOURCE) -> Sequence[Clash]:
        """Conflict entries, the unsettled before the settled ones, the oldest first; `most` of a source."""
        ...

    async def clocks(self, tenant: str) -> Sequence[ClockMarked]: ...

    async def stretches(
        self, tenant: str, since: datetime, *, device: str | None = None, settled: bool = False
    ) -> Sequence[Stretch]:
        """Between readings, those that end at `since` or later, without verdicts. `settled`: those too."""
        ...

    async def settle(self, settling: Settling, *, actor: str, at: datetime) -> None:
        """Kept for ever, and journalled."""
        ...

    async def concerns(self, tenant: str | None = None) -> Sequence[Concern]:
        """Those that stand."""
        ...

    async def turn(
        self, begun: Sequence[Concern], over: Sequence[Concern], standing: Sequence[Concern], at: datetime
    ) -> Sequence[JournalEntry]:
        """Keep what begins and what is over, with the journal, and the facts of those that stand as they are
        now. Returns what was journalled: what somebody else was first with is not in it.
        """
        ...

    async def take_to_tell(self, at: datetime, before: datetime) -> Sequence[Concern]:
        """Those that stand and were last told at `before` or earlier, or never: they count as told at `at`.

        Of several that ask one is given each of them.
        """
        ...

    async def still(self, tenant: str) -> Sequence[StandsStill]:
        """Folds that have something to fold, and since when they have not moved."""
        ...

    async def logs(self) -> Sequence[LogStanding]:
        """All tenants' logs, by tenant."""
        ...


async def missing_of(
    store: Completeness, tenant: str, *, source: str | None = None, settled: bool = False
) -> Sequence[Missing]:
    """What has not come of a tenant's sources or of one, the oldest first; with `settled` also what nobody
    waits for. As far as the fold has come.
    """
    return missing(
        await store.standings(tenant, source),
        await store.gaps(tenant, source),
        await store.claims(tenant, source),
        () if settled else await store.settled(tenant, source),
    )


class Judge:
    """Finds what is amiss, of every tenant."""

    def __init__(self, store: Completeness, clock: Clock, *, gap_after: timedelta) -> None:
        self._store = store
        self._clock = clock
        self.gap_after = gap_after

    async def look(self) -> Sequence[JournalEntry]:
        """One look: what began and what is over since the last one, by whoever took it."""
        await self._store.meter_new_devices()
        now = self._clock.now()
        standing = await self._store.concerns()
        present = list[Concern]()
        for tenant in await self._store.tenants():
            present += concerns(await self.found(tenant), now, self.gap_after)
        begun, over = changed(present, standing)
        new = {each.key for each in begun}
        return await self._store.turn(begun, over, [each for each in present if each.key not in new], now)

    async def to_tell(self) -> Sequence[Concern]:
        """What stands and operators are to be told of now: once, and again each hour."""
        now = self._clock.now()
        return await self._store.take_to_tell(now, now - AGAIN_AFTER)

    async def found(self, tenant: str) -> Found:
        """What is known of a tenant now."""
        since = self._clock.now() - LOOK_BACK
        return Found(
            tenant,
            await self.missing(tenant),
            await self._store.clashes(tenant),
            judged(await self._store.stretches(tenant, since)),
            await self._store.clocks(tenant),
            await self._store.still(tenant),
        )

    async def missing(self, tenant: str, *, settled: bool = False) -> Sequence[Missing]:
        """What has not come, the oldest first; with `settled` also what nobody waits for."""
        return await missing_of(self._store, tenant, settled=settled)

    async def status(self) -> Sequence[TenantStatus]:
        """How every tenant stands."""
        now, standing = self._clock.now(), await self._store.concerns()
        found = list[TenantStatus]()
        for log in await self._store.logs():
            absent = await self.missing(log.tenant)
            sources = {each.source for each in await self._store.standings(log.tenant)}
            late = sum(now - each.since >= self.gap_after for each in absent)
            clashes = sum(not each.settled for each in await self._store.clashes(log.tenant))
            mine = [each for each in standing if each.tenant == log.tenant]
            found.append(TenantStatus(log, len(sources), absent, late, clashes, mine))
        return found
