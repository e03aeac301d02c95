"""Reads what a report is made of. Everything in one review is as of one moment."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.availability.days import Span, days_of_line, events_of
from holdfast.availability.dependencies import Explanations
from holdfast.availability.errors import TooMuch
from holdfast.availability.freezing import FrozenMonth, in_force
from holdfast.availability.histogram import Histogram
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import State
from holdfast.availability.ports import MonthStore, ReadingStore, Resolution, RollUp
from holdfast.availability.review import (
    DRAWN_DAYS,
    LONGEST,
    MonthLine,
    Part,
    Reading,
    Review,
    Subject,
    Trouble,
    agreed_months,
    excluded_within,
    figure_over,
    is_whole_month,
    planned_within,
    site_months,
    stated,
    statement_of,
)
from holdfast.availability.sla import FORMULA, Figure, Statement, Terms
from holdfast.availability.views import ComponentStatus, Day, Sample
from holdfast.estate.model import Agreement
from holdfast.estate.ports import ComponentIdentity
from holdfast.estate.scope import components_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import Window

MOST_COMPONENT_DAYS = 400_000
"""Components times days: five years of two hundred components, a year of a thousand."""
_HOURLY_UP_TO = timedelta(days=3)


class Reviewer:
    """Reviews the estate's past. Raises what its stores raise, and TooMuch for a window beyond all bounds."""

    def __init__(
        self,
        store: ReadingStore,
        months: MonthStore,
        clock: Clock,
        inventory: Callable[[], Inventory],
        *,
        most_component_days: int = MOST_COMPONENT_DAYS,
    ) -> None:
        self._store = store
        self._months = months
        self._clock = clock
        self._inventory = inventory
        self._most_component_days = most_component_days

    @property
    def inventory(self) -> Inventory:
        return self._inventory()

    async def component(self, cluster_key: str, key: str, window: Window) -> Review | None:
        """One component; None when the estate has no such component."""
        inventory = self.inventory
        cluster = inventory.estate.clusters.get(cluster_key)
        if cluster is None or key not in cluster.components:
            return None
        name = f"{cluster.name} {cluster.components[key].name}"
        made = _Making(inventory, Subject.COMPONENT, f"{cluster_key}/{key}", name, [(cluster_key, key)])
        return await self._of_site(made, window)

    async def cluster(self, cluster_key: str, window: Window) -> Review | None:
        """One cluster with all of its components; None when the estate has no such cluster."""
        inventory = self.inventory
        cluster = inventory.estate.clusters.get(cluster_key)
        if cluster is None:
            return None
        chosen = [(cluster_key, key) for key in cluster.components]
        return await self._of_site(
            _Making(inventory, Subject.CLUSTER, cluster_key, cluster.name, chosen), window
        )

    async def agreement(self, key: str, window: Window) -> Review | None:
        """One agreement, in its own time zone; None when there is no such agreement."""
        inventory = self.inventory
        agreement = inventory.estate.agreements.get(key)
        if agreement is None:
            return None
        chosen = components_of(agreement, inventory.estate)
        made = _Making(inventory, Subject.AGREEMENT, key, agreement.name, chosen, agreement)
        rows = [row for row in await self._months.months(key) if row.window.overlaps(window)]
        return await self._read(made, window, ZoneInfo(agreement.time_zone), rows)

    async def _of_site(self, made: "_Making", window: Window) -> Review:
        return await self._read(made, window, ZoneInfo(made.inventory.estate.site.time_zone), [])

    async def _read(
        self, made: "_Making", window: Window, zone: ZoneInfo, rows: Sequence[FrozenMonth]
    ) -> Review:
        now = self._clock.now()
        elapsed = Window(window.start, max(window.start, min(window.end, now)))
        ids = made.ids | {name: each for row in rows for name, each in row.promise.components.items()}
        _check_bounds(window, len(ids), self._most_component_days)
        wanted = {*made.inventory.with_dependencies(made.chosen), *ids.values()}
        lines = await self._store.intervals(sorted(wanted), elapsed, now)
        planned = await self._store.maintenance(window, list(ids.values()))
        checks = {
            check: made.inventory.component_id(*each)
            for each in made.chosen
            for check in made.inventory.check_ids(*each)
        }
        resolution = Resolution.HOUR if elapsed.duration <= _HOURLY_UP_TO else Resolution.DAY
        roll_ups = await self._store.roll_ups(list(checks), elapsed, resolution)
        latency = _Latency(checks, roll_ups, resolution)
        reading = Reading(lines, planned, rows)
        # Years of many components take seconds to account for: in a thread, so that nobody waits for it.
        return await asyncio.to_thread(made.review, reading, latency, window, elapsed, zone, now)


class _Latency:
    """Percentiles per component and hour or UTC day."""

    def __init__(self, checks: dict[int, int], roll_ups: Sequence[RollUp], resolution: Resolution) -> None:
        self.step = resolution.length
        self._by_component: dict[int, dict[datetime, list[RollUp]]] = defaultdict(lambda: defaultdict(list))
        for each in roll_ups:
            self._by_component[checks[each.check_id]][each.at].append(each)

    def of(self, component_id: int) -> list[Sample]:
        bins = self._by_component.get(component_id, {})
        return [_sample(at, group) for at, group in sorted(bins.items())]


class _Making:
    """A subject on its way to its review."""

    def __init__(
        self,
        inventory: Inventory,
        subject: Subject,
        key: str,
        name: str,
        chosen: Sequence[ComponentIdentity],
        agreement: Agreement | None = None,
    ) -> None:
        self.inventory = inventory
        self.chosen = chosen
        self.ids = {"/".join(each): inventory.component_id(*each) for each in chosen}
        self._subject = subject
        self._key = key
        self._name = name
        self._agreement = agreement

    def review(
        self,
        reading: Reading,
        latency: _Latency,
        window: Window,
        elapsed: Window,
        zone: ZoneInfo,
        now: datetime,
    ) -> Review:
        account = self._account(reading, window, elapsed, zone, now)
        names = self._names(reading.frozen)
        explanations = self.inventory.explanations(reading.lines)
        span = Span.of(elapsed, zone) if elapsed.duration <= timedelta(days=DRAWN_DAYS, hours=1) else None
        parts = [
            Part(
                each,
                *names[each],
                figure,
                latency.of(each),
                _days(each, names[each], reading, span, explanations) if span else (),
            )
            for each, figure in account.by_component.items()
        ]
        customer = self._agreement.customer if self._agreement else ""
        return Review(
            self._subject,
            self._key,
            self._name,
            now,
            zone.key,
            window,
            elapsed,
            account.figure,
            parts,
            account.months,
            _troubles(parts, reading, account.notice, elapsed, explanations),
            planned_within(parts, reading.maintenance, window, account.notice),
            latency.step,
            any(each.sample for part in parts for each in reading.lines.get(part.id, ())),
            customer,
            self.inventory.estate.customers[customer].name if customer else "",
            account.statement,
            account.has_credit,
            sorted(reading.frozen, key=lambda row: (row.window.start, row.id or 0), reverse=True),
        )

    def _account(
        self, reading: Reading, window: Window, elapsed: Window, zone: ZoneInfo, now: datetime
    ) -> "_Account":
        ids = list(self.ids.values())
        if self._agreement is None:
            figures = {each: figure_over([each], reading, elapsed) for each in ids}
            return _Account(
                figure_over(ids, reading, elapsed), figures, site_months(ids, reading, elapsed, zone)
            )
        terms, calendar = Terms.of(self._agreement), self._agreement.window == "calendar_month"
        row = next((row for row in in_force(reading.frozen).values() if row.window == window), None)
        if row is not None and row.formula == FORMULA:
            made = statement_of(row)
        else:
            made = stated(ids, reading, terms, window, now)
        return _Account(
            made.figure,
            made.by_component,
            agreed_months(ids, reading, terms, elapsed, zone, credits_by_month=calendar),
            made.terms.notice,
            made,
            not calendar or (is_whole_month(window, zone) and window.end <= now),
        )

    def _names(self, rows: Sequence[FrozenMonth]) -> dict[int, tuple[str, str, str]]:
        """Cluster key, key and full name by id. One that only a frozen month knows goes by its keys."""
        names: dict[int, tuple[str, str, str]] = {}
        for row in rows:
            for name, each in row.promise.components.items():
                cluster_key, _, key = name.partition("/")
                names[each] = cluster_key, key, name
        for pair in self.chosen:
            cluster = self.inventory.estate.clusters[pair[0]]
            name = f"{cluster.name} {cluster.components[pair[1]].name}"
            names[self.inventory.component_id(*pair)] = (*pair, name)
        return names


@dataclass(frozen=True, slots=True)
class _Account:
    """The figures of a review."""

    figure: Figure
    by_component: Mapping[int, Figure]
    months: Sequence[MonthLine]
    notice: timedelta = timedelta()
    statement: Statement | None = None
    has_credit: bool = False


def _troubles(
    parts: Sequence[Part], reading: Reading, notice: timedelta, elapsed: Window, explanations: Explanations
) -> list[Trouble]:
    found = [
        Trouble(part, event, excluded_within(event.window, part.id, reading.maintenance, notice))
        for part in parts
        for event in events_of(part.identity, reading.lines.get(part.id, ()), explanations)
        if event.window.overlaps(elapsed)
    ]
    return sorted(found, key=lambda each: (each.event.window.start, each.part.id))


def _days(
    component_id: int, named: tuple[str, str, str], reading: Reading, span: Span, explanations: Explanations
) -> list[Day]:
    status = ComponentStatus(component_id, *named, "", State.UNKNOWN, None)
    mine = [each for each in reading.maintenance if component_id in each.component_ids]
    return days_of_line(reading.lines.get(component_id, ()), span, mine, status, explanations)


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


def _check_bounds(window: Window, components: int, most: int) -> None:
    if window.duration > LONGEST:
        raise TooMuch("a report may cover five years at most", hint="choose a shorter range")
    if components * window.duration.days > most:
        raise TooMuch(
            f"{window.duration.days} days of {components} components are too much for one report",
            hint="choose a shorter range, or report each cluster on its own",
        )
