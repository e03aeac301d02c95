"""Where everything of the two-region lab is: sites, addresses, ports and folders. Pure.

Each site has an address of its own on the loopback network, and the ports are the same at each. In a lab
with network namespaces the sites talk to each other by addresses of a private network, and everybody outside
reaches them by the same loopback addresses as ever.
"""

from dataclasses import dataclass
from pathlib import Path

REGIONS = ("a", "b")
WITNESS = "w"
SITES = (*REGIONS, WITNESS)
SCOPE, NAMESPACE = "print", "/holdfast"
"""The name of the PostgreSQL cluster, and the folder of Patroni's keys."""
DATABASE = "printcloud_print"
ZONE, NAME, TSIG_KEY = "lab.test.", "print.lab.test.", "holdfast."

_OUTER = {"a": "127.0.1.1", "b": "127.0.2.1", "w": "127.0.3.1"}
_INNER = {"a": "10.203.0.11", "b": "10.203.0.12", "w": "10.203.0.13"}
HUB = "10.203.0.1"
"""The address of the world outside in the private network."""
INNER_NETWORK = "10.203.0.0/24"

EDGE, EDGE_ADMIN, SUPERVISOR, RAFT, PATRONI, REPLICAS, POSTGRES, DNS = 0, 1, 5, 7, 8, 10, 32, 53
"""Each port as its distance from the first one. The witness answers on PATRONI, too."""
SLOTS = 4
"""How many replicas of the service a region can have."""
REGIONS_OFFSET = 300
"""The regions' ports begin that far above the lab's base port."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One lab: its folder, its first port, and whether its sites are in network namespaces."""

    root: Path
    base: int
    namespaces: bool = False

    def outer(self, site: str) -> str:
        """The address by which Holdfast, tests and people reach a site."""
        return _OUTER[site]

    def inner(self, site: str) -> str:
        """The address by which the sites reach each other, and on which their services listen."""
        return _INNER[site] if self.namespaces else _OUTER[site]

    def port(self, offset: int) -> int:
        return self.base + offset

    def folder(self, site: str) -> Path:
        return self.root / site

    def data(self, region: str) -> Path:
        """The data directory of the region's PostgreSQL."""
        return self.folder(region) / "node" / "data"

    def clock_file(self, site: str) -> Path:
        """How many seconds the clock of the site is wrong; there is none while it is right."""
        return self.folder(site) / "clock"

    def ports_of(self, site: str) -> tuple[int, ...]:
        """The TCP ports that others than the site itself may use."""
        offsets = (
            (PATRONI, DNS)
            if site == WITNESS
            else (
                EDGE,
                EDGE_ADMIN,
                SUPERVISOR,
                PATRONI,
                POSTGRES,
                *(REPLICAS + slot for slot in range(SLOTS)),
            )
        )
        return tuple(self.port(offset) for offset in offsets)

    def all_ports(self) -> tuple[tuple[str, int], ...]:
        """Each address and port on which something of the lab listens for the outside or for another site."""
        return tuple(
            (self.outer(site), port) for site in SITES for port in (*self.ports_of(site), self.port(RAFT))
        )
