"""The packaged drills of losing a region, up to their evidence, on a world in memory and in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.recorded import SIGNER
from virtual import run_virtually

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.bootstrap.recovery.drilling_regions import Breaking, Healing, Whereabouts
from holdfast.bootstrap.recovery.recording import Recorder, Recording
from holdfast.bootstrap.recovery.region import actions_on
from holdfast.bootstrap.recovery.sealing import seal_with
from holdfast.estate.model import Estate
from holdfast.recovery.engine import Engine
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.evidence import Evidence, Holds, Outcome, Where, entry_of
from holdfast.recovery.model import Did, Run, RunState
from holdfast.recovery.ports import Note
from holdfast.recovery.transitions import approved, cancelled
from moved import LEASE, Moved, found

ESTATE = Estate.model_validate(
    {
        "regions": {"a": {"name": "A"}, "b": {"name": "B"}},
        "clusters": {
            "print": {
                "name": "Print",
                "region": "a",
                "secondary": "b",
                "components": {"web": {"name": "Web", "checks": {"page": {"url": "http://127.0.0.1:1"}}}},
            }
        },
        "customers": {"ada": {"name": "Ada"}},
        "agreements": {
            "gold": {
                "customer": "ada",
                "name": "Gold",
                "components": ["print/*"],
                "objective": 99,
                "rpo": "0s",
                "rto": "1m",
            }
        },
    }
)


class Drilled:
    """A world whose regions are broken by drills."""

    def __init__(self) -> None:
        self.moved = Moved()
        self.runs = self.moved.runs
        self.log = MemoryEvidence(self.moved.clock.now, lambda: [row.run for row in self.runs._rows.values()])
        self.recorder = Recorder(self.log, self.runs, ESTATE, lambda: seal_with(SIGNER))
        self.tasks: list[asyncio.Task[None]] = []
        self.takes_s = 0.0
        """How long it takes to break something."""

    async def _break(self, part: str) -> None:
        if not part.startswith("region-"):
            raise StepFailed(f"there is no {part}")
        self.moved.world.lost.add(part.removeprefix("region-"))
        await asyncio.sleep(self.takes_s)

    async def _heal(self, part: str) -> None:
        self.moved.world.lost.discard(part.removeprefix("region-"))

    async def begin(self) -> None:
        actions = {
            **actions_on(self.moved.parts_of),
            "drill.where": Whereabouts(self.moved.parts_of),
            "drill.break": Breaking(self._break, self.moved.clock),
            "drill.heal": Healing(self._heal),
            "evidence.record": Recording(self.recorder),
        }
        engine = Engine(self.runs, actions, self.moved.clock, replica="r1", lease=LEASE)
        self.tasks = [
            self.moved.live(),
            asyncio.create_task(self.moved.writing()),
            asyncio.create_task(engine.work()),
        ]
        await asyncio.sleep(7)

    async def over(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def seen(self, looks: Callable[[Run], bool]) -> None:
        """Until the run looks so."""
        for _ in range(10_000):
            if looks((await self.runs.get("run1")).run):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it never looked so")

    async def evidence(self) -> Evidence:
        await self.recorder.record_what_is_over()
        [kept] = await self.log.entries()
        entry = entry_of(kept.content)
        assert isinstance(entry, Evidence)
        return entry


def held(work: Callable[[Drilled], Awaitable[None]]) -> None:
    async def whole() -> None:
        drilled = Drilled()
        await drilled.begin()
        try:
            await work(drilled)
        finally:
            await drilled.over()

    run_virtually(whole())


def test_a_region_of_the_lab_is_broken_left_and_healed_and_it_is_evidence() -> None:
    async def work(drilled: Drilled) -> None:
        await drilled.moved.start("drill-region-outage", "run1")
        run = await drilled.moved.ended("run1")
        assert run.state is RunState.DONE, run.why
        told = found(run)
        assert (told["where.lost"], told["where.to"]) == ("a", "b")
        world = drilled.moved.world
        assert (world.lost, world.name, world.pointing["b"]) == (set(), "b", "b")
        assert world.nodes["b"].leads

        it = await drilled.evidence()
        assert (it.scenario, it.drill, it.where, it.outcome) == (
            "region-outage",
            True,
            Where.LAB,
            Outcome.DONE,
        )
        assert it.what == "print: region a -> b"
        assert (it.rpo.contract_ms, it.rpo.measured_ms) == (0, 0)
        assert it.rto.contract_ms == 60_000
        assert it.rto.measured_ms is not None
        assert 1_000 < it.rto.measured_ms < 40_000
        assert it.loss.transactions == 0
        assert it.passed
        assert all(each.holds is not Holds.FAILS for each in it.invariants)
        assert "user-write" in {each.name for each in it.invariants}

    held(work)


def test_on_the_real_thing_it_is_a_planned_move_there_and_back_that_somebody_allows() -> None:
    async def work(drilled: Drilled) -> None:
        await drilled.moved.start("drill-switchover", "run1")
        await drilled.seen(lambda run: run.did("agree") is Did.RUNNING)
        assert drilled.moved.world.nodes["a"].leads, "nobody has agreed yet"
        await drilled.runs.change(
            "run1",
            lambda run, at: approved(run, "agree", "ben", {"commander"}, at),
            Note("ben", "run.approved", {}),
        )
        run = await drilled.moved.ended("run1", within_s=7200)
        assert run.state is RunState.DONE, run.why
        world = drilled.moved.world
        assert world.nodes["a"].leads
        assert (world.name, world.pointing) == ("a", {"a": "a", "b": "a"})
        assert set(world.acknowledged) <= set(world.nodes["a"].rows)

        it = await drilled.evidence()
        assert (it.scenario, it.where, it.passed) == ("region-outage", Where.PRODUCTION, True)
        assert [(each.gate, each.who) for each in it.approvals] == [("agree", "ben")]
        assert it.what == "print: region a -> b"
        assert it.rpo.measured_ms == 0

    held(work)


def test_one_that_is_cancelled_before_the_point_of_no_return_heals_what_it_broke() -> None:
    async def work(drilled: Drilled) -> None:
        drilled.takes_s = 5
        await drilled.moved.start("drill-region-outage", "run1")
        await drilled.seen(lambda _: bool(drilled.moved.world.lost))
        await drilled.runs.change(
            "run1", lambda run, _: cancelled(run, "ben"), Note("ben", "run.cancel_asked", {})
        )
        run = await drilled.moved.ended("run1")
        assert run.state is RunState.CANCELLED
        assert drilled.moved.world.lost == set()
        it = await drilled.evidence()
        assert (it.outcome, it.why) == (Outcome.CANCELLED, "cancelled by ben")
        assert not it.passed

    held(work)


@pytest.mark.parametrize("where", ["production", "isolated", "elsewhere"])
def test_the_playbook_that_breaks_is_for_the_lab_alone(where: str) -> None:
    async def work(drilled: Drilled) -> None:
        await drilled.moved.start("drill-region-outage", "run1", on=where)
        run = await drilled.moved.ended("run1")
        assert run.state is RunState.CANCELLED
        assert f"not for {where!r}" in run.why
        assert drilled.moved.world.lost == set()
        assert drilled.moved.world.nodes["a"].leads

    held(work)
