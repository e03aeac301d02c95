"""What is done about a region: nothing, wait, ask a person, or fail over. Pure.

A failover is begun by itself only while **every** limit of the policy is known to hold (`Limit`); where one
does not, or is not known, the same playbook is begun with a gate, and people see which limit it was. What is
never decided here (tests/property/test_deciding.py):

- a failback: whatever happens to the region that took over, the way back is a planned switchover;
- a failover for corruption: the other region has the same wrong rows, replicated within milliseconds;
- anything for a witness that is lost alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.recovery.outage import Judged, Seen, Standing


@dataclass(frozen=True, slots=True)
class Policy:
    """When a failover may begin by itself. `automatic` False: always at a gate."""

    automatic: bool = False
    hold: timedelta = timedelta(seconds=10)
    """For so long without a break the region has been lost, before anything is done."""
    lag: timedelta = timedelta(0)
    """So much may be lost at most: the agreed RPO, or less."""
    drilled_within: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the cluster when it is decided. None is unknown, and never counts as good."""

    now: datetime
    primary: str
    """The region that the estate declares as the cluster's own."""
    secondary: str
    active: str | None
    """The region that the cluster worked in when all was well last."""
    lost_since: datetime | None
    """Since when the active region was judged LOST at each look without a break."""
    lag: timedelta | None
    """How much the secondary lacked, when that was known last; 0 where each commit waited for it."""
    lag_at: datetime | None = None
    drilled_at: datetime | None = None
    """When a drill of a region outage of this cluster went well last."""
    other: Standing = Standing.UNKNOWN
    """How the region stands that would take over."""
    paused: bool | None = None
    """Whether people told the database's cluster to do nothing by itself."""
    corrupt: Sequence[str] = ()
    """What says that data is wrong: a check of the data that fails, a quarantine, an operator's word."""
    witness: Seen = Seen.UNKNOWN


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the policy's limits, and whether it is known to hold."""

    name: str
    holds: bool | None
    """None: it is not known."""
    why: str


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing is done."""

    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until`: it may pass."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Decline:
    """A failover would not help: says why, and what would."""

    why: str
    instead: str


@dataclass(frozen=True, slots=True)
class FailOver:
    """The playbook is begun, from one region to the other; with a gate unless it is `automatic`."""

    lost: str
    to: str
    automatic: bool
    why: Sequence[str]
    limits: Sequence[Limit] = field(default=())


Decision = Stay | Hold | Decline | FailOver
CORRUPTION = (
    "data is corrupt: the other region has the same rows, written within milliseconds of the first; "
    "failing over would only move the users onto the same damage"
)
INSTEAD = "restore to the last good point: `holdfast recover`"
LAG_KNOWN_FOR = timedelta(seconds=60)
"""A lag that was seen longer before the outage than this is not known any more."""


def decided(judgement: Judged, policy: Policy, known: Known) -> Decision:
    """What is to be done now about the region that `judgement` is of: the active one."""
    if known.corrupt:
        return Decline(f"{CORRUPTION} ({'; '.join(known.corrupt)})", INSTEAD)
    if known.active is None:
        return Stay("it is not known where the cluster works")
    if judgement.region != known.active:
        return Stay(f"the cluster works in {known.active}")
    if judgement.standing is not Standing.LOST or known.lost_since is None:
        return Stay(f"{judgement.region} is {judgement.standing.value}: {'; '.join(judgement.why)}")
    until = known.lost_since + policy.hold
    if known.now < until:
        return Hold(until, f"{judgement.region} is lost since {known.lost_since:%H:%M:%S}")
    limits = list(limits_of(policy, known))
    to = known.secondary if known.active == known.primary else known.primary
    automatic = all(each.holds is True for each in limits)
    return FailOver(known.active, to, automatic, judgement.why, limits)


def limits_of(policy: Policy, known: Known) -> Iterator[Limit]:
    """Every limit of a failover that nobody has to approve."""
    if policy.automatic:
        yield Limit("policy", True, "the estate lets it begin by itself")
    else:
        yield Limit("policy", False, "the estate says that people decide")
    if known.active == known.primary:
        yield Limit("direction", True, f"from {known.primary} to {known.secondary}")
    else:
        yield Limit("direction", False, f"back to {known.primary}: never by itself")
    yield _lag(policy, known)
    yield _drilled(policy, known)
    if known.other is Standing.UP:
        yield Limit("secondary", True, "the other region is up")
    else:
        unknown = known.other is Standing.UNKNOWN
        yield Limit("secondary", None if unknown else False, f"the other region is {known.other.value}")
    if known.paused is False:
        yield Limit("paused", True, "the database's cluster acts by itself")
    else:
        holds = None if known.paused is None else False
        yield Limit(
            "paused", holds, "people have paused the database's cluster" if known.paused else "unknown"
        )


def _lag(policy: Policy, known: Known) -> Limit:
    at, since = known.lag_at, known.lost_since
    if known.lag is None or at is None or since is None:
        return Limit("lag", None, "how far the other region was behind is unknown")
    if at < since - LAG_KNOWN_FOR:
        return Limit("lag", None, f"how far the other region was behind is known of {at:%H:%M:%S} only")
    told = f"the other region was {known.lag.total_seconds():g} s behind at most"
    return Limit("lag", known.lag <= policy.lag, f"{told}, {policy.lag.total_seconds():g} s may be lost")


def _drilled(policy: Policy, known: Known) -> Limit:
    if known.drilled_at is None:
        return Limit("drilled", None, "no drill of this is known")
    age = known.now - known.drilled_at
    told = f"drilled {age.days} days ago, at most {policy.drilled_within.days} are agreed"
    return Limit("drilled", timedelta(0) <= age <= policy.drilled_within, told)
