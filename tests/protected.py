"""A PostgreSQL that tests protect: whole, small, quick to start, and theirs to kill.

Its login `holdfast` has REPLICATION and nothing else, as an operator's would. Fixtures: `protected` (a server
of the test's own), `shared_protected` (the session's: do not stop it, and share no table names).
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from tests.installation import free_port

from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.binaries import find_binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.adapters.postgres.server.initialise import environment, initdb_command
from holdfast.adapters.postgres.server.settings import quoted

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_VERSIONS = Path(__file__).parents[1] / ".venv/postgres-versions"
OLDER = {version: _VERSIONS / str(version) / "bin" for version in (14, 16, 17)}
"""Programs by their version: server and initdb, and pg_controldata. `scripts/test-needs` installs them."""
OWNER, OWNER_PASSWORD = "postgres", "owner-of-the-tests"
LOGIN, LOGIN_PASSWORD = "holdfast", "replication-only"
PATIENCE_S = 90.0

_ACCESS = "".join(
    f"{kind} {database} all {address} scram-sha-256\n"
    for kind, address in (("local", ""), ("host", "127.0.0.1/32"))
    for database in ("all", "replication")
)


class Protected:
    """A server in `folder`, on a loopback port. `settings` win over the fixture's own."""

    def __init__(
        self,
        folder: Path,
        *,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        segment_mb: int = 16,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.binaries = find_binaries(bin_dir)
        self.port = free_port()
        self.settings = dict(settings or {})
        self.confinement = find_confinement(self.binaries, _made(folder))
        self._segment_mb = segment_mb
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def params(self) -> dict[str, str]:
        """How Holdfast reaches it: libpq's parameters, for PostgresSource."""
        return self._params(LOGIN, LOGIN_PASSWORD)

    @property
    def owner_params(self) -> dict[str, str]:
        """How its superuser reaches it."""
        return self._params(OWNER, OWNER_PASSWORD)

    @property
    def log(self) -> str:
        """All that the server said."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def initialise(self) -> "Protected":
        """Make the data directory. `start` does it when there is none."""
        password = self.folder / "password"
        password.write_text(OWNER_PASSWORD + "\n", encoding="ascii")
        self.own(password)
        command = [
            *initdb_command(self.binaries, self.folder),
            f"--username={OWNER}",
            "--no-sync",
            f"--wal-segsize={self._segment_mb}",
        ]
        self.run(*command)
        return self

    def start(self, *, wait: bool = True) -> "Protected":
        """Start it, and wait until it answers."""
        fresh = not self.data.exists()
        if fresh:
            self.initialise()
        self._configure()
        with (self.folder / "server.log").open("ab") as log:
            command = [*self.confinement.prefix, self.binaries.postgres, "-D", str(self.data)]
            command += ["-c", f"config_file={self.folder / 'protected.conf'}"]
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        if wait:
            self._until_it_answers()
        if fresh:
            self.sql(f"CREATE ROLE {LOGIN} LOGIN REPLICATION PASSWORD '{LOGIN_PASSWORD}'")
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: fast by default (SIGINT), smart by SIGTERM, at once by SIGQUIT. Idempotent."""
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(how)
        self._server.wait(PATIENCE_S)
        self._server = None

    def kill9(self) -> None:
        """End all of its processes as a power cut does. `start` recovers it."""
        if self._server is None:
            return
        self._server.kill()
        for pid in process.processes_of(self.data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait(PATIENCE_S)
        self._server = None
        deadline = time.monotonic() + PATIENCE_S
        while process.processes_of(self.data) and time.monotonic() < deadline:
            time.sleep(0.01)

    def promote(self) -> None:
        """Let a standby become a primary; returns once it accepts writes."""
        self.sql("SELECT pg_promote(true, 60)")
        deadline = time.monotonic() + PATIENCE_S
        while self.value("SELECT pg_is_in_recovery()") and time.monotonic() < deadline:
            time.sleep(0.02)

    def standby(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> "Protected":
        """A standby that follows this server, started, made by pg_basebackup."""
        other = Protected(
            folder, bin_dir=self.binaries.folder, settings={**self.settings, **(settings or {})}
        )
        passfile = folder / "pgpass"
        passfile.write_text(f"127.0.0.1:{self.port}:*:{OWNER}:{OWNER_PASSWORD}\n", encoding="ascii")
        passfile.chmod(0o600)
        self.own(passfile)
        conninfo = f"host=127.0.0.1 port={self.port} user={OWNER} passfile='{passfile}'"
        program = str(self.binaries.folder / "pg_basebackup")
        other.run(program, "-d", conninfo, "-D", str(other.data), "-c", "fast", "-N", "-R")
        return other.start()

    def connect(self, dbname: str = "postgres", **params: str) -> psycopg.Connection[Any]:
        """The superuser's connection, in autocommit mode; close it."""
        return psycopg.connect(autocommit=True, **{**self.owner_params, "dbname": dbname, **params})  # type: ignore[arg-type]

    def sql(self, text: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, each by itself when there is one; the rows of the last."""
        with self.connect(dbname) as connection:
            cursor = connection.execute(text)  # type: ignore[call-overload]
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def value(self, text: str, dbname: str = "postgres") -> Any:
        """The first value of the first row."""
        return self.sql(text, dbname)[0][0]

    def run(self, *command: str, **kwargs: Any) -> str:
        """Run one of PostgreSQL's programs as it must be run here; its output. Fails when it fails."""
        ended = subprocess.run(
            [*self.confinement.prefix, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            check=False,
            timeout=300,
            **kwargs,
        )
        output = ended.stdout.decode(errors="replace")
        assert ended.returncode == 0, f"{command[0]}: {output}"
        return output

    def remove(self) -> None:
        """Stop it at once and let go of its files."""
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _params(self, user: str, password: str) -> dict[str, str]:
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "user": user,
            "password": password,
            "dbname": "postgres",
            "sslmode": "disable",
        }

    def _configure(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "hba_file": str(self.folder / "hba.conf"),
            "password_encryption": "scram-sha-256",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
            "max_wal_senders": "12",
            "max_replication_slots": "12",
            "wal_level": "replica",
            "max_wal_size": "512MB",
            "min_wal_size": f"{5 * self._segment_mb}MB",
            "autovacuum": "off",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "cluster_name": "protected",
            **({"summarize_wal": "on"} if self.binaries.major >= 17 else {}),
            **self.settings,
        }
        lines = [
            "include 'data/postgresql.conf'",
            *(f"{name} = {quoted(text)}" for name, text in settings.items()),
        ]
        # What a standby follows stands in there, and this file is read instead of the one that would say so.
        lines.append("include_if_exists 'data/postgresql.auto.conf'")
        for name, text in (("protected.conf", "\n".join(lines) + "\n"), ("hba.conf", _ACCESS)):
            (self.folder / name).write_text(text, encoding="utf-8")
            self.own(self.folder / name)

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                ended = self._server is None or self._server.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise AssertionError(f"the server does not answer: {self.log[-3000:]}") from error
                time.sleep(0.03)
            else:
                return

    def own(self, path: Path) -> None:
        """Hand a file or folder to the account that the server runs as."""
        os.chown(path, self.confinement.uid, self.confinement.gid)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
