"""Asking for metrics: bounded, each server by itself, and a gap wherever there is no value."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.metrics import MemoryMetrics
from holdfast.availability.inventory import Inventory
from holdfast.availability.metrics import MetricUnknown, merged_samples
from holdfast.availability.polling import AT_ONCE, MetricPolls
from holdfast.availability.ports import Resolution
from holdfast.availability.reading import MOST_SAMPLES, Reader
from holdfast.availability.views import MetricSample
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Cluster, Component, Estate, Metric, Region
from holdfast.estate.ports import Registered
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AT = NOW.replace(second=0)


def metric(query: str, url: str = "http://one:9090", unit: str = "count") -> Metric:
    return Metric(name=query.title(), url=url, query=query, unit=unit)  # type: ignore[arg-type]


class FakeQueries:
    """Answers by the query's text; counts how many it is asked at once for each server."""

    def __init__(self, **answers: float | str | Callable[[], float]) -> None:
        self.answers = answers
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def value(self, metric: Metric) -> float:
        self.under_way[metric.url] += 1
        self.most[metric.url] = max(self.most[metric.url], self.under_way[metric.url])
        try:
            await asyncio.sleep(0)
            answer = self.answers[metric.query]
            if answer == "hangs":
                await asyncio.Event().wait()
            if isinstance(answer, str):
                raise MetricUnknown(answer)
            return answer() if callable(answer) else answer
        finally:
            self.under_way[metric.url] -= 1


class Scene:
    def __init__(self, metrics: Mapping[str, Metric], queries: FakeQueries, round_s: float = 30) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryMetrics()
        self.queries = queries
        self.told: list[tuple[str, object]] = []
        self.put(metrics)
        self.polls = MetricPolls(
            queries,
            self.store,
            self.clock,
            lambda: self.inventory,
            on_event=lambda event, facts: self.told.append((event, facts.get("error"))),
            round_s=round_s,
        )

    def put(self, metrics: Mapping[str, Metric]) -> None:
        api = Component(name="API", checks={"c": HttpCheck(url="http://t/")}, metrics=dict(metrics))
        cluster = Cluster(name="EU", region="here", components={"api": api})
        estate = Estate(regions={"here": Region(name="Here")}, clusters={"eu": cluster})
        self.inventory = Inventory(estate, Registered({("eu", "api"): 1}, {("eu", "api", "c"): 10}, 1))

    async def known(self) -> dict[str, Sequence[MetricSample]]:
        whole = Window(NOW - timedelta(days=9), NOW + timedelta(days=9))
        keys = list(self.inventory.estate.clusters["eu"].components["api"].metrics)
        return dict(await self.store.samples(1, keys, whole, Resolution.MINUTE))


async def test_each_minute_has_the_value_of_its_query() -> None:
    scene = Scene({"a": metric("jobs"), "b": metric("queue")}, FakeQueries(jobs=4.0, queue=-1.5))
    assert await scene.polls.run_once() == 2
    assert await scene.known() == {
        "a": [MetricSample(AT, 1, 4, 4, 4)],
        "b": [MetricSample(AT, 1, -1.5, -1.5, -1.5)],
    }
    assert await scene.polls.run_once() == 2, "the same minute again"
    assert len((await scene.known())["a"]) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e101])
async def test_what_is_no_number_is_a_gap(value: float) -> None:
    scene = Scene({"a": metric("jobs")}, FakeQueries(jobs=value))
    assert await scene.polls.run_once() == 0
    assert await scene.known() == {}
    assert scene.told == [("metric_unknown", "the value is not a number")]


async def test_a_failure_is_a_gap_and_is_told_when_it_begins_and_when_it_ends() -> None:
    scene = Scene({"a": metric("jobs")}, FakeQueries(jobs="refused"))
    for minute in range(6):
        scene.queries.answers["jobs"] = ("refused", "refused", "no series", 7.0, 7.0, "refused")[minute]
        await scene.polls.run_once()
        scene.clock.advance(60)
    assert [each.at for each in (await scene.known())["a"]] == [AT + 3 * MINUTE, AT + 4 * MINUTE]
    assert scene.told == [
        ("metric_unknown", "refused"),
        ("metric_unknown", "no series"),
        ("metric_known_again", None),
        ("metric_unknown", "refused"),
    ]


async def test_one_that_hangs_keeps_no_other_from_being_recorded() -> None:
    slow = {f"s{number}": metric("hang", "http://slow:9090") for number in range(AT_ONCE + 3)}
    scene = Scene(
        {**slow, "a": metric("jobs"), "b": metric("jobs", "http://slow:9090")},
        FakeQueries(hang="hangs", jobs=1.0),
        round_s=60,
    )
    running = asyncio.create_task(scene.polls.run_once())
    while not await scene.known():  # noqa: ASYNC110 - a store rings no bell
        await asyncio.sleep(0)
    assert list(await scene.known()) == ["a"], "recorded while the other server hangs"
    assert scene.queries.most["http://slow:9090"] == AT_ONCE
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert scene.queries.under_way["http://slow:9090"] == 0, "nothing is left running"


async def test_a_round_is_cut_off_and_keeps_what_came() -> None:
    scene = Scene(
        {"a": metric("jobs"), "b": metric("hang")}, FakeQueries(jobs=1.0, hang="hangs"), round_s=0.2
    )
    assert await scene.polls.run_once() == 1
    assert list(await scene.known()) == ["a"]
    assert scene.told == [("metric_unknown", "no answer in time")]
    assert scene.queries.under_way["http://one:9090"] == 0


async def test_a_defect_of_ours_is_not_taken_for_a_gap() -> None:
    scene = Scene({"a": metric("jobs"), "b": metric("queue")}, FakeQueries(jobs=lambda: 1 / 0, queue=2.0))
    with pytest.raises(ZeroDivisionError):
        await scene.polls.run_once()
    assert list(await scene.known()) == ["b"]


async def test_a_metric_that_left_the_estate_is_forgotten() -> None:
    scene = Scene({"a": metric("jobs")}, FakeQueries(jobs="refused"))
    await scene.polls.run_once()
    scene.put({})
    assert await scene.polls.run_once() == 0
    scene.put({"a": metric("jobs")})
    await scene.polls.run_once()
    assert [event for event, _ in scene.told] == ["metric_unknown"] * 2


async def test_a_report_has_every_metric_in_order_with_its_gaps() -> None:
    metrics = {"z": metric("jobs", unit="/s"), "a": metric("queue")}
    scene = Scene(metrics, FakeQueries(jobs=1.0, queue="no series"))
    for _ in range(3):
        await scene.polls.run_once()
        scene.clock.advance(7200)
    reader = Reader(
        MemoryAvailability({10: 1}, scene.clock), scene.clock, lambda: scene.inventory, metrics=scene.store
    )
    window = Window(NOW.replace(hour=0, minute=0, second=0), scene.clock.now())
    report = await reader.component("eu", "api", window)
    assert report is not None
    jobs, queue = report.metrics
    assert (jobs.key, jobs.name, jobs.unit) == ("z", "Jobs", "/s")
    assert [(each.at.hour, each.count) for each in jobs.samples] == [(12, 1), (14, 1), (16, 1)]
    assert jobs.length < timedelta(hours=2), "so that the hours between show as gaps"
    assert (queue.key, queue.samples) == ("a", [])


def test_merged_samples_weigh_by_their_minutes() -> None:
    window = Window(AT, AT + timedelta(hours=4))
    hours = [
        MetricSample(AT + hour * timedelta(hours=1), *rest)
        for hour, *rest in ((0, 60, 1.0, 2.0, 9.0), (1, 20, 0.5, 6.0, 7.0), (3, 1, 5.0, 5.0, 5.0))
    ]
    assert merged_samples(hours, window, timedelta(hours=2)) == [
        MetricSample(AT, 80, 0.5, 3.0, 9.0),
        MetricSample(AT + timedelta(hours=2), 1, 5.0, 5.0, 5.0),
    ]
    assert MOST_SAMPLES <= 200
