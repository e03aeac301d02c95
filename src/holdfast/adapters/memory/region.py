"""What moves a cluster between two regions in memory, for tests and simulation."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.adapters.memory.two_regions import REGIONS, World
from holdfast.recovery.errors import StepFailed
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

ANSWERS_IN_S = 0.01
NO_ANSWER_IN_S = 1.0
LEADER = "leader"
"""All that changes who leads has one fence: the witness keeps it."""


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
        world.fences.pass_(LEADER, fence)
        if world.lock is not None and world.lock != lock:
            raise StepFailed("the lock has been renewed")
        world.lock = None

    async def fail_over(self, to: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self._reach(to)
        self.world.fences.pass_(LEADER, fence)
        if self.world.lock is None and self.world.has_quorum(to) and self.world.may_lead(to):
            self.world.promote(to)

    async def switch_over(self, lock: Lock, to: str, fence: Fence) -> None:
        await asyncio.sleep(ANSWERS_IN_S)
        self._reach(to)
        world = self.world
        world.fences.pass_(LEADER, fence)
        if world.nodes[to].leads:
            return
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
        self.world.fences.pass_(LEADER, fence)
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
