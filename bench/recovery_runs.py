"""A replica that works on a run is killed: how long until another one has taken the run on.

By the database's clock, from before the kill until the takeover stands in the run's row. Moments are spread
over the time between two renewals of the lease. Beside it what the engine itself costs: steps that do
nothing, and a replica that is ended in order.
"""

import asyncio
import random
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
from tests.chaos.recovery_runs import Replica, new_run, owners, replicas, started

from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_most
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.recovery.engine import LEASE
from holdfast.recovery.model import Playbook, Run, Step
from holdfast.recovery.ports import Note

ROUNDS = 10
STEPS = 200
WITHIN_S = 60.0


@dataclass(frozen=True)
class Served:
    """The database of the bench."""

    server: EmbeddedPostgres

    def conninfo(self, role: Role | None = None) -> Conninfo:
        return self.server.conninfo(role or Role.OWNER)

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.conninfo().dsn, autocommit=True)


def measure(options: Options) -> Sequence[Measurement]:
    lease_s = 3.0 if options.quick else LEASE.total_seconds()
    rounds = 3 if options.quick else max(ROUNDS, options.runs)
    chance, killed, ended = random.Random(9), list[float](), list[float]()
    with served() as found:
        database = cast("Any", found)
        with found.connect() as connection, replicas(database, 2, lease_s=lease_s) as running:
            for number in range(rounds):
                after_s = chance.uniform(0, lease_s / 3)
                killed.append(_takeover(found, connection, running, number, lease_s, after_s))
                print(f"  taken over after {killed[-1]:.2f} s", file=sys.stderr, flush=True)
            for number in range(rounds, 2 * rounds):
                took = _takeover(found, connection, running, number, lease_s, 0.1, in_order=True)
                ended.append(took * 1000)
        with found.connect() as connection, replicas(database, 1, lease_s=lease_s):
            steps = [_step_ms(found, connection, number) for number in range(min(rounds, 5))]
    name = f"a dead replica's run, lease {lease_s:g} s"
    return [
        Measurement(f"{name}: taken over", "s", killed, at_most(lease_s), "kill -9 of who worked on it"),
        Measurement("a run of a replica that was ended in order: taken over", "ms", ended),
        Measurement("a step that does nothing", "ms", steps, None, f"of {STEPS} one after the other"),
    ]


@contextmanager
def served() -> Iterator[Served]:
    """A PostgreSQL of its own, as Holdfast sets it up."""
    folder = FOLDER / "recovery-runs"
    shutil.rmtree(folder, ignore_errors=True)
    server = EmbeddedPostgres(folder)
    asyncio.run(server.start())
    try:
        asyncio.run(migrate(server.conninfo(Role.OWNER)))
        yield Served(server)
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


def _start(found: Served, run: Run) -> None:
    async def start() -> None:
        async with open_pool(found.conninfo(Role.RECOVERY), "bench") as pool:
            await PostgresRuns(pool).start(run, Note("bench", "run.started", {"run": run.id}))

    asyncio.run(start())


def _takeover(
    found: Served,
    connection: "psycopg.Connection[Any]",
    running: list[Replica],
    number: int,
    lease_s: float,
    after_s: float,
    *,
    in_order: bool = False,
) -> float:
    """Seconds. The run is taken away afterwards, and there are as many replicas as before."""
    run = new_run(number, seconds=40)
    _start(found, run)
    at, victim = _owner(connection, running, run.id)
    time.sleep(after_s)
    before = _ask(connection, "SELECT clock_timestamp()")
    epoch = _ask(connection, "SELECT epoch FROM recovery.run WHERE id = %s", run.id)
    if in_order:
        victim.process.terminate()
        victim.process.wait()
    victim.kill()
    ends = time.monotonic() + WITHIN_S
    while _ask(connection, "SELECT epoch FROM recovery.run WHERE id = %s", run.id) == epoch:
        assert time.monotonic() < ends, "nobody takes the run over"
        time.sleep(0.005)
    taken = _ask(connection, "SELECT leased_until - leased_for FROM recovery.run WHERE id = %s", run.id)
    connection.execute(
        "UPDATE recovery.run SET state = 'cancelled', run = jsonb_set(run, '{state}', '\"cancelled\"')"
        " WHERE id = %s",
        [run.id],
    )
    running[at] = started(cast("Any", found), f"replica{number + 10}", lease_s=lease_s)
    running[at].until("ready")
    return float((taken - before).total_seconds())


def _owner(
    connection: "psycopg.Connection[Any]", running: Sequence[Replica], run_id: str
) -> tuple[int, Replica]:
    ends = time.monotonic() + WITHIN_S
    while not owners(connection):
        assert time.monotonic() < ends, "nobody takes the run on"
        time.sleep(0.01)
    name = _ask(connection, "SELECT owner FROM recovery.run WHERE id = %s", run_id)
    return next((at, each) for at, each in enumerate(running) if each.name == name)


def _step_ms(found: Served, connection: "psycopg.Connection[Any]", number: int) -> float:
    """Milliseconds for each step of a run whose steps do nothing but pass the fence."""
    run = Run(
        id=f"steps{number}",
        playbook=Playbook(
            name="steps",
            title="Steps",
            stages=[
                Step(
                    name=f"step{each}",
                    title="Step",
                    action="mark.set",
                    given={"mark": f"{number}/{each}", "seconds": "0"},
                    within=timedelta(minutes=1),
                )
                for each in range(STEPS)
            ],
        ),
        subject=f"steps{number}",
        started_by="bench",
        started_at=datetime.fromtimestamp(0, UTC),
    )
    _start(found, run)
    ends = time.monotonic() + WITHIN_S
    while _ask(connection, "SELECT state FROM recovery.run WHERE id = %s", run.id) != "done":
        assert time.monotonic() < ends, "the run does not end"
        time.sleep(0.05)
    took = _ask(connection, "SELECT changed_at - started_at FROM recovery.run WHERE id = %s", run.id)
    return float(took.total_seconds()) * 1000 / STEPS


def _ask(connection: "psycopg.Connection[Any]", statement: str, *parameters: object) -> Any:
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None
    return row[0]
