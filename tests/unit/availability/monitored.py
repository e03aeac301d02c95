"""A monitor to play with: scripted targets, a clock that is moved by hand, a store that can be taken away."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holdfast.adapters.memory.availability import (
    MemoryAvailability,
    MemoryLease,
    MemoryMonitorStore,
    StoreAway,
)
from holdfast.availability.judging import compile_check
from holdfast.availability.model import Observation, Result, State, Timings
from holdfast.availability.monitor import Monitor
from holdfast.availability.ports import Batch
from holdfast.availability.rounds import Watched
from holdfast.estate.checks import Check, HttpCheck
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
EVERY = 10
WELL = Observation(Timings(1500), facts={"status": 200})
BROKEN = Observation(Timings(900), error="connection refused")
PATIENCE_S = 60.0
"""How long a test waits for what must happen. A slow machine makes it slower, not wrong."""

Behaviour = Callable[[], Awaitable[Observation]]


def watched(check_id: int, **options: object) -> Watched:
    settings = {"every": timedelta(seconds=EVERY), "timeout": timedelta(seconds=5), **options}
    check = HttpCheck(url=f"http://target/{check_id}", **settings)  # type: ignore[arg-type]
    return Watched.of(check_id, compile_check(check))


@dataclass
class ScriptedProbe:
    """Each target answers by its script, one observation per attempt, and then `WELL`; or as it is told."""

    scripts: dict[int, list[Observation]] = field(default_factory=lambda: defaultdict(list))
    behaviours: dict[int, Behaviour] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    under_way: set[int] = field(default_factory=set)

    async def attempt(self, check: Check) -> Observation:
        assert isinstance(check, HttpCheck)
        target = int(check.url.rpartition("/")[2])
        self.attempts[target] += 1
        self.under_way.add(target)
        try:
            if target in self.behaviours:
                return await self.behaviours[target]()
            script = self.scripts[target]
            return script.pop(0) if script else WELL
        finally:
            self.under_way.discard(target)


async def hangs() -> Observation:
    await asyncio.Event().wait()
    raise AssertionError


class ShakyStore(MemoryMonitorStore):
    """A store that can be away, and one whose answer to a commit can be lost."""

    away = False
    forgets_to_answer = 0
    hangs: asyncio.Event | None = None
    """Records wait for it when it is there."""

    async def acquire(self) -> int | None:
        self._assert_there()
        return await super().acquire()

    async def record(self, batch: Batch) -> None:
        if self.hangs is not None and not batch.is_empty:
            await self.hangs.wait()
        self._assert_there()
        await super().record(batch)
        if self.forgets_to_answer and not batch.is_empty:
            self.forgets_to_answer -= 1
            raise StoreAway("the connection broke while it committed")

    def _assert_there(self) -> None:
        if self.away:
            raise StoreAway("the database is away")


@dataclass
class Scene:
    """Everything that the monitors of one test share."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    probe: ScriptedProbe = field(default_factory=ScriptedProbe)
    lease: MemoryLease = field(default_factory=MemoryLease)
    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    shared: MemoryAvailability = field(init=False)

    def __post_init__(self) -> None:
        self.shared = MemoryAvailability(defaultdict(lambda: 1), self.clock)

    def store(self) -> ShakyStore:
        return ShakyStore(self.shared, self.lease)

    def monitor(self, store: ShakyStore) -> Monitor:
        return Monitor(
            self.probe,
            store,
            self.clock,
            on_event=lambda name, facts: self.events.append((name, facts)),
            flush_every=0.001,
            retry_every=0.001,
        )

    @asynccontextmanager
    async def running(self, monitor: Monitor, *, leading: bool = True) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(monitor.run())
        try:
            if leading:
                await until(lambda: monitor.leading)
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def pass_time(self, monitor: Monitor, seconds: float, *, step: float = 1.0) -> None:
        """Let time go by, second by second, and give everybody the time to act in each."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            await act(monitor)

    async def flushed(self, monitor: Monitor) -> None:
        """Wait until all that is judged is recorded."""
        await until(lambda: not (monitor._outbox.results or monitor._outbox.states))

    def named(self, name: str) -> list[Mapping[str, object]]:
        return [facts for event, facts in self.events if event == name]

    async def results(self, *checks: int) -> list[Result]:
        """Oldest first."""
        return list(await self.shared.results(checks, 10_000))[::-1]

    async def states(self) -> list[tuple[State, float, float]]:
        """The component's timeline up to now: state, from, to, in seconds since NOW."""
        window = Window(NOW - timedelta(days=1), self.clock.now() + timedelta(days=1))
        line = (await self.shared.intervals([1], window, self.clock.now())).get(1, ())
        second = timedelta(seconds=1)
        return [
            (each.state, (each.window.start - NOW) / second, (each.window.end - NOW) / second)
            for each in line
        ]


async def act(monitor: Monitor) -> None:
    """Wake the dispatcher, as its timer would, and let all that is ready run."""
    monitor._rounds._changed.set()
    for _ in range(12):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  there is nothing to be told by
            await asyncio.sleep(0.001)
