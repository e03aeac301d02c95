"""The packaged playbooks of regions, run by the engine on a world in memory, in virtual time."""

import asyncio
from datetime import timedelta

import pytest

from holdfast.recovery.model import Did, RunState
from holdfast.recovery.planning import planned, waited_in
from holdfast.recovery.ports import Note
from holdfast.recovery.region_ports import LedgerStands
from holdfast.recovery.transitions import approved
from moved import Moved, found, run_virtually

LOST = {"lost": "a", "to": "b"}


async def begun(moved: Moved) -> list[asyncio.Task[None]]:
    tasks = [moved.live(), asyncio.create_task(moved.writing()), moved.engine()]
    await asyncio.sleep(7)
    return tasks


async def stopped(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def agree(moved: Moved, run_id: str, who: str = "ben", gate: str = "agree") -> None:
    for _ in range(10_000):
        run = (await moved.runs.get(run_id)).run
        if run.did(gate) is Did.RUNNING:
            break
        assert run.state.is_active, run
        await asyncio.sleep(0.2)
    await moved.runs.change(
        run_id, lambda run, at: approved(run, gate, who, {"commander"}, at), Note(who, "run.approved", {})
    )


@pytest.mark.parametrize(("release", "within_s"), [(False, 22.0), (True, 3.0)])
def test_a_lost_region_is_left_and_no_acknowledged_write_with_it(release: bool, within_s: float) -> None:
    async def work() -> None:
        moved = Moved(release_lock=release)
        tasks = await begun(moved)
        moved.ledgers.logs["ledger.example/acme"] = LedgerStands(100, 100)
        moved.world.lost.add("a")
        lost_at = moved.clock.now()
        began = lost_at.isoformat()
        await moved.start("region-outage-automatic", "run1", **LOST, began=began, lost_since=began)
        run = await moved.ended("run1")
        assert run.state is RunState.DONE, run.why
        told = found(run)
        assert float(told["measure.rto_s"]) < within_s
        assert told["measure.rpo_s"] == "0"
        assert told["measure.lost_transactions"] == "0"
        assert told["measure.what"] == "print: region a -> b"
        assert told["confirm.nothing_acknowledged_lost"] == "yes"
        assert told["route.not_reached"] == "a"
        assert told["reconcile.lost_entries"] == "0"
        assert told["reconcile.invariant.ledger"] == "holds"
        assert (moved.world.name, moved.world.pointing["b"]) == ("b", "b")
        assert set(moved.world.acknowledged) <= set(moved.world.nodes["b"].rows)
        assert next(iter(moved.world.incidents.values())).startswith("The service was moved")
        await stopped(tasks)

    run_virtually(work())


def test_a_region_that_is_there_again_is_not_left() -> None:
    async def work() -> None:
        moved = Moved()
        tasks = await begun(moved)
        await moved.start("region-outage-automatic", "run1", **LOST)
        run = await moved.ended("run1")
        assert run.state is RunState.CANCELLED
        assert "a is up" in run.why
        assert moved.world.nodes["a"].leads
        assert moved.world.pointing == {"a": "a", "b": "a"}
        assert moved.world.fences.newest == {}
        await stopped(tasks)

    run_virtually(work())


def test_nothing_is_changed_before_somebody_agrees_and_a_cancel_there_leaves_nothing() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        tasks = await begun(moved)
        moved.world.lost.add("a")
        await moved.start("region-outage", "run1", **LOST)
        await asyncio.sleep(30)
        run = (await moved.runs.get("run1")).run
        assert run.did("agree") is Did.RUNNING
        assert moved.world.fences.newest == {}
        await agree(moved, "run1")
        run = await moved.ended("run1")
        assert run.state is RunState.DONE, run.why
        await stopped(tasks)

    run_virtually(work())


def test_a_planned_move_loses_nothing_and_takes_a_moment() -> None:
    async def work() -> None:
        moved = Moved()
        tasks = await begun(moved)
        before = len(moved.world.acknowledged)
        await moved.start("switchover", "run1", **LOST)
        run = await moved.ended("run1")
        assert run.state is RunState.DONE, run.why
        told = found(run)
        assert float(told["measure.rto_s"]) < 3
        assert told["measure.rpo_s"] == "0"
        assert moved.world.pointing == {"a": "b", "b": "b"}
        assert set(moved.world.acknowledged) <= set(moved.world.nodes["b"].rows)
        await asyncio.sleep(10)
        assert len(moved.world.acknowledged) > before + 100
        await stopped(tasks)

    run_virtually(work())


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda world: setattr(world, "waiting_for", None), "commits do not wait for b"),
        (lambda world: world.lost.add("b"), "the database in b does not answer"),
        (lambda world: world.cut.add(frozenset(("us", "b"))), "the edge in b is not reached"),
    ],
)
def test_a_planned_move_that_could_lose_something_does_not_begin(harm: object, told: str) -> None:
    async def work() -> None:
        moved = Moved()
        moved.world.loop = 1000  # it does not put itself right meanwhile
        moved.world.ttl = 5000
        moved.world.expires = 5000
        tasks = [moved.live(), moved.engine()]
        await asyncio.sleep(7)
        harm(moved.world)  # type: ignore[operator]
        await moved.start("switchover", "run1", **LOST)
        run = await moved.ended("run1")
        assert run.state is RunState.CANCELLED
        assert told in run.why
        assert moved.world.nodes["a"].leads
        await stopped(tasks)

    run_virtually(work())


def test_forcing_wants_a_second_person_and_tells_the_bound_before() -> None:
    async def work() -> None:
        moved = Moved()
        moved.world.synchronous = False
        moved.world.waiting_for = None
        tasks = [moved.live(), asyncio.create_task(moved.writing()), moved.engine()]
        await asyncio.sleep(3)
        moved.world.cut.add(frozenset(("a", "b")))
        await asyncio.sleep(1)
        moved.world.lost.add("a")
        moved.world.waiting_for = None
        await moved.start("failover-forced", "run1", **LOST)
        with pytest.raises(Exception, match="started the run"):
            await agree(moved, "run1", "ada")
        run = (await moved.runs.get("run1")).run
        told = found(run)
        assert told["confirm.nothing_acknowledged_lost"] == "no"
        assert int(told["confirm.bound_bytes"]) > 0
        assert "bytes behind" in told["confirm.loss"]
        await agree(moved, "run1", "ben")
        run = await moved.ended("run1")
        assert run.state is RunState.DONE, run.why
        assert found(run)["measure.rpo_s"] == "unknown"
        await stopped(tasks)

    run_virtually(work())


def test_the_way_back_archives_the_old_tail_before_it_rebuilds() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        tasks = await begun(moved)
        moved.world.cut.add(frozenset(("a", "b")))  # the link first: what a writes now is never acknowledged
        await asyncio.sleep(1)
        moved.world.lost.add("a")
        await moved.start("region-outage-automatic", "run1", **LOST)
        assert (await moved.ended("run1")).state is RunState.DONE
        moved.world.cut.clear()
        moved.world.heal("a")
        await asyncio.sleep(5)
        tail = len(moved.world.nodes["a"].rows) - moved.world.parted[1]
        assert tail > 0
        await moved.start("failback", "run2", lost="b", to="a", waited="yes")
        await agree(moved, "run2")
        run = await moved.ended("run2")
        assert run.state is RunState.DONE, run.why
        told = found(run)
        assert told["archive.lost_transactions"] == str(tail)
        assert told["archive.lost_acknowledged"] == "0"
        assert told["measure.lost_transactions"] == str(tail)
        assert moved.world.rebuilt_unarchived == 0
        assert moved.world.pointing == {"a": "a", "b": "a"}
        assert moved.world.nodes["a"].leads
        assert set(moved.world.acknowledged) <= set(moved.world.nodes["a"].rows)
        await stopped(tasks)

    run_virtually(work())


def test_what_cannot_be_archived_is_not_rebuilt() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        tasks = await begun(moved)
        moved.world.lost.add("a")
        await moved.start("region-outage-automatic", "run1", **LOST)
        assert (await moved.ended("run1")).state is RunState.DONE
        moved.world.nodes["a"].rows.append("only here")
        moved.world.nodes["a"].diverged = True
        moved.world.heal("a")
        object.__setattr__(moved.parts, "tails", None)
        await moved.start("failback", "run2", lost="b", to="a")
        run = await moved.ended("run2")
        assert run.state is RunState.CANCELLED
        assert "nobody can read the data directory" in run.why
        assert moved.world.nodes["a"].rows[-1] == "only here"
        assert moved.world.nodes["b"].leads
        await stopped(tasks)

    run_virtually(work())


def test_a_replica_that_wakes_late_changes_nothing_any_more() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        tasks = await begun(moved)
        moved.world.fences.newest["edge b"] = (1_000_000_000_000, 0)
        moved.world.lost.add("a")
        await moved.start("region-outage-automatic", "run1", **LOST)
        await asyncio.sleep(30)
        assert moved.world.pointing["b"] == "a"
        assert moved.world.fences.late > 0
        del moved.world.fences.newest["edge b"]
        run = await moved.ended("run1", within_s=timedelta(minutes=10).total_seconds())
        assert run.state is RunState.DONE, run.why
        await stopped(tasks)

    run_virtually(work())


@pytest.mark.parametrize(
    ("harm", "move", "playbook", "against"),
    [
        ("", "switchover", "switchover", ""),
        ("", "failover", "region-outage", "a is up"),
        ("", "failover --force", "failover-forced", "the database leads in a, and answers"),
        ("", "failback", "failback", ""),
        ("a", "switchover", "switchover", "a is lost"),
        ("a", "failover", "region-outage", ""),
        ("a", "failover --force", "failover-forced", ""),
        ("a", "failback", "failback", "nothing of the database answers in a"),
        ("b", "failover --force", "failover-forced", "no PostgreSQL answers and runs in b"),
    ],
)
def test_what_speaks_against_a_move_is_told_before(harm: str, move: str, playbook: str, against: str) -> None:
    async def work() -> None:
        moved = Moved()
        moved.world.ttl = 3600
        tasks = [moved.live()]
        await asyncio.sleep(6)
        if harm:
            moved.world.lost.add(harm)
        if move == "failback":  # the cluster works in b since it was failed over
            moved.world.name = "b"
            moved.world.lock = None
            moved.world.nodes["a"].leads = False
            moved.world.promote("b")
        await asyncio.sleep(1)
        plan = await planned(moved.parts, move)
        assert plan.playbook == playbook
        assert {plan.lost, plan.to} == {"a", "b"}
        assert plan.lost == ("b" if move == "failback" else "a")
        if against:
            assert any(against in each for each in plan.against), plan.against
        else:
            assert plan.against == []
        assert bool(plan.loss) == move.startswith("failover")
        assert moved.world.fences.newest == {}
        await stopped(tasks)

    run_virtually(work())


def test_whether_commits_waited_is_known_of_the_failover_before() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        tasks = await begun(moved)
        assert waited_in(await moved.runs.newest(10), "print") == "unknown"
        moved.world.lost.add("a")
        await moved.start("region-outage-automatic", "run1", **LOST)
        assert (await moved.ended("run1")).state is RunState.DONE
        assert waited_in(await moved.runs.newest(10), "print") == "yes"
        assert waited_in(await moved.runs.newest(10), "other") == "unknown"
        await stopped(tasks)

    run_virtually(work())
