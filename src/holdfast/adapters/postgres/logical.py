"""Dumps a server through exported snapshots, and loads dumps, by pg_dump and pg_restore.

A password stands in a file that only we can read, never in argv. What the programs say is told, bounded.
Source: PostgreSQL's manual, "pg_dump", "pg_export_snapshot", "The Password File".
"""

import fcntl
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, cast

import psycopg

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.server.binaries import Binaries, find_binaries
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import BackupError, NotFit, RestoreFailed, SourceAway, SourceRefused
from holdfast.backup.logical.dumps import Server, Snapshot
from holdfast.backup.logical.logical import Dump
from holdfast.backup.lsn import parse_lsn

STALL = timedelta(hours=1)
"""A program that says nothing for so long is given up."""
LOCK_PATIENCE = timedelta(minutes=1)
CONNECT_S = 30
_PIECE = 1024 * 1024
_LONGEST_WORDS = 65536
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
}
_WHERE = (
    "SELECT current_setting('server_version_num')::int,"
    " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
)
_SNAPSHOT = """
SELECT pg_export_snapshot(), statement_timestamp(), d.oid::bigint, pg_encoding_to_char(d.encoding),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
FROM pg_database d WHERE d.datname = current_database()
"""
_DATABASES = """
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND has_database_privilege(datname, 'CONNECT')
ORDER BY datname
"""


def programs(bin_dir: Path | None) -> Binaries:
    """The programs in a folder, or the packaged ones. Raises NotFit."""
    try:
        found = find_binaries(bin_dir)
    except DatabaseError as error:
        raise NotFit(str(error), hint=error.hint) from error
    missing = [
        name
        for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql")
        if not os.access(found.folder / name, os.X_OK)
    ]
    if missing:
        raise NotFit(f"no {', no '.join(missing)} in {found.folder}", hint="install postgresql-client there")
    return found


@dataclass(frozen=True, slots=True)
class Client:
    """A server, and the programs that talk to it. `params` are libpq's; they may hold a password."""

    params: Mapping[str, str]
    binaries: Binaries
    stall: timedelta = STALL

    @property
    def program_major(self) -> int:
        return self.binaries.major

    def look(self) -> Server:
        """Its version, its databases, and the extensions that it can have."""
        with self.connected() as connection:
            version, _ = _row(connection, _WHERE)
            (at,) = _row(connection, "SELECT clock_timestamp()")
            databases = tuple(name for (name,) in connection.execute(_DATABASES))
            extensions = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")}
            return Server(version, _system_id(connection), at, databases, frozenset(extensions))

    @contextmanager
    def globals(self) -> Iterator[Iterator[bytes]]:
        """Roles and tablespaces as SQL. Passwords are left out: a managed server shows them to nobody."""
        options = ["--globals-only", "--no-role-passwords", f"--database={self.params['dbname']}"]
        with self._reading("pg_dumpall", options, self.params["dbname"]) as pieces:
            yield pieces

    @contextmanager
    def dump(self, database: str) -> Iterator[Dump]:
        """One database through one snapshot, in the custom format."""
        with self.connected(database) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            name, at, oid, encoding, lsn = _row(connection, _SNAPSHOT)
            extensions = dict(connection.execute("SELECT extname, extversion FROM pg_extension").fetchall())
            snapshot = Snapshot(database, oid, encoding, at, parse_lsn(lsn), extensions)
            options = [
                "--format=custom",
                "--compress=0",
                f"--snapshot={name}",
                f"--lock-wait-timeout={LOCK_PATIENCE // timedelta(milliseconds=1)}",
            ]
            # The snapshot lasts as long as its transaction: until pg_dump has ended.
            with self._reading("pg_dump", options, database) as pieces:
                yield Dump(snapshot, pieces)

    def apply_globals(self, sql: bytes) -> None:
        """Make roles. What is there already, such as the owner of all, is left as it is."""
        self._fed(
            "psql", ["--no-psqlrc", "--quiet", "--output=/dev/null"], self.params["dbname"], iter([sql])
        )

    def load(self, database: str, pieces: Iterator[bytes], *, create: bool) -> None:
        """Load a dump from the custom format. A subscription would follow an upstream: it is left out."""
        into = self.params["dbname"] if create else database
        options = ["--exit-on-error", "--no-subscriptions", f"--dbname={_quoted(into)}"]
        if create:
            options.append("--create")
        else:
            # What every new database has already.
            options += ["--clean", "--if-exists"]
        self._fed("pg_restore", options, into, pieces)

    @contextmanager
    def connected(self, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
        settings = "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0 -c timezone=UTC"
        params = {**self.params, "dbname": database or self.params["dbname"]}
        try:
            # autocommit: transactions are begun by hand.
            with psycopg.connect(
                **cast("dict[str, Any]", params),
                autocommit=True,
                connect_timeout=CONNECT_S,
                application_name="holdfast",
                options=settings,
            ) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise SourceAway(f"the database does not answer: {_line(error)}") from error
        except psycopg.Error as error:
            raise SourceRefused(f"the database refuses: {_line(error)}") from error

    @contextmanager
    def _reading(self, program: str, options: Sequence[str], database: str) -> Iterator[Iterator[bytes]]:
        """A program's output. Its iterator raises when the program fails, or stalls."""
        with self._started(program, options, database, stdin=subprocess.DEVNULL) as (process, trouble):
            yield self._pieces(program, process, trouble)

    def _pieces(
        self, program: str, process: "subprocess.Popen[bytes]", trouble: IO[bytes]
    ) -> Iterator[bytes]:
        output = cast("IO[bytes]", process.stdout)
        with suppress(OSError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIECE)
        while True:
            ready, _, _ = select.select([output], [], [], self.stall.total_seconds())
            if not ready:
                raise SourceAway(f"{program} has said nothing for {self.stall}", hint="is the server stuck?")
            piece = os.read(output.fileno(), _PIECE)
            if not piece:
                break
            yield piece
        if process.wait(self.stall.total_seconds()) != 0:
            raise _failed(program, process.returncode, trouble, SourceRefused)

    def _fed(self, program: str, options: Sequence[str], database: str, pieces: Iterator[bytes]) -> None:
        """Feed a program. Raises RestoreFailed when it fails."""
        with self._started(program, options, database, stdin=subprocess.PIPE) as (process, trouble):
            sink = cast("IO[bytes]", process.stdin)
            # When it ends early, its exit status tells why.
            with suppress(BrokenPipeError):
                for piece in pieces:
                    sink.write(piece)
            with suppress(BrokenPipeError):
                sink.close()
            try:
                status = process.wait(self.stall.total_seconds())
            except subprocess.TimeoutExpired as error:
                raise RestoreFailed(f"{program} does not end") from error
            if status != 0:
                raise _failed(program, status, trouble, RestoreFailed)

    @contextmanager
    def _started(
        self, program: str, options: Sequence[str], database: str, *, stdin: int
    ) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
        reads = stdin == subprocess.DEVNULL
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-") as folder,
            tempfile.TemporaryFile() as trouble,
            _popen(
                [str(self.binaries.folder / program), "--no-password", *options],
                stdin=stdin,
                stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
                stderr=trouble,
                env=self._environment(Path(folder), database),
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process, trouble
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                for each in (process.stdin, process.stdout):
                    with suppress(BrokenPipeError):
                        if each is not None:
                            each.close()

    def _environment(self, folder: Path, database: str) -> dict[str, str]:
        told = {_VARIABLES[name]: text for name, text in self.params.items() if name in _VARIABLES}
        told |= {"PGDATABASE": database, "PGCONNECT_TIMEOUT": str(CONNECT_S), "PGAPPNAME": "holdfast"}
        told["PGOPTIONS"] = "-c statement_timeout=0"
        if "password" in self.params:
            passfile = folder / "pgpass"
            with os.fdopen(os.open(passfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                opened.write(f"*:*:*:*:{passfile_text(self.params['password'])}\n")
            told["PGPASSFILE"] = str(passfile)
        return {**environment(), **told}


def passfile_text(text: str) -> str:
    """A field of a password file. Raises SourceRefused for what cannot stand in one."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise SourceRefused("a password with a line's end in it cannot be given to pg_dump")
    return text.replace("\\", "\\\\").replace(":", "\\:")


@contextmanager
def _popen(command: Sequence[str], **how: Any) -> Iterator["subprocess.Popen[bytes]"]:
    try:
        process = subprocess.Popen(command, **how)
    except OSError as error:
        raise NotFit(f"{command[0]} does not run: {error}") from error
    try:
        yield process
    finally:
        process.wait()


def _quoted(database: str) -> str:
    """A database for `--dbname`, which takes a whole conninfo: a name may not become options."""
    return "dbname='{}'".format(database.replace("\\", "\\\\").replace("'", "\\'"))


def _failed(program: str, status: int, trouble: IO[bytes], kind: type[BackupError]) -> BackupError:
    end = trouble.seek(0, os.SEEK_END)
    trouble.seek(max(0, end - _LONGEST_WORDS))
    lines = trouble.read().decode(errors="replace").strip().splitlines()
    # The first error is the cause; what follows are its consequences.
    said = next((each for each in lines if "error:" in each.lower()), lines[-1] if lines else "")
    hint = "see what the login may do there"
    if "SSL support is not compiled in" in said:
        kind, hint = NotFit, "the packaged programs know no TLS: name others in verification.bin_dir"
    elif "version mismatch" in said:
        kind, hint = NotFit, "name programs that are not older than the server in verification.bin_dir"
    elif "could not connect" in said or "connection to server" in said:
        kind, hint = SourceAway, "is it up, and may the login in?"
    return kind(f"{program}: {said[:500] or f'exit status {status}'}", hint=hint)


def _row(connection: psycopg.Connection[Any], sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql.encode()).fetchone()
    if row is None:
        raise SourceRefused("the database does not tell what it was asked")
    return cast("tuple[Any, ...]", row)


def _system_id(connection: psycopg.Connection[Any]) -> int:
    try:
        return int(_row(connection, "SELECT system_identifier FROM pg_control_system()")[0])
    except psycopg.errors.InsufficientPrivilege:
        return 0


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
