"""What Patroni's REST API and a witness answer, as the words of recovery. Pure.

Source: Patroni 4, "Patroni REST API" (GET /patroni, /cluster, /history). Whatever is missing, or of another
shape than expected, is unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdfast.recovery.outage import Seen
from holdfast.recovery.region_ports import WITNESS, Lock, Member, Told

LEADING = frozenset({"leader", "primary", "master", "standby_leader"})
RUNNING = frozenset({"running", "streaming", "in archive recovery"})
SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})


class Regions:
    """Which member is in which region: as each node told of itself, else as its name says.

    A member that never answered is taken to be in the region that its name is, or begins with: `eu-1`.
    """

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = regions
        self._known: dict[str, str] = {}

    def learn(self, member: str, region: str) -> None:
        self._known[member] = region

    def of(self, member: str) -> str:
        """The region, or nothing."""
        if member in self._known:
            return self._known[member]
        named = [
            each for each in self._regions if member == each or member.startswith((f"{each}-", f"{each}."))
        ]
        return max(named, key=len, default="")

    def members(self, region: str) -> list[str]:
        """The members that are known to be there."""
        return sorted(name for name, where in self._known.items() if where == region)


def told_by_node(
    region: str, at: datetime, node: Mapping[str, object], cluster: Mapping[str, object], regions: Regions
) -> Told:
    """What one node tells: of itself what it sees, of the others what the store has."""
    name = _text(_object(node.get("patroni")).get("name")) or ""
    members = [_listed(each, regions) for each in _objects(cluster.get("members"))]
    own = _itself(name, region, node)
    leader = next((each for each in members if each.leads), None)
    synchronous = [
        str(each.get("name"))
        for each in _objects(cluster.get("members"))
        if str(each.get("role")) in SYNCHRONOUS
    ]
    return Told(
        place=region,
        at=at,
        members=[own, *(each for each in members if each.name != name)],
        lock=None if leader is None else Lock(leader.name, leader.region or None),
        waits_for=synchronous,
        # A node without a quorum goes on reading what it had: so it cannot vouch for one.
        quorum=None,
        paused=cluster.get("pause") is True,
    )


def told_by_witness(at: datetime, view: Mapping[str, object], regions: Regions) -> Told:
    """What a voter without data tells: `GET /view` of the lab's, which any witness can be made to answer."""
    leader = _object(view.get("leader"))
    holder, index = _text(leader.get("name")), _number(leader.get("index"))
    sync, quorum = _object(view.get("sync")), view.get("quorum")
    return Told(
        place=WITNESS,
        at=at,
        members=[_listed(each, regions) for each in _objects(view.get("members"))],
        lock=None if holder is None else Lock(holder, regions.of(holder) or None, index),
        waits_for=[name for name in str(sync.get("standby") or "").split(",") if name],
        quorum=quorum if isinstance(quorum, bool) else None,
        connected={
            site: Seen.UP if seen else Seen.DOWN
            for site, seen in _object(view.get("raft")).items()
            if isinstance(seen, bool)
        },
    )


def ends_of_timelines(history: object) -> Mapping[int, int]:
    """`GET /history`: rows of timeline, the LSN where it ended, and more."""
    return {
        row[0]: row[1]
        for row in (history if isinstance(history, list) else [])
        if isinstance(row, list) and len(row) >= 2 and all(type(each) is int for each in row[:2])
    }


def _itself(name: str, region: str, node: Mapping[str, object]) -> Member:
    log = _object(node.get("xlog"))
    leads = str(node.get("role")) in LEADING
    lsn = log.get("location") if leads else log.get("replayed_location")
    return Member(
        name,
        region,
        leads=leads,
        running=str(node.get("state")) in RUNNING,
        timeline=_number(node.get("timeline")),
        lsn=_number(lsn),
        replayed_at=None if leads else _moment(log.get("replayed_timestamp")),
    )


def _listed(member: Mapping[str, object], regions: Regions) -> Member:
    name = str(member.get("name"))
    lsn = _number(member.get("xlog_location"))
    return Member(
        name,
        regions.of(name),
        leads=str(member.get("role")) in LEADING,
        running=str(member.get("state")) in RUNNING,
        timeline=_number(member.get("timeline")),
        lsn=lsn if lsn is not None else _lsn(member.get("replay_lsn") or member.get("lsn")),
    )


def _lsn(text: object) -> int | None:
    """PostgreSQL's way to write a position in the log: two numbers in hexadecimal, `16/B374D848`."""
    high, slash, low = text.partition("/") if isinstance(text, str) else ("", "", "")
    try:
        return (int(high, 16) << 32) + int(low, 16) if slash else None
    except ValueError:
        return None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment and moment.tzinfo else None


def _number(value: object) -> int | None:
    return value if type(value) is int else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
