"""The availability stores in memory, for tests and simulation. Everything ends with the process."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from holdfast.availability.errors import TimelineError
from holdfast.availability.histogram import Histogram
from holdfast.availability.model import Interval, Maintenance, Outcome, Result, Transition
from holdfast.availability.ports import Batch, Resolution, RollUp
from holdfast.availability.sharing import Present
from holdfast.availability.timeline import Quorum, intervals_of, quorum_of, worst_of
from holdfast.availability.verdicts import CheckState
from holdfast.estate.model import Retention
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.windows import Window

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class MemoryAvailability:
    """MonitorStore and ReadingStore over plain dictionaries.

    Maintenance is what was told to `announce`, or what `lay_over` says. `component_of` maps every check that
    there ever was to its component. Where several vantage points run one check, `check_of` maps each of their
    ids to the check, and `quorums` says how many must agree.
    """

    def __init__(
        self,
        component_of: Mapping[int, int],
        clock: Clock,
        *,
        check_of: Mapping[int, str] | None = None,
        quorums: Mapping[str, Sequence[Quorum]] | None = None,
    ) -> None:
        self._component_of = component_of
        self._check_of = check_of or {}
        self._quorums = quorums or {}
        self._clock = clock
        self._results: dict[tuple[int, datetime], Result] = {}
        self._transitions: dict[int, list[Transition]] = defaultdict(list)
        self._states: dict[int, CheckState] = {}
        self._roll_ups: dict[tuple[Resolution, int, datetime], RollUp] = {}
        self._announced: list[Maintenance] = []
        self._maintenance: Callable[[], Iterable[Maintenance]] = lambda: self._announced

    async def record(self, batch: Batch) -> None:
        lines = {check: list(line) for check, line in self._transitions.items()}
        for transition in batch.transitions:
            line = lines.setdefault(transition.check_id, [])
            if line and transition.at <= line[-1].at:
                if any((t.at, t.state) == (transition.at, transition.state) for t in line):
                    continue
                raise TimelineError(
                    f"timeline of check {transition.check_id} only grows: "
                    f"{transition.at} is not after {line[-1].at}"
                )
            line.append(transition)
        self._transitions = defaultdict(list, lines)
        for result in batch.results:
            self._results.setdefault((result.check_id, result.at), result)
        self._states |= {state.check_id: state for state in batch.states}

    async def check_states(self, check_ids: Collection[int] | None = None) -> Mapping[int, CheckState]:
        return {key: state for key, state in self._states.items() if check_ids is None or key in check_ids}

    def transitions_of(self, check_id: int) -> Sequence[Transition]:
        """A check's whole timeline."""
        return self._transitions.get(check_id, ())

    async def roll_up(self, now: datetime) -> int:
        written = 0
        for resolution in Resolution:
            closed = _binned(now, resolution.length)
            bins: dict[tuple[int, datetime], list[Result]] = defaultdict(list)
            for result in self._results.values():
                if result.at < closed:
                    bins[result.check_id, _binned(result.at, resolution.length)].append(result)
            for (check_id, at), results in bins.items():
                rolled = _rolled(check_id, at, results)
                written += self._roll_ups.get((resolution, check_id, at)) != rolled
                self._roll_ups[resolution, check_id, at] = rolled
        return written

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        # Whole UTC days, as partitions are: a day that is cut would be folded again from what is left of it.
        oldest = _binned(now - retention.results, Resolution.DAY.length)
        self._results = {k: r for k, r in self._results.items() if r.at >= oldest}
        kept = {
            Resolution.MINUTE: retention.minutes,
            Resolution.HOUR: retention.hours,
            Resolution.DAY: retention.days,
        }
        self._roll_ups = {k: r for k, r in self._roll_ups.items() if r.at >= now - kept[k[0]]}

    async def intervals(
        self, component_ids: Collection[int], window: Window, now: datetime
    ) -> Mapping[int, Sequence[Interval]]:
        lines: dict[int, dict[str, dict[int, list[Interval]]]] = defaultdict(lambda: defaultdict(dict))
        for check_id, transitions in self._transitions.items():
            component = self._component_of[check_id]
            if component in component_ids:
                inside = _in_force(transitions, window)
                line = intervals_of(inside, self._states.get(check_id), window, now)
                lines[component][self._check_of.get(check_id, str(check_id))][check_id] = line
        return {
            component: worst_of(
                [
                    quorum_of(list(probes.values()), self._quorums.get(check, ()))
                    for check, probes in checks.items()
                ]
            )
            for component, checks in lines.items()
        }

    async def roll_ups(
        self, check_ids: Collection[int], window: Window, resolution: Resolution
    ) -> Sequence[RollUp]:
        found = (
            rolled
            for (res, check_id, at), rolled in self._roll_ups.items()
            if res is resolution and check_id in check_ids and window.contains(at)
        )
        return sorted(found, key=lambda rolled: (rolled.at, rolled.check_id))

    async def results(self, check_ids: Collection[int], limit: int) -> Sequence[Result]:
        newest: list[Result] = []
        for check_id in check_ids:
            mine = (r for r in self._results.values() if r.check_id == check_id)
            newest += sorted(mine, key=lambda r: r.at, reverse=True)[:limit]
        return sorted(newest, key=lambda r: r.at, reverse=True)

    async def maintenance(
        self, window: Window, component_ids: Collection[int] | None = None
    ) -> Sequence[Maintenance]:
        found = (
            m
            for m in self._maintenance()
            if m.window.overlaps(window)
            and (component_ids is None or not m.component_ids.isdisjoint(component_ids))
        )
        return sorted(found, key=lambda m: (m.window.start, m.id))

    def announce(self, window: Window, component_ids: Collection[int], title: str = "") -> Maintenance:
        """As if maintenance had been announced now, for tests of what reads it."""
        key = len(self._announced) + 1
        announced = Maintenance(key, window, self._clock.now(), frozenset(component_ids), title)
        self._announced.append(announced)
        return announced

    def withdraw(self, announced: Maintenance) -> None:
        """As if it had been cancelled now."""
        cancelled = replace(announced, cancelled_at=self._clock.now())
        self._announced[self._announced.index(announced)] = cancelled

    def lay_over(self, maintenance: Callable[[], Iterable[Maintenance]]) -> None:
        """From now on this is the maintenance that was announced."""
        self._maintenance = maintenance


def _in_force(transitions: Sequence[Transition], window: Window) -> list[Transition]:
    before = [t for t in transitions if t.at <= window.start][-1:]
    return before + [t for t in transitions if window.start < t.at < window.end]


def _binned(at: datetime, length: timedelta) -> datetime:
    return _EPOCH + (at - _EPOCH) // length * length


def _rolled(check_id: int, at: datetime, results: Sequence[Result]) -> RollUp:
    outcomes = [r.outcome for r in results]
    answered = (r.timings.total_us for r in results if r.outcome <= Outcome.DEGRADED)
    return RollUp(
        check_id,
        at,
        outcomes.count(Outcome.GOOD),
        outcomes.count(Outcome.DEGRADED),
        sum(outcome > Outcome.DEGRADED for outcome in outcomes),
        Histogram.of(answered),
    )


class StoreAway(HoldfastError):  # noqa: N818  named as the real one is
    """The lease, and with it the way to the store, is gone."""

    remedy = Remedy.TRANSIENT


class MemoryMembership:
    """Membership over a list that several of them share."""

    def __init__(self, members: list[str], me: str) -> None:
        self._members = members
        self._me = me
        self.away = False

    async def present(self) -> Present:
        if self.away:
            raise StoreAway("nobody can say who is there")
        if self._me not in self._members:
            self._members.append(self._me)
        return Present(tuple(self._members), self._me)

    async def close(self) -> None:
        if self._me in self._members:
            self._members.remove(self._me)


class MemoryLease:
    """What several MemoryMonitorStores contend for."""

    def __init__(self) -> None:
        self.epoch = 0
        self.holder: MemoryMonitorStore | None = None

    def revoke(self) -> None:
        """Take it from its holder, as a lost connection does."""
        self.holder = None


class MemoryMonitorStore:
    """LeasedStore over a shared MemoryAvailability."""

    def __init__(self, shared: MemoryAvailability, lease: MemoryLease) -> None:
        self._shared = shared
        self._lease = lease

    async def acquire(self) -> int | None:
        if self._lease.holder not in (None, self):
            return None
        self._lease.holder = self
        self._lease.epoch += 1
        return self._lease.epoch

    async def close(self) -> None:
        if self._lease.holder is self:
            self._lease.holder = None

    async def record(self, batch: Batch) -> None:
        if not batch.is_empty:
            await self._leased().record(batch)

    async def check_states(self) -> Mapping[int, CheckState]:
        return await self._leased().check_states()

    async def roll_up(self, now: datetime) -> int:
        return await self._shared.roll_up(now)

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        await self._shared.keep_partitions(now, retention)

    def _leased(self) -> MemoryAvailability:
        if self._lease.holder is not self:
            raise StoreAway("the lease is gone", hint="it is taken again by itself")
        return self._shared
