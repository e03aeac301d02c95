"""A lab on free ports, and a look at the machine for what it left behind."""

import random
from pathlib import Path

from holdfast.lab import Lab
from holdfast.lab.ports import is_free
from holdfast.lab.topology import CLUSTERS, ROLES, port_of


class RunningLab:
    """The lab with what tests ask about it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.base_port = free_base_port()
        self.lab = Lab(directory, base_port=self.base_port)

    def port(self, cluster: str, role: str) -> int:
        return port_of(self.base_port, cluster, role)

    def again(self) -> Lab:
        """The same lab as another command sees it."""
        return Lab(self.directory, base_port=self.base_port)


def free_base_port() -> int:
    """A base whose nine ports are free, below the range that the kernel hands out."""
    while True:
        base = random.randrange(20_000, 32_000, 100)
        if all(is_free(port_of(base, cluster, role)) for cluster in CLUSTERS for role in ROLES):
            return base


def processes_of(directory: Path) -> list[str]:
    """The command lines of all living processes that belong to the lab in `directory`: its services by their
    environment, its database by its arguments or its working directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX":
                continue
            command = (entry / "cmdline").read_bytes()
            marks = (entry / "environ").read_bytes().split(b"\0")
            folder = str((entry / "cwd").readlink())
        except OSError:
            continue
        if f"HOLDFAST_LAB={directory}".encode() in marks or folder.startswith(f"{directory}/"):
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
