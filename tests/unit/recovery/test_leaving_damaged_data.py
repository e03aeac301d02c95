"""Data that is wrong is no reason to leave a region: who would is told why; two people may insist."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.bootstrap.recovery.known_damage import damage_of
from holdfast.estate.model import Estate
from holdfast.recovery.model import Did, Run, RunState
from holdfast.recovery.planning import planned
from holdfast.recovery.ports import RunStore
from moved import START, Moved, playbook, run_virtually

DAMAGE = "run r7 (corruption) is under way on shop"
LEFT = {"lost": "a", "to": "b"}


def damaged() -> Moved:
    async def wrong() -> Sequence[str]:
        return [DAMAGE]

    moved = Moved(release_lock=True)
    moved.parts = replace(moved.parts, damaged=wrong)
    return moved


@pytest.mark.parametrize("name", ["region-outage-automatic", "region-outage"])
def test_a_lost_region_is_not_left_while_its_data_is_put_back(name: str) -> None:
    async def work() -> None:
        moved = damaged()
        tasks = [moved.live(), moved.engine()]
        await asyncio.sleep(6)
        moved.world.lost.add("a")
        await moved.start(name, "run1", **LEFT)
        run = await moved.ended("run1")
        assert run.state is RunState.CANCELLED
        assert "the other region has the same rows" in run.why
        assert DAMAGE in run.why
        assert moved.world.fences.newest == {}, "nothing was changed"
        for task in tasks:
            task.cancel()

    run_virtually(work())


def test_a_person_is_told_before_and_two_may_insist() -> None:
    async def work() -> None:
        moved = damaged()
        tasks = [moved.live(), moved.engine()]
        await asyncio.sleep(6)
        moved.world.lost.add("a")
        await asyncio.sleep(1)
        for move in ("failover", "failover --force"):
            plan = await planned(moved.parts, move)
            first = plan.against[0]
            assert "the other region has the same rows" in first
            assert DAMAGE in first
            assert "holdfast recover" in plan.instead
        plan = await planned(moved.parts, "switchover")
        assert all(DAMAGE not in each for each in plan.against)
        assert plan.instead == ""
        await moved.start("failover-forced", "run1", **LEFT)
        await asyncio.sleep(5)
        run = (await moved.runs.get("run1")).run
        assert run.did("confirm") is Did.DONE
        for task in tasks:
            task.cancel()

    run_virtually(work())


async def test_damage_is_what_is_being_put_back_in_the_clusters_databases() -> None:
    cluster_of = {"shop": "eu", "till": "us"}
    databases = {key: SimpleNamespace(cluster=cluster) for key, cluster in cluster_of.items()}
    estate = cast("Estate", SimpleNamespace(databases=databases))

    def run_of(run_id: str, subject: str, name: str = "corruption") -> Run:
        book = playbook(name)
        return Run(id=run_id, playbook=book, subject=subject, given={}, started_by="ada", started_at=START)

    class Unfinished:
        async def unfinished(self) -> Sequence[Run]:
            return [run_of("one", "shop"), run_of("two", "till"), run_of("three", "shop", "drill-corruption")]

    runs = cast("RunStore", Unfinished())
    assert await damage_of("eu", estate, runs) == ["run one (corruption) is under way on shop"]
    assert await damage_of("us", estate, runs) == ["run two (corruption) is under way on till"]
