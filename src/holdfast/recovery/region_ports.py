"""What moving a cluster to its other region needs from outside.

Whatever is changed is told the fence, and refuses who comes late (`ComesLate`). What does not answer in time
raises, or is absent: it is never taken for an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from holdfast.recovery.loss import Loss
from holdfast.recovery.outage import DatabaseSeen, Seen, Sight
from holdfast.recovery.ports import Fence

WITNESS = "witness"
"""The place of a voter that holds no data, beside the regions."""


@dataclass(frozen=True, slots=True)
class Member:
    """A PostgreSQL of the cluster, as somebody tells of it. `lsn`: what it has written, or replayed."""

    name: str
    region: str
    leads: bool
    running: bool
    timeline: int | None = None
    lsn: int | None = None
    replayed_at: datetime | None = None
    """Of a standby: the time of the newest commit that it has, by the primary's clock."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds the lead. `index` names this very holding: it is another one when the lock was renewed."""

    holder: str
    region: str | None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one place says of the database's cluster. None is unknown."""

    place: str
    at: datetime
    members: Sequence[Member] = ()
    lock: Lock | None = None
    waits_for: Sequence[str] | None = None
    """Standbys that each commit waits for."""
    quorum: bool | None = None
    paused: bool | None = None
    connected: Mapping[str, Seen] = field(default_factory=dict)
    """Whom the witness sees."""

    def own(self) -> Member | None:
        """The member of that place itself."""
        return next((each for each in self.members if each.region == self.place), None)


def database_seen(told: Mapping[str, Told], regions: Sequence[str]) -> DatabaseSeen:
    """What is known of the database in the regions, out of what those say that answered.

    A region that does not answer is down only while another place answers: else it may be us who are cut off.
    """
    seen = dict[str, Seen]()
    for region in regions:
        if region in told:
            own = told[region].own()
            seen[region] = Seen.UP if own is not None and own.running else Seen.DOWN
        else:
            others = [each for each in told if each != region]
            seen[region] = Seen.DOWN if others else Seen.UNKNOWN
    lock = lock_in(told)
    quorum = next((each.quorum for each in told.values() if each.quorum is not None), None)
    return DatabaseSeen(None if lock is None else lock.region, quorum, seen)


def lock_in(told: Mapping[str, Told]) -> Lock | None:
    """Who leads, by the word of a place with a quorum behind it; else by that of a leader itself."""
    for each in told.values():
        if each.quorum:
            return each.lock
    for each in told.values():
        if (own := each.own()) is not None and own.leads and own.running:
            return each.lock or Lock(own.name, own.region)
    return next((each.lock for each in told.values() if each.lock is not None), None)


def waits_for(told: Mapping[str, Told], region: str) -> bool | None:
    """Whether each commit waits for a member in `region`. None: nobody could tell."""
    names = {each.name for place in told.values() for each in place.members if each.region == region}
    for place in sorted(told.values(), key=lambda each: each.quorum is not True):
        if place.waits_for is not None:
            return bool(names & set(place.waits_for))
    return None


class Cluster(Protocol):
    """The database's own cluster, which elects its leader: Patroni."""

    async def told(self) -> Mapping[str, Told]:
        """By place. Who does not answer in time is absent; raises nothing for that."""
        ...

    async def release(self, lock: Lock, fence: Fence) -> None:
        """Take the lead from who held it as `lock` says, and from nobody else.

        Raises StepFailed when it is another one by now, or there is no quorum, and ComesLate.
        """
        ...

    async def fail_over(self, to: str, fence: Fence) -> None:
        """Have a member in the region `to` lead, without asking the old one. Raises StepFailed."""
        ...

    async def switch_over(self, lock: Lock, to: str, fence: Fence) -> None:
        """Have the leader hand over to a member in `to`, without loss. Raises StepFailed."""
        ...

    async def rebuild(self, region: str, fence: Fence) -> None:
        """Throw away the members' data there, and copy the leader's. Raises StepFailed."""
        ...

    async def parted(self) -> Mapping[int, int]:
        """Where each timeline ended: its number, and the LSN. Raises StepFailed when nobody answers."""
        ...


@dataclass(frozen=True, slots=True)
class Pointing:
    """Where an edge sends users. `to` None: to several regions, or to none."""

    to: str | None
    up: Mapping[str, int]
    """By region: servers that answer."""


class Edge(Protocol):
    """The proxy of a region, which knows the servers of all of them."""

    async def pointing(self) -> Pointing:
        """Raises StepFailed when it does not answer."""
        ...

    async def point(self, to: str, fence: Fence) -> None:
        """Send new requests to the region `to` only; what is under way ends. Raises StepFailed, ComesLate."""
        ...


class Names(Protocol):
    """The name that users know."""

    async def pointing(self) -> str | None:
        """The region whose addresses it has, all of them and no other. Raises StepFailed."""
        ...

    async def point(self, to: str, fence: Fence) -> None:
        """Give it the addresses of the region `to`. Raises StepFailed, ComesLate."""
        ...


@dataclass(frozen=True, slots=True)
class Replicas:
    """Of the service, in a region."""

    wanted: int
    ready: int


class Fleet(Protocol):
    """Who sees to the service's replicas in a region."""

    async def replicas(self) -> Replicas:
        """Raises StepFailed."""
        ...

    async def scale(self, wanted: int, fence: Fence) -> None:
        """Raises StepFailed, ComesLate."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """A user's write that was acknowledged, at `at`, by the clock here."""

    id: str
    at: datetime
    seconds: float
    read_again: bool


class UserWrite(Protocol):
    """A write as users make it, by the name that they know."""

    async def write(self) -> Written:
        """Raises StepFailed when it is not acknowledged, or not read again."""
        ...


class Lookouts(Protocol):
    """The vantage points."""

    @property
    def vantages(self) -> Sequence[str]:
        """All that have a voice, heard of or not."""
        ...

    async def look(self) -> Sequence[Sight]:
        """What each saw last. Raises nothing: who is not heard of is absent."""
        ...


class Incidents(Protocol):
    """Telling users and operators."""

    async def opened(self, move: str) -> str | None:
        """The id of the incident that was opened for this move."""
        ...

    async def open(self, move: str, cluster: str, title: str, body: str, began: datetime | None) -> None:
        """One for each move, however often it is opened."""
        ...


@dataclass(frozen=True, slots=True)
class LedgerStands:
    """A log of the ledger: how many entries were acknowledged, and how many are there. None: unknown."""

    acknowledged: int | None
    there: int | None
    sources: Mapping[str, int] = field(default_factory=dict)
    """By source and epoch, in one word: the highest number that is there. Of those that sent last."""

    @property
    def lost(self) -> int | None:
        if self.acknowledged is None or self.there is None:
            return None
        return max(self.acknowledged - self.there, 0)


class Ledgers(Protocol):
    """The accounting ledger, beside the database."""

    async def stands(self, cluster: str) -> Mapping[str, LedgerStands]:
        """By log; empty where there is no ledger. Raises HoldfastError when it cannot be asked."""
        ...


class Tails(Protocol):
    """The end of an old primary's log, which nobody else has."""

    async def archive(self, region: str, parted: Mapping[int, int], waited: bool | None) -> Loss:
        """Keep it where it is safe from the rebuilding, and say what is in it.

        `parted`: where each timeline ended, by `Cluster.parted`. A member that has never left the leader's
        history has an empty one. Archiving it again changes nothing. Raises StepFailed when it cannot be
        read, or not all of it.
        """
        ...
