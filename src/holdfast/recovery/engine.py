"""The engine: takes runs on, and does what the planner says, until each is over or needs a person.

A replica may die, be stopped for an hour and wake, or lose the store, at any line of this. So:

1. What begins is written down before it begins, and what ended after it ended: whoever takes over makes what
   was under way again, and an action comes to the same when it is repeated.
2. Whatever is written down carries the epoch; the store refuses an old one. So does every target that is told
   it (`Fence`), which is what holds a replica that woke up in the middle of acting.
3. A replica that has not renewed its lease in time lets go by itself, by its own monotonic clock, which it
   started before it asked: it stops before the store gives the run to another one.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.recovery import transitions
from holdfast.recovery.errors import Fenced, PlaybookWrong, Refused
from holdfast.recovery.giving import given_to
from holdfast.recovery.model import Run
from holdfast.recovery.planner import (
    Begin,
    Finish,
    Order,
    Pass,
    Reach,
    StandStill,
    TurnBack,
    Undo,
    Wait,
    orders,
)
from holdfast.recovery.ports import Action, Fence, Found, Held, Note, RunStore, Transition

LEASE = timedelta(seconds=10)
LOOK_EVERY_S = 5.0
"""For what no word came of."""
AGAIN_IN_S = 1.0
RELEASE_WITHIN_S = 3.0
MOST_RUNS = 16
SAFE_SHARE = 0.8
"""Of a lease: then it counts as lost, though the store has not said so."""
LEASED_SHARE = 0.95
"""Of a lease, asked for: in the rest of it others find out that it has ended, and take the run on."""
SOON_S = 0.01
AT_ONCE_S = 0.2

log = structlog.get_logger()


class Engine:
    """One replica's. `actions` by name."""

    def __init__(
        self,
        store: RunStore,
        actions: Mapping[str, Action],
        clock: Clock,
        *,
        replica: str,
        lease: timedelta = LEASE,
    ) -> None:
        self._store = store
        self._actions = actions
        self._clock = clock
        self._replica = replica
        self._lease = lease
        self._leased = lease * LEASED_SHARE
        self._letting_go = False
        self.driving = 0
        """Runs that this replica works on."""
        self.let_go = 0
        """Runs that it gave up in the middle: to another replica, or since the store was away too long."""

    async def work_until(self, stop: asyncio.Event) -> None:
        """Until `stop`; then others may take its runs on at once, and begin anew what was under way."""
        working, stopping = asyncio.create_task(self.work()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._letting_go = True
        finally:
            working.cancel()
            stopping.cancel()
            ended, _ = await asyncio.gather(working, stopping, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def work(self) -> None:
        """Until cancelled; then nothing of it goes on, and its leases end by themselves."""
        driving = set[asyncio.Task[None]]()
        try:
            while True:
                heard = self._store.heard
                try:
                    held = None if len(driving) >= MOST_RUNS else await self._claimed()
                    if held is not None:
                        task = asyncio.create_task(self._drive(*held))
                        driving.add(task)
                        task.add_done_callback(driving.discard)
                        continue
                    await self._store.woken(heard, await self._look_again_in())
                except HoldfastError as error:
                    log.warning("runs_not_claimed", error=str(error))
                    await asyncio.sleep(AGAIN_IN_S)
        finally:
            for task in driving:
                task.cancel()
            await asyncio.gather(*driving, return_exceptions=True)

    async def _claimed(self) -> tuple[Held, float] | None:
        asked = self._clock.monotonic()
        held = await self._store.claim(self._replica, self._leased)
        return None if held is None else (held, asked)

    async def _look_again_in(self) -> float:
        """Seconds. When the first lease ends, somebody may be dead."""
        free_in = await self._store.free_in()
        if free_in is None:
            return LOOK_EVERY_S
        # One that has ended, and yet was not to be had: somebody takes it on now, or nobody here can read it.
        return min(free_in.total_seconds() + SOON_S, LOOK_EVERY_S) if free_in else AT_ONCE_S

    async def _drive(self, held: Held, since: float) -> None:
        """Until the run is over, needs a person, or is another replica's."""
        driven = _Driven(self._store, self._actions, held.run.id, held.epoch)
        keeping = asyncio.create_task(self._keep(held, since))
        following = asyncio.create_task(driven.follow())
        self.driving += 1
        try:
            await asyncio.wait({keeping, following}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            keeping.cancel()
            following.cancel()
            ended = await asyncio.gather(keeping, following, return_exceptions=True)
            self.driving -= 1
            if ended[1] is None or self._letting_go:
                await self._release(held)
        self.let_go += ended[1] is not None and not self._letting_go
        for each in ended:
            if isinstance(each, HoldfastError):
                log.warning("run_let_go", run=held.run.id, epoch=held.epoch, error=str(each))
            elif isinstance(each, Exception):
                log.error("run_engine_failed", run=held.run.id, exc_info=each)

    async def _release(self, held: Held) -> None:
        """So that whoever looks next takes it on. Where that does not work, the lease ends by itself."""
        with suppress(HoldfastError, TimeoutError):
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await self._store.release(held.run.id, held.epoch)

    async def _keep(self, held: Held, since: float) -> None:
        """Renew the lease. Ends with Fenced when it is, or may be, another's."""
        lease_s = self._lease.total_seconds()
        while True:
            slept = self._clock.monotonic()
            await asyncio.sleep(lease_s / 3)
            asked = self._clock.monotonic()
            if (late_s := asked - slept - lease_s / 3) > lease_s / 6:
                # The machine was stopped, or an action keeps this loop to itself: that costs leases.
                log.warning("replica_stood_still", run=held.run.id, for_s=round(late_s, 1))
            left_s = since + lease_s * SAFE_SHARE - asked
            try:
                async with asyncio.timeout(max(left_s, 0.0)):
                    await self._store.renew(held.run.id, held.epoch, self._leased)
            except Fenced:
                raise
            except (HoldfastError, TimeoutError) as error:
                if self._clock.monotonic() >= since + lease_s * SAFE_SHARE:
                    raise Fenced("the lease could not be renewed in time") from error
            else:
                since = asked


class _Driven:
    """A run in this replica's hands, in its epoch."""

    def __init__(self, store: RunStore, actions: Mapping[str, Action], run_id: str, epoch: int) -> None:
        self._store = store
        self._actions = actions
        self._run_id = run_id
        self._epoch = epoch
        self._working = dict[str, asyncio.Task[None]]()

    async def follow(self) -> None:
        """Returns when there is nothing to do for a replica. Raises Fenced."""
        try:
            while True:
                heard = self._store.heard
                try:
                    held = await self._store.get(self._run_id)
                    if not held.run.state.is_active:
                        if not self._working:
                            return
                        given: list[Order] = [Wait(None)]
                    else:
                        given = list(orders(held.run, held.now, set(self._working)))
                    changed = [await self._obeyed(order, held) for order in given]
                    if any(changed):
                        continue
                    await self._something(held, given, heard)
                except Fenced:
                    raise
                except HoldfastError as error:  # the store is away: the lease says for how long that may be
                    log.warning("run_waits_for_store", run=self._run_id, error=str(error))
                    await asyncio.sleep(AGAIN_IN_S)
        finally:
            for task in self._working.values():
                task.cancel()
            await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _something(self, held: Held, given: list[Order], heard: int) -> None:
        """Wait for a step to end, for word of a change, or for the time that the planner named."""
        untils = [each.until for each in given if isinstance(each, Wait) and each.until is not None]
        within_s = LOOK_EVERY_S
        if untils:
            within_s = min(within_s, max((min(untils) - held.now).total_seconds(), 0.0))
        word = asyncio.create_task(self._store.woken(heard, within_s))
        try:
            await asyncio.wait({word, *self._working.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            word.cancel()
            await asyncio.gather(word, return_exceptions=True)
        for name, task in list(self._working.items()):
            if task.done():
                del self._working[name]
                task.result()

    async def _obeyed(self, order: Order, held: Held) -> bool:
        """Whether the run has changed by it. What it cannot be changed to any more is decided anew."""
        try:
            match order:
                case Begin(step, attempt):
                    held = await self._change(
                        lambda run, at: transitions.begun(run, step.name, attempt, at),
                        "step_begun",
                        step=step.name,
                    )
                    self._work(order, self._perform(step.action, order, held))
                case Undo(step, attempt):
                    held = await self._change(
                        lambda run, at: transitions.undoing(run, step.name, attempt, at),
                        "undo_begun",
                        step=step.name,
                    )
                    self._work(order, self._perform(step.undo or "", order, held))
                case Reach(stage):
                    await self._change(
                        lambda run, at: transitions.reached(run, stage.name, at),
                        "stage_reached",
                        stage=stage.name,
                    )
                case Pass(stage):
                    await self._change(
                        lambda run, at: transitions.passed(run, stage.name, at),
                        "stage_passed",
                        stage=stage.name,
                    )
                case TurnBack(why):
                    await self._change(
                        lambda run, _: transitions.turned_back(run, why), "turned_back", why=why
                    )
                case StandStill(why):
                    await self._change(
                        lambda run, _: transitions.stood_still(run, why), "stood_still", why=why
                    )
                case Finish(state):
                    await self._change(lambda run, at: transitions.finished(run, state, at), state.value)
                case Wait():
                    return False
        except Refused:
            pass
        return True

    def _work(self, order: Begin | Undo, act: Coroutine[None, None, Found]) -> None:
        self._working[order.step.name] = asyncio.create_task(self._attempt(order, act))

    async def _attempt(self, order: Begin | Undo, act: Coroutine[None, None, Found]) -> None:
        """Act, and write down what came of it."""
        name, found, well, told = order.step.name, dict[str, str](), True, ""
        try:
            async with asyncio.timeout(order.step.within.total_seconds()):
                found = dict(await act)
        except TimeoutError:
            well, told = False, f"not within {order.step.within.total_seconds():g} s"
        except HoldfastError as error:
            well, told = False, str(error)
        except Exception as error:  # a fault of ours must not leave a run without an end
            log.exception("step_failed", run=self._run_id, step=name)
            well, told = False, f"{type(error).__name__}: {error}"

        def ended(run: Run, at: datetime) -> Run:
            if isinstance(order, Undo):
                return transitions.undone(run, name, at, well=well, told=told)
            return transitions.ended(run, name, at, well=well, told=told, found=found)

        what = "undo" if isinstance(order, Undo) else "step"
        while True:
            try:
                await self._change(
                    ended,
                    f"{what}_{'done' if well else 'failed'}",
                    step=name,
                    told=transitions.bearable(told),
                )
            except (Fenced, asyncio.CancelledError):
                raise
            except Refused:  # it is written down already: only the answer was lost
                return
            except HoldfastError as error:  # it did end, and that is told once the store is back
                log.warning("run_waits_for_store", run=self._run_id, error=str(error))
                if found and error.remedy is Remedy.PERMANENT:
                    found, well, told = {}, False, f"what it found cannot be written down: {error}"
                    continue
                await asyncio.sleep(AGAIN_IN_S)
            else:
                return

    async def _perform(self, name: str, order: Begin | Undo, held: Held) -> Found:
        action = self._actions.get(name)
        if action is None:
            raise PlaybookWrong(f"there is no action {name!r}")
        given = given_to(held.run, order.step)
        found = await action.observe(given)
        if found is not None:
            return found
        await action.act(given, Fence(self._run_id, self._epoch, held.run.turns))
        return await action.verify(given)

    async def _change(self, transition: Transition, event: str, **facts: object) -> Held:
        note = Note("recovery", f"run.{event}", {"run": self._run_id, "epoch": self._epoch, **facts})
        return await self._store.change(self._run_id, transition, note, self._epoch)
