"""What a receiver of WAL costs: transactions per second without one, with ours, and with PostgreSQL's own.

Connections of `pgbench` commit as fast as they can: its own transaction, but for the rows that all of them
wait for (`simple-update`), by few connections and by many, and a single row, which is nothing but its commit.
Commits that wait at the same time share a flush: how much waiting costs is a matter of how many there are.
Each receiver is a process of its own, as in production. Each takes its turn in every round, another first.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.backup_server import PORT, USER, Server
from bench.processes import cpu_s, peak_memory_mb
from bench.subjects import FOLDER, Options
from bench.table import Measurement, Target, at_least, at_most, not_measured
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.wal.reception import slot_name

DATABASE = "bench"
ALONE, ASYNC = "no receiver", "async, 1 region"
SPOOLED, STORED = "sync, on the receiver's disk", "sync, and in 1 region on the same disk"
PEER = "pg_receivewal --synchronous"
FEW = 8
SHARE = 0.65
SCALE = 10
MEMORY_MB = 300.0
READY_WITHIN_S = 60.0
_ROW = "INSERT INTO jobs (filler) VALUES (repeat('x', 100));\n"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_ESTATE = """\
regions:
  here: {{name: Here}}
clusters:
  here:
    name: Here
    region: here
    components:
      web: {{name: Website, checks: {{page: {{url: "https://example.com/"}}}}}}
backup:
  stores:
    here: {{to: "file://{store}"}}
databases:
  {database}:
    name: Bench
    cluster: here
    connection: {{host: "{host}", port: {port}, user: {user}}}
    mode: {mode}
    sync: {{regions: {regions}, stall_limit: 60s}}
    copies: {{here: {{}}}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is committed, by so many connections at once."""

    name: str
    connections: int
    promised: bool
    """Whether a share of what is possible without a receiver is promised of it."""


TRANSACTIONS = tuple(Load(f"pgbench, {count} connections", count, promised=True) for count in (FEW, 32, 64))
ROW = Load("a row", FEW, promised=False)
"""The worst case."""
LOADS = (*TRANSACTIONS, ROW)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one turn was measured at. CPU and memory are the receiver's; 0 without one."""

    tps: float
    cpu_us: float
    """For each transaction."""
    memory_mb: float


Costs = Mapping[tuple[Load, str], Sequence[Cost]]
"""By load and side, a cost for each round."""


@dataclass(slots=True)
class Arena:
    """The server that is written to, and what was measured so far."""

    folder: Path
    server: Server
    seconds: int
    costs: dict[tuple[Load, str], list[Cost]] = field(default_factory=dict)

    def turn(self, side: str) -> None:
        """Let one side take its turn on a server that has nothing left to write."""
        self.server.settle()
        # Nothing is removed before the end: ext4 makes files slowly where many were removed just before.
        folder = self.folder / f"turn-{len(list(self.folder.glob('turn-*')))}"
        with received(self.server, folder, side) as pid:
            for each in LOADS:
                before = 0.0 if pid is None else cpu_s(pid)
                tps = self.load(each)
                spent = 0.0 if pid is None else cpu_s(pid) - before
                memory_mb = 0.0 if pid is None else peak_memory_mb(pid)
                cost = Cost(tps, spent * 1e6 / (tps * self.seconds), memory_mb)
                self.costs.setdefault((each, side), []).append(cost)
                print(f"  {each.name}: {side} {tps:,.0f} a second", file=sys.stderr, flush=True)

    def load(self, what: Load) -> float:
        """Transactions per second."""
        told = "--builtin=simple-update"
        if what is ROW:
            script = self.folder / "row.sql"
            script.write_text(_ROW, encoding="ascii")
            told = f"--file={script}"
        ran = self.pgbench(
            f"--client={what.connections}",
            "--no-vacuum",
            "--protocol=prepared",
            f"--time={self.seconds}",
            told,
        )
        return float(cast("re.Match[str]", _TPS.search(ran))[1])

    def pgbench(self, *options: str) -> str:
        where = [f"--host={self.server.folder}", f"--port={PORT}", f"--username={USER}"]
        command = [str(self.server.binaries.folder / "pgbench"), *where, *options, "postgres"]
        ran = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
        if ran.returncode != 0:
            raise SystemExit(f"pgbench:\n{(ran.stdout + ran.stderr)[-3000:]}")
        return ran.stdout


def measure(options: Options) -> Sequence[Measurement]:
    sides = [ALONE, ASYNC, SPOOLED, STORED]
    with arena(1 if options.quick else 4) as found:
        if not (found.server.binaries.folder / "pgbench").exists():
            return [not_measured("sync mode", "there is no pgbench beside the server's programs")]
        if (found.server.binaries.folder / "pg_receivewal").exists():
            sides.append(PEER)
        found.pgbench("--initialize", "--quiet", f"--scale={SCALE}")
        for number in range(options.runs_beside_peers):
            at = number % len(sides)
            for side in sides[at:] + sides[:at]:
                found.turn(side)
        head = f"PostgreSQL {found.server.binaries.major}"
        return list(measurements(found.costs, head))


def measurements(costs: Costs, head: str) -> Iterator[Measurement]:
    """A line for each side's transactions, and its share of those without a receiver. Pure."""
    for load in LOADS:
        by_side = {side: values for (each, side), values in costs.items() if each == load}
        alone = by_side.pop(ALONE)
        yield Measurement(f"{load.name}: {ALONE}", "/s", [each.tps for each in alone], note=head)
        for side, values in by_side.items():
            yield Measurement(f"{load.name}: {side}", "/s", [each.tps for each in values])
            target = at_least(SHARE) if load.promised and side in (SPOOLED, STORED) else None
            yield share("  of those without a receiver", values, alone, target)
            if side == SPOOLED and PEER in by_side:
                yield share(f"  of those with {PEER}", values, by_side[PEER])
        for side, values in by_side.items():
            yield Measurement(
                f"{load.name}: CPU of the receiver, {side}", "us", [each.cpu_us for each in values]
            )
    for side in (ASYNC, SPOOLED, STORED, PEER):
        most = [each.memory_mb for load in LOADS for each in costs.get((load, side), ())]
        if most:
            target = None if side == PEER else at_most(MEMORY_MB)
            yield Measurement(f"memory of the receiver, {side}", "MB", most, target)
        else:
            yield not_measured(side, "it is not beside the server's programs")


def share(
    name: str, ours: Sequence[Cost], theirs: Sequence[Cost], target: Target | None = None
) -> Measurement:
    """Of rounds: what disturbed a round disturbed both."""
    values = [each.tps / other.tps for each, other in zip(ours, theirs, strict=True)]
    return Measurement(name, "x", values, target)


@contextmanager
def arena(seconds: int) -> Iterator[Arena]:
    """A server that is ready, stopped and cleared away behind it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="syncing-", dir=os.environ.get("HOLDFAST_BENCH_DIR", FOLDER)))
    try:
        server = Server(folder / "server", None, "true")
        try:
            server.start()
            server.sql("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
            yield Arena(folder, server, seconds)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def received(server: Server, folder: Path, side: str) -> Iterator[int | None]:
    """The receiver runs and has all that there is; its process. Nothing of it is left behind it."""
    if side == ALONE:
        yield None
        return
    folder.mkdir()
    slot = slot_name(DATABASE)
    in_sync = side != ASYNC
    server.sql(f"SELECT pg_create_physical_replication_slot('{slot}', true)")
    command = _peer(server, folder, slot) if side == PEER else _holdfast(server, folder, side)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )
    try:
        _wait_for(server, "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'", folder)
        if in_sync:
            _commits_wait_for(server, "holdfast")
            _wait_for(
                server, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'", folder
            )
        yield process.pid
    finally:
        _commits_wait_for(server, "")
        process.terminate()
        try:
            process.wait(READY_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _wait_for(server, "SELECT count(*) = 0 FROM pg_stat_replication", folder)
        server.sql(f"SELECT pg_drop_replication_slot('{slot}')")


def _holdfast(server: Server, folder: Path, side: str) -> list[str]:
    (folder / "store").mkdir()
    estate = _ESTATE.format(
        store=folder / "store",
        database=DATABASE,
        host=server.folder,
        port=PORT,
        user=USER,
        mode="stream" if side == ASYNC else "sync",
        regions=0 if side == SPOOLED else 1,
    )
    config = folder / "holdfast.yaml"
    config.write_text(estate, encoding="utf-8")
    program = [sys.executable, "-m", "holdfast.bootstrap.main", "wal", "receive", DATABASE]
    return [*program, "-c", str(config), "--data-dir", str(folder / "data")]


def _peer(server: Server, folder: Path, slot: str) -> list[str]:
    (folder / "received").mkdir()
    where = f"host={server.folder} port={PORT} user={USER} application_name=holdfast"
    command = [str(server.binaries.folder / "pg_receivewal"), "--synchronous", "--no-loop", f"--slot={slot}"]
    return [*command, f"--directory={folder / 'received'}", f"--dbname={where}"]


def _commits_wait_for(server: Server, name: str) -> None:
    server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    server.sql("SELECT pg_reload_conf()")


def _wait_for(server: Server, query: str, folder: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not server.sql(query)[0][0]:
        if time.monotonic() > deadline:
            log = (folder / "log").read_text(encoding="utf-8", errors="replace")
            raise SystemExit(f"the receiver does not come to: {query}\n{log[-3000:]}")
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    return {**os.environ, **environment()}
