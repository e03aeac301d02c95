"""The two-region lab on free ports, and what tests ask about it and do to it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psycopg

from holdfast.adapters.patroni.cluster import PatroniCluster
from holdfast.adapters.patroni.rest import Answer, Away, Login, ask
from holdfast.adapters.postgres.server.process import processes_of as servers_of
from holdfast.kernel.clock import SystemClock
from holdfast.lab.ports import is_free
from holdfast.lab.regions import layout as at
from holdfast.lab.regions.lab import RegionsLab
from holdfast.lab.regions.layout import REGIONS, REGIONS_OFFSET, Layout
from holdfast.lab.regions.settings import Pace
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Fence

PATIENCE_S = 60.0
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "printcloud" / "regions.yaml"
EXAMPLE_BASE = 18_400


def free_regions_port() -> int:
    """A base port from which all the lab's ports are free, below the range that the kernel hands out."""
    while True:
        base = random.randrange(20_000, 31_000, 100)
        layout = Layout(Path(), base + REGIONS_OFFSET)
        if all(is_free(port, host) for host, port in layout.all_ports()):
            return base


def example_at(base: int) -> str:
    """The example's estate of this lab, on other ports, for a data directory that is called `data`."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for offset in range(100):
        text = text.replace(str(EXAMPLE_BASE + offset), f"@{offset}@")
    for offset in range(100):
        text = text.replace(f"@{offset}@", str(base + REGIONS_OFFSET + offset))
    return text.replace(".holdfast/lab/", "data/lab/")


class TwoRegions:
    """A lab with what is asked about it. `again` is the same lab as another command sees it."""

    def __init__(self, directory: Path, *, namespaces: bool = False, pace: Pace | None = None) -> None:
        self.directory = directory
        self.base_port = free_regions_port()
        self._pace = pace
        self._namespaces = namespaces
        self.lab = self.again()

    def again(self) -> RegionsLab:
        return RegionsLab(
            self.directory, base_port=self.base_port, namespaces=self._namespaces or None, pace=self._pace
        )

    def url(self, site: str, offset: int, path: str = "") -> str:
        return f"http://{self.lab.layout.outer(site)}:{self.lab.layout.port(offset)}{path}"

    @property
    def login(self) -> Login:
        return Login("holdfast", self.lab.secret_file("regions-rest").read_text().strip())

    def cluster(self) -> PatroniCluster:
        return PatroniCluster(
            {region: [self.url(region, at.PATRONI)] for region in REGIONS},
            SystemClock(),
            witness=self.url("w", at.PATRONI),
            login=self.login,
        )

    async def get(self, site: str, path: str, offset: int = at.EDGE, within_s: float = 5) -> Answer:
        return await ask("GET", self.url(site, offset, path), timedelta(seconds=within_s))

    async def view(self) -> dict[str, object]:
        return dict((await self.get("w", "/view", at.PATRONI)).content)

    async def add(self, member: str, site: str = "a", within_s: float = 5) -> bool:
        """Whether the write was acknowledged."""
        url = self.url(site, at.EDGE, "/set")
        try:
            answer = await ask("POST", url, timedelta(seconds=within_s), body={"member": member})
        except Away:
            return False
        return answer.status == 201

    async def answered(self, site: str, path: str) -> Mapping[str, object]:
        """What the service answers there, as soon as it does: it may have no database yet."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            with suppress(Away):
                answer = await self.get(site, path, within_s=10)
                if answer.status == 200:
                    return answer.content
            assert asyncio.get_running_loop().time() < deadline, f"{site} does not answer {path}"
            await asyncio.sleep(0.2)

    async def members(self, site: str) -> set[str]:
        members = (await self.answered(site, "/set"))["members"]
        assert isinstance(members, list)
        return set(members)

    async def route(self, edge: str, to: str) -> None:
        """Point an edge at a region, by hand."""
        commands = [
            f"set server printcloud/{region}{slot + 1} state {'ready' if region == to else 'maint'}"
            for region in REGIONS
            for slot in range(at.SLOTS)
        ]
        reader, writer = await asyncio.open_connection(
            self.lab.layout.outer(edge), self.lab.layout.port(at.EDGE_ADMIN)
        )
        writer.write(("; ".join(commands) + "\n").encode())
        await writer.drain()
        await reader.read()
        writer.close()

    async def paired(self, *, rebuild: bool = False, within_s: float = 120.0) -> str:
        """Once both nodes run and one is the other's synchronous standby: the region that leads.

        With `rebuild`, a node that has something alone, and so cannot follow, is copied anew after a while.
        """
        loop = asyncio.get_running_loop()
        deadline, patient_until = loop.time() + within_s, loop.time() + 15
        while True:
            told = (await self.cluster().told()).get("witness")
            lock = told.lock if told and told.quorum else None
            if told and lock and lock.region:
                if told.waits_for:
                    return lock.region
                if rebuild and loop.time() > patient_until:
                    patient_until = loop.time() + 40
                    other = next(region for region in REGIONS if region != lock.region)
                    with suppress(StepFailed):  # it does not answer yet
                        await self.cluster().rebuild(other, Fence("tests", int(loop.time()), 0))
            assert loop.time() < deadline, f"no leader with a synchronous standby: {told}"
            await asyncio.sleep(0.2)

    async def superuser(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """On whichever server may be written to."""
        dsn = self.lab.secret_file("superuser.conninfo").read_text().strip()
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True)

    async def replicas(self, region: str, wanted: int, fence: list[int]) -> Answer:
        return await ask(
            "PUT",
            self.url(region, at.SUPERVISOR, "/replicas"),
            timedelta(seconds=5),
            body={"wanted": wanted, "fence": fence},
            login=self.login,
        )

    def processes(self) -> dict[int, str]:
        """Every living process of this lab, with its command line."""
        found = {pid: "postgres" for region in REGIONS for pid in servers_of(self.lab.layout.data(region))}
        mark = f"HOLDFAST_LAB={self.directory.resolve()}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX":
                    continue
                marked = mark in (entry / "environ").read_bytes().split(b"\0")
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if marked:
                found[int(entry.name)] = line
        return found

    def memory_bytes(self) -> int:
        """What all of them have for themselves, and their share of what is shared (proc_pid_smaps, Pss)."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def mode_of_everything(self) -> list[Path]:
        """What of the lab's own others than the owner may reach."""
        root_is_closed = self.directory.stat().st_mode & 0o077 == 0
        return [] if root_is_closed else [self.directory]


async def until(look: Callable[[], Awaitable[object]], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until an async question is answered with yes; a generous limit, against waiting for ever."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        if await look():
            return
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s:.0f} s: {what}"
        await asyncio.sleep(0.2)
