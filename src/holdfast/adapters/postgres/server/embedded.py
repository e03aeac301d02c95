"""The private PostgreSQL that Holdfast starts, owns and, after a crash of its own, finds again.

    directory/
      data/             the data directory
      run/              the socket (or a folder under the system's temporary one, where the path is too long)
      log/              the server's log, at most LOG_FILES files
      secrets/          one password per role, mode 0600
      postgresql.conf   written at each start; extra.conf beside it is the operator's
      start.lock        held while somebody starts or stops the server
      server.lock       held by the server and all its processes while any of them lives

Rules:
1. Who holds start.lock decides; everybody else waits, then adopts what is running.
2. A server is adopted when its process is PostgreSQL on our data directory and our password opens it.
3. A server is started only while holding server.lock, which the last process of an earlier one has let go of:
   two servers on one data directory would destroy it.
4. A signal goes only to a process that was just seen to be PostgreSQL on our data directory.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import (
    DatabaseAway,
    DatabaseError,
    DatabaseNotStarting,
    DatabaseRefused,
    DatabaseTaken,
)
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.binaries import Binaries, find_binaries
from holdfast.adapters.postgres.server.confinement import Confinement, Kind, find_confinement
from holdfast.adapters.postgres.server.initialise import environment, initialise
from holdfast.adapters.postgres.server.layout import (
    Layout,
    let_go_of_socket_folder,
    prepare_socket_folder,
    socket_folder,
)
from holdfast.adapters.postgres.server.passwords import password_of
from holdfast.adapters.postgres.server.roles import DATABASE, ensure_database, ensure_roles
from holdfast.adapters.postgres.server.settings import ACCESS_RULES, EXTRA_TEXT, LOOPBACK, server_settings

DEFAULT_PORT = 5432
PAUSE_S = 0.05


class EmbeddedPostgres:
    """A server of our own in `directory`. Outlives this process unless `stop` is called.

    `port`: None for the socket only, 0 for a free loopback port (chosen once, then kept), else that port.
    `settings` override the server's, and take effect when it is started, not when it is adopted.
    `within` is Holdfast's data directory above `directory`; as root without user namespaces the account that
    PostgreSQL runs as is let through it. `confine` allows only one way of running as root.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bin_dir: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        within: Path | None = None,
        confine: Kind | None = None,
        patience: timedelta = timedelta(seconds=60),
    ) -> None:
        self.layout = Layout(directory.absolute())
        self.adopted = False
        self._bin_dir = bin_dir
        self._wanted_port = port
        self._settings = dict(settings or {})
        self._within = [] if within is None else [within.absolute()]
        self._confine = confine
        self._patience = patience
        self._passwords: dict[Role, str] = {}
        self._server: process.PidFile | None = None
        self._child: int | None = None

    @property
    def pid(self) -> int | None:
        """The running server's main process; None when it is not running."""
        if self._child is not None:
            process.reap(self._child)
        found = process.read_pid_file(self.layout.pid_file)
        return found.pid if found is not None and process.serves(found.pid, self.layout.data) else None

    @property
    def port(self) -> int | None:
        """The loopback port, when there is one."""
        return self._server.port if self._server is not None and self._wanted_port is not None else None

    def conninfo(self, role: Role) -> Conninfo:
        """How `role` connects to Holdfast's database, over the socket. Raises DatabaseAway before `start`."""
        return self._conninfo(role, DATABASE)

    async def start(self) -> None:
        """Start the server, or adopt the one that still runs. Returns once it answers. Idempotent.

        Raises DatabaseUnsuitable, DatabaseTaken or DatabaseNotStarting; DatabaseAway when the server is alive
        but still recovering after `patience`: it goes on, and the next call adopts it.
        """
        binaries = await asyncio.to_thread(find_binaries, self._bin_dir)
        await asyncio.to_thread(self.layout.prepare)
        async with self._start_lock() as lock:
            if await asyncio.to_thread(self.layout.is_initialised, binaries):
                self._passwords = self._read_passwords(fresh=False)
                self.adopted = await self._adopt()
                if not self.adopted:
                    await self._launch(binaries, await self._confinement(binaries, self.layout.data_owner()))
            else:
                self.adopted = False
                self._passwords = self._read_passwords(fresh=True)
                confinement = await self._confinement(binaries, None)
                await initialise(self.layout, binaries, confinement, self._passwords[Role.OWNER], lock)
                await self._launch(binaries, confinement)
            async with connect(self._conninfo(Role.OWNER, "postgres"), "start") as owner:
                await ensure_roles(owner, self._passwords)
                await ensure_database(owner)

    async def stop(self) -> None:
        """End the server: transactions are rolled back, sessions closed, everything is written. Idempotent.

        Where that takes longer than `patience` the server ends at once; the next start recovers from its log.
        """
        if not self.layout.data.is_dir():
            return
        async with self._start_lock():
            for how in (signal.SIGINT, signal.SIGQUIT):
                pid = self.pid
                if pid is None:
                    break
                process.send(pid, self.layout.data, how)
                await self._ended(self._patience)
            if self.pid is not None:
                raise DatabaseError(
                    f"the database (process {self.pid}) does not end", hint="is its disk hanging?"
                )
            # Nobody can start it again while we hold that lock.
            with suppress(DatabaseTaken), closing(await self._server_lock()):
                let_go_of_socket_folder(self.layout.data)
            self._server = None

    def prune_logs(self) -> None:
        """Keep the newest log files only. Happens at each start; to be called daily while the server runs."""
        self.layout.prune_logs()

    # How a running server is found and judged.

    async def _adopt(self) -> bool:
        """Whether our server runs already and now answers. False also when it ends meanwhile."""
        if self.pid is None:
            return False
        try:
            return await self._answers()
        except DatabaseRefused as error:
            raise DatabaseTaken(
                f"a PostgreSQL server (process {self.pid}) runs on {self.layout.data} and refuses us: "
                f"{error}",
                hint="stop that server, or choose another data directory",
            ) from error

    async def _answers(self) -> bool:
        """Wait until the server answers; False when it ended. DatabaseAway when it lives and does not."""
        deadline = time.monotonic() + self._patience.total_seconds()
        last: DatabaseError | None = None
        while self._is_alive():
            found = process.read_pid_file(self.layout.pid_file)
            if found is not None and found.socket_folder:
                self._server = found
                try:
                    await self._greet()
                except DatabaseAway as error:
                    last = error
                else:
                    return True
            if time.monotonic() > deadline:
                raise DatabaseAway(
                    f"the database does not answer after {self._patience.total_seconds():.0f} s: "
                    f"{last or 'it has no socket yet'}",
                    hint=f"it may be recovering from a crash, and goes on doing so; see {self.layout.log}",
                )
            await asyncio.sleep(PAUSE_S)
        return False

    async def _greet(self) -> None:
        """Log in with the owner's password and see that it is the server on our data directory."""
        async with connect(self._conninfo(Role.OWNER, "postgres"), "start") as connection:
            row = await (await connection.execute("SHOW data_directory")).fetchone()
        if row is None or not await asyncio.to_thread(self.layout.data.samefile, row[0]):
            raise DatabaseTaken(
                f"the server that answers for {self.layout.data} serves another directory",
                hint=f"remove {self.layout.pid_file} if no server runs on that directory",
            )

    def _is_alive(self) -> bool:
        """Whether the server's main process is there, be it the one just spawned and not yet PostgreSQL."""
        if self.pid is not None:
            return True
        return self._child is not None and process.lives(self._child)

    async def _ended(self, patience: timedelta) -> bool:
        deadline = time.monotonic() + patience.total_seconds()
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(PAUSE_S)
        return True

    # How one is started.

    async def _launch(self, binaries: Binaries, confinement: Confinement) -> None:
        lock = await self._server_lock()
        try:
            folder, port = await asyncio.to_thread(self._set_the_stage, confinement)
            command = [
                *confinement.prefix,
                binaries.postgres,
                "-D",
                str(self.layout.data),
                "-c",
                f"config_file={self.layout.settings}",
            ]
            self._server = process.PidFile(0, port, str(folder))
            self._child = process.spawn(command, environment(), self.layout.startup_log, lock)
        finally:
            lock.close()
        try:
            answers = await self._answers()
        except (DatabaseRefused, DatabaseTaken):
            # A server that we cannot use is not left behind to be found in our way next time.
            process.send(self._child, self.layout.data, signal.SIGINT)
            raise
        if not answers:
            raise DatabaseNotStarting(
                "the database ended while it started; its last words were:",
                log=self.layout.last_log_lines(),
                hint=f"the whole log is in {self.layout.log}",
            )

    def _set_the_stage(self, confinement: Confinement) -> tuple[Path, int]:
        """All that the server finds when it wakes up: settings, access rules, a place for its socket."""
        self._remove_stale_pid_file()
        self.layout.prune_logs()
        port = self._choose_port()
        folder = socket_folder(self.layout, port)
        prepare_socket_folder(folder, confinement.uid, confinement.gid)
        for stale in folder.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)
        text = server_settings(
            self.layout, folder, port, loopback=self._wanted_port is not None, overrides=self._settings
        )
        for path, content in ((self.layout.settings, text), (self.layout.access, ACCESS_RULES)):
            path.unlink(missing_ok=True)
            path.touch(0o600)
            path.write_text(content, encoding="utf-8")
        if not self.layout.extra.exists():
            self.layout.extra.write_text(EXTRA_TEXT, encoding="utf-8")
        for path in (self.layout.settings, self.layout.access, self.layout.extra):
            os.chown(path, confinement.uid, confinement.gid)
        os.chown(self.layout.log, confinement.uid, confinement.gid)
        return folder, port

    def _remove_stale_pid_file(self) -> None:
        """Remove what PostgreSQL would not start over, though we hold server.lock, and so no server lives.

        That is an empty file; one with a number that another process has now, as after a container's restart;
        and one of a dead server that its parent has not awaited (kill(2) still finds a zombie).
        """
        found = process.read_pid_file(self.layout.pid_file)
        if found is not None and (found.pid == 0 or Path(f"/proc/{found.pid}").exists()):
            self.layout.pid_file.unlink(missing_ok=True)

    def _choose_port(self) -> int:
        if self._wanted_port is None:
            return DEFAULT_PORT
        if self._wanted_port:
            return self._wanted_port
        with suppress(FileNotFoundError, ValueError):
            kept = int(self.layout.port.read_text(encoding="ascii"))
            if _is_free(kept):
                return kept
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            chosen = int(probe.getsockname()[1])
        self.layout.port.write_text(f"{chosen}\n", encoding="ascii")
        return chosen

    async def _confinement(self, binaries: Binaries, data_owner: int | None) -> Confinement:
        return await asyncio.to_thread(
            find_confinement,
            binaries,
            self.layout.directory,
            only=self._confine,
            data_owner=data_owner,
            ours=[*self._within, self.layout.directory],
        )

    def _read_passwords(self, *, fresh: bool) -> dict[Role, str]:
        return {
            role: password_of(self.layout.secrets, role, make=fresh or role is not Role.OWNER)
            for role in Role
        }

    def _conninfo(self, role: Role, database: str) -> Conninfo:
        if self._server is None:
            raise DatabaseAway("the database has not been started", hint="call start() first")
        where = {"host": self._server.socket_folder, "port": str(self._server.port)}
        return Conninfo(
            role, {**where, "dbname": database, "user": role.value}, password=self._passwords[role]
        )

    # The two locks.

    @asynccontextmanager
    async def _start_lock(self) -> AsyncIterator[process.FileLock]:
        lock = process.FileLock(self.layout.start_lock)
        try:
            # Longer than a start or a stop may take, so that two starters end as one starter and one adopter.
            if not await _acquired(lock, 3 * self._patience):
                raise DatabaseAway(
                    f"another Holdfast has been starting or stopping {self.layout.directory} for a long time",
                    hint="look for another `holdfast` process on this machine",
                )
            yield lock
        finally:
            lock.close()

    async def _server_lock(self) -> process.FileLock:
        """Wait until no process of an earlier server is left; after a while end those without a main process.

        They cannot lose anything committed: what was committed is in the log, and the next server replays it.
        """
        lock = process.FileLock(self.layout.server_lock)
        data = self.layout.data
        try:
            for how in (None, signal.SIGQUIT, signal.SIGKILL):
                for pid in await asyncio.to_thread(process.processes_of, data) if how else []:
                    if self.pid is None:
                        process.send(pid, data, how or signal.SIGQUIT)
                if await self._left_alone(lock, self._patience / 12):
                    return lock
        except BaseException:
            lock.close()
            raise
        lock.close()
        left = await asyncio.to_thread(process.processes_of, data)
        raise DatabaseTaken(
            f"{data} is in use by "
            + (f"process {left[0]}" if left else "a process that cannot be seen from here"),
            hint="stop the server that uses it (in another container?), or choose another data directory",
        )

    async def _left_alone(self, lock: process.FileLock, patience: timedelta) -> bool:
        """The lock is ours, and no server that somebody started by hand, without the lock, left processes."""
        deadline = time.monotonic() + patience.total_seconds()
        while not (
            lock.try_acquire() and not await asyncio.to_thread(process.processes_of, self.layout.data)
        ):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(PAUSE_S)
        return True


async def _acquired(lock: process.FileLock, patience: timedelta) -> bool:
    deadline = time.monotonic() + patience.total_seconds()
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(PAUSE_S)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
