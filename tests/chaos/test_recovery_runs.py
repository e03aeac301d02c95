"""kill -9 of replicas in the middle of runs, and replicas that stand still longer than their lease.

HOLDFAST_CHAOS_ROUNDS says how many are killed, over as many runs. HOLDFAST_CHAOS_SEED repeats one.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.chaos.recovery_runs import (
    SIGCONT,
    SIGSTOP,
    WITHIN_S,
    Replica,
    breaches,
    new_run,
    owners,
    replicas,
    runs_of,
    started,
)

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery import transitions
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Run, RunState
from holdfast.recovery.ports import Note, RunStore

if TYPE_CHECKING:
    from conftest import Database

ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "10"))
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
REPLICAS = 3
LEASE_S = 2.0
AT_ONCE = 8
DATABASE_RUNS, DATABASE_KILLS = 6, 4
NOTE = Note("ben", "run.helped", {})

Told = Callable[[str, object], None]


async def start(store: RunStore, run: Run) -> None:
    await store.start(run, Note("ada", "run.started", {"run": run.id}))


async def help_along(store: RunStore, runs: Iterable[Run]) -> None:
    """People approve what waits for them, and have go on what stands still."""
    for run in runs:
        try:
            if run.state in {RunState.PARKED, RunState.NEEDS_OPERATOR}:
                await store.change(
                    run.id, lambda it, at: transitions.resumed(it, "ben", transitions.How.RETRY, at), NOTE
                )
            elif run.state is RunState.RUNNING and "go" in run.records:
                await store.change(
                    run.id, lambda it, at: transitions.approved(it, "go", "ben", {"lead"}, at), NOTE
                )
        except Refused:
            pass


async def rounds(
    database: "Database", connection: "psycopg.Connection[Any]", count: int, chance: random.Random
) -> int:
    """Kill so many that have runs in their hands; returns how many of their runs others took over."""
    async with open_pool(database.conninfo(Role.RECOVERY), "people") as pool:
        store = PostgresRuns(pool)
        begun, killed, stopped = 0, 0, set[str]()
        with replicas(database, REPLICAS, lease_s=LEASE_S) as running:
            ends = time.monotonic() + WITHIN_S + count * 5
            while True:
                assert time.monotonic() < ends, [run for run in runs_of(connection) if not run.state.is_over]
                runs = runs_of(connection)
                alive = sum(not run.state.is_over for run in runs)
                # There is work for as long as there is somebody to be killed.
                if alive < AT_ONCE and (begun < count or killed < count):
                    await start(store, new_run(begun))
                    begun += 1
                    continue
                if killed >= count and alive == 0:
                    break
                await help_along(store, runs)
                await asyncio.sleep(chance.uniform(0.02, 0.6))
                if killed < count:
                    killed += trouble(database, connection, running, stopped, chance)
                    continue
                for each in running:
                    each.signal(SIGCONT)
        taken = connection.execute(
            "SELECT count(*) FROM holdfast.journal WHERE event = 'run.taken_over'"
        ).fetchone()
    assert taken is not None
    assert begun >= count
    return int(taken[0])


def trouble(
    database: "Database",
    connection: "psycopg.Connection[Any]",
    running: list[Replica],
    stopped: set[str],
    chance: random.Random,
) -> bool:
    """Whether somebody was killed who had runs in their hands. Now and then one is stopped, or goes on."""
    busy = owners(connection)
    number = chance.randrange(len(running))
    victim = running[number]
    if victim.name in stopped and chance.random() < 0.5:
        victim.signal(SIGCONT)
        stopped.discard(victim.name)
        return False
    if chance.random() < 0.15:
        victim.signal(SIGSTOP)
        stopped.add(victim.name)
        return False
    if not busy[victim.name]:
        return False
    victim.kill()
    stopped.discard(victim.name)
    running[number] = started(database, f"{victim.name}'", lease_s=LEASE_S)
    return True


@pytest.mark.timeout(ROUNDS * 10 + 300)
def test_whoever_is_killed_every_run_ends_right(migrated_database: "Database", record_property: Told) -> None:
    began = time.monotonic()
    with migrated_database.connect() as connection:
        taken = asyncio.run(rounds(migrated_database, connection, ROUNDS, random.Random(SEED)))
        assert breaches(connection) == [], f"seed {SEED}"
        runs = runs_of(connection)
    took = time.monotonic() - began
    figures = f"{ROUNDS} kills, {len(runs)} runs, {taken} taken over, {took:.0f} s (seed {SEED})"
    record_property("figures", f"recovery, runs: {figures}")
    assert len(runs) >= ROUNDS
    assert {run.state for run in runs} == {RunState.DONE, RunState.CANCELLED}
    assert taken >= ROUNDS / 2, "those who were killed had runs in their hands"


def test_a_replica_that_stood_still_longer_than_its_lease_changes_nothing_any_more(
    migrated_database: "Database",
) -> None:
    """It is stopped between its decision to act and the act, and wakes when another one has acted."""
    run = new_run(0, seconds=10.0)

    async def begin() -> None:
        async with open_pool(migrated_database.conninfo(Role.RECOVERY), "people") as pool:
            await start(PostgresRuns(pool), run)

    with migrated_database.connect() as connection, replicas(migrated_database, 1, lease_s=LEASE_S) as first:
        asyncio.run(begin())
        until(connection, "SELECT count(*) FROM holdfast.journal WHERE event = 'run.step_begun'")
        first[0].signal(SIGSTOP)
        with replicas(migrated_database, 1, lease_s=LEASE_S) as second:
            acted = second[0].until("acted")
            first[0].signal(SIGCONT)
            late = first[0].until("late")
            assert late["late"] == acted["acted"]
            assert late["epoch"] < acted["epoch"]
            assert first[0].heard("acted") == []
            known = connection.execute(
                "SELECT epoch FROM recovery.fence WHERE scope = %s", [f"mark {acted['acted']}"]
            ).fetchone()
            assert known == (acted["epoch"],)


@pytest.mark.timeout(300)
def test_whenever_the_database_is_killed_every_run_ends_right(tmp_path: Path) -> None:
    """Its server answers before commits are on disk, where it is let: runs do not let it."""
    settings = {"synchronous_commit": "off", "wal_writer_delay": "10s", "shared_buffers": "32MB"}
    server = EmbeddedPostgres(tmp_path / "postgres", settings=settings)
    asyncio.run(server.start())
    try:
        asyncio.run(migrate(server.conninfo(Role.OWNER)))
        asyncio.run(kills_of_the_database(Alone(server), random.Random(SEED)))
        with Alone(server).connect() as connection:
            assert breaches(connection) == [], f"seed {SEED}"
    finally:
        asyncio.run(server.stop())


@dataclass(frozen=True)
class Alone:
    """A server for one test."""

    server: EmbeddedPostgres

    def conninfo(self, role: Role | None = None) -> Conninfo:
        return self.server.conninfo(role or Role.OWNER)

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.conninfo().dsn, autocommit=True)


async def kills_of_the_database(alone: Alone, chance: random.Random) -> None:
    database = cast("Database", alone)
    async with open_pool(alone.conninfo(Role.RECOVERY), "people", wait=timedelta(seconds=1)) as pool:
        store = PostgresRuns(pool)
        for number in range(DATABASE_RUNS):
            await start(store, new_run(number))
        kills, ends = 0, time.monotonic() + WITHIN_S
        with replicas(database, 2, lease_s=LEASE_S):
            while True:
                assert time.monotonic() < ends
                await asyncio.sleep(chance.uniform(0.1, 0.8))
                if kills < DATABASE_KILLS:
                    pid = alone.server.pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                    while alone.server.pid is not None:  # noqa: ASYNC110  it is another process
                        await asyncio.sleep(0.01)
                    await alone.server.start()
                runs: Sequence[Run] = []
                with contextlib.suppress(HoldfastError):
                    runs = await store.newest(DATABASE_RUNS)
                    await help_along(store, runs)
                if runs and all(run.state.is_over for run in runs):
                    return


def until(connection: "psycopg.Connection[Any]", statement: str) -> None:
    """Wait until it counts something."""
    ends = time.monotonic() + WITHIN_S
    while connection.execute(statement).fetchone() == (0,):  # type: ignore[arg-type]
        assert time.monotonic() < ends, statement
        time.sleep(0.02)


def test_what_is_looked_for_after_the_kills_can_be_found(migrated_database: "Database") -> None:
    """A step that was written down twice, an epoch that went back, and runs that did not end right."""

    async def begin() -> None:
        async with open_pool(migrated_database.conninfo(Role.RECOVERY), "people") as pool:
            for number in range(2):
                await start(PostgresRuns(pool), new_run(number))

    asyncio.run(begin())
    with migrated_database.connect() as connection:
        assert [each.split(":")[1].strip() for each in breaches(connection)] == ["is running"] * 2
        for epoch in (7, 6):
            connection.execute(
                "INSERT INTO holdfast.journal (at, actor, event, facts)"
                " VALUES (now(), 'x', 'run.step_done', %s)",
                [Jsonb({"run": "run0000", "step": "first", "epoch": epoch})],
            )
        connection.execute(
            "UPDATE recovery.run SET state = 'done', run = jsonb_set(run, '{state}', '\"done\"')"
            " WHERE number = 1"
        )
        found = breaches(connection)
    assert "run0000: an epoch went back: [7, 6]" in found
    assert "run0000: run.step_done first 2 times" in found
    assert "run0000: first ended before it began" in found
    assert "run0000: last is None, and the mark ''" in found
    assert any(each.startswith("run0001: is running") for each in found)
