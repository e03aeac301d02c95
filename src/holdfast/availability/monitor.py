"""The monitor: runs every check on time, judges what it saw, and records it.

    rounds (schedule, probe, judge) -> heard (verdicts.py) -> outbox -> store

One monitor leads at a time, by the store's lease; of several controllers each has monitors of its own
(sharing.py). While the database is away the leader keeps probing and keeps what it found; when it gets the
lease back and nobody led in between, it writes everything with its own times. If somebody else led meanwhile,
their record stands and ours is dropped: two histories are never mixed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.availability.errors import TimelineError
from holdfast.availability.model import Result, Transition
from holdfast.availability.ports import Batch, LeasedStore, Probe
from holdfast.availability.rounds import Counters, Rounds, Watched, next_beat
from holdfast.availability.verdicts import CheckState, heard, retired
from holdfast.estate.model import Retention
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

MOST_RESULTS_KEPT = 200_000
"""What the outbox holds while the database is away; beyond it the oldest raw results go, and are counted.
Transitions are never dropped."""
MOST_RESULTS_AT_ONCE = 5_000
CALM_FLUSHES = 2
"""Results that change nothing wait for every second flush: a transaction costs as much as ten checks."""
HOUSEKEEPING_EVERY = 60.0
PARTITIONS_EVERY = 3600.0
LAST_FLUSH = 3.0


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
        self._rounds = Rounds(probe, clock, on_result=self._take_in, on_event=on_event)
        self._store = store
        self._clock = clock
        self._on_event = on_event
        self._retention = retention or Retention()
        self._flush_every = flush_every
        self._retry_every = retry_every
        self._keeps_house = keeps_house
        self._watched: dict[int, Watched] | None = None
        self._states: dict[int, CheckState] = {}
        self._outbox = Outbox()
        self._epoch: int | None = None

    @property
    def counters(self) -> Counters:
        return self._rounds.counters

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
                group.create_task(self._rounds.run())
                group.create_task(self._record())
                if self._keeps_house:
                    group.create_task(self._keep_house())
        finally:
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
        self._rounds.watch(())
        self._outbox.clear()
        self._on_event(event, {"error": str(error)} if error else {})

    def _put_in_force(self) -> None:
        if self._watched is None:
            return
        self._rounds.watch(self._watched.values())
        for check_id in self._states.keys() - self._watched.keys():
            state, transitions = retired(self._states[check_id], self._clock.now())
            if transitions:
                self._states[check_id] = state
                self._outbox.put(None, state, transitions)

    def _put_back(self, batch: Batch) -> None:
        """What could not be stored goes back in front of what has come since."""
        self._outbox.results.extendleft(reversed(batch.results))
        self._outbox.transitions[:0] = batch.transitions
        self._outbox.states = {state.check_id: state for state in batch.states} | self._outbox.states

    # --- judging over time

    def _take_in(self, result: Result) -> None:
        """What a run came to changes what is known of its check."""
        if not self.leading or self._watched is None:
            return  # another monitor took the lead while the run was under way
        state, transitions = heard(
            self._states.get(result.check_id), result, self._watched[result.check_id].rules
        )
        self._states[result.check_id] = state
        self.counters.dropped += self._outbox.put(result, state, transitions)

    # --- housekeeping

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
