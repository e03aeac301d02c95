"""What processes cost, read from /proc (proc_pid_stat(5), proc_pid_status(5)), and how benches start them."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
END_WITHIN_S = 10.0


def cpu_s(pid: int, *, with_ended_children: bool = False) -> float:
    """User and system CPU seconds of a process so far, optionally with its children that have ended.

    Raises OSError when there is no such process.
    """
    if not with_ended_children:
        # The process's own CPU clock (clock_getcpuclockid(3)): what /proc tells in hundredths, to the ns.
        return time.clock_gettime((~pid << 3) | 2)
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(field) for field in fields[11:15])
    return (utime + stime + (cutime + cstime if with_ended_children else 0)) * _TICK_S


def cpu_of_server_s(postmaster: int, processes: Iterable[int]) -> float:
    """CPU seconds of a PostgreSQL server: its processes, and those that ended and that it has awaited."""
    total = cpu_s(postmaster, with_ended_children=True)
    for pid in processes:
        if pid != postmaster:
            # A backend may end between the listing and the reading: the next reading has it as ended.
            with contextlib.suppress(OSError):
                total += cpu_s(pid)
    return total


def peak_memory_mb(pid: int) -> float:
    """The most resident memory that the process ever had, in MB (10^6 bytes)."""
    return _memory_mb(pid, "VmHWM:")


def memory_mb(pid: int) -> float:
    """The resident memory that the process has now, in MB."""
    return _memory_mb(pid, "VmRSS:")


def _memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"process {pid} has no memory: it has ended")


@contextlib.contextmanager
def python(
    arguments: Sequence[str], *, first_line: bytes = b"", log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of ours, with its output in `log`. It is ended with the block, and with us.

    `first_line` goes to its standard input, which stays open: its end tells the process to end.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    try:
        assert process.stdin is not None
        process.stdin.write(first_line)
        process.stdin.flush()
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    """Raises SystemExit with the end of its log when the process has ended."""
    if process.poll() is not None:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise SystemExit(
            "\n".join([f"a process of the bench ended with status {process.returncode}:", *tail])
        )


def pinned(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def timed(work: Sequence[str]) -> float:
    """Seconds of wall time that a whole process takes; raises CalledProcessError when it fails."""
    began = time.perf_counter()
    subprocess.run(work, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
