"""1,000 HTTP checks every 10 s by the real controller on the real embedded PostgreSQL.

The controller is the process that `holdfast up` starts, with the login that it gets from it; the target is a
service in a process of its own whose CPU does not count. What is counted is what got stored: rows in
`availability.result`. Start delays are those rows' times against the schedule's own rhythm, so they include
whatever kept a run from beginning, and a run that never was is seen.
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path

import psycopg

from bench.estates import Wanted, estate_text
from bench.probe_cpu import service
from bench.processes import cpu_of_server_s, cpu_s, peak_memory_mb, python, require_alive
from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_most
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.process import processes_of
from holdfast.availability.schedule import Schedule
from holdfast.bootstrap.database import packed

CHECKS = 1_000
EVERY_S = 10
WARM_UP_S = 10.0
WINDOW_S = 60.0
"""One fold of the roll-ups falls into each window, as into each minute of real life."""
READY_WITHIN_S = 60.0
SETTLED_AFTER = timedelta(seconds=2)
"""A run that began so long ago is stored."""
AT_THE_BORDERS = 10
"""So many runs may fall just outside a window without having been missed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been spent and stored by a moment."""

    at: datetime
    controller_s: float
    postgres_s: float
    stored: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was measured: readings, between which windows lie; (check, began) of all runs before `until`."""

    readings: Sequence[Reading]
    runs: Sequence[tuple[int, datetime]]
    until: datetime
    memory_mb: float


def measure(options: Options) -> Sequence[Measurement]:
    for left in FOLDER.glob("checks-*"):
        asyncio.run(EmbeddedPostgres(left / "postgres").stop())
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="checks-") as folder, service() as (port, _, _):
        config = Path(folder) / "holdfast.yaml"
        wanted = Wanted(CHECKS, url=f"http://127.0.0.1:{port}/", every=f"{EVERY_S}s")
        config.write_text(estate_text(wanted), encoding="utf-8")
        taken = asyncio.run(_take(config, Path(folder), options))
    return _measurements(taken)


async def _take(config: Path, folder: Path, options: Options) -> Taken:
    server = EmbeddedPostgres(folder / "postgres")
    await server.start()
    try:
        await migrate(server.conninfo(Role.OWNER))
        arguments = [
            *("-m", "holdfast.bootstrap.main", "serve", "controller", "--supervised"),
            *("--config", str(config), "--data-dir", str(folder)),
        ]
        log = folder / "controller.log"
        login = packed(server.conninfo(Role.CONTROLLER))
        with (
            psycopg.connect(server.conninfo(Role.OWNER).dsn, autocommit=True) as connection,
            python(arguments, first_line=login, log=log) as controller,
        ):
            return await asyncio.to_thread(_watch, connection, server, controller, log, options)
    finally:
        await server.stop()


def _watch(
    connection: psycopg.Connection,
    server: EmbeddedPostgres,
    controller: subprocess.Popen[bytes],
    log: Path,
    options: Options,
) -> Taken:
    deadline = time.monotonic() + READY_WITHIN_S
    while _stored(connection) < CHECKS:
        require_alive(controller, log)
        if time.monotonic() > deadline:
            raise SystemExit(f"the controller recorded only {_stored(connection)} results")
        time.sleep(0.5)
    time.sleep(WARM_UP_S)
    readings = [_read(connection, server, controller)]
    for _ in range(options.runs):
        time.sleep(WINDOW_S / 2 if options.quick else WINDOW_S)
        require_alive(controller, log)
        readings.append(_read(connection, server, controller))
    memory = peak_memory_mb(controller.pid)
    until = readings[-1].at - SETTLED_AFTER
    runs = connection.execute(
        "SELECT check_id, at FROM availability.result WHERE at >= %s AND at < %s ORDER BY at",
        (readings[0].at, until),
    ).fetchall()
    return Taken(readings, runs, until, memory)


def _read(
    connection: psycopg.Connection, server: EmbeddedPostgres, controller: subprocess.Popen[bytes]
) -> Reading:
    stored = _stored(connection)
    postmaster = server.pid
    if postmaster is None:
        raise SystemExit("the database has ended")
    postgres_s = cpu_of_server_s(postmaster, processes_of(server.layout.data))
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return Reading(row[0], cpu_s(controller.pid), postgres_s, stored)


def _stored(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM availability.result").fetchone()
    assert row is not None
    return int(row[0])


def _measurements(taken: Taken) -> Sequence[Measurement]:
    pairs = list(pairwise(taken.readings))
    stored = [after.stored - before.stored for before, after in pairs]
    controller = [
        1000 * (after.controller_s - before.controller_s) / count
        for (before, after), count in zip(pairs, stored, strict=True)
    ]
    postgres = [
        1000 * (after.postgres_s - before.postgres_s) / count
        for (before, after), count in zip(pairs, stored, strict=True)
    ]
    together = [ours + theirs for ours, theirs in zip(controller, postgres, strict=True)]
    windows = _delays(taken)
    rate = sum(stored) / (taken.readings[-1].at - taken.readings[0].at).total_seconds()
    return [
        Measurement(
            "check judged and stored: CPU", "ms", together, at_most(1.0), note=f"{rate:.0f} checks/s"
        ),
        Measurement("  of it the controller", "ms", controller),
        Measurement("  of it PostgreSQL", "ms", postgres),
        Measurement("controller: peak resident memory", "MB", [taken.memory_mb], at_most(250)),
        Measurement(
            "start delay, p99",
            "s",
            [percentile(each, 0.99) for each in windows],
            at_most(1.0),
            note=f"worst {max(map(max, windows)):.3f} s",
        ),
    ]


def _delays(taken: Taken) -> list[list[float]]:
    """The start delays of each window. A run that never was counts as a whole period late."""
    delays = start_delays(taken.runs, EVERY_S)
    windows = []
    for before, after in pairwise(taken.readings):
        until = min(after.at, taken.until)
        inside = [delay for (_, at), delay in zip(taken.runs, delays, strict=True) if before.at <= at < until]
        due = round(CHECKS / EVERY_S * (until - before.at).total_seconds())
        windows.append(inside + [float(EVERY_S)] * max(0, due - len(inside) - AT_THE_BORDERS))
    return windows


def start_delays(runs: Sequence[tuple[int, datetime]], every_s: float) -> list[float]:
    """How long after it was due each run (check id, began; in order) began, in seconds.

    The schedule is asked for the rhythm of each check; when it all began, on the wall clock, is taken from
    the most punctual run.
    """
    schedule = Schedule()
    for check_id in {check_id for check_id, _ in runs}:
        schedule.put(check_id, every_s, 0.0)
    phases = {due.check_id: due.at for due in schedule.take_due(every_s)}
    began = [at.timestamp() - phases[check_id] for check_id, at in runs]
    # Modulo `every`, around the first run, so that a delay across a border of the rhythm is not lost.
    first = began[0] - every_s / 2
    offsets = [(moment - first) % every_s for moment in began]
    punctual = min(offsets)
    return [offset - punctual for offset in offsets]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
