"""The parts of the two-region lab that are more than one process, or none."""

import asyncio
import http.client
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.adapters.postgres.server.process import processes_of
from holdfast.kernel.clock import Clock
from holdfast.lab import processes
from holdfast.lab.errors import NotRunningError
from holdfast.lab.model import WAYS, Damage, PartState, PartStatus, refuse_unless
from holdfast.lab.place import Place, Record
from holdfast.lab.processes import Phase, Process
from holdfast.lab.service import LAB_VARIABLE, ServicePart

ENDING_S = 15.0


class TreePart:
    """A service and the processes that belong to it and may outlive it, such as a node's PostgreSQL.

    `others` finds those, whoever started them.
    """

    def __init__(self, service: ServicePart, others: Callable[[], Sequence[Process]]) -> None:
        self._service = service
        self._others = others

    @property
    def name(self) -> str:
        return self._service.name

    async def start(self) -> None:
        for process in await asyncio.to_thread(self._others):
            if processes.phase_of(process) is Phase.FROZEN:
                processes.send_signal(process, signal.SIGCONT)
        await self._service.start()

    async def heal(self) -> None:
        await self.start()

    async def stop(self) -> None:
        await self._service.stop()
        await self._end_others(ENDING_S)

    async def break_(self, how: Damage) -> None:
        refuse_unless(how, WAYS, self.name)
        # Found before: with the first process gone the others may look like nobody's.
        others = await asyncio.to_thread(self._others)
        await self._service.break_(how)
        if how is Damage.STOP:
            await self._end_others(ENDING_S)
            return
        number = signal.SIGKILL if how is Damage.KILL else signal.SIGSTOP
        for process in (*others, *await asyncio.to_thread(self._others)):
            processes.send_signal(process, number)
        if how is Damage.KILL:
            await self._end_others(0)

    async def status(self) -> PartStatus:
        return await self._service.status()

    async def _end_others(self, grace_s: float) -> None:
        while found := await asyncio.to_thread(self._others):
            await asyncio.gather(*(processes.end(process, grace_s=grace_s) for process in found))
            for process in found:
                processes.reap(process)


async def end_whatever_is_left(root: Path, data: Sequence[Path]) -> None:
    """End every process of a lab that no part claimed: what a killed `up`, or a killed part, left behind."""

    def look() -> list[Process]:
        marked = [process for process, _ in processes.find_by_environment(LAB_VARIABLE, str(root))]
        pids = (pid for folder in data for pid in processes_of(folder))
        found = [*marked, *(process for pid in pids if (process := processes.find_process(pid)))]
        return [
            each for each in found if each.pid != os.getpid() and processes.phase_of(each) is not Phase.GONE
        ]

    while left := await asyncio.to_thread(look):
        await asyncio.gather(*(processes.end(process, grace_s=2) for process in left))
        for process in left:
            processes.reap(process)


class FolderPart:
    """A region's object store: a folder, which is moved away when the region is lost."""

    def __init__(self, name: str, folder: Path, place: Place, clock: Clock) -> None:
        self._name = name
        self._folder = folder
        self._away = folder.with_name(f"{folder.name}.away")
        self._place = place
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        if self._away.exists():
            self._away.rename(self._folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = self._place.record(self._name)
        if record is None or record.damage is not None:
            self._place.write_record(self._name, Record(self._clock.now()))

    async def heal(self) -> None:
        await self.start()

    async def stop(self) -> None:
        """It stays; one that is away comes back, so that nothing is lost by `down`."""
        if self._away.exists():
            self._away.rename(self._folder)
        self._place.forget(self._name)

    async def break_(self, how: Damage) -> None:
        refuse_unless(how, WAYS, self._name)
        if self._away.exists():
            return
        if not self._folder.exists():
            raise NotRunningError(f"{self._name} is not there", hint="start the lab: holdfast lab up regions")
        self._folder.rename(self._away)
        self._place.write_record(self._name, Record(self._clock.now(), damage=how))

    async def status(self) -> PartStatus:
        record = self._place.record(self._name)
        since = record.since if record else None
        if self._away.exists():
            return PartStatus(self._name, PartState.BROKEN, since=since)
        if record is None or not self._folder.exists():
            return PartStatus(self._name, PartState.MISSING)
        return PartStatus(self._name, PartState.RUNNING, since=since)


async def says(host: str, port: int, path: str) -> int:
    """The status that an HTTP server answers GET with; 0 when it does not answer within two seconds."""
    status, _ = await asyncio.to_thread(_got, host, port, path)
    return status


async def asked(host: str, port: int, path: str) -> Mapping[str, object]:
    """The JSON object that a server answers GET with; empty when it answers otherwise, or not in time."""
    return await asyncio.to_thread(look, host, port, path)


def look(host: str, port: int, path: str) -> Mapping[str, object]:
    """As `asked`, for who may wait."""
    _, content = _got(host, port, path)
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _got(host: str, port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(1024 * 1024)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
