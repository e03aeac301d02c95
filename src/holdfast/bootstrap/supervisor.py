"""`holdfast up`: every role as a process of its own, the database with them, all kept running.

A role that ends is started again, with growing pauses. The embedded database is started again when it died;
it recovers by itself. When the supervisor dies, however it dies, its roles notice the end of their standard
input and end; the database lives on and is adopted by the next `up`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from holdfast.adapters.postgres.conninfo import Conninfo, Server
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.bootstrap.database import packed
from holdfast.kernel.errors import HoldfastError, Remedy

SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
CALM_AFTER_S = 30.0
STOP_WITHIN_S = 10.0
LOOK_EVERY_S = 1.0
PRUNE_EVERY_S = 3600.0
LONGEST_LOG = 16 * 1024 * 1024

log = structlog.get_logger()


class AlreadyRunning(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """Another `up` works in the same data directory."""

    remedy = Remedy.NEEDS_OPERATOR


@contextlib.contextmanager
def sole_supervisor(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one supervisor; raises AlreadyRunning. The kernel lets go when we die."""
    run = data_dir / "run"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (run / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"another `holdfast up` is running in {data_dir}",
                hint="stop it, or give this one a --data-dir of its own",
            ) from error
        yield


@dataclass(frozen=True, slots=True)
class RoleProcess:
    """How one role is started: its name, its login, and the arguments behind `holdfast serve NAME`."""

    name: str
    conninfo: Conninfo
    arguments: Sequence[str]


class Supervisor:
    """Keeps the roles and the server running until `stop` is set."""

    def __init__(self, server: Server, roles: Sequence[RoleProcess], data_dir: Path) -> None:
        self._server = server
        self._roles = roles
        self._data_dir = data_dir
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(
        self, stop: asyncio.Event, reload: asyncio.Event, ready: Callable[[], Awaitable[None]]
    ) -> None:
        """Start everything, call `ready`, and keep it running. Ends every role before it returns."""
        tasks: list[asyncio.Future[Any]] = [
            asyncio.create_task(self._keep(role), name=role.name) for role in self._roles
        ]
        tasks.append(asyncio.create_task(self._pass_on(reload)))
        if isinstance(self._server, EmbeddedPostgres):
            tasks.append(asyncio.create_task(self._keep_server(self._server)))
        tasks.append(asyncio.ensure_future(ready()))
        stopping = asyncio.create_task(stop.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {stopping, *tasks}
            while not stopping.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # `ready` may fail: nobody answered in time
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await self._end_roles()

    async def _keep(self, role: RoleProcess) -> None:
        pause = SHORTEST_PAUSE_S
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            process = await self._start(role)
            code = await process.wait()
            self._pid_file(role.name).unlink(missing_ok=True)
            pause = SHORTEST_PAUSE_S if clock() - started > CALM_AFTER_S else min(2 * pause, LONGEST_PAUSE_S)
            log.warning("role_ended", name=role.name, code=code, again_in_s=pause)
            await asyncio.sleep(pause)

    async def _start(self, role: RoleProcess) -> asyncio.subprocess.Process:
        with self._log_of(role.name) as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "holdfast.bootstrap.main", "serve", role.name, "--supervised"),
                *role.arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
            )
        self._processes[role.name] = process
        with contextlib.suppress(OSError):  # on a full disk the role matters more than the note of its number
            self._pid_file(role.name).write_text(f"{process.pid}\n")
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(packed(role.conninfo))
                await process.stdin.drain()
        log.info("role_started", name=role.name, pid=process.pid)
        return process

    async def _pass_on(self, reload: asyncio.Event) -> None:
        """A SIGHUP to us is a SIGHUP to the roles."""
        while True:
            await reload.wait()
            reload.clear()
            for process in self._processes.values():
                if process.returncode is None:
                    process.send_signal(signal.SIGHUP)

    async def _keep_server(self, server: EmbeddedPostgres) -> None:
        """Start the database again when it died. What was committed is there: it replays its log."""
        pruned = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if time.monotonic() - pruned > PRUNE_EVERY_S:
                pruned = time.monotonic()
                await asyncio.to_thread(server.prune_logs)
            if await asyncio.to_thread(lambda: server.pid) is not None:
                continue
            log.error("database_ended")
            try:
                await server.start()
                log.info("database_started", pid=server.pid)
            except (HoldfastError, OSError) as error:
                # An OSError is a full disk, say, which may have room later: no reason to end everything.
                hint = getattr(error, "hint", "")
                log.error("database_not_started", error=str(error), hint=hint)  # noqa: TRY400

    async def _end_roles(self) -> None:
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                async with asyncio.timeout(STOP_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        for name in self._processes:
            self._pid_file(name).unlink(missing_ok=True)

    def _pid_file(self, name: str) -> Path:
        return self._data_dir / "run" / f"{name}.pid"

    def _log_of(self, name: str) -> IO[bytes]:
        """The role's log, begun anew when it has grown long; the one before it is kept."""
        folder = self._data_dir / "log"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{name}.log"
        if path.exists() and path.stat().st_size > LONGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")  # noqa: PTH123
