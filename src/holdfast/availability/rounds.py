"""Runs checks when they are due, and hands on what each run came to: for a monitor, and for an agent."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.availability.judging import CompiledCheck, judge
from holdfast.availability.model import Outcome, Result
from holdfast.availability.ports import Probe
from holdfast.availability.schedule import Due, Schedule
from holdfast.availability.verdicts import Rules
from holdfast.kernel.clock import Clock

LONGEST_PAUSE = 1.0
"""So that a jump of the wall clock is noticed soon."""
CLOCK_TOLERANCE = 2.0
STARTS_TOGETHER = 0.1
"""Runs that fall due within so many seconds start together: waking up costs more than a check does. All
rounds of a process wake at the same moments, the multiples of this on the monotonic clock."""
TIMER_GRAIN = 0.001
"""An event loop's timer may strike so much too early, and would then find nothing due."""


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
    """What was done since it started. `start_delays` are the newest, in seconds after due."""

    runs: int = 0
    skipped: int = 0
    faults: int = 0
    recorded: int = 0
    dropped: int = 0
    start_delays: deque[float] = field(default_factory=lambda: deque(maxlen=20_000))


def next_beat(at: float, step: float) -> float:
    """The first whole multiple of `step` after `at`: whoever waits for one wakes together with the others."""
    beat = (math.floor(at / step) + 1) * step
    return beat if beat > at else beat + step  # rounding may land on `at` itself


class Rounds:
    """Runs until cancelled. `watch` may be called at any time with the checks that are in force.

    `on_result` is told of every run that says something about its target. A run that could not look, by a
    fault of our own, is told as an event and has no result: the probe falls silent, and has no vote.
    """

    def __init__(
        self,
        probe: Probe,
        clock: Clock,
        *,
        on_result: Callable[[Result], None],
        on_event: Callable[[str, Mapping[str, object]], None],
    ) -> None:
        self.counters = Counters()
        self._probe = probe
        self._clock = clock
        self._on_result = on_result
        self._on_event = on_event
        self._watched: dict[int, Watched] = {}
        self._schedule = Schedule()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def watch(self, checks: Iterable[Watched]) -> None:
        """From now on run exactly these; those that are known keep their rhythm."""
        known, self._watched = self._watched, {watched.id: watched for watched in checks}
        now = self._clock.monotonic()
        for gone in known.keys() - self._watched.keys():
            self._schedule.drop(gone)
        for watched in self._watched.values():
            self._schedule.put(watched.id, watched.rules.every.total_seconds(), now)
        self._changed.set()

    async def run(self) -> None:
        """Ends only by cancellation, and then leaves nothing running."""
        offset = self._wall_offset()
        try:
            while True:
                offset = self._watch_clock(offset)
                now = self._clock.monotonic()
                for due in self._schedule.take_due(now):
                    self._start(due, now)
                await self._pause()
        finally:
            runs = list(self._running.values())
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    def _wall_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def _watch_clock(self, before: float) -> float:
        """Tell of a jump of the wall clock. Slow drift is no jump."""
        offset = self._wall_offset()
        if abs(offset - before) > CLOCK_TOLERANCE:
            self._on_event("clock_jumped", {"by_s": round(offset - before, 3)})
        return offset

    async def _pause(self) -> None:
        """Until the next run is due, or the checks have changed."""
        next_due = self._schedule.next_due()
        now = self._clock.monotonic()
        latest = now + LONGEST_PAUSE
        at = latest if next_due is None else min(latest, max(now, next_due))
        self._changed.clear()
        pause = next_beat(at, STARTS_TOGETHER) - now + TIMER_GRAIN
        timer = asyncio.get_running_loop().call_later(pause, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _start(self, due: Due, now: float) -> None:
        watched = self._watched.get(due.check_id)
        if watched is None:
            self._schedule.drop(due.check_id)
        elif due.check_id in self._running:
            self.counters.skipped += 1
        else:
            self.counters.start_delays.append(now - due.at)
            task = asyncio.create_task(self._run_check(watched))
            self._running[due.check_id] = task
            task.add_done_callback(lambda ended: self._run_ended(due.check_id, ended))

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
        elif watched.id in self._watched:
            self._on_result(result)

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
