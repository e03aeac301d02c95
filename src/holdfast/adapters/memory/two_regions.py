"""Two regions and a witness in memory, by the clock that they are given.

The database behaves as Patroni in synchronous mode does: a leader holds a lock in a vote of three, renews it
while it reaches another voter, steps down when it cannot, and a standby takes a lock that nobody holds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.recovery.errors import ComesLate
from holdfast.recovery.loss import Loss
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import WITNESS, Lock

REGIONS = ("a", "b")


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
