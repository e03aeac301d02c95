"""What is kept of records that were acknowledged in one region, in memory and on PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.ledger.regions import MemoryOneRegion
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.regions import PostgresOneRegion
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.reached import OneRegion

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def marks(database: "Database | None") -> AsyncIterator[OneRegion]:
    if database is None:
        yield MemoryOneRegion(ManualClock(datetime(2026, 11, 23, tzinfo=UTC)))
        return
    with database.connect() as connection:
        connection.execute("INSERT INTO ledger.log (tenant, origin) VALUES ('a', 'l/a'), ('b', 'l/b')")
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        yield PostgresOneRegion(pool)


async def test_a_mark_is_open_until_the_second_region_has_it(marks: OneRegion) -> None:
    assert not await marks.open()
    await marks.mark(2, 0, 5, 300)
    await marks.mark(1, 0, 10, 100)
    await marks.mark(1, 0, 12, 200)  # the same leaves again, for a repeat
    found = await marks.open()
    assert [(each.log_id, each.from_size, each.to_size, each.lsn) for each in found] == [
        (1, 0, 10, 100),
        (1, 0, 12, 200),
        (2, 0, 5, 300),
    ]
    assert all(each.at.tzinfo is not None and each.reached_at is None for each in found)
    assert await marks.reached(200) == 2
    assert await marks.reached(200) == 0
    assert [each.lsn for each in await marks.open()] == [300]
    await marks.mark(1, 12, 13, 150)  # after a failover the WAL may go on from a lower place
    assert await marks.reached(300) == 2
    assert not await marks.open()
