"""A whole Holdfast in a folder of its own, used as its operator uses it: through the command line.

Its processes are known by what they carry: the data directory in their environment, or the database's folder
as their working directory. So everything that was started is found and ended, however a test ends.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.server import process as postgres_process
from holdfast.adapters.postgres.server.layout import Layout, place_elsewhere
from holdfast.adapters.postgres.server.passwords import password_of
from holdfast.adapters.postgres.server.roles import DATABASE
from holdfast.lab.ports import is_free
from holdfast.lab.topology import CLUSTERS, ROLES, port_of

T = TypeVar("T")
PROGRAM = [sys.executable, "-m", "holdfast.bootstrap.main"]
PATIENCE_S = 90.0
"""How long a test waits for something that must happen at all. What must happen soon is asserted apart."""
REPOSITORY = Path(__file__).resolve().parents[1]


def eventually(look: Callable[[], T], what: str, within_s: float = PATIENCE_S) -> T:
    """Look until there is something to see; fails with `what` when that takes too long."""
    deadline = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within_s:.0f} s still not: {what}")
        time.sleep(0.05)
    return seen


def free_port() -> int:
    """A free loopback port below those that the kernel hands out by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def fetch(url: str, **headers: str) -> tuple[int, str]:
    """The status and the body of one GET; status 0 when nobody answers."""
    request = Request(url, headers={name.replace("_", "-"): text for name, text in headers.items()})
    try:
        with urlopen(request, timeout=20) as answer:
            return int(answer.status), answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def free_base_port() -> int:
    """A number from which all the ports of a lab are free."""
    while True:
        base = free_port() // 100 * 100
        if all(is_free(port_of(base, cluster, role)) for cluster in CLUSTERS for role in ROLES):
            return base


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Started:
    """A command that goes on running; what it says is kept in files."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> Said:
        return Said(
            -1 if self.process.poll() is None else self.process.returncode,
            self._out.read_text(encoding="utf-8"),
            self._err.read_text(encoding="utf-8"),
        )

    def ended(self, within_s: float = PATIENCE_S) -> Said:
        """Wait for its end."""
        self.process.wait(within_s)
        return self.said

    def interrupt(self) -> Said:
        """What Ctrl-C does: the terminal signals it and its children at once. Waits for its end."""
        os.killpg(self.pid, signal.SIGINT)
        return self.ended()

    def stop(self) -> Said:
        """Ask it to end, as a service manager does, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Installation:
    """`folder` holds the estate file and the data directory."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.config = folder / "holdfast.yaml"
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOLDFAST_DATA_DIR": str(self.data_dir),
            "HOLDFAST_CONFIG": str(self.config),
            "COLUMNS": "160",
            **environment,
        }
        self._started: list[Started] = []

    # Commands

    def run(self, *arguments: str, code: int | None = 0, within_s: float = PATIENCE_S) -> Said:
        """Run a command to its end, and expect its exit code (None: any)."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert code is None or said.code == code, f"{arguments} came to {said}"
        return said

    def start(self, *arguments: str) -> Started:
        """Start a command that goes on running."""
        number = len(self._started)
        out, err = self.folder / f"said-{number}.out", self.folder / f"said-{number}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*PROGRAM, *arguments],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # as in a terminal of its own, so that Ctrl-C can be played
            )
        self._started.append(Started(process, out, err))
        return self._started[-1]

    def up(self, *arguments: str, command: str = "up") -> Started:
        """Start everything, and wait until it says that it runs."""
        up = self.start(command, "--json", *arguments)

        def runs() -> bool:
            assert up.process.poll() is None, f"{command} ended: {up.said}"
            return up.said.out.rstrip().endswith("}")

        eventually(runs, f"{command} says that it runs")
        return up

    # What there is to see

    @property
    def database(self) -> Layout:
        return Layout(self.data_dir / "postgres")

    @property
    def postmaster(self) -> int | None:
        """The database server's main process, while it lives."""
        found = postgres_process.read_pid_file(self.database.pid_file)
        alive = found is not None and postgres_process.serves(found.pid, self.database.data)
        return found.pid if found is not None and alive else None

    def backends(self) -> list[int]:
        """The database server's processes but the main one."""
        found = postgres_process.processes_of(self.database.data)
        return [pid for pid in found if pid != self.postmaster]

    def role(self, name: str) -> int | None:
        """The process of a role that `up` started; None while there is none."""
        try:
            pid = int((self.data_dir / "run" / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if postgres_process.lives(pid) else None

    def log(self, role: str) -> str:
        return (self.data_dir / "log" / f"{role}.log").read_text(encoding="utf-8")

    def connect(self) -> psycopg.Connection:
        """A session of the database's owner, in autocommit mode; close it."""
        found = postgres_process.read_pid_file(self.database.pid_file)
        if found is None or not found.socket_folder:
            raise psycopg.OperationalError("the database does not run")
        return psycopg.connect(
            host=found.socket_folder,
            port=found.port,
            user=Role.OWNER.value,
            dbname=DATABASE,
            password=password_of(self.database.secrets, Role.OWNER, make=False),
            connect_timeout=5,
            autocommit=True,
        )

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, in a session of its own."""
        with contextlib.closing(self.connect()) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def available(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """As `query`, or nothing while the database is away or not ready yet."""
        try:
            return self.query(sql, *values)
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return []

    def processes(self) -> Mapping[int, str]:
        """Every living process of this installation and of its lab, with its command line."""
        ours = {
            f"HOLDFAST_DATA_DIR={self.data_dir}".encode(),
            f"HOLDFAST_LAB={self.data_dir / 'lab'}".encode(),
        }
        folders = (f"{self.data_dir}/postgres/", f"{self.data_dir}/lab/")
        return {
            pid: command
            for pid, command, folder, environment in _living_processes()
            if folder.startswith(folders) or ours & environment
        }

    # The end

    def end(self) -> list[str]:
        """End everything; returns what had to be ended by force though nobody asked for its survival."""
        for started in self._started:
            if started.process.poll() is None:
                started.process.send_signal(signal.SIGTERM)
        for started in self._started:
            try:
                started.process.wait(60)
            except subprocess.TimeoutExpired:
                started.kill()
        # A database whose supervisor was killed lives on, as promised; it is ended in order.
        for layout in (self.database, Layout(self.data_dir / "lab" / "postgres")):
            found = postgres_process.read_pid_file(layout.pid_file)
            if found is not None:
                postgres_process.send(found.pid, layout.data, signal.SIGINT)
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.processes(), "nothing runs", 20)
        left = self.processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for layout in (self.database, Layout(self.data_dir / "lab" / "postgres")):
            shutil.rmtree(place_elsewhere(layout.data), ignore_errors=True)
        return list(left.values())


def _living_processes() -> Iterator[tuple[int, str, str, set[bytes]]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or not postgres_process.lives(int(entry.name)):
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = set((entry / "environ").read_bytes().split(b"\0"))
            folder = str((entry / "cwd").readlink())
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
        yield int(entry.name), command, f"{folder}/", environment


@contextlib.contextmanager
def installed(folder: Path, estate: str = "", **environment: str) -> Iterator[Installation]:
    """An installation with that estate file; everything that it started is ended, or the test fails."""
    folder.mkdir(parents=True, exist_ok=True)
    installation = Installation(folder, **environment)
    if estate:
        installation.config.write_text(estate, encoding="utf-8")
    try:
        yield installation
    finally:
        left = installation.end()
    assert not left, f"these outlived their end: {left}"
