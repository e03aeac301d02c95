"""Replicas that crash, are stopped and wake, and lose the store, over runs in virtual time.

Whatever happens to them, no step is written down twice, no target hears of an old epoch behind a new one, and
every run comes to an end.
"""

import asyncio
import contextlib
import random
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.adapters.memory.recovery import MemoryRuns
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.recovery import transitions
from holdfast.recovery.engine import Engine
from holdfast.recovery.errors import Refused, StepFailed
from holdfast.recovery.model import Did, Gate, Pause, Playbook, Retry, Run, RunState, Step, Together
from holdfast.recovery.ports import Fence, Found, Held, Note, RunStore, Transition

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "recovery"))

from virtual import run_virtually

START = datetime(2026, 11, 23, tzinfo=UTC)
LEASE = timedelta(seconds=10)
NOTE = Note("ada", "run.asked", {})


class Away(HoldfastError):  # noqa: N818
    """The store does not answer."""

    remedy = Remedy.TRANSIENT


class LoopClock:
    """The loop's, which is virtual."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class StoreClock:
    """The store's: it jumps, as that of a machine does whose time is put right, or of another machine."""

    of: LoopClock
    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return self.of.now() + self.ahead


@dataclass
class Replica:
    """What can happen to one: its way to the store is cut, or it stands still for a while."""

    cut: bool = False
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it runs."""
    lose_answers: bool = False

    def __post_init__(self) -> None:
        self.stopped.set()

    async def reach(self) -> None:
        await asyncio.sleep(0.01)
        await self.stopped.wait()
        if self.cut:
            await asyncio.sleep(0.5)
            raise Away("the store is away")

    async def answered(self) -> None:
        await self.stopped.wait()
        if self.cut or self.lose_answers:
            raise Away("the answer was lost")


@dataclass
class Reached:
    """The store as one replica reaches it."""

    store: MemoryRuns
    by: Replica

    @property
    def heard(self) -> int:
        return self.store.heard

    async def start(self, run: Run, note: Note) -> Run:
        return await self.store.start(run, note)

    async def claim(self, replica: str, lease: timedelta) -> Held | None:
        await self.by.reach()
        held = await self.store.claim(replica, lease)
        await self.by.answered()
        return held

    async def free_in(self) -> timedelta | None:
        await self.by.reach()
        return await self.store.free_in()

    async def renew(self, run_id: str, epoch: int, lease: timedelta) -> None:
        await self.by.reach()
        await self.store.renew(run_id, epoch, lease)

    async def release(self, run_id: str, epoch: int) -> None:
        await self.by.reach()
        await self.store.release(run_id, epoch)

    async def change(self, run_id: str, transition: Transition, note: Note, epoch: int | None = None) -> Held:
        await self.by.reach()
        held = await self.store.change(run_id, transition, note, epoch)
        await self.by.answered()
        return held

    async def get(self, run_id: str) -> Held:
        await self.by.reach()
        return await self.store.get(run_id)

    async def newest(self, most: int, before: str | None = None, *, over: bool | None = None) -> list[Run]:
        return list(await self.store.newest(most, before, over=over))

    async def prune(self, keep: timedelta, most: int) -> int:
        return await self.store.prune(keep, most)

    async def unfinished(self) -> list[Run]:
        return list(await self.store.unfinished())

    async def woken(self, since: int, within_s: float) -> None:
        await self.by.stopped.wait()
        await self.store.woken(since, within_s)


@dataclass
class Target:
    """What steps change: it takes nothing from an epoch older than the newest it has heard of."""

    newest: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    took_effect: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    late: int = 0

    def change(self, fence: Fence, what: str, to: str) -> None:
        here = (fence.run_id, what)
        if (fence.epoch, fence.turn) < self.newest.get(here, (0, 0)):
            self.late += 1
            raise StepFailed("a later attempt is at work")
        self.newest[here] = (fence.epoch, fence.turn)
        if self.state.get((fence.run_id, what)) != to:
            self.took_effect[fence.run_id, what, to] += 1
        self.state[fence.run_id, what] = to


@dataclass
class Turn:
    """An action: has a part of the target `to`. Takes its time, fails now and then."""

    target: Target
    to: str
    chance: random.Random
    replica: Replica
    calm: list[bool]

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        await asyncio.sleep(self.chance.random())
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        await asyncio.sleep(self.chance.random() * 4)
        await self.replica.stopped.wait()
        if not self.calm[0] and self.chance.random() < 0.1:
            raise StepFailed("it did not work out")
        # What was sent arrives, whatever becomes of the sender: soon, or much later.
        sent = asyncio.ensure_future(self.deliver(given["part"], fence))
        sent.add_done_callback(lambda each: each.cancelled() or each.exception())
        await asyncio.shield(sent)

    async def deliver(self, part: str, fence: Fence) -> None:
        if not self.calm[0] and self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.random() * 60)
        self.target.change(fence, part, self.to)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return {"part": given["part"]}


def playbook() -> Playbook:
    def step(name: str, **more: object) -> Step:
        return Step(
            name=name,
            title=name,
            action="on",
            undo="off",
            given={"part": name},
            within=timedelta(seconds=15),
            retry=Retry(attempts=4, pause=timedelta(seconds=1)),
            **more,  # type: ignore[arg-type]
        )

    return Playbook(
        name="move",
        title="Move",
        moves_traffic=True,
        stages=[
            step("fence"),
            Together(name="scale", title="Scale", steps=[step("web"), step("api"), step("mq")], at_once=2),
            Gate(name="go", title="Go?", roles=["lead"], expires_after=timedelta(hours=2)),
            Pause(name="settle", title="Settle", lasts=timedelta(seconds=20)),
            step("promote", no_return=True),
            step("verify"),
        ],
    )


async def simulate(seed: int, *, cancels: bool) -> tuple[int, int]:
    """How many messages came late, and how many epochs there were."""
    chance, target, calm = random.Random(seed), Target(), [False]
    clock = LoopClock()
    stores_clock = StoreClock(clock)
    store = MemoryRuns(stores_clock.now)
    replicas = [Replica() for _ in range(3)]

    def engine(number: int) -> "asyncio.Task[None]":
        replica = replicas[number]
        actions = {name: Turn(target, name, chance, replica, calm) for name in ("on", "off")}
        reached: RunStore = Reached(store, replica)
        return asyncio.create_task(Engine(reached, actions, clock, replica=f"r{number}", lease=LEASE).work())

    runs = [
        Run(id=f"run{n}", playbook=playbook(), subject=f"c{n}", started_by="ada", started_at=START)
        for n in range(3)
    ]
    for run in runs:
        await store.start(run, NOTE)
    tasks = [engine(number) for number in range(len(replicas))]
    for _ in range(chance.randrange(5, 40)):
        await asyncio.sleep(chance.random() * 12)
        number = chance.randrange(len(replicas))
        replica = replicas[number]
        match chance.randrange(7):
            case 0:  # kill -9, and started again
                tasks[number].cancel()
                await asyncio.gather(tasks[number], return_exceptions=True)
                replicas[number] = Replica()
                tasks[number] = engine(number)
            case 1:
                replica.cut = not replica.cut
            case 2:  # SIGSTOP, longer than a lease, or not
                if replica.stopped.is_set():
                    replica.stopped.clear()
                else:
                    replica.stopped.set()
            case 3:
                replica.lose_answers = not replica.lose_answers
            case 6:
                stores_clock.ahead = timedelta(hours=chance.choice([-30, -1, -0.001, 0, 0.01, 30]))
            case 4 if cancels:
                await people(store, chance.choice(runs).id, "cancel")
            case _:
                await people(store, chance.choice(runs).id, "approve")
        await resume_all(store)
    calm[0] = True
    for replica in replicas:
        replica.cut = replica.lose_answers = False
        replica.stopped.set()
    for _ in range(400):
        await asyncio.sleep(15)
        for run in runs:
            await people(store, run.id, "approve")
        await resume_all(store)
        if all(run.state.is_over for run in await store.newest(3)):
            break
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    check(store, target, list(await store.newest(3)))
    return target.late, store.last_epoch


async def people(store: MemoryRuns, run_id: str, what: str) -> None:
    def transition(run: Run, at: datetime) -> Run:
        if what == "cancel":
            return transitions.cancelled(run, "ben")
        return transitions.approved(run, "go", "ben", {"lead"}, at)

    with contextlib.suppress(Refused):
        await store.change(run_id, transition, NOTE)


async def resume_all(store: MemoryRuns) -> None:
    """People look after what stands still."""
    for run in await store.newest(3):
        if run.state in (RunState.PARKED, RunState.NEEDS_OPERATOR):
            await store.change(
                run.id, lambda run, at: transitions.resumed(run, "ben", transitions.How.RETRY, at), NOTE
            )


def check(store: MemoryRuns, target: Target, runs: list[Run]) -> None:
    for run in runs:
        assert run.state.is_over, run
        notes = [(epoch, note) for epoch, note in store.notes if note.facts.get("run") == run.id]
        epochs = [epoch for epoch, _ in notes]
        assert epochs == sorted(epochs)
        assert all(note.facts["epoch"] == epoch for epoch, note in notes)
        done = Counter(note.facts["step"] for _, note in notes if note.event == "run.step_done")
        undone = Counter(note.facts["step"] for _, note in notes if note.event == "run.undo_done")
        assert all(count == 1 for count in (done + Counter()).values()), done
        assert all(count == 1 for count in undone.values()), undone
        for step in run.playbook.steps():
            standing = target.state.get((run.id, step.name))
            if run.state is RunState.DONE:
                assert run.did(step.name) is Did.DONE
                assert standing == "on"
            else:
                assert run.did(step.name) in (None, Did.UNDONE)
                assert standing in (None, "off")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), cancels=st.booleans())
def test_whatever_happens_to_replicas_every_run_ends_right(seed: int, cancels: bool) -> None:
    run_virtually(simulate(seed, cancels=cancels))


def test_the_simulation_tries_takeovers_and_messages_that_come_late() -> None:
    happened = [run_virtually(simulate(seed, cancels=True)) for seed in range(10)]
    assert sum(late for late, _ in happened) > 0
    assert max(epochs for _, epochs in happened) > 8


def test_one_active_run_moves_the_traffic_of_a_cluster() -> None:
    async def twice() -> None:
        store = MemoryRuns(LoopClock().now)
        run = Run(id="a", playbook=playbook(), subject="eu", started_by="ada", started_at=START)
        await store.start(run, NOTE)
        with pytest.raises(Refused, match="moves the traffic"):
            await store.start(
                Run(id="b", playbook=playbook(), subject="eu", started_by="ben", started_at=START), NOTE
            )

    run_virtually(twice())
