"""What people may do with runs, and what is told of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.recovery import MemoryPlaybooks, MemoryRuns
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.engine import Engine
from holdfast.recovery.errors import NotThere, PlaybookWrong, Refused
from holdfast.recovery.giving import taken_from
from holdfast.recovery.model import Gate, Playbook, Run, RunState, Step, Taken
from holdfast.recovery.ports import Fence, Found, Held, Note, Transition
from holdfast.recovery.service import Recovery
from holdfast.recovery.transitions import How

START = datetime(2026, 11, 23, tzinfo=UTC)
COMMANDER = {"operator", "commander"}


def step(name: str, **more: object) -> Step:
    return Step(name=name, title=name, action="act", undo="undo", **more)  # type: ignore[arg-type]


PLAYBOOKS = {
    each.name: each
    for each in (
        Playbook(
            name="move",
            title="Move",
            takes={"why": Taken(title="Why"), "to": Taken(title="Where to", default="b")},
            moves_traffic=True,
            roles=("commander",),
            stages=[step("fence"), Gate(name="go", title="Go?", roles=["commander"], four_eyes=True)],
        ),
        Playbook(name="look", title="Look", stages=[step("look")]),
    )
}


@dataclass
class Acting:
    """An action that takes until it is let."""

    let: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del given, fence
        self.begun += 1
        await self.let.wait()

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return {}


@pytest.fixture
def store() -> MemoryRuns:
    return MemoryRuns(SystemClock().now)


@pytest.fixture
def recovery(store: MemoryRuns) -> Recovery:
    ids = iter(f"run{number}" for number in range(100))
    return Recovery(store, MemoryPlaybooks(SystemClock().now), lambda: PLAYBOOKS, lambda: next(ids))


async def test_a_run_begins_with_what_its_playbook_takes_and_is_told(
    recovery: Recovery, store: MemoryRuns
) -> None:
    run = await recovery.start("move", "eu", {"why": "it burns"}, "ada", COMMANDER)
    assert run.given == {"why": "it burns", "to": "b"}
    assert (run.subject, run.started_by, run.playbook.revision) == ("eu", "ada", 1)
    assert abs(run.started_at - SystemClock().now()) < timedelta(minutes=1)
    [(_, note)] = store.notes
    assert (note.actor, note.event) == ("ada", "run.started")
    assert note.facts == {
        "run": run.id,
        "playbook": "move",
        "revision": 1,
        "subject": "eu",
        "given": {"why": "it burns", "to": "b"},
    }


@pytest.mark.parametrize(
    ("name", "given", "roles", "error"),
    [
        ("moves", {"why": "x"}, COMMANDER, NotThere),
        ("move", {}, COMMANDER, PlaybookWrong),
        ("move", {"why": "x", "what": "y"}, COMMANDER, PlaybookWrong),
        ("move", {"why": "x\x00"}, COMMANDER, PlaybookWrong),
        ("move", {"why": "x" * 5000}, COMMANDER, PlaybookWrong),
        ("move", {"why": "x"}, {"operator"}, Refused),
    ],
)
async def test_what_cannot_be_started_leaves_nothing(
    recovery: Recovery, store: MemoryRuns, name: str, given: Mapping[str, str], roles: set[str], error: type
) -> None:
    with pytest.raises(error):
        await recovery.start(name, "eu", given, "ada", roles)
    assert await recovery.newest() == []
    assert store.notes == []


def test_a_run_works_on_something() -> None:
    with pytest.raises(PlaybookWrong):
        taken_from(PLAYBOOKS["look"], "", {})
    with pytest.raises(PlaybookWrong):
        taken_from(PLAYBOOKS["look"], "e\nu", {})


async def test_people_steer_a_run_under_their_own_names(recovery: Recovery, store: MemoryRuns) -> None:
    acting = Acting()
    acting.let.set()
    engine = Engine(store, {"act": acting, "undo": acting}, SystemClock(), replica="r1")
    working = asyncio.create_task(engine.work())
    try:
        run = await recovery.start("move", "eu", {"why": "x"}, "ada", COMMANDER)
        async with asyncio.timeout(60):
            async for held in recovery.watch(run.id):
                if "go" in held.run.records:
                    break
        with pytest.raises(Refused, match="cannot approve"):
            await recovery.approve(run.id, "go", "ada", COMMANDER)
        with pytest.raises(Refused, match="approved by"):
            await recovery.approve(run.id, "go", "ben", {"operator"})
        with pytest.raises(Refused, match="is for"):
            await recovery.cancel(run.id, "ben", {"operator"})
        with pytest.raises(Refused):
            await recovery.resume(run.id, How.RETRY, "ben", COMMANDER)
        approved = await recovery.approve(run.id, "go", "ben", COMMANDER)
        assert [each.who for each in approved.records["go"].approvals] == ["ben"]
        seen = await followed(recovery, run.id)
        assert seen[-1].state is RunState.DONE
        with pytest.raises(Refused, match="done"):
            await recovery.cancel(run.id, "ben", COMMANDER)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    events = [(note.actor, note.event) for _, note in store.notes if note.actor != "recovery"]
    assert events == [("ada", "run.started"), ("ben", "run.approved")]


async def followed(recovery: Recovery, run_id: str) -> list[Run]:
    async with asyncio.timeout(60):
        return [held.run async for held in recovery.watch(run_id)]


async def test_a_watched_run_is_seen_until_it_is_over(recovery: Recovery, store: MemoryRuns) -> None:
    run = await recovery.start("move", "eu", {"why": "x"}, "ada", COMMANDER)
    watching = asyncio.create_task(followed(recovery, run.id))
    await asyncio.sleep(0.05)
    await recovery.cancel(run.id, "ben", COMMANDER)
    acting = Acting()
    engine = Engine(store, {"act": acting, "undo": acting}, SystemClock(), replica="r1")
    working = asyncio.create_task(engine.work())
    try:
        seen = await watching
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert seen[0].state is RunState.RUNNING
    assert seen[-1].state is RunState.CANCELLED
    assert seen[-1].cancel_asked_by == "ben"
    with pytest.raises(NotThere):
        await followed(recovery, "nobody")


async def test_a_replica_that_is_ended_lets_go_and_another_one_begins_the_step_anew(
    recovery: Recovery, store: MemoryRuns
) -> None:
    run = await recovery.start("look", "eu", {}, "ada", set())
    first, second, stop = Acting(), Acting(), asyncio.Event()
    lease = timedelta(minutes=10)  # nothing here waits for its end
    one = asyncio.create_task(
        Engine(store, {"act": first}, SystemClock(), replica="r1", lease=lease).work_until(stop)
    )
    async with asyncio.timeout(60):
        while not first.begun:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    other = asyncio.create_task(
        Engine(store, {"act": second}, SystemClock(), replica="r2", lease=lease).work()
    )
    try:
        await asyncio.sleep(0.05)
        assert not second.begun
        stop.set()
        async with asyncio.timeout(60):
            await one
            while not second.begun:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        second.let.set()
        done = (await followed(recovery, run.id))[-1]
    finally:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
    assert done.state is RunState.DONE
    assert done.lost_leases == 0
    assert done.records["look"].attempts == 1


async def test_a_fault_in_an_action_is_a_failed_attempt(recovery: Recovery, store: MemoryRuns) -> None:
    class Broken(Acting):
        async def act(self, given: Mapping[str, str], fence: Fence) -> None:
            del given, fence
            raise ZeroDivisionError("a fault of ours\x00 \ud800")

    clock = ManualClock(START)
    run = await recovery.start("look", "eu", {}, "ada", set())
    engine = Engine(store, {"act": Broken(), "undo": Acting()}, clock, replica="r1")
    working = asyncio.create_task(engine.work())
    try:
        async with asyncio.timeout(60):
            async for held in recovery.watch(run.id):
                if "look" in held.run.records and held.run.records["look"].told:
                    break
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert held.run.records["look"].told == "ZeroDivisionError: a fault of ours ?"


async def test_what_cannot_be_written_down_is_a_failed_attempt() -> None:
    class Talkative(Acting):
        async def observe(self, given: Mapping[str, str]) -> Found | None:
            del given
            return {"too": "much"}

    class Narrow(MemoryRuns):
        async def change(
            self, run_id: str, transition: Transition, note: Note, epoch: int | None = None
        ) -> Held:
            def checked(run: Run, at: datetime) -> Run:
                changed = transition(run, at)
                if any(record.found for record in changed.records.values()):
                    raise HoldfastError("there is no room for it")
                return changed

            return await super().change(run_id, checked, note, epoch)

    narrow = Narrow(SystemClock().now)
    recovery = Recovery(narrow, MemoryPlaybooks(SystemClock().now), lambda: PLAYBOOKS, lambda: "r")
    run = await recovery.start("look", "eu", {}, "ada", set())
    engine = Engine(narrow, {"act": Talkative(), "undo": Acting()}, SystemClock(), replica="r1")
    working = asyncio.create_task(engine.work())
    try:
        async with asyncio.timeout(60):
            async for held in recovery.watch(run.id):
                if "look" in held.run.records and held.run.records["look"].told:
                    break
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert "no room" in held.run.records["look"].told
    assert held.run.records["look"].found == {}
