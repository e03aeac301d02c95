"""An edge: the servers of one region are ready, those of all others in maintenance.

HAProxy itself knows no fence. A file beside Holdfast's data holds the newest (epoch, turn), and stays locked
while the commands go, so that nobody who comes late gets between; and a fence that all replicas share is
passed before that. A replica that was stopped in the middle keeps the lock: its process is named then, and a
person ends it, which is safer than to take the lock from it.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.haproxy.socket import AdminSocket
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Pointing

IN_MAINTENANCE = 0x01
"""Of a server's admin state: somebody said so. Source: HAProxy, `include/haproxy/server-t.h`."""
RUNS = 2
LOCK_WITHIN_S = 5.0
TRY_EVERY_S = 0.05

Pass = Callable[[str, Fence], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    ready: bool
    up: bool


class HaproxyEdge:
    """Edge over an admin socket. `prefixes`: what the names of each region's servers begin with."""

    def __init__(
        self,
        name: str,
        socket: AdminSocket,
        backend: str,
        prefixes: Mapping[str, str],
        fence_file: Path,
        pass_fence: Pass,
        route_file: Path | None = None,
    ) -> None:
        self._name = name
        self._socket = socket
        self._backend = backend
        self._prefixes = prefixes
        self._fence_file = fence_file
        self._pass = pass_fence
        self._route_file = route_file

    async def pointing(self) -> Pointing:
        by_region = await self._servers()
        ready = {region for region, servers in by_region.items() if any(each.ready for each in servers)}
        whole = {region for region in ready if all(each.ready for each in by_region[region])}
        to = next(iter(ready)) if len(ready) == 1 and ready == whole else None
        return Pointing(to, {region: sum(each.up for each in all_) for region, all_ in by_region.items()})

    async def point(self, to: str, fence: Fence) -> None:
        await self._pass(f"edge {self._name}", fence)
        async with self._locked(fence):
            by_region = await self._servers()
            if not by_region.get(to):
                raise StepFailed(f"the backend {self._backend} has no server of {to}")
            # The new ones first: at no moment is there nobody to send users to.
            new = [f"set server {self._backend}/{each.name} state ready" for each in by_region[to]]
            old = [
                f"set server {self._backend}/{each.name} state maint"
                for region, servers in by_region.items()
                if region != to
                for each in servers
            ]
            answer = await self._socket.ask("; ".join([*new, *old]))
            if answer.strip():
                raise StepFailed(f"HAProxy refuses: {' '.join(answer.split())[:300]}")
            if self._route_file is not None:
                await asyncio.to_thread(_written, self._route_file, to)

    async def _servers(self) -> Mapping[str, list[Server]]:
        answer = await self._socket.ask(f"show servers state {self._backend}")
        found: dict[str, list[Server]] = {region: [] for region in self._prefixes}
        for server in _read(answer):
            if (region := self._region_of(server.name)) is not None:
                found[region].append(server)
        if not any(found.values()):
            raise StepFailed(f"HAProxy tells of no server in {self._backend}: {answer.strip()[:200]}")
        return found

    def _region_of(self, server: str) -> str | None:
        fitting = [region for region, prefix in self._prefixes.items() if server.startswith(prefix)]
        return max(fitting, key=lambda region: len(self._prefixes[region]), default=None)

    @asynccontextmanager
    async def _locked(self, fence: Fence) -> AsyncIterator[None]:
        """Nobody else is here meanwhile, and nobody older comes after. Raises ComesLate."""
        self._fence_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._fence_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._lock(descriptor)
            known = _known(descriptor)
            mine = (fence.epoch, fence.turn)
            if mine < known:
                raise ComesLate(
                    f"edge {self._name} has heard of epoch {known[0]}, turn {known[1]}",
                    hint="the replica that has the run now goes on with it",
                )
            content = json.dumps([*mine, os.getpid()]).ljust(80).encode()
            os.pwrite(descriptor, content, 0)
            os.fsync(descriptor)
            yield
        finally:
            os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        ends = asyncio.get_running_loop().time() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= ends:
                    process = _document(descriptor)[2:]
                    raise StepFailed(
                        f"another replica has been changing the edge {self._name} for {LOCK_WITHIN_S:g} s",
                        hint=f"when its process {process[0] if process else '?'} stands still, end it",
                    ) from None
                await asyncio.sleep(TRY_EVERY_S)
            else:
                return


def _read(answer: str) -> Iterator[Server]:
    """Rows of `show servers state`: the columns are named in the line that begins with a hash."""
    columns: list[str] = []
    for line in answer.splitlines():
        words = line.removeprefix("#").split()
        if line.startswith("#"):
            columns = words
        elif len(words) >= len(columns) > 0:
            row = dict(zip(columns, words, strict=False))
            try:
                admin, runs = int(row["srv_admin_state"]), int(row["srv_op_state"])
            except (KeyError, ValueError):
                continue
            yield Server(row.get("srv_name", ""), not admin & IN_MAINTENANCE, runs == RUNS)


def _document(descriptor: int) -> list[int]:
    text = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    try:
        found = json.loads(text) if text else []
    except ValueError:
        found = []
    return [each for each in found if isinstance(each, int)] if isinstance(found, list) else []


def _known(descriptor: int) -> tuple[int, int]:
    found = _document(descriptor)
    return (found[0], found[1]) if len(found) > 1 else (0, 0)


def _written(path: Path, region: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(region + "\n", encoding="utf-8")
    beside.replace(path)
