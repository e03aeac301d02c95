"""Processes of this machine, known by more than their number.

A pid is used again sooner or later. So a process is remembered with the moment it started (field 22 of
proc_pid_stat(5), in clock ticks since boot) and the boot it belongs to, and it is signalled through a pidfd
(pidfd_send_signal(2)) that was checked after it was opened: a recycled pid is never signalled. Linux only.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One process that exists or existed: no other process ever equals it."""

    pid: int
    start_ticks: int
    boot_id: str


class Phase(Enum):
    ACTIVE = "active"
    FROZEN = "frozen"  # by SIGSTOP
    GONE = "gone"  # ended; a zombie that nobody has reaped yet counts as ended


def find_process(pid: int) -> Process | None:
    """The process that has this pid now, or None. A zombie still has its pid."""
    stat = _stat(pid)
    return Process(pid, stat.start_ticks, _boot_id()) if stat else None


def phase_of(process: Process) -> Phase:
    stat = _stat(process.pid)
    if stat is None or stat.start_ticks != process.start_ticks or process.boot_id != _boot_id():
        return Phase.GONE
    if stat.state in "ZXx":
        return Phase.GONE
    return Phase.FROZEN if stat.state in "Tt" else Phase.ACTIVE


def send_signal(process: Process, number: signal.Signals) -> bool:
    """Signal that very process; False when it is gone, also when another one has its pid by now."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if phase_of(process) is Phase.GONE:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


async def wait_until(process: Process, phase: Phase, timeout_s: float) -> bool:
    """Whether the process reached that phase in time. One that is gone reaches nothing else."""
    deadline = time.monotonic() + timeout_s
    while (now := phase_of(process)) is not phase:
        if now is Phase.GONE or time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


async def end(process: Process, *, grace_s: float) -> bool:
    """Ask the process to end, insist after `grace_s`; True when it is gone. A frozen one is woken for it."""
    if send_signal(process, signal.SIGTERM) and send_signal(process, signal.SIGCONT):
        if await wait_until(process, Phase.GONE, grace_s):
            return True
        send_signal(process, signal.SIGKILL)
    return await wait_until(process, Phase.GONE, 10)


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a process of its own session, which outlives us; its output is appended to `log`."""
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # What this process ignores or blocks would be ignored or blocked by the service too.
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
    process = find_process(pid)
    if process is None:
        raise RuntimeError(f"process {pid} has no entry in {PROC} although we have not reaped it")
    return process


def reap(process: Process) -> None:
    """Let go of an ended child of ours, so that it does not stay a zombie as long as we live."""
    if phase_of(process) is not Phase.GONE:
        return
    try:
        os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return  # it was started by another process, or reaped before


def find_by_environment(variable: str, value: str) -> Iterator[tuple[Process, dict[str, str]]]:
    """The living processes that were started with that variable, each with its whole environment."""
    wanted = f"{variable}={value}".encode(errors="surrogateescape")
    for pid in _pids():
        process = find_process(pid)
        try:
            entries = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if process and wanted in entries and phase_of(process) is not Phase.GONE:
            pairs = (entry.decode(errors="surrogateescape").partition("=") for entry in entries)
            yield process, {name: text for name, _, text in pairs}


def command_of(pid: int) -> str:
    """Its command line, shortened; empty when it cannot be read."""
    try:
        text = (
            (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    except OSError:
        return ""
    return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    start_ticks: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may contain spaces and brackets
    return _Stat(fields[0], int(fields[19]))


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
