"""What every store of metrics promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.metrics import MemoryMetrics
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.availability.metrics import MetricPoint, MetricStore
from holdfast.availability.ports import Resolution
from holdfast.availability.views import MetricSample
from holdfast.estate.model import Retention
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

START = datetime(2026, 10, 31, 22, 58, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ALL = Window(START - 40 * DAY, START + 40 * DAY)


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    if request.param == "memory":
        return None
    fresh: Database = request.getfixturevalue("migrated_database")
    with fresh.connect() as connection:
        for component in (1, 2):
            connection.execute(
                "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, 'eu', %s, 'C')",
                (component, f"c{component}"),
            )
    return fresh


@pytest.fixture
async def stores(database: "Database | None") -> AsyncIterator[tuple[MetricStore, MetricStore]]:
    """One that writes as a controller, and one that reads as the site."""
    if database is None:
        shared = MemoryMetrics()
        yield shared, shared
        return
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(database.conninfo(role), "test", max_size=8))
            for role in (Role.CONTROLLER, Role.SITE)
        ]
        yield PostgresMetrics(pools[0]), PostgresMetrics(pools[1])


def point(minute: int, value: float, key: str = "jobs", component: int = 1) -> MetricPoint:
    return MetricPoint(component, key, START + minute * MINUTE, value)


async def test_minutes_hours_and_days_have_what_was_recorded(stores: tuple[MetricStore, MetricStore]) -> None:
    writing, reading = stores
    await writing.record([point(0, 4), point(1, 8), point(0, -1.5, "queue")])
    await writing.record([point(2, 3), point(4, 5), point(62, 7), point(3, 9, component=2)])
    assert await reading.samples(1, ["jobs", "queue", "other"], ALL, Resolution.MINUTE) == {
        "jobs": [
            MetricSample(START + minute * MINUTE, 1, value, value, value)
            for minute, value in ((0, 4), (1, 8), (2, 3), (4, 5), (62, 7))
        ],
        "queue": [MetricSample(START, 1, -1.5, -1.5, -1.5)],
    }
    hour = datetime(2026, 10, 31, 22, tzinfo=UTC)
    assert await reading.samples(1, ["jobs"], ALL, Resolution.HOUR) == {
        "jobs": [
            MetricSample(hour, 2, 4, 6, 8),
            MetricSample(hour + timedelta(hours=1), 2, 3, 4, 5),
            MetricSample(hour + timedelta(hours=2), 1, 7, 7, 7),
        ]
    }
    day = datetime(2026, 10, 31, tzinfo=UTC)
    assert await reading.samples(1, ["jobs"], ALL, Resolution.DAY) == {
        "jobs": [MetricSample(day, 4, 3, 5, 8), MetricSample(day + DAY, 1, 7, 7, 7)]
    }


async def test_a_minute_that_is_there_already_is_absorbed(stores: tuple[MetricStore, MetricStore]) -> None:
    writing, reading = stores
    await writing.record([point(0, 4), point(2, 6)])
    await writing.record([point(0, 4), point(0, 400), point(3, 8)])
    (hour, following) = (await reading.samples(1, ["jobs"], ALL, Resolution.HOUR))["jobs"]
    assert (hour.count, hour.average) == (1, 4)
    assert (following.count, following.average) == (2, 7)


async def test_of_many_that_record_one_minute_one_counts(stores: tuple[MetricStore, MetricStore]) -> None:
    writing, reading = stores
    batch = [point(minute, minute, key) for minute in range(2) for key in ("a", "b", "c")]
    await asyncio.gather(*(writing.record(batch[turn % 2 :]) for turn in range(8)))
    found = await reading.samples(1, ["a", "b", "c"], ALL, Resolution.DAY)
    assert {key: [each.count for each in samples] for key, samples in found.items()} == {
        "a": [2],
        "b": [2],
        "c": [2],
    }


async def test_a_window_has_what_begins_in_it(stores: tuple[MetricStore, MetricStore]) -> None:
    writing, reading = stores
    await writing.record([point(minute, 1) for minute in range(4)])
    window = Window(START + MINUTE, START + 3 * MINUTE)
    found = await reading.samples(1, ["jobs"], window, Resolution.MINUTE)
    assert [each.at for each in found["jobs"]] == [START + MINUTE, START + 2 * MINUTE]
    assert await reading.samples(1, ["jobs"], window, Resolution.HOUR) == {
        "jobs": [MetricSample(START + 2 * MINUTE, 2, 1, 1, 1)]
    }
    assert await reading.samples(2, ["jobs"], window, Resolution.MINUTE) == {}


async def test_what_is_past_its_retention_is_dropped(stores: tuple[MetricStore, MetricStore]) -> None:
    writing, reading = stores
    await writing.record([point(0, 1), MetricPoint(1, "jobs", START - 100 * DAY, 1)])
    retention = Retention(results=DAY, minutes=30 * DAY, hours=200 * DAY, days=400 * DAY)
    await writing.keep_partitions(START + DAY, retention)
    everything = Window(START - 400 * DAY, START + DAY)
    left = [
        len((await reading.samples(1, ["jobs"], everything, resolution))["jobs"]) for resolution in Resolution
    ]
    assert left == [1, 2, 2]
    await writing.record([point(1, 1)])


async def test_the_site_cannot_record(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.SITE), "test") as pool:
        with pytest.raises(DatabaseError):
            await PostgresMetrics(pool).record([point(0, 1)])
