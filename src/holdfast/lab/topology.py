"""What the lab consists of, as one table: add a part here and every command knows it.

`up` starts the floors in order, the parts of one floor side by side; `down` goes the other way. A group is a
name that stands for several parts, such as a whole cluster.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.lab.database import DatabasePart
from holdfast.lab.model import Part
from holdfast.lab.place import Place
from holdfast.lab.service import Command, ServicePart

DEFAULT_BASE_PORT = 18_100
CLUSTERS = ("eu", "eu2", "usa")
ROLES = ("website", "api", "messaging")
DATABASES = {cluster: f"printcloud_{cluster}" for cluster in CLUSTERS}
CUSTOMER_LINKS = ("PRINTCLOUD_ACME_LINK", "PRINTCLOUD_LIBERTY_LINK", "PRINTCLOUD_GLOBEX_LINK")
"""The environment variables by which the sample estate refers to its customers' report links."""


@dataclass(frozen=True, slots=True)
class Topology:
    floors: tuple[tuple[Part, ...], ...]
    groups: Mapping[str, tuple[str, ...]]

    @property
    def parts(self) -> dict[str, Part]:
        return {part.name: part for floor in self.floors for part in floor}


def port_of(base_port: int, cluster: str, role: str) -> int:
    """EU's website is base + 10, its API + 11, its messaging + 12; EU2 begins at + 20, USA at + 30."""
    return base_port + 10 * (CLUSTERS.index(cluster) + 1) + ROLES.index(role)


def printcloud(
    place: Place, sources: Callable[[], Path], base_port: int, bin_dir: Path | None, clock: Clock
) -> Topology:
    """The sample print service: one database server, and three clusters of three processes.

    `sources` finds the service's code; it is asked when a process is to be started.
    """
    services = tuple(
        ServicePart(
            f"{cluster}-{role}",
            port_of(base_port, cluster, role),
            partial(_command, place, sources, base_port, cluster, role),
            place,
            clock,
        )
        for cluster in CLUSTERS
        for role in ROLES
    )
    return Topology(
        floors=((DatabasePart("database", DATABASES.values(), bin_dir, place, clock),), services),
        groups={cluster: tuple(f"{cluster}-{role}" for role in ROLES) for cluster in CLUSTERS},
    )


def _command(place: Place, sources: Callable[[], Path], base_port: int, cluster: str, role: str) -> Command:
    arguments = [sys.executable, "-m", "printcloud", role, "--cluster", cluster]
    arguments += ["--port", str(port_of(base_port, cluster, role))]
    environment = {"PYTHONPATH": str(sources())}
    if role == "website":
        arguments += ["--api", f"http://127.0.0.1:{port_of(base_port, cluster, 'api')}"]
    else:
        environment["PRINTCLOUD_DATABASE_FILE"] = str(place.secret_file(f"{DATABASES[cluster]}.conninfo"))
    return Command(arguments, environment)
