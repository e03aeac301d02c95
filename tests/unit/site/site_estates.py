"""Realistic views for the site's tests: estates of any size, with outages, maintenance, gaps and sample days.

Everything follows from the arguments: no randomness, no clock.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from holdfast.availability.freezing import FrozenMonth, Promise, account
from holdfast.availability.model import Maintenance, Outcome, State, worst
from holdfast.availability.ports import Resolution
from holdfast.availability.sla import Figure, Terms, statement, tally
from holdfast.availability.views import (
    AgreementReport,
    ClusterStatus,
    ComponentHistory,
    ComponentReport,
    ComponentStatus,
    Day,
    Event,
    LastRun,
    MetricHistory,
    MetricSample,
    MonthHistory,
    Overview,
    Sample,
)
from holdfast.estate.model import Agreement
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.windows import Window, days_of, month_window, start_of_day

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 13, 3, 20, tzinfo=UTC)
NAMES = (
    "Website",
    "API",
    "Messaging",
    "Print queue",
    "Scan inbox",
    "Accounting",
    "Reports",
    "Identity",
    "Webhooks",
    "Search",
)
REASONS = {
    State.MAJOR_OUTAGE: "connection refused",
    State.PARTIAL_OUTAGE: "status was 503, expected 200-299",
    State.DEGRADED: "answered in 2.4 s, expected under 1 s",
    State.UNKNOWN: "no result when one was due",
}


def key_of(name: str) -> str:
    return name.lower().replace(" ", "-")


def timeline(seed: int, start: datetime, end: datetime, *, state: State = State.OPERATIONAL) -> list[Event]:
    """Mostly operational from `start` to `end`, ending in `state`; `seed` moves the trouble about."""
    troubles: list[tuple[datetime, timedelta, State]] = []
    cycle = (State.DEGRADED, State.MAJOR_OUTAGE, State.DEGRADED, State.PARTIAL_OUTAGE, State.UNKNOWN)
    moment, turn = start + timedelta(days=2 + seed % 11, hours=seed % 17), seed
    while moment < end - timedelta(days=1):
        length = timedelta(minutes=3 + (turn * 37) % 190, seconds=(turn * 13) % 60)
        troubles.append((moment, length, cycle[turn % len(cycle)]))
        moment += timedelta(days=6 + (turn * 7) % 15, hours=(turn * 5) % 20)
        turn += 1
    if state is not State.OPERATIONAL:
        troubles.append((end - timedelta(minutes=14), timedelta(minutes=14), state))
    line, at = [], start
    for begin, length, trouble in troubles:
        line.append(Event(Window(at, begin), State.OPERATIONAL))
        line.append(Event(Window(begin, begin + length), trouble, REASONS[trouble]))
        at = begin + length
    if at < end:
        line.append(Event(Window(at, end), State.OPERATIONAL))
    return line


def days_from(
    line: Sequence[Event],
    window: Window,
    zone: ZoneInfo = BERLIN,
    sample_until: date | None = None,
    maintained: Window | None = None,
) -> list[Day]:
    result = []
    for day, whole in days_of(window, zone):
        part = whole.clipped_to(window)
        assert part is not None
        inside = [
            Event(clipped, each.state, each.reason, sample=bool(sample_until and day < sample_until))
            for each in line
            if (clipped := each.window.clipped_to(part)) is not None
        ]
        holes = [maintained] if maintained and maintained.overlaps(part) else []
        figure = Figure(part, tally(inside, part, holes))
        result.append(
            Day(
                day,
                figure,
                worst(each.state for each in inside) if inside else State.UNKNOWN,
                [each for each in inside if each.state is not State.OPERATIONAL],
                maintenance=bool(holes),
                sample=bool(sample_until and day < sample_until),
            )
        )
    return result


def history(
    status: ComponentStatus,
    seed: int,
    now: datetime = NOW,
    *,
    days: int = 90,
    born_days_ago: int = 400,
    sample_until: date | None = None,
    maintained: Window | None = None,
) -> ComponentHistory:
    today = now.astimezone(BERLIN).date()
    window = Window(start_of_day(today - timedelta(days=days - 1), BERLIN), now)
    line = timeline(seed, now - timedelta(days=born_days_ago), now, state=status.state)
    holes = [maintained] if maintained else []
    all_days = days_from(line, window, sample_until=sample_until, maintained=maintained)
    return ComponentHistory(status, window, all_days, Figure(window, tally(line, window, holes)))


def overview(
    components: int = 10,
    clusters: Sequence[tuple[str, str, str]] = (
        ("eu", "EU", "Frankfurt"),
        ("eu2", "EU2", "Dublin"),
        ("usa", "USA", "Virginia"),
    ),
    *,
    now: datetime = NOW,
    states: dict[tuple[str, str], State] | None = None,
    maintained: tuple[str, str] | None = None,
    sample: bool = False,
    title: str = "Database upgrade",
    name: str | None = None,
    days: int = 90,
) -> Overview:
    """`components` in all, spread over the clusters. `states` sets some, by (cluster, component) key."""
    states = states or {}
    built, number, planned = [], 0, []
    sample_until = now.astimezone(BERLIN).date() - timedelta(days=5) if sample else None
    for place, (key, cluster_name, region) in enumerate(clusters):
        share = components // len(clusters) + (place < components % len(clusters))
        histories = []
        for turn in range(share):
            number += 1
            label = NAMES[turn % len(NAMES)] + (f" {turn // len(NAMES) + 1}" if turn >= len(NAMES) else "")
            own = key_of(label)
            state = states.get((key, own), State.OPERATIONAL)
            under = None
            if maintained == (key, own):
                under = Maintenance(
                    7,
                    Window(now - timedelta(minutes=40), now + timedelta(hours=1, minutes=20)),
                    now - timedelta(days=5),
                    frozenset({number}),
                    title,
                )
                planned.append(under)
            status = ComponentStatus(
                number,
                key,
                own,
                name or label,
                f"The {label.lower()} of {cluster_name}.",
                state,
                now - timedelta(minutes=14),
                REASONS.get(state, ""),
                under,
                (number,),
            )
            born = 40 if number % 7 == 0 else 400
            histories.append(
                history(
                    status,
                    number,
                    now,
                    days=days,
                    born_days_ago=born,
                    sample_until=sample_until,
                    maintained=under.window if under else None,
                )
            )
        built.append(
            ClusterStatus(key, cluster_name, region, worst(h.status.state for h in histories), histories)
        )
    planned.append(
        Maintenance(
            8,
            Window(now + timedelta(days=3), now + timedelta(days=3, hours=2)),
            now - timedelta(days=1),
            frozenset({1, 2}),
            title,
        )
    )
    return Overview(now, worst(each.state for each in built), built, planned, sample)


def samples(window: Window, length: timedelta, *, gap: Window | None = None) -> list[Sample]:
    result, at, turn = [], window.start, 0
    while at < window.end:
        if gap is None or not gap.contains(at):
            wave = 1 + 0.35 * ((turn % 24) / 24) + 0.2 * ((turn * 7) % 5)
            failed = 4 if turn % 61 == 7 else 0
            result.append(Sample(at, 21_000 * wave, 48_000 * wave, 95_000 * wave, 120 - failed, 0, failed))
        at += length
        turn += 1
    return result


def metric_samples(window: Window, step: timedelta) -> list[MetricSample]:
    """A saw with a hole in the middle."""
    count = window.duration // step
    return [
        MetricSample(window.start + place * step, 60, place % 9, 5 + place % 9, 8 + 2 * (place % 9))
        for place in range(count)
        if not 0.4 < place / count < 0.5
    ]


class FakeReader:
    """Answers from an overview that the test may change; `away` fails every read as a lost database does."""

    def __init__(self, of: Overview) -> None:
        self.now_overview = of
        self.away = False
        self.calls: list[str] = []
        self.agreements: dict[str, Agreement] = {}
        self.frozen: list[FrozenMonth] = []

    def _read(self, what: str) -> None:
        self.calls.append(what)
        if self.away:
            raise AwayError("the database does not answer", hint="wait")

    def _status(self, cluster_key: str, key: str) -> tuple[ClusterStatus, ComponentHistory] | None:
        for cluster in self.now_overview.clusters:
            for each in cluster.components:
                if (cluster.key, each.status.key) == (cluster_key, key):
                    return cluster, each
        return None

    async def overview(self, *, days: int) -> Overview:
        self._read(f"overview {days}")
        return self.now_overview

    async def component(self, cluster_key: str, key: str, window: Window) -> ComponentReport | None:
        self._read(f"component {cluster_key}/{key} {window.start.date()} {window.end.date()}")
        found = self._status(cluster_key, key)
        if found is None:
            return None
        cluster, known = found
        now = self.now_overview.at
        window = Window(window.start, min(window.end, now))
        line = timeline(known.status.id, now - timedelta(days=300), now, state=known.status.state)
        long = window.duration > timedelta(days=32)
        resolution = Resolution.DAY if window.duration > timedelta(days=100) else Resolution.HOUR
        gap = Window(window.start + window.duration * 0.6, window.start + window.duration * 0.65)
        measured = samples(window, resolution.length, gap=None if long else gap)
        step = resolution.length * max(1, -(-(window.duration // resolution.length) // 200))
        days = days_from(
            line, window, maintained=known.status.maintenance.window if known.status.maintenance else None
        )
        events = [
            each for each in line if each.state is not State.OPERATIONAL and each.window.overlaps(window)
        ]
        return ComponentReport(
            ComponentHistory(known.status, window, days, Figure(window, tally(line, window))),
            cluster.name,
            cluster.region,
            events[::-1],
            resolution,
            measured,
            Sample(window.start, 23_400, 61_200, 143_000, 71_000, 20, 31) if measured else None,
            [
                LastRun(
                    "http",
                    now - timedelta(seconds=4),
                    Outcome.GOOD,
                    23_456,
                    {"resolve": 310, "connect": 1_240, "tls": 8_450, "first_byte": 11_900, "total": 23_456},
                    "",
                ),
                LastRun(
                    "tcp",
                    now - timedelta(seconds=9),
                    Outcome.FAILED,
                    5_000_000,
                    {"resolve": 290},
                    "connection refused",
                    "Tokyo",
                ),
            ],
            [each for each in self.now_overview.maintenance if known.status.id in each.component_ids],
            [
                MetricHistory("jobs", "Jobs <printed>", "/s", metric_samples(window, step), step),
                MetricHistory("queue", "Waiting jobs", "count", [], step),
            ],
        )

    async def month(self, year: int, month: int, cluster_key: str | None = None) -> MonthHistory:
        self._read(f"month {year}-{month} {cluster_key}")
        whole = month_window(year, month, BERLIN)
        window = Window(whole.start, max(whole.start, min(whole.end, self.now_overview.at)))
        figures, events, statuses = {}, [], []
        for cluster in self.now_overview.clusters:
            if cluster_key not in {None, cluster.key}:
                continue
            for each in cluster.components:
                line = timeline(each.status.id, NOW - timedelta(days=400), NOW, state=each.status.state)
                statuses.append(each.status)
                figures[each.status.id] = Figure(window, tally(line, window))
                events += [
                    (each.status, Event(clipped, one.state, one.reason))
                    for one in line
                    if one.state is not State.OPERATIONAL and (clipped := one.window.clipped_to(window))
                ]
        events.sort(key=lambda each: each[1].window.start, reverse=True)
        return MonthHistory(year, month, whole, statuses, figures, events, self.now_overview.maintenance)

    async def agreement(self, key: str, moment: datetime) -> AgreementReport | None:
        self._read(f"agreement {key} {moment:%Y-%m-%d}")
        agreement = self.agreements.get(key)
        if agreement is None:
            return None
        zone = ZoneInfo(agreement.time_zone)
        local = moment.astimezone(zone)
        window = month_window(local.year, local.month, zone)
        now = self.now_overview.at
        statuses = [each.status for cluster in self.now_overview.clusters for each in cluster.components][:6]
        lines = {each.id: timeline(each.id, now - timedelta(days=400), now) for each in statuses}
        done = statement(lines, self.now_overview.maintenance, Terms.of(agreement), window, now)
        events = [
            (status, Event(clipped, one.state, one.reason))
            for status in statuses
            for one in lines[status.id]
            if one.state is not State.OPERATIONAL and (clipped := one.window.clipped_to(done.elapsed))
        ]
        return AgreementReport(
            key,
            agreement,
            "Nordwind Druck <AG>",
            statuses,
            done,
            events,
            self.now_overview.maintenance,
            frozen=self.frozen,
        )


def frozen_chain(rows: int) -> list[FrozenMonth]:
    """October with an hour of downtime, corrected daily by an hour more; newest first."""
    window = month_window(2026, 10, BERLIN)
    promise = Promise("premium", "Europe/Berlin", Terms(Decimal("99.9")), {"eu/website": 1})
    chain = []
    for turn in range(rows):
        down = Window(window.start, window.start + timedelta(hours=turn + 1))
        line = [
            Event(down, State.MAJOR_OUTAGE, sample=turn == 0),
            Event(Window(down.end, window.end), State.OPERATIONAL),
        ]
        made = account(promise, window, {1: line}, [], corrects=chain[-1] if chain else None).month
        at = window.end + timedelta(days=turn, minutes=15)
        chain.append(replace(made, id=turn + 1, frozen_at=at))
    return chain[::-1]


class AwayError(HoldfastError):
    remedy = Remedy.TRANSIENT


def agreement() -> Agreement:
    return Agreement.model_validate(
        {
            "customer": "nordwind",
            "name": "Premium",
            "components": ["eu/*"],
            "objective": Decimal("99.9"),
            "time_zone": "Europe/Berlin",
            "credits": [{"below": 99.9, "credit": 10}, {"below": 99, "credit": 25}],
            "rpo": "5m",
            "rto": "1h",
        }
    )
