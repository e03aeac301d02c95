"""Real links between the sites: a network namespace for each, and one between them. Needs root.

    hub (the world outside)  a bridge, and the address 10.203.0.1
    a, b, w                  one interface each, whose other end is a port of the bridge

A namespace lives as long as a process is in it: a `sleep` holds each, and when they end nothing of the
network is left. Nothing is added to the machine's own network. The entry (entry.py) leads in from there.

A link is cut by giving the other side's address a hardware address that nobody has: what is sent is lost
without a word, as on a line that was dug up, and each direction can be cut alone.
"""

import asyncio
import os
import shutil
import signal
from pathlib import Path

from holdfast.kernel.clock import Clock
from holdfast.lab import processes
from holdfast.lab.errors import NotRunningError, PartFailedError, UnsupportedError
from holdfast.lab.model import Damage, PartState, PartStatus
from holdfast.lab.place import Place, Record
from holdfast.lab.processes import Phase, Process
from holdfast.lab.regions.layout import HUB, SITES, Layout
from holdfast.lab.service import LAB_VARIABLE, PART_VARIABLE

OUTSIDE = "hub"
NOBODY = "02:00:00:00:de:ad"
PREFIX_LENGTH = 24


class Network:
    """The namespaces as one part of the lab. `enter(site)` goes before a command that is to run in one."""

    name = "network"

    def __init__(self, layout: Layout, place: Place, clock: Clock) -> None:
        self.layout = layout
        self._place = place
        self._clock = clock

    def enter(self, site: str) -> tuple[str, ...]:
        """The words before a command that is to run at `site`. Raises NotRunningError."""
        return (_tool("nsenter"), f"--net=/proc/{self._pid(site)}/ns/net", "--")

    async def start(self) -> None:
        """Make what namespaces are missing, and connect them. Raises UnsupportedError."""
        if os.geteuid() != 0:
            raise UnsupportedError(
                "network namespaces need root",
                hint="run the lab as root, or without --namespaces: then links cannot be cut",
            )
        if all(self._holder(each) for each in (OUTSIDE, *SITES)):
            return
        await self.stop()  # half a network is none
        await self._hold(OUTSIDE)
        await self._run(
            OUTSIDE,
            "link set lo up",
            "link add lab type bridge",
            f"addr add {HUB}/{PREFIX_LENGTH} dev lab",
            "link set lab up",
        )
        for site in SITES:
            await self._hold(site)
            pid = self._pid(site)
            await self._run(
                OUTSIDE,
                f"link add to-{site} type veth peer name out netns {pid}",
                f"link set to-{site} master lab",
                f"link set to-{site} up",
            )
            await self._run(
                site,
                "link set lo up",
                f"addr add {self.layout.inner(site)}/{PREFIX_LENGTH} dev out",
                "link set out up",
            )

    async def heal(self) -> None:
        await self.start()

    async def stop(self) -> None:
        for name in (*SITES, OUTSIDE):
            while process := self._holder(name):
                await processes.end(process, grace_s=2)
                processes.reap(process)
            self._place.forget(_part(name))

    async def break_(self, how: Damage) -> None:
        raise UnsupportedError(
            f"the network as a whole is not broken ({how.value})",
            hint="cut a link: holdfast lab break link-a-b",
        )

    async def status(self) -> PartStatus:
        held = self._holder(OUTSIDE)
        there = all(self._holder(each) for each in SITES)
        if held is None or not there:
            return PartStatus(self.name, PartState.MISSING)
        record = self._place.record(_part(OUTSIDE))
        return PartStatus(self.name, PartState.RUNNING, held.pid, since=record.since if record else None)

    def exists(self) -> bool:
        return all(self._holder(each) for each in (OUTSIDE, *SITES))

    async def lose(self, sender: str, receiver: str) -> None:
        """From now on what `sender` sends to `receiver` is lost; each is a site, or OUTSIDE."""
        device = "lab" if sender == OUTSIDE else "out"
        await self._run(
            sender, f"neigh replace {self._address(receiver)} lladdr {NOBODY} nud permanent dev {device}"
        )

    async def pass_again(self, sender: str, receiver: str) -> None:
        """Undo `lose`. Harmless when nothing was lost."""
        device = "lab" if sender == OUTSIDE else "out"
        # Replaced first: there may be no entry, and deleting one that is missing is an error.
        await self._run(
            sender,
            f"neigh replace {self._address(receiver)} lladdr {NOBODY} nud permanent dev {device}",
            f"neigh del {self._address(receiver)} dev {device}",
        )

    def _address(self, site: str) -> str:
        return HUB if site == OUTSIDE else self.layout.inner(site)

    def _pid(self, name: str) -> int:
        process = self._holder(name)
        if process is None:
            raise NotRunningError("the lab's network is not there", hint="start it: holdfast lab up regions")
        return process.pid

    def _holder(self, name: str) -> Process | None:
        record = self._place.record(_part(name))
        if record and record.process and processes.phase_of(record.process) is not Phase.GONE:
            return record.process
        for process, environment in processes.find_by_environment(LAB_VARIABLE, str(self._place.root)):
            if environment.get(PART_VARIABLE) == _part(name):
                return process
        return None

    async def _hold(self, name: str) -> None:
        command = (_tool("unshare"), "--net", "--", _tool("sleep"), "infinity")
        marks = {LAB_VARIABLE: str(self._place.root), PART_VARIABLE: _part(name), "PATH": os.defpath}
        process = processes.spawn(command, marks, self._place.log(_part(name)))
        self._place.write_record(_part(name), Record(self._clock.now(), process))
        ours = _namespace_of("self")
        for _ in range(500):
            if processes.phase_of(process) is Phase.GONE:
                break
            # The namespace is made before the program changes from unshare to sleep.
            if _namespace_of(str(process.pid)) != ours:
                return
            await asyncio.sleep(0.01)
        processes.send_signal(process, signal.SIGKILL)
        words = self._place.log_end(_part(name), 500).strip()
        raise UnsupportedError(
            f"this machine gives no network namespace: {words or 'unshare does not say why'}",
            hint="run the lab without --namespaces: then links cannot be cut",
        )

    async def _run(self, name: str, *commands: str) -> None:
        """Run commands of ip(8) in a namespace, all or up to the first that fails."""
        process = await asyncio.create_subprocess_exec(
            *self.enter(name),
            _tool("ip"),
            "-batch",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, words = await process.communicate("".join(f"{each}\n" for each in commands).encode())
        if process.returncode:
            raise PartFailedError(
                f"the lab's network was not made: {words.decode(errors='replace').strip()[:300]}"
            )


def _namespace_of(pid: str) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


def _part(name: str) -> str:
    return f"network-{name}"


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnsupportedError(
            f"there is no {name} on this machine",
            hint="network namespaces need util-linux and iproute2; without --namespaces the lab does not",
        )
    return found
