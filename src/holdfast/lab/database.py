"""The sample service's database server: one embedded PostgreSQL with a database and a login per cluster."""

import asyncio
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.server.process import FileLock, processes_of, read_pid_file, serves
from holdfast.kernel.clock import Clock
from holdfast.lab import processes
from holdfast.lab.errors import LabError, NotRunningError, PartFailedError
from holdfast.lab.model import WAYS, Damage, PartState, PartStatus, refuse_unless
from holdfast.lab.place import Place, Record
from holdfast.lab.processes import Phase, Process

SETTLING_S = 30.0


class DatabasePart:
    """The server. Its data directory tells which processes it has; the record tells what was done to it."""

    def __init__(
        self, name: str, databases: Iterable[str], bin_dir: Path | None, place: Place, clock: Clock
    ) -> None:
        self._name = name
        self._databases = tuple(databases)
        self._bin_dir = bin_dir
        self._place = place
        self._clock = clock
        self._data = place.postgres / "data"

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Start or wake the server, make what databases and logins are missing, and hand over the logins."""
        was = await self.status()
        self._wake()
        server = self._server()
        await server.start()
        await self._provide(server.conninfo(Role.OWNER))
        if was.state is not PartState.RUNNING:
            self._place.write_record(self._name, Record(self._clock.now(), self._main()))

    async def heal(self) -> None:
        await self.start()

    async def stop(self) -> None:
        await self._end()
        self._place.forget(self._name)

    async def break_(self, how: Damage) -> None:
        main = self._main()
        if main is None:
            if (record := self._place.record(self._name)) and record.damage:
                return
            raise NotRunningError(
                f"{self._name} does not run", hint="start what is missing by holdfast lab up"
            )
        refuse_unless(how, WAYS, self._name)
        if how is Damage.HANG:
            await self._freeze(main)
        elif how is Damage.KILL:
            await self._kill(main)
        else:
            await self._end()
        self._place.write_record(self._name, Record(self._clock.now(), self._main(), how))

    async def status(self) -> PartStatus:
        record, main = self._place.record(self._name), self._main()
        since = record.since if record else None
        if main is None:
            broken = record is not None and record.damage is not None and record.damage is not Damage.HANG
            state = PartState.BROKEN if broken else PartState.MISSING
            return PartStatus(self._name, state, since=since if broken else None)
        if processes.phase_of(main) is Phase.FROZEN:
            known = since if record and record.damage is Damage.HANG else None
            return PartStatus(self._name, PartState.HANGING, main.pid, since=known)
        known = since if record and record.process == main else None
        return PartStatus(self._name, PartState.RUNNING, main.pid, since=known)

    def _server(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self._place.postgres, bin_dir=self._bin_dir, within=self._place.root.parent)

    def _main(self) -> Process | None:
        file = read_pid_file(self._data / "postmaster.pid")
        if file is None or not serves(file.pid, self._data):
            return None
        return processes.find_process(file.pid)

    def _all(self) -> list[Process]:
        """Every process of the server, also those that outlive its main one for a moment."""
        found = (processes.find_process(pid) for pid in processes_of(self._data))
        return [process for process in found if process]

    def _wake(self) -> None:
        for process in self._all():
            if processes.phase_of(process) is Phase.FROZEN:
                processes.send_signal(process, signal.SIGCONT)

    async def _freeze(self, main: Process) -> None:
        # The main process first: afterwards no process is added, and one look finds them all.
        processes.send_signal(main, signal.SIGSTOP)
        if not await processes.wait_until(main, Phase.FROZEN, 5):
            raise PartFailedError(f"{self._name} ended before it could be frozen")
        for process in self._all():
            processes.send_signal(process, signal.SIGSTOP)

    async def _kill(self, main: Process) -> None:
        everything = self._all()
        processes.send_signal(main, signal.SIGKILL)
        for process in everything:
            # The others notice within moments that the main process is gone; a frozen one never would.
            if not await processes.wait_until(process, Phase.GONE, 5):
                processes.send_signal(process, signal.SIGKILL)
                await processes.wait_until(process, Phase.GONE, 5)

    async def _end(self) -> None:
        if self._place.postgres.exists():
            self._wake()
            await self._settled()
            await self._server().stop()
        if left := self._all():
            raise PartFailedError(
                f"{self._name} does not end: process {left[0].pid} is left",
                hint="look at its log, then try again",
            )

    async def _settled(self) -> None:
        """Wait while what a killed command began, a server or its initdb, is neither there nor gone."""
        layout = self._server().layout
        deadline = time.monotonic() + SETTLING_S
        while self._main() is None and (_is_held(layout.start_lock) or _is_held(layout.server_lock)):
            if time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.05)

    async def _provide(self, owner: Conninfo) -> None:
        with told(self._name):
            connection = await psycopg.AsyncConnection.connect(owner.dsn, autocommit=True, connect_timeout=10)
            async with connection:
                for database in self._databases:
                    login = self._place.secret(database)
                    await provide_database(connection, database, login)
                    conninfo = make_conninfo(
                        **{**owner.settings, "dbname": database, "user": database, "password": login}
                    )
                    self._place.write_secret(f"{database}.conninfo", conninfo + "\n")


def _is_held(path: Path) -> bool:
    """Whether somebody has that lock now."""
    lock = FileLock(path)
    try:
        return not lock.try_acquire()
    finally:
        lock.close()


async def provide_database(
    connection: psycopg.AsyncConnection[tuple[object, ...]], database: str, password: str
) -> None:
    """A database, and a login of the same name that owns it and nothing else. Idempotent."""
    # Encrypted here, so that the password itself stands in no statement and in no log.
    verifier = connection.pgconn.encrypt_password(password.encode(), database.encode(), b"scram-sha-256")
    name, secret = sql.Identifier(database), sql.Literal(verifier.decode())
    cursor = await connection.execute("select from pg_roles where rolname = %s", (database,))
    verb = "alter" if cursor.rowcount else "create"
    statement = sql.SQL("{} role {} login connection limit 20 password {}")
    await connection.execute(statement.format(sql.SQL(verb), name, secret))
    cursor = await connection.execute("select from pg_database where datname = %s", (database,))
    if not cursor.rowcount:
        await connection.execute(sql.SQL("create database {} owner {}").format(name, name))
        await connection.execute(sql.SQL("revoke all on database {} from public").format(name))


@contextmanager
def told(name: str) -> Iterator[None]:
    """Inside this block the driver's errors come out as LabErrors; statement text and passwords stay out."""
    try:
        yield
    except psycopg.Error as error:
        line = (error.diag.message_primary or str(error)).strip().splitlines()[:1]
        raise LabError(
            f"the lab's {name} refused: {line[0] if line else type(error).__name__}",
            hint="to begin again: holdfast lab down, then remove the lab's postgres directory",
        ) from error
