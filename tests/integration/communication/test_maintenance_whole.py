"""Planned work on the real database: killed processes, rights, figures, months, what was there before."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.freezing import FrozenMonth, Promise
from holdfast.availability.model import Interval, State
from holdfast.availability.months import accounted
from holdfast.availability.sla import Statement, Terms, statement
from holdfast.communication.directory import Directory
from holdfast.communication.maintenance_desk import MaintenanceDesk, NewMaintenance
from holdfast.communication.model import Maintenance, Place, Stage
from holdfast.communication.upkeep import Upkeep
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DIRECTORY = Directory({1: Place("eu", "EU", "api", "API")}, {})


@dataclass
class Whole:
    """A database with one component and one subscriber by mail, and the desk over it."""

    database: "Database"
    store: PostgresMaintenances
    desk: MaintenanceDesk
    upkeep: Upkeep
    reading: PostgresReadingStore
    months: PostgresMonths

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            cursor = connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    async def plan(self, start: timedelta, end: timedelta, **others: Any) -> Maintenance:
        """From now on that long."""
        now = await self.store.now()
        new = NewMaintenance("Switches", "", frozenset({1}), Window(now + start, now + end), **others)
        return await self.desk.plan(new, "ann")

    def pass_time(self, by: timedelta) -> None:
        """The database's clock cannot be moved on: everything that was stored is moved back instead."""
        columns = {
            "communication.maintenance": ("starts_at", "ends_at", "began_at", "ended_at", "announced_at"),
            "availability.maintenance": ("starts_at", "ends_at", "began_at", "ended_at", "announced_at"),
        }
        for table, names in columns.items():
            moves = ", ".join(f"{name} = {name} - interval '{by.total_seconds()} s'" for name in names)
            self.query(f"UPDATE {table} SET {moves}")

    async def statement(self, window: Window, notice: timedelta, down: Window) -> Statement:
        """What an agreement with that notice comes to, for a component that was up but in `down`."""
        maintenance = await self.reading.maintenance(window, [1])
        line = [
            Interval(Window(window.start, down.start), State.OPERATIONAL),
            Interval(down, State.MAJOR_OUTAGE),
            Interval(Window(down.end, window.end), State.OPERATIONAL),
        ]
        return statement({1: line}, maintenance, Terms(Decimal(99), notice=notice), window, window.end)


def prepared(database: "Database") -> None:
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
            " VALUES (1, 'eu', 'api', 'API')"
        )
        connection.execute(
            "INSERT INTO communication.subscription (channel, address, address_hash, language, topics,"
            " component_ids, cluster_keys, standing, asked)"
            " VALUES ('mail', 'x', sha256('x'), 'en', '{maintenance}', '{}', '{}', 'active', '{}')"
        )


@pytest.fixture
async def whole(migrated_database: "Database") -> AsyncIterator[Whole]:
    prepared(migrated_database)
    async with AsyncExitStack() as stack:
        controller, site = [
            await stack.enter_async_context(open_pool(migrated_database.conninfo(role), "test"))
            for role in (Role.CONTROLLER, Role.SITE)
        ]
        store = PostgresMaintenances(controller)
        clock = SystemClock()
        desk = MaintenanceDesk(store, PostgresAnnouncements(controller), clock, lambda: DIRECTORY)
        upkeep = Upkeep(store, desk, clock, lambda: DIRECTORY)
        yield Whole(
            migrated_database, store, desk, upkeep, PostgresReadingStore(site), PostgresMonths(controller)
        )


# --- killed processes

_ROUND = """
import asyncio, json, sys
from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.communication.directory import Directory
from holdfast.communication.maintenance_desk import MaintenanceDesk
from holdfast.communication.model import Place
from holdfast.communication.upkeep import Upkeep
from holdfast.kernel.clock import SystemClock

async def main(settings):
    password = settings.pop("password", None)
    async with open_pool(Conninfo(Role.CONTROLLER, settings, password), "doomed") as pool:
        store, clock = PostgresMaintenances(pool), SystemClock()
        directory = lambda: Directory({1: Place("eu", "EU", "api", "API")}, {})
        desk = MaintenanceDesk(store, PostgresAnnouncements(pool), clock, directory)
        await Upkeep(store, desk, clock, directory).run_once()

asyncio.run(main(json.load(sys.stdin)))
"""


@pytest.fixture
def doomed(migrated_database: "Database") -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for the database's parameters, and then makes one round."""
    process = subprocess.Popen([sys.executable, "-c", _ROUND], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


async def test_a_round_that_is_killed_reminds_nobody_and_the_next_one_everybody_once(
    whole: Whole, doomed: "subprocess.Popen[bytes]"
) -> None:
    """kill -9 after the reminder was queued for its readers, and before that was committed."""
    made = await whole.plan(2 * HOUR, 3 * HOUR, remind=(HOUR,))
    whole.pass_time(HOUR + MINUTE)
    assert doomed.stdin is not None
    with whole.database.connect() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE holdfast.journal IN EXCLUSIVE MODE")
        settings = whole.database.conninfo(Role.CONTROLLER).parameters
        doomed.stdin.write(json.dumps(dict(settings)).encode())
        doomed.stdin.close()
        session = await blocked(whole)
        doomed.kill()
        doomed.wait()
        blocker.execute("ROLLBACK")
    await gone(whole, session)
    assert told(whole) == ["maintenance.planned"]

    assert await whole.upkeep.run_once() == 1
    assert await whole.upkeep.run_once() == 0
    assert told(whole) == ["maintenance.planned", "maintenance.reminder"]
    assert (await whole.desk.maintenance(made.id)).reminded == (HOUR,)


async def blocked(whole: Whole) -> int:
    """Until the other process waits for the journal, with the rest of its transaction done; its session."""
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'holdfast.journal'::regclass"
    while not (found := whole.query(waiting)):  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(0.05)
    session: int = found[0][0]
    return session


async def gone(whole: Whole, session: int) -> None:
    while whole.query("SELECT FROM pg_locks WHERE pid = %s", session):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def told(whole: Whole) -> list[str]:
    """What was queued for the one subscriber, oldest first; each exactly as often as it will be delivered."""
    rows = whole.query(
        "SELECT a.event FROM communication.delivery d JOIN communication.announcement a"
        " ON a.id = d.announcement_id ORDER BY a.at"
    )
    return [event for (event,) in rows]


async def test_two_controllers_at_once_begin_it_once(whole: Whole) -> None:
    await whole.plan(HOUR, 2 * HOUR)
    whole.pass_time(HOUR + MINUTE)
    rounds = [Upkeep(whole.store, whole.desk, SystemClock(), lambda: DIRECTORY).run_once() for _ in range(4)]
    assert sum(await asyncio.gather(*rounds)) == 1
    assert told(whole) == ["maintenance.planned", "maintenance.started"]


async def test_a_controller_whose_clock_is_ahead_begins_nothing(whole: Whole) -> None:
    await whole.plan(HOUR, 2 * HOUR)
    ahead = ManualClock(datetime.now(UTC) + DAY)
    assert await Upkeep(whole.store, whole.desk, ahead, lambda: DIRECTORY).run_once() == 0


# --- rights


@pytest.mark.parametrize("role", [Role.CONTROLLER, Role.CONSOLE])
@pytest.mark.parametrize(
    "statement",
    [
        (
            "INSERT INTO availability.maintenance (starts_at, ends_at, title, announced_by, announced_at)"
            " VALUES (now(), now() + interval '1 h', 'x', 'x', '2020-01-01')"
        ),
        (
            "INSERT INTO communication.maintenance (id, version, title, body, stage, starts_at, ends_at,"
            " starts_by_clock, ends_by_clock, announced_by, announced_at) VALUES ('abcdefghijkl', 1, 'x', '',"
            " 'scheduled', now(), now() + interval '1 h', true, true, 'x', '2020-01-01')"
        ),
        "UPDATE availability.maintenance SET announced_at = '2020-01-01'",
        "UPDATE availability.maintenance SET starts_at = '2020-01-01'",
        "UPDATE availability.maintenance SET ends_at = '2030-01-01'",
        "UPDATE communication.maintenance SET announced_at = '2020-01-01'",
        "UPDATE communication.maintenance_update SET body = 'never said'",
        "DELETE FROM communication.maintenance_update",
        "DELETE FROM communication.maintenance_change",
        "DELETE FROM communication.maintenance",
        "DELETE FROM availability.maintenance",
        "DELETE FROM availability.maintenance_component",
    ],
)
async def test_who_plans_can_neither_date_back_nor_rewrite(whole: Whole, role: Role, statement: str) -> None:
    await whole.plan(HOUR, 2 * HOUR)
    with whole.database.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize("table", ["maintenance", "maintenance_update", "maintenance_change", "series"])
async def test_the_site_reads_and_writes_nothing(whole: Whole, table: str) -> None:
    with whole.database.connect(Role.SITE) as site:
        site.execute(f"SELECT * FROM communication.{table}".encode())
        for statement in (
            f"DELETE FROM communication.{table}",
            f"INSERT INTO communication.{table} DEFAULT VALUES",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                site.execute(statement.encode())


# --- figures


async def test_a_night_worked_out_by_hand(whole: Whole) -> None:
    """Announced four days ahead, from 0:00 to 4:00; at 3:00 extended to 5:00; over, and up again, at 4:30.

    An agreement of 72 h leaves out the four hours that were announced in time, and counts the half hour that
    was not. One that asks for no notice leaves out that half hour too: it was announced an hour before it
    began. The last half hour of the extension was given back.
    """
    made = await whole.plan(96 * HOUR, 100 * HOUR)
    whole.pass_time(99 * HOUR)
    assert await whole.upkeep.run_once() == 1
    begun = await whole.desk.maintenance(made.id)
    night = Window(begun.window.start - 2 * HOUR, begun.window.start + 18 * HOUR)
    await whole.desk.extend(made.id, begun.window.end + HOUR, "ann")
    whole.pass_time(timedelta(hours=1.5))
    over = await whole.desk.finish(made.id, "ann")
    start = over.window.start
    assert over.ended_at is not None
    shift = timedelta(hours=1.5)
    night = Window(night.start - shift, night.end - shift)
    down = Window(start, over.ended_at)

    strict = await whole.statement(night, 72 * HOUR, down)
    assert strict.figure.tally.excluded == 4 * HOUR
    assert near(strict.figure.downtime, HOUR / 2)
    assert near(strict.figure.counted, 16 * HOUR)
    lenient = await whole.statement(night, timedelta(), down)
    assert near(lenient.figure.tally.excluded, timedelta(hours=4.5))
    assert lenient.figure.downtime == timedelta()
    hour_and_a_bit = await whole.statement(night, HOUR + MINUTE, down)
    assert hour_and_a_bit.figure.tally.excluded == 4 * HOUR, "the extension came an hour before what it added"


def near(length: timedelta, wanted: timedelta) -> bool:
    """Within a minute: the database's clock went on while the test did."""
    return abs(length - wanted) < MINUTE


async def test_a_late_start_and_a_cancellation_count_in_full(whole: Whole) -> None:
    late = await whole.plan(96 * HOUR, 100 * HOUR, starts_by_clock=False)
    whole.pass_time(97 * HOUR)
    begun = await whole.desk.start(late.id, "ann")
    assert begun.began_at is not None
    window = Window(begun.window.start - HOUR, begun.window.end + HOUR)
    found = await whole.statement(window, 72 * HOUR, begun.window)
    assert near(found.figure.tally.excluded, 3 * HOUR)
    assert near(found.figure.downtime, HOUR)

    gone = await whole.plan(96 * HOUR, 100 * HOUR, starts_by_clock=False)
    whole.pass_time(101 * HOUR)
    await whole.upkeep.run_once()
    gone = await whole.desk.maintenance(gone.id)
    assert gone.stage is Stage.CANCELLED
    window = Window(gone.window.start - HOUR, gone.window.end + HOUR)
    assert (await whole.statement(window, 72 * HOUR, gone.window)).figure.downtime == 4 * HOUR


async def test_a_frozen_month_is_corrected_when_work_turns_out_to_have_been_shorter(whole: Whole) -> None:
    """The month closes over one that the clock ended; later somebody says when it was over."""
    made = await whole.plan(96 * HOUR, 100 * HOUR)
    whole.pass_time(20 * DAY)
    await whole.upkeep.run_once()
    over = await whole.desk.maintenance(made.id)
    month = Window(over.window.start - DAY, over.window.end + DAY)
    promise = Promise("gold", "UTC", Terms(Decimal(99), notice=72 * HOUR), {"eu/api": 1})

    async def recomputed(corrects: FrozenMonth | None = None) -> FrozenMonth:
        return (await accounted(whole.reading, promise, month, datetime.now(UTC), corrects)).month

    assert await whole.months.append(await recomputed())
    (frozen,) = await whole.months.months("gold")
    assert frozen.figures["total"]["excluded_us"] == 4 * 3_600_000_000
    assert (await recomputed()).intervals_sha256 == frozen.intervals_sha256

    await whole.desk.finish(made.id, "ann", at=over.window.start + HOUR)
    correction = await recomputed(frozen)
    assert correction.intervals_sha256 != frozen.intervals_sha256
    assert await whole.months.append(correction)
    before, after = await whole.months.months_of("gold", frozen.month)
    assert (before.id, after.corrects) == (frozen.id, frozen.id)
    assert after.figures["total"]["excluded_us"] == 3_600_000_000
    assert told(whole) == ["maintenance.planned", "maintenance.completed"], "a correction is no news"


# --- what was there before


async def test_what_was_planned_before_is_taken_over(database: "Database") -> None:
    await migrate(database.conninfo(), until=6)
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
            " VALUES (1, 'eu', 'api', 'API')"
        )
        for title, start, cancelled in (
            ("coming", 5, "NULL"),
            ("", -5, "NULL"),
            ("x" * 300, -1, "NULL"),
            ("gone", 9, "now()"),
        ):
            connection.execute(
                "WITH made AS (INSERT INTO availability.maintenance"
                " (starts_at, ends_at, announced_by, title, cancelled_at)"
                f" VALUES (now() + interval '{start} h', now() + interval '{start + 2} h', 'ann', %s,"
                f" {cancelled}) RETURNING id) INSERT INTO availability.maintenance_component"
                " SELECT id, 1 FROM made",
                (title,),
            )
    await migrate(database.conninfo())
    async with open_pool(database.conninfo(Role.CONTROLLER), "test") as pool:
        store = PostgresMaintenances(pool)
        now = await store.now()
        found = await store.maintenances(Window(now - DAY, now + DAY))
        assert [(each.title[:20], each.stage.value) for each in found] == [
            ("Planned maintenance", "completed"),
            ("x" * 20, "in_progress"),
            ("coming", "scheduled"),
            ("gone", "cancelled"),
        ]
        assert all(each.component_ids == {1} and each.announced_by == "ann" for each in found)
        counted = await PostgresReadingStore(pool).maintenance(Window(now - DAY, now + DAY))
        assert [each.of for each in counted] == [each.id for each in found]
        desk = MaintenanceDesk(store, PostgresAnnouncements(pool), SystemClock(), lambda: DIRECTORY)
        coming = found[2]
        assert (await desk.cancel(coming.id, "", "ann")).stage is Stage.CANCELLED
        assert [each.cancelled_at is None for each in counted] == [True, True, True, False]
        again = await PostgresReadingStore(pool).maintenance(Window(now - DAY, now + DAY))
        assert [each.cancelled_at is None for each in again] == [True, True, False, False]
