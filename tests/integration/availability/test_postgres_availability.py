"""What only PostgreSQL can break: sessions, rights, triggers, partitions, snapshots, cancellation."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import errors as pg

from holdfast.adapters.postgres.availability import PostgresMonitorStore, partition_bounds
from holdfast.adapters.postgres.connect import Connection, Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.judging import compile_check
from holdfast.availability.model import Observation, Outcome, Result, State, Timings, Transition
from holdfast.availability.monitor import Monitor
from holdfast.availability.ports import Batch
from holdfast.availability.rounds import Watched
from holdfast.availability.verdicts import CheckState
from holdfast.estate.checks import Check, HttpCheck
from holdfast.estate.model import Retention
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import Remedy
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CHECKS = range(1, 6)
PATIENCE_S = 120.0


@pytest.fixture
def home(migrated_database: "Database") -> "Database":
    """A database that knows one component with five checks."""
    with migrated_database.connect() as connection:
        connection.execute(
            "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
            " VALUES (1, 'eu', 'api', 'API')"
        )
        for check in CHECKS:
            connection.execute(
                "INSERT INTO estate.probe (id, component_id, key) OVERRIDING SYSTEM VALUE VALUES (%s, 1, %s)",
                (check, f"c{check}"),
            )
    return migrated_database


@asynccontextmanager
async def leading(home: "Database") -> AsyncIterator[PostgresMonitorStore]:
    store = PostgresMonitorStore(home.conninfo(Role.CONTROLLER))
    try:
        assert await store.acquire() is not None
        yield store
    finally:
        await store.close()


def result(second: float = 0, outcome: Outcome = Outcome.GOOD, check: int = 1) -> Result:
    return Result(check, NOW + second * SECOND, outcome, Timings(1000))


def full_batch() -> Batch:
    state = CheckState(1, State.OPERATIONAL, NOW, NOW, NOW + 10 * SECOND, NOW + 30 * SECOND)
    return Batch([result()], [Transition(1, NOW, State.OPERATIONAL)], [state])


def count(home: "Database", table: str) -> int:
    with home.connect() as connection:
        row = connection.execute(f"SELECT count(*) FROM availability.{table}").fetchone()
    assert row is not None
    return int(row[0])


def end_sessions(home: "Database", application: str = "holdfast controller") -> int:
    """End the controllers' sessions, as a crash of the server or a cut line does; returns how many."""
    with home.connect() as connection:
        cursor = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            (application,),
        )
        return len(cursor.fetchall())


# --- the lease


async def test_when_its_session_ends_the_lease_is_free_and_its_last_words_are_refused(
    home: "Database",
) -> None:
    async with leading(home) as first, AsyncExitStack() as stack:
        second = PostgresMonitorStore(home.conninfo(Role.CONTROLLER))
        stack.push_async_callback(second.close)
        assert await second.acquire() is None
        assert end_sessions(home) == 1
        assert await second.acquire() == 2
        with pytest.raises(DatabaseError) as refused:
            await first.record(full_batch())
        assert refused.value.remedy is Remedy.TRANSIENT
        with pytest.raises(DatabaseError):
            await first.record(full_batch())
        assert await first.acquire() is None
        await second.record(full_batch())
    assert count(home, "result") == 1


async def test_a_session_that_the_server_still_believes_in_does_not_lock_its_own_controller_out(
    home: "Database",
) -> None:
    store = PostgresMonitorStore(home.conninfo(Role.CONTROLLER))
    async with AsyncExitStack() as lost:
        assert await store.acquire() == 1
        # The line is cut on our side only: the old session stays open, and with it the lease.
        lost.push_async_exit(store._stack.pop_all())
        assert await store.acquire() == 2
        await store.record(full_batch())
        await store.close()


async def test_another_controllers_session_is_never_ended(home: "Database") -> None:
    async with leading(home) as first:
        second = PostgresMonitorStore(home.conninfo(Role.CONTROLLER))
        for _ in range(3):
            assert await second.acquire() is None
        await first.record(full_batch())


# --- what must never change


@pytest.fixture
def owner(home: "Database") -> Iterator[psycopg.Connection]:
    with home.connect() as connection:
        connection.execute("INSERT INTO holdfast.journal (actor, event) VALUES ('test', 'test.began')")
        yield connection


@pytest.mark.parametrize(
    "table",
    ["holdfast.journal", "availability.transition", "availability.result", "availability.result_20260329"],
)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
async def test_not_even_the_owner_changes_what_is_append_only(
    home: "Database", owner: psycopg.Connection, table: str, change: str
) -> None:
    async with leading(home) as store:
        await store.record(full_batch())
    column = "actor" if table.endswith("journal") else "reason"
    with pytest.raises(pg.RestrictViolation, match="append-only"):
        owner.execute(change.format(table, column, column))
    with pytest.raises(pg.RestrictViolation, match="append-only"):
        owner.execute(f"DELETE FROM {table} WHERE false")


WRITES = {
    "estate.component": "name",
    "estate.probe": "key",
    "estate.revision": "applied_by",
    "availability.transition": "reason",
    "availability.result": "reason",
    "availability.check_state": "reason",
    "availability.rollup_day": "good",
    "availability.lease": "epoch",
    "availability.fold": "resolution",
    "availability.maintenance": "title",
    "availability.maintenance_component": "component_id",
}


@pytest.mark.parametrize(("table", "column"), WRITES.items())
def test_the_site_reads_everything_it_shows_and_writes_nothing(
    home: "Database", table: str, column: str
) -> None:
    with home.connect(Role.SITE) as site:
        site.execute(f"SELECT * FROM {table}")
        for statement in (
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"INSERT INTO {table} ({column}) VALUES (NULL)",
        ):
            with pytest.raises(pg.InsufficientPrivilege):
                site.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM holdfast.journal",
        "SELECT availability.make_partition('result', '2026-01-01Z', '2026-01-02Z')",
        "SELECT availability.drop_partitions('result', '2030-01-01Z')",
        "CREATE TABLE availability.mine ()",
        "CREATE TABLE public.mine ()",
    ],
)
def test_what_the_site_must_not_do_at_all(home: "Database", statement: str) -> None:
    with home.connect(Role.SITE) as site, pytest.raises(pg.InsufficientPrivilege):
        site.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE availability.transition SET state = 0",
        "DELETE FROM availability.transition",
        "TRUNCATE availability.transition CASCADE",
        "UPDATE availability.result SET outcome = 0",
        "DELETE FROM availability.result",
        "DELETE FROM availability.check_state",
        "DELETE FROM holdfast.journal",
        "UPDATE holdfast.journal SET actor = 'nobody'",
        "UPDATE availability.maintenance SET announced_at = '2020-01-01'",
        "UPDATE availability.maintenance SET starts_at = '2020-01-01'",
        "DELETE FROM availability.maintenance",
        "DELETE FROM availability.maintenance_component",
        "DELETE FROM estate.component",
        "ALTER TABLE availability.transition DISABLE TRIGGER ALL",
        "DROP TABLE availability.transition CASCADE",
    ],
)
def test_the_controller_cannot_rewrite_history(home: "Database", statement: str) -> None:
    with home.connect(Role.CONTROLLER) as controller, pytest.raises(pg.InsufficientPrivilege):
        controller.execute(statement)


@pytest.mark.parametrize(
    ("function", "of"), [("drop_partitions", "result"), ("drop_metric_partitions", "metric_minute")]
)
def test_the_controller_cannot_have_the_owner_drop_a_table_by_a_catalogue_of_its_own(
    home: "Database", function: str, of: str
) -> None:
    """Temporary tables come before the catalogue's, for whoever does not name them last."""
    with home.connect(Role.CONTROLLER) as controller:
        controller.execute("SELECT availability.make_partition('result', '2026-01-01Z', '2026-01-02Z')")
        controller.execute(
            "CREATE TEMP TABLE pg_inherits AS SELECT c.oid AS inhrelid, %s::regclass::oid AS inhparent "
            "FROM pg_catalog.pg_class c WHERE relname = 'result_20260101'",
            (f"availability.{of}",),
        )
        controller.execute("CREATE TEMP TABLE pg_class (oid oid, relname name, relpartbound pg_node_tree)")
        controller.execute(
            "INSERT INTO pg_temp.pg_class SELECT oid, 'month', relpartbound FROM pg_catalog.pg_class "
            "WHERE relname = 'result_20260101'"
        )
        controller.execute(f"SELECT availability.{function}(%s, '2020-01-01Z')", (of,))
        dropped = controller.execute(
            f"SELECT * FROM availability.{function}(%s, '2026-01-03Z')", (of,)
        ).fetchall()
        (kept,) = controller.execute("SELECT to_regclass('availability.month') IS NOT NULL").fetchone() or ()
    assert ("month",) not in dropped
    assert kept


def test_what_runs_as_the_owner_names_temporary_tables_last(home: "Database") -> None:
    """Also what comes later: by default they would come first."""
    with home.connect(Role.OWNER) as owner:
        found = owner.execute(
            "SELECT p.oid::regprocedure::text, p.proconfig FROM pg_proc p "
            "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prosecdef AND n.nspname !~ '^pg_'"
        ).fetchall()
    assert found
    careless = [
        function
        for function, settings in found
        if not any(each == "search_path=pg_catalog, pg_temp" for each in settings or ())
    ]
    assert careless == []


@pytest.mark.parametrize("role", [Role.SITE, Role.CONSOLE, Role.SENDER])
def test_only_the_controller_reads_what_agents_log_in_with(home: "Database", role: Role) -> None:
    with home.connect(role) as connection, pytest.raises(pg.InsufficientPrivilege):
        connection.execute("SELECT token_sha256 FROM availability.vantage_point")


def test_only_tables_made_for_it_are_partitioned(home: "Database") -> None:
    with home.connect(Role.CONTROLLER) as controller:
        for table in ("transition", "result; DROP TABLE availability.lease", ""):
            with pytest.raises(pg.RaiseException, match="not a partitioned table"):
                controller.execute("SELECT availability.make_partition(%s, now(), now())", (table,))
            with pytest.raises(pg.RaiseException, match="not a partitioned table"):
                controller.execute("SELECT availability.drop_partitions(%s, now())", (table,))


# --- partitions


@pytest.mark.parametrize(
    ("table", "start", "end"),
    [
        ("result", date(2026, 12, 31), date(2027, 1, 1)),
        ("rollup_minute", date(2026, 12, 1), date(2027, 1, 1)),
        ("rollup_hour", date(2026, 1, 1), date(2027, 1, 1)),
    ],
)
def test_partitions_are_days_months_and_years_of_utc(table: str, start: date, end: date) -> None:
    at = datetime(2027, 1, 1, 0, 59, tzinfo=ZoneInfo("Europe/Berlin"))
    bounds = partition_bounds(table, at)
    assert [bound.isoformat() for bound in bounds] == [f"{day}T00:00:00+00:00" for day in (start, end)]


async def test_many_may_make_the_same_partitions_at_once(home: "Database") -> None:
    stores = [PostgresMonitorStore(home.conninfo(Role.CONTROLLER)) for _ in range(6)]
    await asyncio.gather(*(store.keep_partitions(NOW, Retention()) for store in stores))
    with home.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'availability.result'::regclass"
        ).fetchone()
    assert row == (3,)


async def test_a_partition_that_somebody_dropped_is_made_again(home: "Database") -> None:
    async with leading(home) as store:
        await store.record(Batch([result(0)]))
        other = PostgresMonitorStore(home.conninfo(Role.CONTROLLER))
        await other.keep_partitions(NOW + timedelta(days=30), Retention())
        assert count(home, "result") == 0
        with pytest.raises(DatabaseError):
            await store.record(Batch([result(1)]))
        await store.record(Batch([result(1)]))
    assert count(home, "result") == 1


# --- reading


class Interrupted:
    """A pool whose connections let something happen after their first read."""

    def __init__(self, pool: Pool, happening: Any) -> None:
        self._pool = pool
        self._happening = happening

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._pool.connection() as connection:
            yield _Interrupted(connection, self._happening)


class _Interrupted:
    def __init__(self, connection: Connection, happening: Any) -> None:
        self._connection = connection
        self._happening = happening

    async def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        cursor = await self._connection.execute(statement, *arguments, **options)
        if str(statement).lstrip().startswith("SELECT") and self._happening is not None:
            happening, self._happening = self._happening, None
            await happening()
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_a_silence_that_ends_while_it_is_read_is_not_hidden(home: "Database") -> None:
    """Transitions are read, then a result arrives that ends a day of silence, then states are read."""
    due, back = NOW + 10 * SECOND, NOW + timedelta(days=1)
    heard_again = CheckState(1, State.OPERATIONAL, back, back, back + 10 * SECOND, back + 30 * SECOND)
    closing = Batch(
        transitions=[Transition(1, due, State.UNKNOWN), Transition(1, back, State.OPERATIONAL)],
        states=[heard_again],
    )
    async with leading(home) as store, open_pool(home.conninfo(Role.SITE), "site") as pool:
        await store.record(full_batch())
        reading = PostgresReadingStore(cast("Pool", Interrupted(pool, lambda: store.record(closing))))
        window = Window(NOW, back + SECOND)
        line = (await reading.intervals([1], window, back + SECOND))[1]
        assert [each.state for each in line][:2] == [State.OPERATIONAL, State.UNKNOWN]
        assert line[0].window.end == due
    assert count(home, "transition") == 3


# --- cancellation and crashes


async def test_a_cancelled_recording_is_all_there_or_not_at_all(home: "Database") -> None:
    chance = random.Random(7)
    async with leading(home) as store:
        for second in range(60):
            batch = Batch([result(second, check=check) for check in CHECKS])
            task = asyncio.create_task(store.record(batch))
            await asyncio.sleep(chance.random() * 0.004)
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
            await store.acquire()
            await store.record(batch)
    assert count(home, "result") == 60 * len(CHECKS)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  there is nothing to be told by
        await asyncio.sleep(0.005)


class Targets:
    """All up or all down, and quick to say so."""

    def __init__(self) -> None:
        self.down = False

    async def attempt(self, check: Check) -> Observation:  # noqa: ARG002  all are alike
        await asyncio.sleep(0)
        if self.down:
            return Observation(Timings(5), error="connection refused")
        return Observation(Timings(5), facts={"status": 200})


async def test_a_monitor_whose_sessions_are_ended_over_and_over_loses_nothing(home: "Database") -> None:
    targets, events = Targets(), list[str]()
    monitor = Monitor(
        targets,
        PostgresMonitorStore(home.conninfo(Role.CONTROLLER)),
        SystemClock(),
        on_event=lambda name, _: events.append(name),
        flush_every=0.005,
        retry_every=0.005,
    )
    check = HttpCheck(url="http://target/", every=SECOND / 20, timeout=SECOND, retry=False)
    monitor.watch([Watched.of(each, compile_check(check)) for each in CHECKS])
    task = asyncio.create_task(monitor.run())
    async with asyncio.timeout(PATIENCE_S):
        ended = 0
        while ended < 8:
            runs = monitor.counters.runs
            targets.down = ended % 4 in (1, 2)
            await until(lambda runs=runs: monitor.counters.runs >= runs + 30)
            ended += end_sessions(home)
        leads = events.count("lead_taken")
        await until(lambda: events.count("lead_taken") > leads and not monitor._outbox.results)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "lead_lost" not in events
    assert "timeline_refused" not in events
    assert count(home, "result") == monitor.counters.runs == monitor.counters.recorded
    up, down = State.OPERATIONAL, State.MAJOR_OUTAGE
    assert list(histories(home).values()) == [[up, down, up, down, up]] * len(CHECKS)


def histories(home: "Database") -> dict[int, list[State]]:
    """The states of each check in order, without the gaps that a slow machine leaves between results."""
    with home.connect() as connection:
        rows = connection.execute(
            "SELECT check_id, state FROM availability.transition ORDER BY check_id, at"
        ).fetchall()
    for check in {row[0] for row in rows}:
        states = [row[1] for row in rows if row[0] == check]
        assert all(a != b for a, b in pairwise(states)), "two histories are mixed"
    known = [(check, State(state)) for check, state in rows if state != State.UNKNOWN]
    return {
        check: [state for state, _ in groupby(state for _, state in each)]
        for check, each in groupby(known, key=lambda row: row[0])
    }


async def test_two_monitors_on_one_database_write_one_history(home: "Database") -> None:
    monitors = [
        Monitor(
            Targets(),
            PostgresMonitorStore(home.conninfo(Role.CONTROLLER)),
            SystemClock(),
            on_event=lambda *_: None,
            flush_every=0.005,
            retry_every=0.01,
        )
        for _ in range(2)
    ]
    check = HttpCheck(url="http://target/", every=SECOND / 20, timeout=SECOND, retry=False)
    for monitor in monitors:
        monitor.watch([Watched.of(each, compile_check(check)) for each in CHECKS])
    tasks = [asyncio.create_task(monitor.run()) for monitor in monitors]
    led: set[int] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(led) < 2:
            led |= {number for number, monitor in enumerate(monitors) if monitor.counters.recorded > 0}
            end_sessions(home)
            await asyncio.sleep(0.1)
        # Left in peace at last, whoever leads gets round to every check.
        while histories(home).keys() != set(CHECKS):  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert histories(home) == {check: [State.OPERATIONAL] for check in CHECKS}
