"""What the figures were measured on, and whether it was busy with something else."""

import os
import platform
import subprocess
from pathlib import Path

from holdfast.adapters.postgres.server.binaries import find_binaries

BUSY_SHARE = 0.25
"""Above this load per core, other work is likely to be in the figures."""


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


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return " ".join(value.split())
    return "unknown"
