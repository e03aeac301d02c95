"""Two regions and a witness in memory, by the clock that they are given: what moves a cluster, simulated.

The database behaves as Patroni in synchronous mode does: a leader holds a lock in a vote of three, renews it
while it reaches another voter, steps down when it cannot, and a standby takes a lock that nobody holds.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.loss import Loss, LostTransaction, exact
from holdfast.recovery.outage import Seen, Sight
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import (
    WITNESS,
    LedgerStands,
    Lock,
    Member,
    Pointing,
    Replicas,
    Told,
    Written,
)

REGIONS = ("a", "b")
ANSWERS_IN_S = 0.01
NO_ANSWER_IN_S = 1.0


@dataclass
class Node:
    """A region's database."""

    region: str
    alive: bool = True
    leads: bool = False
    timeline: int = 1
    rows: list[str] = field(default_factory=list)
    """What it has committed, in order: its log."""
    diverged: bool = False
    """It has rows that the leader's history has not."""


@dataclass
class Fences:
    """The newest (epoch, turn) that each target has heard of."""

    newest: dict[str, tuple[int, int]] = field(default_factory=dict)
    late: int = 0

    def pass_(self, target: str, fence: Fence) -> None:
        """Raises ComesLate."""
        if (fence.epoch, fence.turn) < self.newest.get(target, (0, 0)):
            self.late += 1
            raise ComesLate(f"{target} has heard of a later attempt")
        self.newest[target] = (fence.epoch, fence.turn)


@dataclass
class World:
    """All of it. `lost`: regions where nothing runs; `cut`: pairs of places that do not reach each other."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    ttl: float = 20.0
    loop: float = 5.0
    synchronous: bool = True
    lost: set[str] = field(default_factory=set)
    cut: set[frozenset[str]] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    """Vantage points that see nothing."""
    witness_alive: bool = True
    nodes: dict[str, Node] = field(default_factory=lambda: {each: Node(each) for each in REGIONS})
    lock: Lock | None = None
    expires: float = 0.0
    index: int = 0
    led_last: str = "a"
    waiting_for: str | None = "b"
    """The standby that each commit waits for. It and `led_last` alone may lead: that is in the vote."""
    parted: dict[int, int] = field(default_factory=dict)
    pointing: dict[str, str] = field(default_factory=lambda: dict.fromkeys(REGIONS, "a"))
    name: str = "a"
    replicas: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REGIONS, 2))
    fences: Fences = field(default_factory=Fences)
    acknowledged: list[str] = field(default_factory=list)
    incidents: dict[str, str] = field(default_factory=dict)
    archived: dict[str, Loss] = field(default_factory=dict)
    rebuilt_unarchived: int = 0
    writes: int = 0

    def __post_init__(self) -> None:
        self._take_lock("a")
        self.nodes["a"].leads = True

    def reaches(self, one: str, other: str) -> bool:
        """Whether one place reaches the other. `us` is Holdfast."""
        if one == other:
            return one not in self.lost
        return not self.lost & {one, other} and frozenset((one, other)) not in self.cut

    async def live(self) -> None:
        """What the database's members do by themselves, until cancelled."""
        while True:
            await asyncio.sleep(0.1)
            self.step()

    def step(self) -> None:
        """One moment of it."""
        for node in self.nodes.values():
            if node.region in self.lost:
                node.alive = node.leads = False
        if self.lock is not None and self.monotonic() >= self.expires and self._any_quorum():
            self.lock = None
        for node in self.nodes.values():
            if not node.alive:
                continue
            holds = self.lock is not None and self.lock.holder == node.region
            quorum = self.has_quorum(node.region)
            if node.leads and holds and quorum:
                if self.monotonic() >= self.expires - self.ttl + self.loop:
                    self._take_lock(node.region)
                    self._choose_standby(node)
            elif node.leads and (not quorum or not holds):
                node.leads = False
            elif not node.leads and quorum and self.lock is None and self.may_lead(node.region):
                self.promote(node.region)

    def has_quorum(self, region: str) -> bool:
        """Whether a voter reaches another one."""
        others = [each for each in (*REGIONS, WITNESS) if each != region]
        return any(self.reaches(region, each) and self._votes(each) for each in others)

    def promote(self, region: str) -> None:
        node = self.nodes[region]
        old = next(each for each in self.nodes.values() if each is not node)
        node.leads = True
        self.parted[node.timeline] = len(node.rows)
        old.diverged = (
            old.diverged or old.rows != node.rows[: len(old.rows)] or len(old.rows) > len(node.rows)
        )
        node.timeline += 1
        self.led_last, self.waiting_for = region, None
        self._take_lock(region)

    def write(self, row: str) -> bool:
        """A row, where users are sent now. Whether it was acknowledged."""
        edge = self.name
        to = self.pointing[edge]
        if edge in self.lost or not self.reaches(edge, to) or not self.replicas[to]:
            return False
        leaders = [each for each in self.nodes.values() if each.leads and self.reaches(to, each.region)]
        if not leaders:
            return False
        leader = leaders[0]
        leader.rows.append(row)
        waits = self.waiting_for if self.synchronous else None
        standby = None if waits is None else self.nodes[waits]
        other = next(each for each in self.nodes.values() if each is not leader)
        in_reach = other.alive and not other.diverged and self.reaches(leader.region, other.region)
        # By their lengths: who has not diverged has the beginning of the leader's log, and no other one.
        if in_reach and len(other.rows) == len(leader.rows) - 1:
            other.rows.append(row)
        if standby is not None and len(standby.rows) != len(leader.rows):
            return False
        self.acknowledged.append(row)
        return True

    def heal(self, region: str) -> None:
        """It runs again. A member comes back as a standby; a diverged one stays as it is."""
        self.lost.discard(region)
        node = self.nodes[region]
        node.alive = True
        leader = next((each for each in self.nodes.values() if each.leads), None)
        if leader is not None and leader is not node and not node.diverged:
            node.rows, node.timeline = list(leader.rows), leader.timeline

    def _take_lock(self, holder: str) -> None:
        self.index += 1
        self.lock = Lock(holder, holder, self.index)
        self.expires = self.monotonic() + self.ttl

    def _choose_standby(self, leader: Node) -> None:
        other = next(each for each in self.nodes.values() if each is not leader)
        follows = other.alive and not other.diverged and self.reaches(leader.region, other.region)
        if follows and leader.rows[: len(other.rows)] == other.rows:
            other.rows, other.timeline = list(leader.rows), leader.timeline
            self.waiting_for = other.region
        elif self.waiting_for == other.region:
            self.waiting_for = None

    def may_lead(self, region: str) -> bool:
        """Whether it has all that was acknowledged, as the vote knows."""
        node = self.nodes[region]
        if node.diverged:
            return False
        return not self.synchronous or node.region in (self.led_last, self.waiting_for)

    def _votes(self, place: str) -> bool:
        return self.witness_alive if place == WITNESS else place not in self.lost

    def _any_quorum(self) -> bool:
        return any(self._votes(each) and self.has_quorum(each) for each in (*REGIONS, WITNESS))


@dataclass
class MemoryCluster:
    """Cluster."""

    world: World

    async def told(self) -> Mapping[str, Told]:
        await asyncio.sleep(ANSWERS_IN_S)
        world, found = self.world, dict[str, Told]()
        waits = [] if world.waiting_for is None else [world.waiting_for]
        members = [
            Member(n.region, n.region, n.leads, n.alive, n.timeline, len(n.rows))
            for n in world.nodes.values()
        ]
        for region in REGIONS:
            if world.reaches("us", region) and world.nodes[region].alive:
                quorum = world.has_quorum(region) or None
                found[region] = Told(region, world.now(), members, world.lock, waits, quorum, False)
        if world.witness_alive and world.reaches("us", WITNESS):
            sees = {each: Seen.UP if world.reaches(WITNESS, each) else Seen.DOWN for each in REGIONS}
            votes = world.has_quorum(WITNESS)
            found[WITNESS] = Told(WITNESS, world.now(), members, world.lock, waits, votes, None, sees)
        if not found:
            await asyncio.sleep(NO_ANSWER_IN_S)
        return found

    async def release(self, lock: Lock, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        world = self.world
        if not world.witness_alive or not world.reaches("us", WITNESS) or not world.has_quorum(WITNESS):
            raise StepFailed("the witness is away, or in no quorum")
        world.fences.pass_("lock", fence)
        if world.lock is not None and world.lock != lock:
            raise StepFailed("the lock has been renewed")
        world.lock = None

    async def fail_over(self, to: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self._reach(to)
        self.world.fences.pass_("leader", fence)
        if self.world.lock is None and self.world.has_quorum(to) and self.world.may_lead(to):
            self.world.promote(to)

    async def switch_over(self, lock: Lock, to: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self._reach(to)
        world = self.world
        world.fences.pass_("leader", fence)
        if world.lock is None or world.lock.holder != lock.holder or world.waiting_for != to:
            raise StepFailed("the leader is another one, or the standby is not in step")
        old = world.nodes[lock.holder]
        old.leads = False
        await asyncio.sleep(1.0)
        world.nodes[to].rows = list(old.rows)
        world.promote(to)
        old.timeline = world.nodes[to].timeline

    async def rebuild(self, region: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self._reach(region)
        self.world.fences.pass_(f"rebuild {region}", fence)
        node = self.world.nodes[region]
        leader = next((each for each in self.world.nodes.values() if each.leads), None)
        if leader is None or leader is node:
            raise StepFailed("there is nobody to copy")
        if node.diverged and region not in self.world.archived:
            self.world.rebuilt_unarchived += 1
        node.rows, node.timeline, node.diverged = list(leader.rows), leader.timeline, False

    async def parted(self) -> Mapping[int, int]:
        return dict(self.world.parted)

    def _reach(self, region: str) -> None:
        if not self.world.reaches("us", region):
            raise StepFailed(f"{region} does not answer")


@dataclass
class MemoryEdge:
    """Edge: that of one region."""

    world: World
    region: str

    async def pointing(self) -> Pointing:
        await self._reach()
        up = {each: self.world.replicas[each] if each not in self.world.lost else 0 for each in REGIONS}
        return Pointing(self.world.pointing[self.region], up)

    async def point(self, to: str, fence: Fence) -> None:
        await self._reach()
        self.world.fences.pass_(f"edge {self.region}", fence)
        self.world.pointing[self.region] = to

    async def _reach(self) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        if not self.world.reaches("us", self.region):
            raise StepFailed(f"the edge in {self.region} does not answer")


@dataclass
class MemoryNames:
    """Names, at the witness's site."""

    world: World

    async def pointing(self) -> str | None:
        await asyncio.sleep(ANSWERS_IN_S)
        return self.world.name

    async def point(self, to: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self.world.fences.pass_("name", fence)
        self.world.name = to


@dataclass
class MemoryFleet:
    """Fleet: that of one region."""

    world: World
    region: str

    async def replicas(self) -> Replicas:
        await self._reach()
        return Replicas(self.world.replicas[self.region], self.world.replicas[self.region])

    async def scale(self, wanted: int, fence: Fence) -> None:
        await self._reach()
        self.world.fences.pass_(f"scale {self.region}", fence)
        self.world.replicas[self.region] = wanted

    async def _reach(self) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        if not self.world.reaches("us", self.region):
            raise StepFailed(f"nobody answers in {self.region}")


@dataclass
class MemoryUserWrite:
    """UserWrite."""

    world: World

    async def write(self) -> Written:
        await asyncio.sleep(ANSWERS_IN_S)
        self.world.writes += 1
        row = f"check-{self.world.writes}"
        if not self.world.write(row):
            raise StepFailed("the write was not acknowledged")
        return Written(row, self.world.now(), ANSWERS_IN_S, True)


@dataclass
class MemoryLookouts:
    """Lookouts: so many vantage points that look whenever they are asked."""

    world: World
    names: Sequence[str] = ("v1", "v2", "v3")

    @property
    def vantages(self) -> Sequence[str]:
        return self.names

    async def look(self) -> Sequence[Sight]:
        await asyncio.sleep(ANSWERS_IN_S)
        return [Sight(name, self.world.now(), self._seen(name)) for name in self.names]

    def _seen(self, name: str) -> Mapping[str, Seen]:
        blind = name in self.world.blind
        return {
            each: Seen.DOWN if blind or not self.world.reaches(name, each) else Seen.UP for each in REGIONS
        }


@dataclass
class MemoryIncidents:
    """Incidents."""

    world: World

    async def opened(self, move: str) -> str | None:
        return move if move in self.world.incidents else None

    async def open(self, move: str, cluster: str, title: str, body: str, began: datetime | None) -> None:
        del cluster, began
        self.world.incidents.setdefault(move, f"{title}: {body}")


@dataclass
class MemoryLedgers:
    """Ledgers."""

    logs: dict[str, LedgerStands] = field(default_factory=dict)

    async def stands(self, cluster: str) -> Mapping[str, LedgerStands]:
        del cluster  # it is of all of them
        return dict(self.logs)


@dataclass
class MemoryTails:
    """Tails."""

    world: World

    async def archive(self, region: str, parted: Mapping[int, int], waited: bool | None) -> Loss:
        node = self.world.nodes[region]
        at = parted.get(node.timeline, len(node.rows))
        lost = [
            LostTransaction(lsn=number, xid=number, at=self.world.now() - timedelta(seconds=1), rows=1)
            for number in range(at, len(node.rows))
        ]
        loss = exact(
            lost,
            from_lsn=at,
            to_lsn=len(node.rows),
            timeline=node.timeline,
            waited=waited,
            archived_at="memory",
            complete=True,
        )
        self.world.archived[region] = loss
        return loss
