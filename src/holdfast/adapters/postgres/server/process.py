"""The server as processes of the operating system: which one it is, whether it lives, how it begins and ends.

Linux only: a process is known by /proc, never by its number alone, for numbers are used again.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LOCK_FD = 3


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a server wrote about itself into `postmaster.pid` (PostgreSQL: src/include/utils/pidfile.h).

    `pid` is 0 when the file cannot be read: a server died while it wrote it.
    """

    pid: int
    port: int = 0
    socket_folder: str = ""


def read_pid_file(path: Path) -> PidFile | None:
    """None when there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    try:
        # A single-user backend writes its number as a negative one.
        return PidFile(abs(int(lines[0])), int(lines[3]), lines[4].strip() if len(lines) > 4 else "")
    except (IndexError, ValueError):
        return PidFile(0)


def serves(pid: int, data: Path) -> bool:
    """Whether `pid` is a living PostgreSQL process whose data directory is `data`."""
    if pid <= 0:
        return False
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")
        return program == "postgres" and Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False


def processes_of(data: Path) -> list[int]:
    """Every PostgreSQL process on `data`, the main one and those it left behind."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if serves(pid, data)]


def send(pid: int, data: Path, what: signal.Signals) -> None:
    """Signal `pid` if it is a PostgreSQL process on `data`; otherwise do nothing."""
    if serves(pid, data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def lives(pid: int) -> bool:
    """Whether there is a process `pid`, whatever it is. One that ended and was not awaited yet is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return pid > 0 and stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def reap(pid: int) -> None:
    """Take note of the end of a child that `spawn` returned, lest it stay a zombie. Never waits."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def spawn(command: Sequence[str], environment: dict[str, str], output: Path, lock: "FileLock") -> int:
    """Start a server that outlives this process, and return its pid.

    It has its own session, so neither a terminal's signals nor our end reach it, and holds `lock` together
    with all the processes that it will start. posix_spawn, because subprocess and asyncio want to end or at
    least await what they started.
    """
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        return os.posix_spawn(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
                (os.POSIX_SPAWN_DUP2, descriptor, 2),
                (os.POSIX_SPAWN_DUP2, lock.fileno(), _LOCK_FD),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[
                signal.SIGPIPE,
                signal.SIGXFSZ,
                signal.SIGINT,
                signal.SIGQUIT,
                signal.SIGTERM,
                signal.SIGHUP,
            ],
        )
    finally:
        os.close(descriptor)


class FileLock:
    """An flock(2): it belongs to the open file, so children that inherit it hold it until they end."""

    def __init__(self, path: Path) -> None:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Above the numbers that `spawn` arranges, so that its dup2 never meets its own number.
            self._descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 10)
        finally:
            os.close(opened)

    def fileno(self) -> int:
        return self._descriptor

    def try_acquire(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go of it here. Children that inherited it keep it."""
        os.close(self._descriptor)
