"""Regions lost, cut off and healed at random, watched and moved by replicas that crash, in virtual time.

Whatever happens, nothing that was acknowledged is lost, nothing goes back by itself, and what nobody could
know was not taken for known.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.deciding import Policy
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Run, RunState
from holdfast.recovery.ports import Note
from holdfast.recovery.transitions import How, approved, resumed
from holdfast.recovery.watching import AUTOMATIC, GATED, Outlook, Watcher, keep
from moved import START, Moved, run_virtually

EVERY = timedelta(seconds=1)
POLICY = Policy(automatic=True, hold=timedelta(seconds=10))


async def drilled(cluster: str) -> datetime | None:
    return START - timedelta(days=1)


async def never_drilled(cluster: str) -> datetime | None:
    return None


async def sound(cluster: str) -> Sequence[str]:
    return ()


async def corrupt(cluster: str) -> Sequence[str]:
    return ("jobs are printed before they came",)


def fail(error: HoldfastError) -> None:
    raise AssertionError(error)


class Watched:
    """A world with a watcher, or several; each run that one begins is counted."""

    def __init__(self, moved: Moved, watcher: Watcher | None = None, name: str = "w") -> None:
        self.moved = moved
        self.watcher = watcher or Watcher(moved.parts, POLICY, drilled, sound)
        self.outlooks: list[Outlook] = []
        self.name = name
        self.begun: list[tuple[str, Mapping[str, str]]] = []

    def task(self) -> "asyncio.Task[None]":
        return asyncio.create_task(keep(self.watcher, EVERY, self._begin, self.outlooks.append, fail))

    async def _begin(self, name: str, given: Mapping[str, str]) -> None:
        with suppress(Refused):
            await self.moved.start(name, f"{self.name}{len(self.begun)}", **given)
            self.begun.append((name, given))


async def stopped(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def simulate(seed: int, *, release: bool) -> Counter[str]:
    chance = random.Random(seed)
    moved = Moved(release_lock=release)
    world = moved.world
    known = chance.choice([drilled, drilled, never_drilled])
    watchers = [
        Watched(moved, Watcher(moved.parts, POLICY, known, sound), name=f"w{number}") for number in range(2)
    ]
    engines = [moved.engine(f"r{number}") for number in range(2)]
    steady = [moved.live(), asyncio.create_task(moved.writing(0.2)), *(each.task() for each in watchers)]
    happened = Counter[str]()
    await asyncio.sleep(15)
    for _ in range(chance.randrange(3, 15)):
        await asyncio.sleep(chance.random() * 40)
        number = chance.randrange(2)
        if chance.random() < 0.15:
            await stopped(engines[number])
            engines[number] = moved.engine(f"r{number}-{chance.random()}")
        await harm(moved, chance, happened)
        check_ever(moved)
    for region in list(world.lost):
        world.heal(region)
    world.cut.clear()
    world.blind.clear()
    world.witness_alive = True
    for _ in range(200):
        await asyncio.sleep(10)
        await agree(moved)
        runs = await moved.runs.newest(100)
        for run in runs:
            if run.state in (RunState.NEEDS_OPERATOR, RunState.PARKED):
                await moved.runs.change(
                    run.id, lambda run, at: resumed(run, "ben", How.RETRY, at), Note("ben", "resumed", {})
                )
        if all(run.state.is_over for run in runs):
            break
    check_ever(moved)
    for watched in watchers:
        for name, with_ in watched.begun:
            happened[name] += 1
            if name == AUTOMATIC:
                assert (with_["lost"], with_["to"]) == ("a", "b"), with_
    for run in await moved.runs.newest(100):
        assert run.state.is_over, (run.state, run.why, run.records)
        happened[f"{run.playbook.name} {run.state.value}"] += 1
    await stopped(*steady, *engines)
    return happened


async def harm(moved: Moved, chance: random.Random, happened: Counter[str]) -> None:
    """One thing that happens to the world."""
    world = moved.world
    match chance.randrange(7):
        case 0:
            world.lost.add(chance.choice("ab"))
            happened["lost"] += 1
        case 1:
            pair = frozenset(chance.sample(["a", "b", "witness", "us", "v1", "v2"], 2))
            world.cut.symmetric_difference_update({pair})
            happened["cut"] += 1
        case 2:
            world.witness_alive = not world.witness_alive
        case 3:
            world.blind.symmetric_difference_update({chance.choice(["v1", "v2", "v3"])})
        case 4:
            for region in list(world.lost):
                world.heal(region)
        case 5:
            await agree(moved)
        case _:
            await asyncio.sleep(chance.random() * 60)


async def agree(moved: Moved) -> None:
    """Somebody approves whatever waits for it."""
    for run in await moved.runs.newest(100):
        with suppress(Refused):
            await moved.runs.change(
                run.id,
                lambda run, at: approved(run, "agree", "ben", {"commander"}, at),
                Note("ben", "run.approved", {}),
            )


def check_ever(moved: Moved) -> None:
    """At any time: whoever leads with the lock has all that was ever acknowledged."""
    world = moved.world
    if world.lock is None:
        return
    holder = world.nodes[world.lock.holder]
    if holder.leads:
        missing = set(world.acknowledged) - set(holder.rows)
        assert not missing, (len(missing), world.lock)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), release=st.booleans())
def test_whatever_happens_nothing_acknowledged_is_lost_and_nothing_goes_back_by_itself(
    seed: int, release: bool
) -> None:
    run_virtually(simulate(seed, release=release))


def test_the_simulation_of_regions_begins_failovers_of_both_kinds() -> None:
    happened = sum(
        (run_virtually(simulate(seed, release=bool(seed % 2))) for seed in range(12)), Counter[str]()
    )
    assert happened[f"{AUTOMATIC} {RunState.DONE.value}"] > 0, happened
    assert happened[GATED] > 0, happened


async def watched_for(
    seconds: float, harm: str, watcher_of: object = None, *, policy: Policy = POLICY, **more: object
) -> tuple[Watched, Sequence[Run]]:
    """What a watcher does about one kind of harm."""
    moved = Moved(release_lock=True)
    watcher = Watcher(moved.parts, policy, more.get("drilled", drilled), more.get("corrupt", sound))  # type: ignore[arg-type]
    watched = Watched(moved, watcher)
    tasks = [moved.live(), asyncio.create_task(moved.writing()), watched.task(), moved.engine()]
    await asyncio.sleep(15)
    world = moved.world
    match harm:
        case "region":
            world.lost.add("a")
        case "witness":
            world.witness_alive = False
        case "link":
            world.cut.add(frozenset(("a", "b")))
        case "us":
            world.cut.add(frozenset(("us", "a")))
            for name in ("v1", "v2", "v3"):
                world.cut.add(frozenset((name, "a")))
        case "vantages":
            world.blind |= {"v1", "v2", "v3"}
        case "secondary":
            world.lost.add("b")
    await asyncio.sleep(seconds)
    runs = await moved.runs.newest(10)
    await stopped(*tasks)
    return watched, runs


def test_a_lost_region_is_left_by_itself_within_the_hold_and_a_little() -> None:
    watched, runs = run_virtually(watched_for(40, "region"))
    assert [(run.playbook.name, run.state) for run in runs] == [(AUTOMATIC, RunState.DONE)]
    found = runs[0].records["measure"].found
    assert 10 < float(found["rto_s"]) < 16
    assert found["rpo_s"] == "0"
    assert "policy: holds" in watched.begun[0][1]["why"]


@pytest.mark.parametrize("harm", ["witness", "link", "us", "vantages", "secondary"])
def test_what_is_no_lost_region_begins_nothing(harm: str) -> None:
    watched, runs = run_virtually(watched_for(120, harm))
    assert list(runs) == [], watched.outlooks[-1]
    assert set(watched.moved.world.acknowledged) <= set(watched.moved.world.nodes["a"].rows)


@pytest.mark.parametrize(
    ("more", "limit"),
    [
        ({"policy": Policy(automatic=False)}, "policy: DOES NOT HOLD"),
        ({"drilled": never_drilled}, "drilled: unknown"),
    ],
)
def test_where_a_limit_does_not_hold_a_person_is_asked(more: dict[str, object], limit: str) -> None:
    watched, runs = run_virtually(watched_for(60, "region", **more))  # type: ignore[arg-type]
    assert [(run.playbook.name, run.state) for run in runs] == [(GATED, RunState.RUNNING)]
    assert limit in runs[0].given["why"]
    # Patroni itself goes on where it can: but nobody's traffic is moved before a person has agreed.
    assert watched.moved.world.pointing["b"] == "a"


def test_corrupt_data_is_not_answered_by_failing_over() -> None:
    watched, runs = run_virtually(watched_for(60, "region", corrupt=corrupt))
    assert list(runs) == []
    assert "data is corrupt" in str(watched.outlooks[-1].decision)


def test_two_watchers_begin_one_failover() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        both = [Watched(moved, name="w1"), Watched(moved, name="w2")]
        tasks = [moved.live(), *(each.task() for each in both), moved.engine("r1"), moved.engine("r2")]
        await asyncio.sleep(15)
        moved.world.lost.add("a")
        await asyncio.sleep(60)
        assert sum(len(each.begun) for each in both) == 1
        await stopped(*tasks)

    run_virtually(work())


def test_a_watcher_that_begins_while_the_region_is_lost_still_knows_who_may_lead() -> None:
    async def work() -> None:
        moved = Moved()
        moved.world.ttl = 3600  # nobody takes the lead before it is decided
        tasks = [moved.live()]
        await asyncio.sleep(6)
        moved.world.lost.add("a")
        await asyncio.sleep(30)
        watched = Watched(moved)
        tasks.append(watched.task())
        await asyncio.sleep(20)
        name, given = watched.begun[0]
        assert (name, "lag: holds" in given["why"]) == (AUTOMATIC, True)
        assert given["began"] == given["lost_since"]  # when users were served last is not known
        await stopped(*tasks)

    run_virtually(work())


def test_a_region_that_flaps_is_not_left() -> None:
    async def work() -> None:
        moved = Moved(release_lock=True)
        watched = Watched(
            moved, Watcher(moved.parts, replace(POLICY, hold=timedelta(seconds=12)), drilled, sound)
        )
        tasks = [moved.live(), watched.task(), moved.engine()]
        await asyncio.sleep(15)
        for _ in range(20):
            moved.world.cut |= {frozenset((each, "a")) for each in ("us", "v1", "v2", "v3", "witness")}
            await asyncio.sleep(8)
            moved.world.cut.clear()
            await asyncio.sleep(2)
        assert watched.begun == []
        await stopped(*tasks)

    run_virtually(work())


def test_a_region_that_is_lost_again_soon_after_it_was_well_is_not_waited_for() -> None:
    async def work() -> None:
        moved = Moved()
        moved.world.ttl = 3600  # nobody takes the lead: the cluster stays where it is
        begun = list[str]()

        async def begin(name: str, given: Mapping[str, str]) -> None:
            begun.append(given["lost_since"])

        watcher = Watcher(moved.parts, POLICY, drilled, sound)
        tasks = [moved.live(), asyncio.create_task(keep(watcher, EVERY, begin, lambda _: None, fail))]
        await asyncio.sleep(15)
        moved.world.lost.add("a")
        await asyncio.sleep(POLICY.hold.total_seconds() + 5)
        assert len(begun) == 1  # and not again at each look, while that is under way
        moved.world.heal("a")
        await asyncio.sleep(5)
        moved.world.lost.add("a")
        await asyncio.sleep(POLICY.hold.total_seconds() + 5)
        assert len(set(begun)) == 2
        await stopped(*tasks)

    run_virtually(work())
