"""Whether a region is lost: the vantage points', the witness's and the database's word, put together. Pure.

What holds, whatever is seen and whatever is not (tests/property/test_outage.py):

1. What is not known is never evidence: whoever is not heard of any more, no region is lost by that.
2. A region is lost only when more than half of all vantage points that were declared see it down, each of
   them while it sees something else up: one that sees nothing at all tells of itself.
3. No region is lost while the database's members there hold the lead, or another region's members or the
   witness see it up: then it is a link that is cut, or the edge that is down, and a person decides.
4. Losing the witness alone changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Seen(StrEnum):
    """What somebody saw of something."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    """Not asked, not answered, or too long ago."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a vantage point saw of each region's edge, at one time."""

    vantage: str
    at: datetime
    regions: Mapping[str, Seen]

    def of(self, region: str, oldest: datetime) -> Seen:
        """UNKNOWN when it was before `oldest`, or the region was not looked at."""
        return self.regions.get(region, Seen.UNKNOWN) if self.at >= oldest else Seen.UNKNOWN


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """What the database's own cluster (Patroni) says in the regions that answer.

    `leads`: the region whose member holds the lead, as those say whose word has a quorum behind it; None when
    nobody does, or nobody knows. `regions`: whether members there answered us, or other members see them run.
    """

    leads: str | None = None
    has_quorum: bool | None = None
    """None: nobody could tell."""
    regions: Mapping[str, Seen] = field(default_factory=dict)

    def of(self, region: str) -> Seen:
        return self.regions.get(region, Seen.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Looked:
    """All that is seen of a cluster at one time. `vantages` are all that were declared, seen or not."""

    at: datetime
    vantages: Sequence[str]
    sights: Sequence[Sight]
    database: DatabaseSeen
    witness: Seen = Seen.UNKNOWN
    witness_sees: Mapping[str, Seen] = field(default_factory=dict)


class Standing(StrEnum):
    """How a region stands."""

    UP = "up"
    LOST = "lost"
    """By all that can be known from outside: users and the database have lost it."""
    EDGE_DOWN = "edge down"
    """Users do not reach it, its database works."""
    CUT = "cut"
    """Some see it and some do not."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """How a region stands, and the words for it."""

    region: str
    standing: Standing
    why: Sequence[str]
    down: int = 0
    """Vantage points that see it down while they see something else up."""
    up: int = 0
    declared: int = 0


STALE_AFTER = timedelta(seconds=10)
"""What was seen longer ago says nothing of now."""


def judged(looked: Looked, region: str, stale_after: timedelta = STALE_AFTER) -> Judged:
    """How `region` stands, by what was seen."""
    oldest = looked.at - stale_after
    vantages = list(dict.fromkeys(looked.vantages))
    newest = _newest(looked.sights, vantages)
    up = [name for name in vantages if (s := newest.get(name)) and s.of(region, oldest) is Seen.UP]
    down = [name for name in vantages if (s := newest.get(name)) and _counts(s, region, oldest)]
    quorum = len(vantages) // 2 + 1
    seen = f"{len(down)} of {len(vantages)} vantage points see {region} down, {len(up)} see it up"
    standing, more = _standing(looked, region, len(up), len(down), quorum)
    return Judged(region, standing, [seen, *more], len(down), len(up), len(vantages))


def _standing(looked: Looked, region: str, up: int, down: int, quorum: int) -> tuple[Standing, Sequence[str]]:
    if up >= quorum:
        return Standing.UP, []
    if down < quorum:
        return (Standing.CUT, ["they do not agree"]) if up and down else (Standing.UNKNOWN, ["no quorum"])
    database = looked.database
    if database.leads == region and database.of(region) is Seen.UP:
        return Standing.EDGE_DOWN, [f"its database answers in {region}, and leads"]
    if database.of(region) is Seen.UP:
        return Standing.EDGE_DOWN, [f"its database answers in {region}"]
    if looked.witness_sees.get(region) is Seen.UP:
        return Standing.CUT, [f"the witness sees {region}"]
    if database.of(region) is Seen.UNKNOWN:
        return Standing.UNKNOWN, [f"nobody could tell whether the database in {region} works"]
    told = [f"the database's members in {region} do not answer"]
    if looked.witness_sees.get(region) is Seen.DOWN:
        told.append(f"the witness does not see {region} either")
    elif looked.witness is not Seen.UP:
        told.append(f"the witness is {looked.witness.value if looked.witness is Seen.DOWN else 'not known'}")
    return Standing.LOST, told


def _counts(sight: Sight, region: str, oldest: datetime) -> bool:
    """It sees the region down, and is not itself cut off from everything."""
    if sight.of(region, oldest) is not Seen.DOWN:
        return False
    return any(sight.of(other, oldest) is Seen.UP for other in sight.regions if other != region)


def _newest(sights: Sequence[Sight], vantages: Sequence[str]) -> Mapping[str, Sight]:
    """By vantage point; those that were never declared have no voice."""
    newest = dict[str, Sight]()
    for sight in sights:
        if sight.vantage in vantages and (sight.vantage not in newest or sight.at > newest[sight.vantage].at):
            newest[sight.vantage] = sight
    return newest
