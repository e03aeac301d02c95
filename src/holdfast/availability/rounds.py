"""Runs checks when they are due, and hands on what each run came to. What an agent does all day."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping

from holdfast.availability.judging import judge
from holdfast.availability.model import Outcome, Result
from holdfast.availability.monitor import STARTS_TOGETHER, Counters, Watched
from holdfast.availability.ports import Probe
from holdfast.availability.schedule import Due, Schedule
from holdfast.kernel.clock import Clock

LONGEST_PAUSE = 1.0


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
        try:
            while True:
                now = self._clock.monotonic()
                for due in self._schedule.take_due(now):
                    self._start(due, now)
                await self._pause()
        finally:
            runs = list(self._running.values())
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _pause(self) -> None:
        """Until the next run is due, or the checks have changed."""
        next_due = self._schedule.next_due()
        wait = LONGEST_PAUSE if next_due is None else next_due - self._clock.monotonic()
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LONGEST_PAUSE, max(STARTS_TOGETHER, wait))):
                await self._changed.wait()

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
            self._on_event("run_broke", {"check": check_id, "error": f"{type(error).__name__}: {error}"})

    async def _run_check(self, watched: Watched) -> None:
        result = await self._attempted(watched)
        self.counters.runs += 1
        if result is None:
            self.counters.faults += 1
        elif watched.id in self._watched:
            self._on_result(result)

    async def _attempted(self, watched: Watched) -> Result | None:
        """One run: an attempt and, when it was not good, at once a second one whose outcome counts."""
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
