"""The real controller at work on the real embedded PostgreSQL, watched from outside.

The controller is the process that `holdfast up` starts, with the login that it gets from it. What is counted
is what got stored: rows in `availability.result`. Start delays are those rows' times against the schedule's
own rhythm, so they include whatever kept a run from beginning, and a run that never was is seen.
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path

import psycopg

from bench.estates import Wanted, estate_text
from bench.processes import cpu_of_server_s, cpu_s, memory_mb, peak_memory_mb, pinned, python, require_alive
from bench.subjects import FOLDER
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.server.process import processes_of
from holdfast.availability.schedule import Schedule
from holdfast.availability.sharing import share_of
from holdfast.bootstrap.database import packed

READY_WITHIN_S = 120.0
SETTLED_AFTER = timedelta(seconds=4)
"""A run that began so long ago is stored."""
AT_THE_BORDERS = 10
"""So many runs may fall just outside a window without having been missed."""


@dataclass(frozen=True, slots=True)
class Watching:
    """How to watch: windows of `window_s` after `warm_up_s` from the first run of every check on.

    `on_one_core` keeps the controller on the first core, and PostgreSQL on the last.
    `beside` is read with each reading: what somebody else had spent and done by then.
    """

    windows: int
    window_s: float
    warm_up_s: float = 10.0
    on_one_core: bool = False
    beside: Callable[[], tuple[float, int] | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Reading:
    """What had been spent and stored by a moment."""

    at: datetime
    controller_s: float
    postgres_s: float
    stored: int
    beside: tuple[float, int] | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What was measured: readings, between which windows lie; (check, began) of all runs before `until`."""

    wanted: Wanted
    readings: Sequence[Reading]
    runs: Sequence[tuple[int, datetime]]
    until: datetime
    memory_mb: float
    peak_memory_mb: float
    windows: Sequence[tuple[Reading, Reading]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", list(pairwise(self.readings)))

    @property
    def stored(self) -> list[int]:
        return [after.stored - before.stored for before, after in self.windows]

    @property
    def controller_ms(self) -> list[float]:
        """The controller's CPU for each stored result, window by window."""
        return [
            1000 * (after.controller_s - before.controller_s) / count
            for (before, after), count in zip(self.windows, self.stored, strict=True)
        ]

    @property
    def postgres_ms(self) -> list[float]:
        return [
            1000 * (after.postgres_s - before.postgres_s) / count
            for (before, after), count in zip(self.windows, self.stored, strict=True)
        ]

    @property
    def together_ms(self) -> list[float]:
        return [ours + theirs for ours, theirs in zip(self.controller_ms, self.postgres_ms, strict=True)]

    @property
    def rates(self) -> list[float]:
        """Stored runs a second, by when they began: they are stored in steps of seconds."""
        found = []
        for before, after in self.windows:
            until = min(after.at, self.until)
            begun = sum(before.at <= at < until for _, at in self.runs)
            found.append(begun / (until - before.at).total_seconds())
        return found

    @property
    def delays(self) -> list[list[float]]:
        """The start delays of each window. A run that never was counts as a whole period late."""
        every_s = float(self.wanted.every.removesuffix("s"))
        delays = start_delays(self.runs, every_s)
        found = []
        for before, after in self.windows:
            until = min(after.at, self.until)
            inside = [
                delay for (_, at), delay in zip(self.runs, delays, strict=True) if before.at <= at < until
            ]
            due = round(self.wanted.checks / every_s * (until - before.at).total_seconds())
            found.append(inside + [every_s] * max(0, due - len(inside) - AT_THE_BORDERS))
        return found


def controlled(wanted: Wanted, watching: Watching) -> Taken:
    """Run the estate, and take what is to be seen. Leaves nothing running and nothing on disk."""
    for left in FOLDER.glob("checks-*"):
        asyncio.run(EmbeddedPostgres(left / "postgres").stop())
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="checks-") as folder:
        config = Path(folder) / "holdfast.yaml"
        config.write_text(estate_text(wanted), encoding="utf-8")
        return asyncio.run(_take(wanted, config, watching))


async def _take(wanted: Wanted, config: Path, watching: Watching) -> Taken:
    folder = config.parent
    server = EmbeddedPostgres(folder / "postgres")
    await server.start()
    try:
        await migrate(server.conninfo(Role.OWNER))
        if watching.on_one_core:
            for pid in processes_of(server.layout.data):
                pinned(pid, 1)
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
            if watching.on_one_core:
                pinned(controller.pid, 0)
            scene = _Scene(connection, server, controller, log)
            return await asyncio.to_thread(_watch, scene, wanted, watching)
    finally:
        await server.stop()


@dataclass(frozen=True, slots=True)
class _Scene:
    connection: psycopg.Connection
    server: EmbeddedPostgres
    controller: subprocess.Popen[bytes]
    log: Path

    def stored(self) -> int:
        row = self.connection.execute("SELECT count(*) FROM availability.result").fetchone()
        assert row is not None
        return int(row[0])

    def read(self, watching: Watching) -> Reading:
        require_alive(self.controller, self.log)
        stored = self.stored()
        postmaster = self.server.pid
        if postmaster is None:
            raise SystemExit("the database has ended")
        postgres_s = cpu_of_server_s(postmaster, processes_of(self.server.layout.data))
        row = self.connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        return Reading(row[0], cpu_s(self.controller.pid), postgres_s, stored, watching.beside())


def _watch(scene: _Scene, wanted: Wanted, watching: Watching) -> Taken:
    deadline = time.monotonic() + READY_WITHIN_S
    while (stored := scene.stored()) < wanted.checks:
        require_alive(scene.controller, scene.log)
        if time.monotonic() > deadline:
            raise SystemExit(f"the controller recorded only {stored} results")
        time.sleep(0.5)
    time.sleep(watching.warm_up_s)
    readings = [scene.read(watching)]
    for _ in range(watching.windows):
        time.sleep(watching.window_s)
        readings.append(scene.read(watching))
    pid = scene.controller.pid
    memory, peak = memory_mb(pid), peak_memory_mb(pid)
    until = readings[-1].at - SETTLED_AFTER
    runs = scene.connection.execute(
        "SELECT check_id, at FROM availability.result WHERE at >= %s AND at < %s ORDER BY at",
        (readings[0].at, until),
    ).fetchall()
    return Taken(wanted, readings, runs, until, memory, peak)


def start_delays(runs: Sequence[tuple[int, datetime]], every_s: float) -> list[float]:
    """How long after it was due each run (check id, began; in order) began, in seconds.

    The schedule is asked for the rhythm of each check; when it all began, on the wall clock, is taken from
    the most punctual run of each share: each has a monitor, which begins when it takes the lead.
    """
    phases = _phases({check_id for check_id, _ in runs}, every_s)
    # Modulo `every`, around the first run, so that a delay across a border of the rhythm is not lost.
    began = [at.timestamp() - phases[check_id] for check_id, at in runs]
    first: dict[int, float] = {}
    for (check_id, _), moment in zip(runs, began, strict=True):
        first.setdefault(share_of(check_id), moment - every_s / 2)
    offsets = [
        (moment - first[share_of(check_id)]) % every_s
        for (check_id, _), moment in zip(runs, began, strict=True)
    ]
    of_share: dict[int, list[float]] = defaultdict(list)
    for (check_id, _), offset in zip(runs, offsets, strict=True):
        of_share[share_of(check_id)].append(offset)
    punctual = {share: min(found) for share, found in of_share.items()}
    return [
        offset - punctual[share_of(check_id)] for (check_id, _), offset in zip(runs, offsets, strict=True)
    ]


def _phases(check_ids: Iterable[int], every_s: float) -> dict[int, float]:
    schedule = Schedule()
    for check_id in check_ids:
        schedule.put(check_id, every_s, 0.0)
    schedule.take_due(every_s)  # the first runs of slow rhythms come early, besides the rhythm
    return {due.check_id: due.at for due in schedule.take_due(2 * every_s)}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
