"""What availability needs from outside. Adapters provide it; the fakes obey the same contract tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.histogram import Histogram
from holdfast.availability.model import Interval, Maintenance, Observation, Result, Transition
from holdfast.availability.verdicts import CheckState
from holdfast.estate.checks import Check
from holdfast.estate.model import Retention
from holdfast.kernel.windows import Window


class Probe(Protocol):
    """Runs one attempt of one check.

    Never raises for anything that the target does: a target's failure is an Observation with an `error`
    (one line, no secrets). Always ends within the check's `timeout`. Holds no socket, task or buffer of
    the attempt when it returns. Raises only asyncio.CancelledError.
    """

    async def attempt(self, check: Check) -> Observation: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one flush writes, all of it or nothing."""

    results: Sequence[Result] = ()
    transitions: Sequence[Transition] = ()
    states: Sequence[CheckState] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.results or self.transitions or self.states)


class Resolution(Enum):
    """The lengths that results are rolled up to. Days are UTC days: they serve charts, never figures."""

    MINUTE = timedelta(minutes=1)
    HOUR = timedelta(hours=1)
    DAY = timedelta(days=1)

    @property
    def length(self) -> timedelta:
        return self.value


@dataclass(frozen=True, slots=True)
class RollUp:
    """Results of one check in `[at, at + resolution)`: counts by outcome and the latency's distribution.

    Latencies are those of runs that got an answer (GOOD and DEGRADED), in microseconds.
    """

    check_id: int
    at: datetime
    good: int
    degraded: int
    failed: int
    latency: Histogram


class MonitorStore(Protocol):
    """The controller's side: the only writer of results, transitions and check states."""

    async def record(self, batch: Batch) -> None:
        """Append results and transitions and keep the new check states, in one transaction.

        The same batch twice is absorbed. A transition that is not newer than its check's newest one, and
        not the same, is refused (TimelineError): timelines only grow.
        """
        ...

    async def check_states(self) -> Mapping[int, CheckState]:
        """What is known of every check that the monitors themselves ever ran, by its id."""
        ...

    async def roll_up(self, now: datetime) -> int:
        """Fold closed minutes, hours and days that are not folded yet; returns how many rows were written.

        Repeating it changes nothing. Results that arrive late for a folded minute are folded in again.
        """
        ...

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        """Make the partitions that the near future needs, drop those whose rows are all past retention."""
        ...


class LeasedStore(MonitorStore, Protocol):
    """A MonitorStore that serves one monitor at a time."""

    async def acquire(self) -> int | None:
        """Take the lease, or take it again; returns its epoch, or None while another monitor holds it.

        Two epochs of one monitor that differ by exactly 1 have no other monitor between them.
        """
        ...

    async def close(self) -> None:
        """Give the lease up. Idempotent."""
        ...


class ReadingStore(Protocol):
    """The reader's side. Reads never block a write."""

    async def check_states(self, check_ids: Collection[int] | None = None) -> Mapping[int, CheckState]:
        """What is known of these checks, or of every one that was ever heard, by id."""
        ...

    async def intervals(
        self, component_ids: Collection[int], window: Window, now: datetime
    ) -> Mapping[int, Sequence[Interval]]:
        """Each component's intervals in `window`: ordered, disjoint, clipped to it and to `now`.

        A component's state is the worst of its checks' at each moment. Moments about which nothing was
        ever recorded are left out; a component without any has no entry or an empty one.
        """
        ...

    async def roll_ups(
        self, check_ids: Collection[int], window: Window, resolution: Resolution
    ) -> Sequence[RollUp]:
        """Roll-ups that begin inside `window`, ordered by time."""
        ...

    async def results(self, check_ids: Collection[int], limit: int) -> Sequence[Result]:
        """The newest raw results, newest first, at most `limit` per check."""
        ...

    async def maintenance(
        self, window: Window, component_ids: Collection[int] | None = None
    ) -> Sequence[Maintenance]:
        """Announced time whose counting part overlaps `window`, by start, cancelled ones included.

        With `component_ids` only what covers at least one of these components. Of work that somebody has to
        start, nothing counts before that: until then its window begins now at the earliest.
        """
        ...


class MonthStore(Protocol):
    """Where frozen months are kept: appended, never changed."""

    async def append(self, month: FrozenMonth) -> bool:
        """Append it; False when somebody did before, or when by the store's own clock it has not closed.

        A month has one first row, and each row at most one that corrects it.
        """
        ...

    async def months(
        self, agreement: str | None = None, *, ended_after: datetime | None = None
    ) -> Sequence[FrozenMonth]:
        """Every row, or one agreement's, or those of months that ended after a moment; oldest row first."""
        ...

    async def months_of(self, agreement: str, month: str) -> Sequence[FrozenMonth]:
        """The chain of one month, oldest row first."""
        ...

    async def known_since(self, component_ids: Collection[int]) -> datetime | None:
        """When the first thing was recorded about any of these components; None when nothing ever was."""
        ...
