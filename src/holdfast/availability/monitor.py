"""The monitor: runs every check on time, judges what it saw, and records it.

    schedule -> probe -> judge -> heard (verdicts.py) -> outbox -> store

One monitor leads at a time, by the store's lease; of several controllers each has monitors of its own
(sharing.py). While the database is away the leader keeps probing and
keeps what it found; when it gets the lease back and nobody led in between, it writes everything with its own
times. If somebody else led meanwhile, their record stands and ours is dropped: two histories are never mixed.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.availability.errors import TimelineError
from holdfast.availability.judging import CompiledCheck, judge
from holdfast.availability.model import Outcome, Result, Transition
from holdfast.availability.ports import Batch, LeasedStore, Probe
from holdfast.availability.schedule import Due, Schedule
from holdfast.availability.verdicts import CheckState, Rules, heard, retired
from holdfast.estate.model import Retention
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

MOST_RESULTS_KEPT = 200_000
"""What the outbox holds while the database is away; beyond it the oldest raw results go, and are counted.
Transitions are never dropped."""
MOST_RESULTS_AT_ONCE = 5_000
CLOCK_TOLERANCE = 2.0
STARTS_TOGETHER = 0.05
"""Runs that fall due within so many seconds start together: waking up costs more than a check does. All
monitors of a process wake at the same moments, the multiples of this on the monotonic clock."""
CALM_FLUSHES = 2
"""Results that change nothing wait for every second flush: a transaction costs as much as ten checks."""
TIMER_GRAIN = 0.001
"""An event loop's timer may strike so much too early, and would then find nothing due."""
HOUSEKEEPING_EVERY = 60.0
PARTITIONS_EVERY = 3600.0
LAST_FLUSH = 3.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A check of the estate with the id under which its history is kept."""

    id: int
    compiled: CompiledCheck
    rules: Rules

    @classmethod
    def of(cls, check_id: int, compiled: CompiledCheck) -> "Watched":
        return cls(check_id, compiled, Rules.of(compiled.check))


@dataclass(slots=True)
class Counters:
    """What the monitor did since it started. `start_delays` are the newest, in seconds after due."""

    runs: int = 0
    skipped: int = 0
    faults: int = 0
    recorded: int = 0
    dropped: int = 0
    start_delays: deque[float] = field(default_factory=lambda: deque(maxlen=20_000))


@dataclass(slots=True)
class Outbox:
    """What is judged and not yet stored."""

    results: deque[Result] = field(default_factory=deque)
    transitions: list[Transition] = field(default_factory=list)
    states: dict[int, CheckState] = field(default_factory=dict)

    def put(self, result: Result | None, state: CheckState, transitions: Iterable[Transition]) -> int:
        """Add what one run came to; returns how many old results had to go."""
        self.states[state.check_id] = state
        self.transitions.extend(transitions)
        dropped = 0
        if result is not None:
            self.results.append(result)
            while len(self.results) > MOST_RESULTS_KEPT:
                self.results.popleft()
                dropped += 1
        return dropped

    @property
    def is_urgent(self) -> bool:
        """Whether a state changed, or more is waiting than one transaction should hold."""
        return bool(self.transitions) or len(self.results) > MOST_RESULTS_AT_ONCE

    def take(self) -> Batch:
        """All transitions and states, and as many results as one transaction should hold, oldest first."""
        count = min(len(self.results), MOST_RESULTS_AT_ONCE)
        results = [self.results.popleft() for _ in range(count)]
        batch = Batch(results, self.transitions, list(self.states.values()))
        self.transitions, self.states = [], {}
        return batch

    def clear(self) -> None:
        self.results.clear()
        self.transitions.clear()
        self.states.clear()


def next_beat(at: float, step: float) -> float:
    """The first whole multiple of `step` after `at`: whoever waits for one wakes together with the others."""
    beat = (math.floor(at / step) + 1) * step
    return beat if beat > at else beat + step  # rounding may land on `at` itself


class Monitor:
    """Runs until cancelled. `watch` may be called at any time with the checks that are in force."""

    def __init__(
        self,
        probe: Probe,
        store: LeasedStore,
        clock: Clock,
        *,
        on_event: Callable[[str, Mapping[str, object]], None],
        retention: Retention | None = None,
        flush_every: float = 1.0,
        retry_every: float = 2.0,
        keeps_house: bool = True,
    ) -> None:
        """`keeps_house`: also fold roll-ups and keep partitions, which one monitor does for all."""
        self.counters = Counters()
        self._probe = probe
        self._store = store
        self._clock = clock
        self._on_event = on_event
        self._retention = retention or Retention()
        self._flush_every = flush_every
        self._retry_every = retry_every
        self._keeps_house = keeps_house
        self._watched: dict[int, Watched] | None = None
        self._schedule = Schedule()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._states: dict[int, CheckState] = {}
        self._outbox = Outbox()
        self._epoch: int | None = None
        self._changed = asyncio.Event()

    @property
    def leading(self) -> bool:
        return self._epoch is not None

    def watch(self, checks: Iterable[Watched], retention: Retention | None = None) -> None:
        """From now on run exactly these checks. The others are retired; known ones keep rhythm and state.

        Before the first call nothing runs and nothing is retired: the estate is not known yet.
        """
        self._watched = {watched.id: watched for watched in checks}
        self._retention = retention or self._retention
        if self.leading:
            self._put_in_force()

    async def run(self) -> None:
        """Lead whenever the lease can be had. Ends only by cancellation, and then leaves nothing running."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._dispatch())
                group.create_task(self._record())
                if self._keeps_house:
                    group.create_task(self._keep_house())
        finally:
            await self._stop_runs()
            if self.leading:
                with contextlib.suppress(HoldfastError, TimeoutError):
                    async with asyncio.timeout(LAST_FLUSH):
                        await self.flush()
            await self._store.close()

    async def flush(self) -> None:
        """Record what is in the outbox now. Raises what the store raises; nothing is lost by that."""
        batch = self._outbox.take()
        try:
            await self._store.record(batch)
        except BaseException:
            self._put_back(batch)
            raise
        self.counters.recorded += len(batch.results)

    # --- leading

    async def _record(self) -> None:
        """Take the lease, then flush; on trouble take the lease again."""
        while True:
            try:
                await self._take_lead()
                beats = 0
                while self.leading:
                    now = self._clock.monotonic()
                    await asyncio.sleep(next_beat(now, self._flush_every) - now)
                    beats += 1
                    if self._outbox.is_urgent or beats % CALM_FLUSHES == 0:
                        await self.flush()
            except TimelineError as error:
                self._step_down("timeline_refused", error)
            except HoldfastError as error:
                self._on_event(
                    "recording_failed", {"error": str(error), "waiting": len(self._outbox.results)}
                )
            await asyncio.sleep(self._retry_every)

    async def _take_lead(self) -> None:
        epoch = await self._store.acquire()
        if epoch is None:
            if self.leading:
                self._step_down("lead_lost", None)
            return
        led_alone = self._epoch is not None and epoch == self._epoch + 1
        if not led_alone:
            self._outbox.clear()
            self._states = dict(await self._store.check_states())
        self._epoch = epoch
        self._on_event("lead_taken", {"epoch": epoch, "kept": len(self._outbox.results)})
        self._put_in_force()

    def _step_down(self, event: str, error: Exception | None) -> None:
        self._epoch = None
        self._schedule.clear()
        self._outbox.clear()
        self._on_event(event, {"error": str(error)} if error else {})
        self._changed.set()

    def _put_in_force(self) -> None:
        if self._watched is None:
            return
        now = self._clock.monotonic()
        for check_id, watched in self._watched.items():
            self._schedule.put(check_id, watched.rules.every.total_seconds(), now)
        for check_id in self._states.keys() - self._watched.keys():
            self._schedule.drop(check_id)
            state, transitions = retired(self._states[check_id], self._clock.now())
            if transitions:
                self._states[check_id] = state
                self._outbox.put(None, state, transitions)
        self._changed.set()

    def _put_back(self, batch: Batch) -> None:
        """What could not be stored goes back in front of what has come since."""
        self._outbox.results.extendleft(reversed(batch.results))
        self._outbox.transitions[:0] = batch.transitions
        self._outbox.states = {state.check_id: state for state in batch.states} | self._outbox.states

    # --- probing

    async def _dispatch(self) -> None:
        """Start each run when it is due, as a task of its own: no target can hold up another."""
        offset = self._wall_offset()
        while True:
            offset = self._watch_clock(offset)
            now = self._clock.monotonic()
            for due in self._schedule.take_due(now) if self.leading else ():
                self._start(due, now)
            next_due = self._schedule.next_due() if self.leading else None
            now = self._clock.monotonic()
            # At most a second, so that a jump of the wall clock is noticed soon.
            latest = now + 1.0
            at = latest if next_due is None else min(latest, max(now, next_due))
            self._changed.clear()
            pause = next_beat(at, STARTS_TOGETHER) - now + TIMER_GRAIN
            timer = asyncio.get_running_loop().call_later(pause, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()

    def _start(self, due: Due, now: float) -> None:
        watched = self._in_force(due.check_id)
        if watched is None:
            self._schedule.drop(due.check_id)
        elif due.check_id in self._running:
            self.counters.skipped += 1
        else:
            self.counters.start_delays.append(now - due.at)
            task = asyncio.create_task(self._run_check(watched))
            self._running[due.check_id] = task
            task.add_done_callback(lambda ended: self._run_ended(due.check_id, ended))

    def _in_force(self, check_id: int) -> Watched | None:
        return None if self._watched is None else self._watched.get(check_id)

    def _run_ended(self, check_id: int, task: asyncio.Task[None]) -> None:
        self._running.pop(check_id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A fault of ours, not the target's: no result, so that the check falls silent, and it is told.
            self._on_event("run_broke", {"check": check_id, "error": f"{type(error).__name__}: {error}"})

    async def _run_check(self, watched: Watched) -> None:
        result = await self._attempted(watched)
        self.counters.runs += 1
        if result is None:
            self.counters.faults += 1
            return
        if self._in_force(watched.id) is None or not self.leading:
            return  # retired, or another monitor took the lead, while the run was under way
        state, transitions = heard(self._states.get(watched.id), result, watched.rules)
        self._states[watched.id] = state
        self.counters.dropped += self._outbox.put(result, state, transitions)

    async def _attempted(self, watched: Watched) -> Result | None:
        """One run: an attempt and, when it was not good, at once a second one whose outcome counts.

        None when a fault of our own kept us from looking: the target is not to blame, the check falls silent,
        and so becomes unknown.
        """
        at = self._clock.now()
        check = watched.compiled.check
        observation = await self._probe.attempt(check)
        outcome, reason = judge(watched.compiled, observation)
        attempts = 1
        if outcome is not Outcome.GOOD and check.retry:
            observation = await self._probe.attempt(check)
            outcome, reason = judge(watched.compiled, observation)
            attempts = 2
        if observation.ours:
            self._on_event("check_not_run", {"check": watched.id, "error": observation.error})
            return None
        return Result(watched.id, at, outcome, observation.timings, reason, attempts)

    async def _stop_runs(self) -> None:
        runs = list(self._running.values())
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    # --- clock and housekeeping

    def _wall_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def _watch_clock(self, before: float) -> float:
        offset = self._wall_offset()
        if abs(offset - before) > CLOCK_TOLERANCE:
            self._on_event("clock_jumped", {"by_s": round(offset - before, 3)})
        return offset

    async def _keep_house(self) -> None:
        """Fold roll-ups each minute; make and drop partitions each hour. Both can be missed and repeated."""
        partitions_due = self._clock.monotonic()
        while True:
            if self.leading:
                try:
                    if self._clock.monotonic() >= partitions_due:
                        await self._store.keep_partitions(self._clock.now(), self._retention)
                        partitions_due = self._clock.monotonic() + PARTITIONS_EVERY
                    await self._store.roll_up(self._clock.now())
                except HoldfastError as error:
                    self._on_event("housekeeping_failed", {"error": str(error)})
                await asyncio.sleep(HOUSEKEEPING_EVERY)
            else:
                await asyncio.sleep(1.0)
