"""The agent: it goes on while its controller is away, and forgets nothing that was not acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.adapters.agent.spool import DiskSpool
from holdfast.availability.agent import Agent, DeliveryRefused, LoginRefused, Pace, UplinkError
from holdfast.availability.exchange import Orders, ReceiptMessage, RefusedMessage
from holdfast.availability.ingest import Losses
from holdfast.availability.judging import compile_check
from holdfast.availability.model import Observation, Outcome, Result, Timings
from holdfast.availability.rounds import Watched
from holdfast.estate.checks import Check, HttpCheck
from holdfast.kernel.clock import SystemClock

PATIENCE_S = 60.0
QUICK = timedelta(milliseconds=20)
HURRY = Pace(0.01, 0.01, 0.01, 0.01)


def watched(probe: int, every: timedelta = QUICK) -> Watched:
    check = HttpCheck(url=f"http://target/{probe}", every=every, timeout=every)
    return Watched.of(probe, compile_check(check))


def orders(*probes: int) -> Orders:
    return Orders("tokyo", "Tokyo", [watched(probe) for probe in probes], {}, {})


class Targets:
    """The targets of the checks: well, down, or not to be looked at by a fault of ours."""

    def __init__(self) -> None:
        self.observation = Observation(Timings(100), facts={"status": 200})
        self.asked: list[str] = []

    async def attempt(self, check: Check) -> Observation:
        assert isinstance(check, HttpCheck)
        self.asked.append(check.url)
        return self.observation


class Controller:
    """The other end: it can be away, refuse, and forget to answer."""

    def __init__(self) -> None:
        self.orders_now: Orders | None = None
        self.trouble: UplinkError | None = None
        self.forgets_to_answer = 0
        self.cannot_read: set[Outcome] = set()
        self.came: list[Result] = []
        self.losses: list[Losses] = []
        self.receipt: Callable[[Sequence[Result]], list[RefusedMessage]] = lambda _: []

    async def orders(self) -> Orders | None:
        if self.trouble is not None:
            raise self.trouble
        found, self.orders_now = self.orders_now, None
        return found

    async def deliver(self, results: Sequence[Result], losses: Losses | None) -> ReceiptMessage:
        if self.trouble is not None:
            raise self.trouble
        if any(each.outcome in self.cannot_read for each in results):
            raise DeliveryRefused("not understood")
        self.came += results
        self.losses += [losses] if losses else []
        if self.forgets_to_answer:
            self.forgets_to_answer -= 1
            raise UplinkError("the answer was lost")
        return ReceiptMessage(len(results), 0, self.receipt(results))


class Scene:
    def __init__(self, folder: Path) -> None:
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.spool = DiskSpool(folder, on_event=self.note)
        self.targets = Targets()
        self.controller = Controller()

    def note(self, event: str, facts: Mapping[str, object]) -> None:
        self.events.append((event, facts))

    def told(self, event: str) -> list[Mapping[str, object]]:
        return [facts for name, facts in self.events if name == event]

    @asynccontextmanager
    async def agent(self, known: Orders | None = None, pace: Pace = HURRY) -> AsyncIterator[Agent]:
        agent = Agent(
            *(self.targets, self.spool, self.controller, SystemClock()),
            on_event=self.note,
            known=known,
            pace=pace,
        )
        running = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def scene(tmp_path: Path) -> "AsyncIterator[Scene]":
    scene = Scene(tmp_path / "spool")
    yield scene
    scene.spool.close()


async def eventually(look: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_it_runs_what_it_is_told_and_delivers_what_it_found(scene: Scene) -> None:
    scene.controller.orders_now = orders(1, 2)

    async with scene.agent():
        await eventually(lambda: {each.check_id for each in scene.controller.came} == {1, 2})
        scene.controller.orders_now = orders(2, 3)
        await eventually(lambda: any(each.check_id == 3 for each in scene.controller.came))
        asked = len(scene.targets.asked)
        await eventually(lambda: len(scene.targets.asked) > asked + 10)
        assert not any(url.endswith("/1") for url in scene.targets.asked[asked:])

    assert all(each.outcome is Outcome.GOOD for each in scene.controller.came)


async def test_while_the_controller_is_away_it_goes_on_with_what_it_knows(scene: Scene) -> None:
    scene.controller.trouble = UplinkError("no route")

    async with scene.agent(known=orders(1)):
        await eventually(lambda: scene.spool.waiting > 10)
        assert scene.controller.came == []
        assert len(scene.told("delivery_failed")) == 1
        scene.controller.trouble = None
        await eventually(lambda: len(scene.controller.came) > 10)
        await eventually(lambda: scene.told("delivery_failed_no_more"))

    times = [each.at for each in scene.controller.came]
    assert times == sorted(set(times))


async def test_an_answer_that_was_lost_is_asked_for_again(scene: Scene) -> None:
    scene.controller.forgets_to_answer = 2

    async with scene.agent(known=orders(1)) as agent:
        await eventually(lambda: agent.counters.deliveries >= 3)

    twice = len(scene.controller.came) - len({each.at for each in scene.controller.came})
    assert twice > 0
    assert agent.counters.failures == 2


async def test_a_revoked_token_is_said_once_and_nothing_is_lost(scene: Scene) -> None:
    scene.controller.trouble = LoginRefused("the controller refused: a valid token is needed")

    async with scene.agent(known=orders(1)) as agent:
        await eventually(lambda: agent.counters.failures > 5 and scene.spool.waiting > 5)

    assert [each["error"] for each in scene.told("delivery_failed")] == [str(scene.controller.trouble)]
    assert scene.spool.waiting > 5


async def test_one_result_that_is_not_understood_does_not_hold_up_the_others(scene: Scene) -> None:
    scene.controller.trouble = UplinkError("away")
    async with scene.agent(known=orders(1)):
        await eventually(lambda: scene.spool.waiting > 3)
        scene.targets.observation = Observation(Timings(100), error="connection refused")
        await eventually(lambda: any(r.outcome is Outcome.FAILED for r in scene.spool.next(10_000).results))
        scene.targets.observation = Observation(Timings(100), facts={"status": 200})
        mixed = scene.spool.waiting
        await eventually(lambda: scene.spool.waiting > mixed + 3)
        scene.controller.cannot_read = {Outcome.FAILED}
        scene.controller.trouble = None
        await eventually(lambda: len(scene.controller.came) > mixed + 3)
        await eventually(lambda: scene.told("delivery_set_aside"))

    assert all(each.outcome is Outcome.GOOD for each in scene.controller.came)


async def test_what_the_controller_refuses_is_told_and_not_sent_again(scene: Scene) -> None:
    scene.controller.receipt = lambda sent: [RefusedMessage(0, 1, "from the future")] if sent else []

    async with scene.agent(known=orders(1)) as agent:
        await eventually(lambda: agent.counters.refused >= 2)

    times = [each.at for each in scene.controller.came]
    assert times == sorted(set(times))
    assert scene.told("results_refused")[0]["reasons"] == ["probe 1: from the future"]


async def test_a_run_that_could_not_look_has_no_result(scene: Scene) -> None:
    scene.targets.observation = Observation(Timings(1), error="no file descriptors are left", ours=True)

    async with scene.agent(known=orders(1)) as agent:
        await eventually(lambda: agent.rounds.counters.faults > 3)

    assert scene.controller.came == []
    assert scene.spool.waiting == 0


async def test_what_was_found_last_is_in_the_spool_when_it_ends(scene: Scene) -> None:
    async with scene.agent(known=orders(1), pace=Pace(keep=3600)) as agent:
        await eventually(lambda: agent.rounds.counters.runs >= 5)
        assert scene.spool.waiting == 0

    assert scene.spool.waiting >= 5
