"""What the figures were measured on, and whether it was busy with something else."""

import mmap
import os
import platform
import subprocess
import time
from pathlib import Path

from holdfast.adapters.postgres.server.binaries import find_binaries

BUSY_SHARE = 0.25
"""Above this load per core, other work is likely to be in the figures."""

SETTLED_WITHIN_S = 30.0
LOOK_EVERY_S, CALM_LOOKS = 0.1, 3
MOST_OF_FREE = 0.6


def machine() -> dict[str, object]:
    """Cores, programs and load, for the table's head. Linux only, as the benches are."""
    told = subprocess.run(
        [find_binaries().postgres, "--version"], capture_output=True, text=True, check=True
    ).stdout
    return {
        "cores": os.cpu_count() or 1,
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": told.partition(") ")[2].strip(),
        "load": round(os.getloadavg()[0], 2),
    }


def is_busy(load: float, cores: int) -> bool:
    """Whether a load average at the start says that something else is running."""
    return load > BUSY_SHARE * cores


def settled_disk() -> None:
    """Return when all is written, and the disks have nothing left to do.

    What was removed is given back to a disk some time after a sync has returned (ext4 with `discard`), and
    whoever writes meanwhile would pay for it.
    """
    os.sync()
    deadline = time.monotonic() + SETTLED_WITHIN_S
    calm, before = 0, _disk_work()
    while calm < CALM_LOOKS and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
        now = _disk_work()
        calm, before = (calm + 1 if now == before else 0), now


def backed_memory(wanted_bytes: int) -> None:
    """Have the machine's next so many bytes of free memory be real ones.

    A virtual machine may have given free memory back to its host, and gets it again page by page when it is
    touched, at a price: whoever is the first to fill the cache of files would pay it for the others.
    """
    free_bytes = int(_field("/proc/meminfo", "MemFree").split()[0]) * 1024
    size = min(wanted_bytes, int(free_bytes * MOST_OF_FREE))
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def _disk_work() -> list[str]:
    """What each disk has written and discarded so far, and what is under way (proc_diskstats(5))."""
    lines = Path("/proc/diskstats").read_text(encoding="ascii").splitlines()
    return [" ".join([*line.split()[7:12], *line.split()[14:18]]) for line in lines]


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return " ".join(value.split())
    return "unknown"
