"""What every store of frozen months promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.months import MemoryMonths
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.availability.freezing import FrozenMonth, Promise, account
from holdfast.availability.model import Interval, State
from holdfast.availability.ports import MonthStore
from holdfast.availability.sla import Terms
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

START = datetime(2026, 9, 30, 22, tzinfo=UTC)
OCTOBER = Window(START, datetime(2026, 10, 31, 23, tzinfo=UTC))
HEARD = {1: START - timedelta(days=9), 2: START - timedelta(days=5)}
"""When the components of these tests were first heard; of component 3 nothing is known."""


def frozen(
    agreement: str = "gold", window: Window = OCTOBER, state: State = State.OPERATIONAL
) -> FrozenMonth:
    promise = Promise(agreement, "Europe/Berlin", Terms(Decimal("99.9")), {"eu/api": 1})
    return account(promise, window, {1: [Interval(window, state)]}, []).month


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    if request.param == "memory":
        return None
    fresh: Database = request.getfixturevalue("migrated_database")
    with fresh.connect() as connection:
        for component in (1, 2, 3):
            connection.execute(
                "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, 'eu', %s, 'C')",
                (component, f"c{component}"),
            )
            connection.execute(
                "INSERT INTO estate.probe (id, component_id, key) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, 'k')",
                (component * 10, component),
            )
        for component, at in HEARD.items():
            for later in (0, 1):
                connection.execute(
                    "INSERT INTO availability.transition (check_id, at, state, reason)"
                    " VALUES (%s, %s, %s, '')",
                    (component * 10, at + timedelta(hours=later), later),
                )
    return fresh


@pytest.fixture
async def stores(database: "Database | None") -> AsyncIterator[tuple[MonthStore, MonthStore]]:
    """One that writes as a controller, and one that reads as the site."""
    async with AsyncExitStack() as stack:
        if database is None:
            shared = MemoryMonths(SystemClock(), HEARD)
            yield shared, shared
        else:
            roles = [Role.CONTROLLER, Role.SITE]
            pools = [
                await stack.enter_async_context(open_pool(database.conninfo(role), "test", max_size=8))
                for role in roles
            ]
            yield PostgresMonths(pools[0]), PostgresMonths(pools[1])


async def test_what_is_appended_is_read_back(stores: tuple[MonthStore, MonthStore]) -> None:
    writing, reading = stores
    row = frozen()
    assert await writing.append(row)
    (back,) = await reading.months_of("gold", "2026-10")
    assert back.id is not None
    assert back.frozen_at is not None
    assert back.frozen_at >= OCTOBER.end
    assert replace(back, id=None, frozen_at=None) == row
    assert back.promise == row.promise
    assert await reading.months() == [back]


async def test_a_month_has_one_first_row_and_a_row_one_correction(
    stores: tuple[MonthStore, MonthStore],
) -> None:
    writing, reading = stores
    assert await writing.append(frozen())
    assert not await writing.append(frozen(state=State.DEGRADED))
    (first,) = await reading.months()
    correction = replace(frozen(state=State.MAJOR_OUTAGE), corrects=first.id)
    assert await writing.append(correction)
    assert not await writing.append(replace(frozen(state=State.DEGRADED), corrects=first.id))
    chain = await reading.months_of("gold", "2026-10")
    assert [row.corrects for row in chain] == [None, first.id]
    assert await writing.append(replace(frozen(), corrects=chain[1].id))
    assert len(await reading.months_of("gold", "2026-10")) == 3


async def test_of_many_at_once_one_is_kept(stores: tuple[MonthStore, MonthStore]) -> None:
    writing, reading = stores
    done = await asyncio.gather(*(writing.append(frozen()) for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    assert len(await reading.months()) == 1


async def test_a_month_that_has_not_closed_by_the_stores_clock_is_refused(
    stores: tuple[MonthStore, MonthStore],
) -> None:
    writing, reading = stores
    now = SystemClock().now()
    assert not await writing.append(frozen(window=Window(now - timedelta(days=29), now + timedelta(days=1))))
    assert await reading.months() == []


async def test_rows_are_found_by_agreement_and_by_their_end(stores: tuple[MonthStore, MonthStore]) -> None:
    writing, reading = stores
    september = Window(datetime(2026, 8, 31, 22, tzinfo=UTC), START)
    for agreement in ("gold", "silver"):
        for window in (september, OCTOBER):
            assert await writing.append(frozen(agreement, window))
    everything = await reading.months()
    assert [(row.agreement, row.month) for row in everything] == [
        ("gold", "2026-09"),
        ("gold", "2026-10"),
        ("silver", "2026-09"),
        ("silver", "2026-10"),
    ]
    assert [row.month for row in await reading.months("gold")] == ["2026-09", "2026-10"]
    recent = await reading.months(ended_after=START)
    assert [(row.agreement, row.month) for row in recent] == [("gold", "2026-10"), ("silver", "2026-10")]
    assert await reading.months("bronze") == []
    assert await reading.months_of("gold", "2026-11") == []


async def test_known_since_is_the_first_word_about_any_of_them(stores: tuple[MonthStore, MonthStore]) -> None:
    _, reading = stores
    assert await reading.known_since([1, 2, 3]) == HEARD[1]
    assert await reading.known_since([2, 3]) == HEARD[2]
    assert await reading.known_since([3]) is None
    assert await reading.known_since([]) is None


# --- PostgreSQL alone: what the table refuses, whoever asks


async def test_rows_can_neither_be_changed_nor_removed(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.CONTROLLER), "test") as pool:
        assert await PostgresMonths(pool).append(frozen())
    with migrated_database.connect() as owner:
        for statement in (
            "UPDATE availability.month SET formula = 'holdfast-0'",
            "DELETE FROM availability.month",
            "TRUNCATE availability.month",
        ):
            with pytest.raises(Exception, match="append-only"):
                owner.execute(statement)  # type: ignore[call-overload]


async def test_a_correction_is_one_of_the_same_month(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.CONTROLLER), "test") as pool:
        months = PostgresMonths(pool)
        assert await months.append(frozen())
        (row,) = await months.months()
        with pytest.raises(DatabaseError):
            await months.append(replace(frozen("silver"), corrects=row.id))


async def test_the_site_cannot_append(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.SITE), "test") as pool:
        with pytest.raises(DatabaseError):
            await PostgresMonths(pool).append(frozen())
