"""A cluster in two regions in memory, runs on it by the engine and the real playbooks, in virtual time."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.adapters.memory.recovery import MemoryRuns
from holdfast.adapters.memory.region import (
    MemoryCluster,
    MemoryEdge,
    MemoryFleet,
    MemoryIncidents,
    MemoryLedgers,
    MemoryLookouts,
    MemoryNames,
    MemoryTails,
    MemoryUserWrite,
)
from holdfast.adapters.memory.two_regions import REGIONS, World
from holdfast.bootstrap.recovery.playbooks import read_shelf
from holdfast.bootstrap.recovery.region import actions_on
from holdfast.recovery.engine import Engine
from holdfast.recovery.errors import NotThere
from holdfast.recovery.model import Playbook, Run
from holdfast.recovery.moving import Parts
from holdfast.recovery.ports import Note

sys.path.insert(0, str(Path(__file__).parent / "unit" / "recovery"))

from virtual import run_virtually

__all__ = ["CLUSTER", "START", "LoopTime", "Moved", "found", "playbook", "run_virtually"]

START = datetime(2026, 11, 23, tzinfo=UTC)
LEASE = timedelta(seconds=10)
CLUSTER = "print"


class LoopTime:
    """The loop's clock, which is virtual."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def playbook(name: str) -> Playbook:
    """A packaged one."""
    found = read_shelf(None)[name].playbook
    assert found is not None
    return found


@dataclass
class Moved:
    """The world, and what runs on it."""

    clock: LoopTime = field(default_factory=LoopTime)
    release_lock: bool = False

    def __post_init__(self) -> None:
        self.world = World(self.clock.now, self.clock.monotonic)
        self.runs = MemoryRuns(self.clock.now)
        self.ledgers = MemoryLedgers()
        self.parts = Parts(
            key=CLUSTER,
            primary="a",
            secondary="b",
            cluster=MemoryCluster(self.world),
            edges={each: MemoryEdge(self.world, each) for each in REGIONS},
            lookouts=MemoryLookouts(self.world),
            clock=self.clock,
            names=MemoryNames(self.world),
            fleets={each: MemoryFleet(self.world, each) for each in REGIONS},
            replicas=dict.fromkeys(REGIONS, 2),
            write=MemoryUserWrite(self.world),
            incidents=MemoryIncidents(self.world),
            ledgers=self.ledgers,
            tails=MemoryTails(self.world),
            release_lock=self.release_lock,
        )

    def parts_of(self, key: str) -> Parts:
        if key != CLUSTER:
            raise NotThere(f"no {key}")
        return self.parts

    def engine(self, replica: str = "r1") -> "asyncio.Task[None]":
        engine = Engine(self.runs, actions_on(self.parts_of), self.clock, replica=replica, lease=LEASE)
        return asyncio.create_task(engine.work())

    def live(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.world.live())

    async def start(self, name: str, run_id: str, **given: str) -> Run:
        taken = {key: each.default or "" for key, each in playbook(name).takes.items()}
        run = Run(
            id=run_id,
            playbook=playbook(name),
            subject=CLUSTER,
            given={**taken, **given},
            started_by="ada",
            started_at=START,
        )
        return await self.runs.start(run, Note("ada", "run.started", {}))

    async def ended(self, run_id: str, within_s: float = 600.0) -> Run:
        """The run, once nothing goes on by itself any more."""
        ends = self.clock.monotonic() + within_s
        while self.clock.monotonic() < ends:
            run = (await self.runs.get(run_id)).run
            if not run.state.is_active:
                return run
            await asyncio.sleep(0.5)
        raise AssertionError(f"{run_id} goes on still: {(await self.runs.get(run_id)).run.records}")

    async def writing(self, every_s: float = 0.05) -> None:
        """A user who writes without end."""
        number = 0
        while True:
            number += 1
            self.world.write(f"row-{number}")
            await asyncio.sleep(every_s)


def found(run: Run) -> Mapping[str, str]:
    """All that its steps found, by `step.key`."""
    return {f"{name}.{key}": text for name, each in run.records.items() for key, text in each.found.items()}
