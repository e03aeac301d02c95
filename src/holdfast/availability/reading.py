"""Reading: from stored intervals and roll-ups to what pages and reports show.

Everything is answered as of one moment, taken once per call, so that the parts of a page agree.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.availability.days import Span, covering, days_of_line, events_of, figure_of, labelled
from holdfast.availability.dependencies import Explanations
from holdfast.availability.freezing import FrozenMonth, month_name
from holdfast.availability.histogram import Histogram
from holdfast.availability.inventory import Inventory, Scope
from holdfast.availability.metrics import MetricStore, merged_samples
from holdfast.availability.model import Interval, Maintenance, State, worst
from holdfast.availability.ports import MonthStore, ReadingStore, Resolution, RollUp
from holdfast.availability.sla import Terms, statement
from holdfast.availability.timeline import agreed
from holdfast.availability.verdicts import CheckState
from holdfast.availability.views import (
    AgreementReport,
    Cause,
    ClusterStatus,
    ComponentHistory,
    ComponentReport,
    ComponentStatus,
    LastRun,
    MetricHistory,
    MonthHistory,
    Overview,
    Sample,
)
from holdfast.estate.checks import Check
from holdfast.estate.model import Agreement, Cluster, Estate
from holdfast.estate.ports import (
    CheckIdentity,
    ComponentIdentity,
    check_and_vantage,
    probe_key,
)
from holdfast.estate.scope import components_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import Window, month_window, start_of_day

MOST_SAMPLES = 200
NEWEST_RUNS = 5
UPCOMING = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What one call works with."""

    now: datetime
    zone: ZoneInfo
    states: Mapping[int, CheckState]
    maintenance: Sequence[Maintenance]
    explained: "_Explained"

    def under_way(self, component_id: int) -> Maintenance | None:
        for each in self.maintenance:
            if (
                component_id in each.component_ids
                and not each.cancelled_at
                and each.window.contains(self.now)
            ):
                return each
        return None


@dataclass(frozen=True, slots=True)
class _Explained:
    """Explanations out of intervals that were read from `start` on."""

    explanations: Explanations
    start: datetime

    def state(
        self, of: ComponentIdentity, state: State, since: datetime | None, now: datetime
    ) -> tuple[Cause, ...]:
        if since is None or since >= now:
            return ()
        return self.explanations.because_of(of, state, Window(min(max(since, self.start), now), now))


class Reader:
    """Answers questions about the estate's availability. Raises what its store raises.

    `inventory` is asked anew with each call, so that a reload of the estate shows at once. Without `months`
    no month shows as frozen, and without `metrics` none of those that the estate names.
    """

    def __init__(
        self,
        store: ReadingStore,
        clock: Clock,
        inventory: Callable[[], Inventory],
        months: MonthStore | None = None,
        metrics: MetricStore | None = None,
    ) -> None:
        self._store = store
        self._months = months
        self._metrics = metrics
        self._clock = clock
        self._inventory = inventory

    @property
    def inventory(self) -> Inventory:
        return self._inventory()

    async def overview(self, *, days: int) -> Overview:
        """Every cluster with its components, each with its last `days` local days, today included."""
        inventory = self.inventory
        zone = ZoneInfo(inventory.estate.site.time_zone)
        now = self._clock.now()
        today = now.astimezone(zone).date()
        window = Window(start_of_day(today - timedelta(days=days - 1), zone), now)
        lines = await self._store.intervals(list(inventory.registered.components.values()), window, now)
        explained = _Explained(inventory.explanations(lines), window.start)
        moment = await self._moment(Window(window.start, now + UPCOMING), zone, now, explained)
        # Thousands of components take a second to account for: in a thread, so that nobody waits for it.
        clusters = await asyncio.to_thread(self._clusters, inventory, Span.of(window, zone), moment, lines)
        current = [each for each in moment.maintenance if each.window.end > now and not each.cancelled_at]
        histories = [history for cluster in clusters for history in cluster.components]
        return Overview(
            now,
            worst(cluster.state for cluster in clusters),
            clusters,
            current,
            any(day.sample for history in histories for day in history.days),
        )

    async def component(self, cluster_key: str, key: str, window: Window) -> ComponentReport | None:
        """One component over `window`; None when the estate has no such component."""
        inventory = self.inventory
        cluster = inventory.estate.clusters.get(cluster_key)
        if cluster is None or key not in cluster.components:
            return None
        zone = ZoneInfo(inventory.estate.site.time_zone)
        now = self._clock.now()
        window = _until(window, now)
        scope = inventory.scope([(cluster_key, key)])
        component_id = inventory.component_id(cluster_key, key)
        lines = await self._store.intervals(inventory.with_dependencies([(cluster_key, key)]), window, now)
        explained = _Explained(inventory.explanations(lines), window.start)
        moment = await self._moment(Window(window.start, now + UPCOMING), zone, now, explained, scope)
        span = Span.of(window, zone)
        history = self._history(inventory, cluster_key, key, span, moment, lines.get(component_id, ()))
        checks = inventory.check_ids(cluster_key, key)
        resolution = resolution_for(window)
        roll_ups = await self._store.roll_ups(list(checks), window, resolution)
        runs = await self._store.results(list(checks), NEWEST_RUNS)
        return ComponentReport(
            history,
            cluster.name,
            inventory.estate.regions[cluster.region].name,
            events_of((cluster_key, key), lines.get(component_id, ()), explained.explanations),
            resolution,
            samples_of(roll_ups, window, resolution),
            _sample(window.start, roll_ups) if roll_ups else None,
            [
                LastRun(
                    check_and_vantage(checks[run.check_id])[0],
                    run.at,
                    run.outcome,
                    run.timings.total_us,
                    _phases(run.timings),
                    run.reason,
                    _place(inventory.estate, checks[run.check_id]),
                )
                for run in runs
            ],
            moment.maintenance,
            await self._histories(inventory, cluster_key, key, window, resolution),
        )

    async def _histories(
        self, inventory: Inventory, cluster_key: str, key: str, window: Window, resolution: Resolution
    ) -> list[MetricHistory]:
        """The component's metrics in the file's order, those without any value in the window too."""
        declared = inventory.estate.clusters[cluster_key].components[key].metrics
        if self._metrics is None or not declared:
            return []
        component_id = inventory.component_id(cluster_key, key)
        found = await self._metrics.samples(component_id, list(declared), window, resolution)
        step = _step(window, resolution)
        return [
            MetricHistory(
                each, metric.name, metric.unit, merged_samples(found.get(each, ()), window, step), step
            )
            for each, metric in declared.items()
        ]

    async def month(self, year: int, month: int, cluster_key: str | None = None) -> MonthHistory:
        """A calendar month in the site's time zone: figures per component id, and what happened."""
        inventory = self.inventory
        zone = ZoneInfo(inventory.estate.site.time_zone)
        now = self._clock.now()
        window = month_window(year, month, zone)
        elapsed = _until(window, now)
        chosen = [
            (cluster, key)
            for cluster, key in inventory.registered.components
            if cluster_key is None or cluster == cluster_key
        ]
        scope = inventory.scope(chosen)
        lines = await self._store.intervals(inventory.with_dependencies(chosen), elapsed, now)
        explained = _Explained(inventory.explanations(lines), elapsed.start)
        moment = await self._moment(window, zone, now, explained, scope)
        statuses = [self._status(inventory, *each, moment) for each in chosen]
        figures = {
            status.id: figure_of(lines.get(status.id, ()), elapsed, moment.maintenance, status.id)
            for status in statuses
        }
        return MonthHistory(
            year,
            month,
            window,
            statuses,
            figures,
            labelled(statuses, lines, explained.explanations),
            covering(moment.maintenance, scope.components),
        )

    async def agreement(self, key: str, moment: datetime) -> AgreementReport | None:
        """The agreement's window that contains `moment` (aware), as of now; None when there is none."""
        inventory = self.inventory
        agreement = inventory.estate.agreements.get(key)
        if agreement is None:
            return None
        now = self._clock.now()
        zone = ZoneInfo(agreement.time_zone)
        window = agreement_window(agreement, moment)
        chosen = components_of(agreement, inventory.estate)
        scope = inventory.scope(chosen)
        lines = await self._store.intervals(inventory.with_dependencies(chosen), window, now)
        explained = _Explained(inventory.explanations(lines), window.start)
        found = await self._moment(window, zone, now, explained, scope)
        statuses = [self._status(inventory, *each, found) for each in chosen]
        timelines = {each: lines.get(each, ()) for each in scope.components}
        return AgreementReport(
            key,
            agreement,
            inventory.estate.customers[agreement.customer].name,
            statuses,
            statement(timelines, found.maintenance, Terms.of(agreement), window, now),
            labelled(statuses, lines, explained.explanations),
            covering(found.maintenance, scope.components),
            any(interval.sample for line in timelines.values() for interval in line),
            await self._frozen(key, agreement, window),
        )

    async def _frozen(self, key: str, agreement: Agreement, window: Window) -> Sequence[FrozenMonth]:
        if self._months is None or agreement.window != "calendar_month":
            return ()
        rows = await self._months.months_of(key, month_name(window, agreement.time_zone))
        return list(reversed(rows))

    async def _moment(
        self,
        window: Window,
        zone: ZoneInfo,
        now: datetime,
        explained: _Explained,
        scope: Scope | None = None,
    ) -> _Moment:
        """What is known of the components in `scope`, by default of all."""
        if scope is None:
            states, planned = await self._store.check_states(), await self._store.maintenance(window)
        else:
            states = await self._store.check_states(scope.checks)
            planned = await self._store.maintenance(window, scope.components)
        return _Moment(now, zone, states, planned, explained)

    def _clusters(
        self,
        inventory: Inventory,
        span: Span,
        moment: _Moment,
        lines: Mapping[int, Sequence[Interval]],
    ) -> list[ClusterStatus]:
        return [
            self._cluster(inventory, key, cluster, span, moment, lines)
            for key, cluster in inventory.estate.clusters.items()
        ]

    def _cluster(
        self,
        inventory: Inventory,
        key: str,
        cluster: Cluster,
        span: Span,
        moment: _Moment,
        lines: Mapping[int, Sequence[Interval]],
    ) -> ClusterStatus:
        histories = [
            self._history(
                inventory, key, each, span, moment, lines.get(inventory.component_id(key, each), ())
            )
            for each in cluster.components
        ]
        region = inventory.estate.regions[cluster.region].name
        return ClusterStatus(key, cluster.name, region, worst(h.status.state for h in histories), histories)

    def _history(
        self,
        inventory: Inventory,
        cluster_key: str,
        key: str,
        span: Span,
        moment: _Moment,
        line: Sequence[Interval],
    ) -> ComponentHistory:
        status = self._status(inventory, cluster_key, key, moment)
        mine = [each for each in moment.maintenance if status.id in each.component_ids]
        days = days_of_line(line, span, mine, status, moment.explained.explanations)
        return ComponentHistory(status, span.window, days, figure_of(line, span.window, mine, status.id))

    def _status(self, inventory: Inventory, cluster_key: str, key: str, moment: _Moment) -> ComponentStatus:
        component = inventory.estate.clusters[cluster_key].components[key]
        component_id = inventory.component_id(cluster_key, key)
        checks = inventory.check_ids(cluster_key, key)
        verdicts = [
            verdict
            for check_key, check in component.checks.items()
            if (verdict := _verdict(inventory, (cluster_key, key, check_key), check, moment)) is not None
        ]
        state = worst(verdict.state for verdict in verdicts)
        deciding = [verdict for verdict in verdicts if verdict.state is state]
        # In this state since the first of the checks that put it there.
        since = min((verdict.window.start for verdict in deciding), default=None)
        reason = next((verdict.reason for verdict in deciding if verdict.reason), "")
        return ComponentStatus(
            component_id,
            cluster_key,
            key,
            component.name,
            component.description,
            state,
            since,
            reason,
            moment.under_way(component_id),
            tuple(checks),
            moment.explained.state((cluster_key, key), state, since, moment.now),
        )


def _verdict(inventory: Inventory, identity: CheckIdentity, check: Check, moment: _Moment) -> Interval | None:
    """What the vantage points of one check agree on now, since when; None while none was ever heard."""
    cluster_key, key, check_key = identity
    present: list[Interval] = []
    for vantage in check.seen_from:
        probe = inventory.registered.checks[cluster_key, key, probe_key(check_key, vantage)]
        known = moment.states.get(probe)
        if known is None:
            continue
        state = known.state_at(moment.now)
        # Of a silent one: since a result was due.
        since, reason = (known.since, known.reason) if state is known.state else (known.known_until, "")
        present.append(Interval(Window(min(since, moment.now), moment.now), state, reason))
    return agreed(present, check.needed) if present else None


# --- windows and resolutions


def agreement_window(agreement: Agreement, moment: datetime) -> Window:
    """The calendar month in the agreement's zone that contains `moment`, or the rolling window up to it."""
    if agreement.window == "calendar_month":
        local = moment.astimezone(ZoneInfo(agreement.time_zone))
        return month_window(local.year, local.month, ZoneInfo(agreement.time_zone))
    moment = moment.astimezone(UTC)
    return Window(moment - agreement.window, moment)


def resolution_for(window: Window) -> Resolution:
    """The finest resolution that gives a readable chart without reading too much."""
    if window.duration <= timedelta(days=1):
        return Resolution.MINUTE
    return Resolution.HOUR if window.duration <= timedelta(days=32) else Resolution.DAY


def samples_of(roll_ups: Sequence[RollUp], window: Window, resolution: Resolution) -> list[Sample]:
    """At most MOST_SAMPLES points: neighbouring roll-ups merged, stretches without any left out."""
    step = _step(window, resolution)
    bins: dict[int, list[RollUp]] = defaultdict(list)
    for each in roll_ups:
        bins[(each.at - window.start) // step].append(each)
    return [_sample(window.start + index * step, bins[index]) for index in sorted(bins)]


def _step(window: Window, resolution: Resolution) -> timedelta:
    """The length of one of at most MOST_SAMPLES points: a multiple of the resolution."""
    count = max(1, -(-window.duration // resolution.length))
    return resolution.length * max(1, -(-count // MOST_SAMPLES))


def _sample(at: datetime, roll_ups: Sequence[RollUp]) -> Sample:
    latency = Histogram.merged(each.latency for each in roll_ups)
    return Sample(
        at,
        latency.quantile(0.50),
        latency.quantile(0.95),
        latency.quantile(0.99),
        sum(each.good for each in roll_ups),
        sum(each.degraded for each in roll_ups),
        sum(each.failed for each in roll_ups),
    )


def _until(window: Window, now: datetime) -> Window:
    return Window(window.start, max(window.start, min(window.end, now)))


def _place(estate: Estate, probe: str) -> str:
    """The name of the vantage point that runs a probe; empty for the controllers' own."""
    vantage = estate.vantage_points.get(check_and_vantage(probe)[1])
    return "" if vantage is None else vantage.name


def _phases(timings: object) -> dict[str, int]:
    phases = ("resolve", "connect", "tls", "first_byte")
    return {phase: spent for phase in phases if (spent := getattr(timings, f"{phase}_us")) is not None}
