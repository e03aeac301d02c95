"""The reader against values worked out by hand, over the store in memory."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Maintenance, Outcome, Result, State, Timings, Transition
from holdfast.availability.ports import Batch, Resolution
from holdfast.availability.reading import Reader, agreement_window
from holdfast.availability.verdicts import CheckState
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Agreement, Cluster, Component, Customer, Estate, Region, Site, VantagePoint
from holdfast.estate.ports import Registered
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
"""Noon in Berlin, two days after the change to summer time."""
MARCH = Window(datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC))
WEBSITE, API = 1, 2
CHECKS = {10: WEBSITE, 20: API, 21: API}
UP, SLOW, HALF, DOWN, DARK = (
    State.OPERATIONAL,
    State.DEGRADED,
    State.PARTIAL_OUTAGE,
    State.MAJOR_OUTAGE,
    State.UNKNOWN,
)


def component(name: str, *checks: str) -> Component:
    return Component(name=name, checks={key: HttpCheck(url="http://target/") for key in checks})


def agreement(**terms: object) -> Agreement:
    standard = {"customer": "acme", "name": "Gold", "components": ("eu/*",), "time_zone": "Europe/Berlin"}
    return Agreement(**{**standard, "objective": Decimal("99.5"), **terms})  # type: ignore[arg-type]


ESTATE = Estate(
    site=Site(time_zone="Europe/Berlin"),
    regions={"fra": Region(name="Frankfurt")},
    clusters={
        "eu": Cluster(
            name="Europe",
            region="fra",
            components={"website": component("Website", "home"), "api": component("API", "ping", "login")},
        )
    },
    customers={"acme": Customer(name="Acme Ltd")},
    agreements={
        "average": agreement(),
        "worst": agreement(combine="worst", unknown="downtime"),
        "rolling": agreement(window=timedelta(days=10), components=("eu/website",)),
    },
)
REGISTERED = Registered(
    {("eu", "website"): WEBSITE, ("eu", "api"): API},
    {("eu", "website", "home"): 10, ("eu", "api", "ping"): 20, ("eu", "api", "login"): 21},
    1,
)


class Scene:
    """A store to fill and a reader to ask, at NOW unless the clock is moved."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryAvailability(CHECKS, self.clock)
        self.reader = Reader(self.store, self.clock, lambda: Inventory(ESTATE, REGISTERED))

    async def line(
        self, check: int, *changes: tuple[datetime, State], sample: bool = False, due: datetime = NOW
    ) -> None:
        """The check's whole timeline; its newest result was just before `due`."""
        transitions = [Transition(check, at, state, state.label, sample) for at, state in changes]
        last = transitions[-1]
        known = CheckState(check, last.state, last.at, due, due, due + HOUR / 60, last.reason)
        await self.store.record(Batch([], transitions, [known]))

    async def plan(self, window: Window, *components: int, announced: timedelta) -> Maintenance:
        """Maintenance announced that long before it begins."""
        self.clock.jump_to(window.start - announced)
        planned = self.store.announce(window, components, "New switches")
        self.clock.jump_to(NOW)
        return planned


@pytest.fixture
def scene() -> Scene:
    return Scene()


def ago(hours: float) -> datetime:
    return NOW - hours * HOUR


def hours(spent: timedelta) -> float:
    return spent / HOUR


# --- overview


async def test_before_anything_is_known_all_is_unknown(scene: Scene) -> None:
    overview = await scene.reader.overview(days=3)
    assert overview.state is DARK
    for history in overview.clusters[0].components:
        assert history.status.state is DARK
        assert history.status.since is None
        assert history.figure.availability is None
        assert [day.worst for day in history.days] == [DARK] * 3


async def test_the_overview_shows_states_and_days_by_local_time(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP), (ago(40), DOWN), (ago(38), UP))
    await scene.line(20, (ago(240), UP), (ago(1), SLOW))
    await scene.line(21, (ago(240), UP))
    overview = await scene.reader.overview(days=3)
    (cluster,) = overview.clusters
    website, api = cluster.components
    assert (overview.at, overview.state, cluster.state) == (NOW, SLOW, SLOW)
    assert (cluster.name, cluster.region) == ("Europe", "Frankfurt")
    assert (website.status.state, website.status.since) == (UP, ago(38))
    assert (api.status.state, api.status.since, api.status.reason) == (SLOW, ago(1), "degraded")
    assert [day.day for day in website.days] == [date(2026, 3, 29), date(2026, 3, 30), date(2026, 3, 31)]
    # Sunday has 23 hours, and today is half over. 40 hours before noon it was 20:00 on Sunday.
    assert [hours(day.figure.window.duration) for day in website.days] == [23, 24, 12]
    assert [day.worst for day in website.days] == [DOWN, UP, UP]
    assert [hours(day.figure.downtime) for day in website.days] == [2, 0, 0]
    assert [[hours(each.duration) for each in day.events] for day in website.days] == [[2], [], []]
    assert website.figure.availability == 1 - Fraction(2, 59)
    assert [day.worst for day in api.days] == [UP, UP, SLOW]


async def test_an_event_over_midnight_is_in_both_days(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP), (ago(13), DOWN), (ago(10), UP))
    overview = await scene.reader.overview(days=2)
    website = overview.clusters[0].components[0]
    assert [hours(day.figure.downtime) for day in website.days] == [1, 2]
    assert [hours(day.events[0].duration) for day in website.days] == [1, 2]


async def test_a_silent_check_shows_unknown_since_it_was_due(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP), due=ago(5))
    overview = await scene.reader.overview(days=1)
    website = overview.clusters[0].components[0]
    assert (website.status.state, website.status.since) == (DARK, ago(5))
    assert hours(website.days[0].figure.tally.of(DARK)) == 5
    assert website.days[0].worst is DARK
    assert website.figure.availability == 1


async def test_a_component_is_as_bad_as_its_worst_check(scene: Scene) -> None:
    await scene.line(20, (ago(240), DOWN))
    await scene.line(21, (ago(200), DOWN))
    overview = await scene.reader.overview(days=1)
    api = overview.clusters[0].components[1]
    assert (api.status.state, api.status.since) == (DOWN, ago(240))
    assert api.figure.availability == 0


async def test_maintenance_is_laid_over_what_was_measured(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP), (ago(5), DOWN), (ago(3), UP))
    planned = await scene.plan(Window(ago(6), ago(4)), WEBSITE, announced=HOUR)
    coming = await scene.plan(Window(NOW + DAY, NOW + 2 * DAY), API, announced=9 * DAY)
    overview = await scene.reader.overview(days=1)
    website, api = overview.clusters[0].components
    (today,) = website.days
    assert today.maintenance
    assert hours(today.figure.tally.excluded) == 2
    assert hours(today.figure.downtime) == 1
    assert today.worst is DOWN
    assert [hours(each.duration) for each in today.events] == [2], "what was measured stays as it was"
    assert not api.days[0].maintenance
    assert list(overview.maintenance) == [coming]
    assert website.status.maintenance is None
    scene.clock.jump_to(ago(5.5))
    overview = await scene.reader.overview(days=1)
    assert overview.clusters[0].components[0].status.maintenance == planned
    assert overview.clusters[0].under_maintenance


async def test_a_day_that_is_all_maintenance_has_nothing_bad_to_show(scene: Scene) -> None:
    await scene.line(10, (ago(240), DOWN))
    await scene.plan(Window(ago(40), NOW), WEBSITE, announced=HOUR)
    (today,) = (await scene.reader.overview(days=1)).clusters[0].components[0].days
    assert (today.worst, today.maintenance, today.figure.availability) == (UP, True, None)


async def test_maintenance_told_of_only_after_it_began_excludes_nothing(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP), (ago(5), DOWN), (ago(3), UP))
    await scene.plan(Window(ago(6), ago(2)), WEBSITE, announced=-HOUR)
    (today,) = (await scene.reader.overview(days=1)).clusters[0].components[0].days
    assert hours(today.figure.downtime) == 2
    assert today.maintenance


async def test_cancelled_maintenance_is_not_shown(scene: Scene) -> None:
    await scene.line(10, (ago(240), UP))
    planned = await scene.plan(Window(ago(1), NOW + HOUR), WEBSITE, announced=HOUR)
    scene.store.withdraw(planned)
    overview = await scene.reader.overview(days=1)
    website = overview.clusters[0].components[0]
    assert list(overview.maintenance) == []
    assert (website.status.maintenance, website.days[0].maintenance) == (None, False)


async def test_sample_history_is_marked_wherever_it_shows(scene: Scene) -> None:
    await scene.line(10, (ago(70), UP), (ago(40), DOWN), sample=True)
    await scene.line(10, (ago(30), UP))
    await scene.line(20, (ago(240), UP))
    await scene.line(21, (ago(240), UP))
    overview = await scene.reader.overview(days=3)
    website, api = overview.clusters[0].components
    assert overview.sample
    assert [day.sample for day in website.days] == [True, True, False]
    assert [day.sample for day in api.days] == [False] * 3
    report = await scene.reader.agreement("average", NOW)
    assert report is not None
    assert report.sample
    recent = await scene.reader.overview(days=1)
    assert not recent.sample


# --- one component


async def test_a_component_over_a_window(scene: Scene) -> None:
    await scene.line(10, (ago(100), UP), (ago(30), HALF), (ago(20), UP))
    results = [
        Result(10, ago(2), Outcome.GOOD, Timings(1000, 100, 200, None, 700)),
        Result(10, ago(1), Outcome.FAILED, Timings(5000), "refused", 2),
    ]
    await scene.store.record(Batch(results))
    await scene.store.roll_up(NOW + DAY)
    report = await scene.reader.component("eu", "website", Window(ago(50), NOW + DAY))
    assert report is not None
    assert report.history.window == Window(ago(50), NOW), "the future is not counted"
    assert report.history.figure.availability == 1 - Fraction(5, 50)
    assert [(each.state, hours(each.duration)) for each in report.events] == [(HALF, 10)]
    assert (report.cluster_name, report.region) == ("Europe", "Frankfurt")
    assert report.resolution is Resolution.HOUR
    assert [(each.good, each.failed) for each in report.samples] == [(1, 0), (0, 1)]
    assert report.samples[0].p50_us == pytest.approx(1000, rel=0.05)
    assert report.samples[1].p50_us is None
    assert report.overall is not None
    assert (report.overall.good, report.overall.failed) == (1, 1)
    assert [(run.check_key, run.outcome, run.reason) for run in report.runs] == [
        ("home", Outcome.FAILED, "refused"),
        ("home", Outcome.GOOD, ""),
    ]
    assert report.runs[1].phases_us == {"resolve": 100, "connect": 200, "first_byte": 700}


async def test_a_run_from_elsewhere_bears_the_name_of_its_place() -> None:
    check = HttpCheck(url="http://target/", seen_from=("local", "tokyo"))
    estate = ESTATE.model_copy(
        update={
            "vantage_points": {"tokyo": VantagePoint(name="Tokyo")},
            "clusters": {
                "eu": Cluster(
                    name="Europe",
                    region="fra",
                    components={"website": Component(name="Website", checks={"home": check})},
                )
            },
        }
    )
    probes = {("eu", "website", "home"): 10, ("eu", "website", "home@tokyo"): 11}
    clock = ManualClock(NOW)
    store = MemoryAvailability({10: WEBSITE, 11: WEBSITE}, clock)
    inventory = Inventory(estate, Registered({("eu", "website"): WEBSITE}, probes, 1))
    await store.record(
        Batch([Result(10, ago(2), Outcome.GOOD, Timings(1)), Result(11, ago(1), Outcome.GOOD, Timings(1))])
    )

    report = await Reader(store, clock, lambda: inventory).component("eu", "website", Window(ago(3), NOW))

    assert report is not None
    assert [(run.check_key, run.place) for run in report.runs] == [("home", "Tokyo"), ("home", "")]


@pytest.mark.parametrize(
    ("days", "resolution"),
    [(1, Resolution.MINUTE), (7, Resolution.HOUR), (32, Resolution.HOUR), (33, Resolution.DAY)],
)
async def test_longer_windows_have_coarser_charts_of_few_points(
    scene: Scene, days: int, resolution: Resolution
) -> None:
    await scene.line(10, (ago(24 * days), UP))
    await scene.store.record(
        Batch([Result(10, ago(n), Outcome.GOOD, Timings(1000)) for n in range(24 * days)])
    )
    await scene.store.roll_up(NOW + 2 * DAY)
    report = await scene.reader.component("eu", "website", Window(ago(24 * days), NOW))
    assert report is not None
    assert report.resolution is resolution
    assert 0 < len(report.samples) <= 200
    assert report.overall is not None
    assert sum(each.good for each in report.samples) == report.overall.good


async def test_there_is_nothing_to_say_about_what_is_not_there(scene: Scene) -> None:
    assert await scene.reader.component("eu", "fax", Window(ago(1), NOW)) is None
    assert await scene.reader.component("mars", "api", Window(ago(1), NOW)) is None
    assert await scene.reader.agreement("silver", NOW) is None


async def test_a_window_in_the_future_is_empty(scene: Scene) -> None:
    await scene.line(10, (ago(100), UP))
    report = await scene.reader.component("eu", "website", Window(NOW + DAY, NOW + 2 * DAY))
    assert report is not None
    assert (list(report.history.days), report.history.figure.availability, report.overall) == ([], None, None)


# --- months and agreements


def outage(line: Sequence[tuple[datetime, State]]) -> list[tuple[datetime, State]]:
    return [(MARCH.start - DAY, UP), *line]


async def test_a_month_counts_up_to_now_in_the_sites_time_zone(scene: Scene) -> None:
    await scene.line(10, *outage([(MARCH.start - HOUR, DOWN), (MARCH.start + 2 * HOUR, UP)]))
    await scene.line(20, *outage([]))
    await scene.line(21, *outage([]))
    month = await scene.reader.month(2026, 3)
    assert month.window == MARCH
    assert hours(month.window.duration) == 743
    assert hours(month.figures[WEBSITE].downtime) == 2, "what lay before the month is not in it"
    assert hours(month.figures[WEBSITE].window.duration) == 731
    assert month.figures[API].availability == 1
    assert [(status.key, event.state, hours(event.duration)) for status, event in month.events] == [
        ("website", DOWN, 2)
    ]
    earlier = await scene.reader.month(2026, 2)
    assert hours(earlier.figures[WEBSITE].downtime) == 1
    assert (await scene.reader.month(2026, 3, "us")).components == []


async def test_a_month_to_come_has_no_figure(scene: Scene) -> None:
    await scene.line(10, *outage([]))
    month = await scene.reader.month(2026, 5)
    assert {figure.availability for figure in month.figures.values()} == {None}
    assert month.events == []


async def test_an_agreement_by_average(scene: Scene) -> None:
    """731 of 743 hours are over. The website was down for 4, 1 of them maintenance; the API dark for 31."""
    start = MARCH.start
    await scene.line(10, *outage([(start + 100 * HOUR, DOWN), (start + 104 * HOUR, UP)]))
    await scene.line(20, *outage([(start + 200 * HOUR, DARK), (start + 231 * HOUR, UP)]))
    await scene.line(21, *outage([]))
    await scene.plan(Window(start + 103 * HOUR, start + 105 * HOUR), WEBSITE, announced=72 * HOUR)
    await scene.plan(Window(start + 101 * HOUR, start + 102 * HOUR), WEBSITE, announced=71 * HOUR)
    report = await scene.reader.agreement("average", NOW)
    assert report is not None
    found = report.statement
    assert (found.window, found.elapsed) == (MARCH, Window(start, NOW))
    assert hours(found.figure.downtime) == 3
    assert hours(found.figure.tally.excluded) == 2
    assert hours(found.figure.tally.of(DARK)) == 31
    assert hours(found.figure.counted) == 2 * 731 - 2 - 31
    assert found.figure.availability == 1 - Fraction(3, 2 * 731 - 2 - 31)
    assert hours(found.budget.allowed) == pytest.approx((2 * 743 - 2 - 31) / 200)
    assert found.met
    assert found.by_component[API].availability == 1
    assert report.customer_name == "Acme Ltd"
    assert [(status.key, event.state) for status, event in report.events] == [
        ("api", DARK),
        ("website", DOWN),
    ]
    assert len(report.maintenance) == 2


async def test_an_agreement_by_the_worst_with_unknown_as_downtime(scene: Scene) -> None:
    """The website is half down from 10 to 20 h, the API dark from 15 to 30 h: 5 h at 1/2, 15 h in full."""
    start = MARCH.start
    await scene.line(10, *outage([(start + 10 * HOUR, HALF), (start + 20 * HOUR, UP)]))
    await scene.line(20, *outage([(start + 15 * HOUR, DARK), (start + 30 * HOUR, UP)]))
    await scene.line(21, *outage([]))
    report = await scene.reader.agreement("worst", NOW)
    assert report is not None
    assert hours(report.statement.figure.downtime) == 5 / 2 + 15
    assert report.statement.figure.availability == 1 - Fraction(35, 2 * 731)
    assert not report.statement.met


async def test_a_month_that_is_over_stays_as_it_was(scene: Scene) -> None:
    await scene.line(10, *outage([(MARCH.end - HOUR, DOWN)]), due=MARCH.end + 9 * DAY)
    scene.clock.jump_to(MARCH.end + 2 * DAY)
    report = await scene.reader.agreement("average", MARCH.start)
    assert report is not None
    assert report.statement.elapsed == MARCH
    assert hours(report.statement.by_component[WEBSITE].downtime) == 1
    following = await scene.reader.agreement("average", MARCH.end)
    assert following is not None
    assert following.statement.window.start == MARCH.end
    assert hours(following.statement.by_component[WEBSITE].downtime) == 48


async def test_a_rolling_window_ends_at_the_moment_asked_for(scene: Scene) -> None:
    await scene.line(10, *outage([(ago(250), DOWN), (ago(235), UP)]))
    report = await scene.reader.agreement("rolling", NOW)
    assert report is not None
    assert report.statement.window == Window(NOW - 10 * DAY, NOW)
    assert hours(report.statement.figure.downtime) == 5
    assert report.statement.figure.availability == 1 - Fraction(5, 240)


@pytest.mark.parametrize(
    ("moment", "start"),
    [
        (MARCH.start, MARCH.start),
        (MARCH.end - timedelta(microseconds=1), MARCH.start),
        (MARCH.end, MARCH.end),
    ],
)
def test_an_agreements_month_is_that_of_its_time_zone(moment: datetime, start: datetime) -> None:
    assert agreement_window(ESTATE.agreements["average"], moment).start == start
