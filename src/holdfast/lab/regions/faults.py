"""Damage that is not the end of a part: a lost disk, a cut link, a clock that jumps.

Names: `a-database` `b-database`, `a-disk` `b-disk`, `a-clock` `b-clock` `w-clock`, `link-a-b` `link-a-w`
`link-b-w`, `a-link` `b-link` `w-link` (all the links of a site, also to the world outside), and `data`.
Shorter: `node`, `database`, `disk` and `clock` are those of the region that is the primary now; `link` is
`link-a-b`.
"""

import asyncio
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from holdfast.adapters.postgres.server.process import processes_of
from holdfast.kernel.clock import Clock
from holdfast.lab import processes
from holdfast.lab.errors import NotRunningError, UnsupportedError
from holdfast.lab.model import Damage, Fault, Part, PartState, PartStatus, refuse_unless
from holdfast.lab.place import Place, Record
from holdfast.lab.processes import Phase
from holdfast.lab.regions import layout as at
from holdfast.lab.regions.layout import REGIONS, SITES, WITNESS, Layout
from holdfast.lab.regions.network import OUTSIDE, Network
from holdfast.lab.regions.parts import look

JUMP_S = 300


def faults(
    layout: Layout, place: Place, clock: Clock, network: Network, nodes: Mapping[str, Part], data: Fault
) -> Mapping[str, Fault]:
    """All the faults of a lab, by name."""
    made: list[Fault] = [data]
    known = Known(place, clock)
    for region in REGIONS:
        made.append(DatabaseFault(f"{region}-database", layout, region, known))
        made.append(DiskFault(f"{region}-disk", layout, region, nodes[region], known))
    made += [ClockFault(f"{site}-clock", layout, site, known) for site in SITES]
    for one, other in combinations(SITES, 2):
        made.append(LinkFault(f"link-{one}-{other}", [(one, other)], network, layout, known))
    for site in SITES:
        others = [each for each in (*SITES, OUTSIDE) if each != site]
        made.append(LinkFault(f"{site}-link", [(site, each) for each in others], network, layout, known))
    found = {fault.name: fault for fault in made}
    view = lambda: primary(layout)  # noqa: E731
    short: list[Fault] = [
        ShortName(kind, {region: found[f"{region}-{kind}"] for region in REGIONS}, view)
        for kind in ("database", "disk", "clock")
    ]
    short.append(ShortName("node", {region: PartFault(nodes[region], known) for region in REGIONS}, view))
    short.append(ShortName("link", {"a": found["link-a-b"]}, lambda: "a"))
    return {**found, **{fault.name: fault for fault in short}}


def primary(layout: Layout) -> str:
    """The region that holds the leader's lock, or held it last as far as anybody tells; else A."""
    for site, path in ((WITNESS, "/view"), *((region, "/cluster") for region in REGIONS)):
        told = look(layout.outer(site), layout.port(at.PATRONI), path)
        if isinstance(leader := told.get("leader"), dict):
            return str(leader["name"])
        members = told.get("members")
        for member in members if isinstance(members, list) else []:
            if member.get("role") in _LEADING:
                return str(member["name"])
    return "a"


_LEADING = ("leader", "primary", "standby_leader")


class Known:
    """What was broken, and when, in the lab's records."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self.place = place
        self._clock = clock

    def note(self, name: str, how: Damage) -> None:
        self.place.write_record(name, Record(self._clock.now(), damage=how))

    def status(self, name: str) -> PartStatus | None:
        record = self.place.record(name)
        if record is None or record.damage is None:
            return None
        return PartStatus(name, PartState.BROKEN, since=record.since)

    def how(self, name: str) -> Damage | None:
        record = self.place.record(name)
        return record.damage if record else None


class DatabaseFault:
    """A region's PostgreSQL alone: Patroni lives, and starts it again when it was killed."""

    needs_parts = False
    ways = (Damage.KILL, Damage.HANG)

    def __init__(self, name: str, layout: Layout, region: str, known: Known) -> None:
        self.name = name
        self._data = layout.data(region)
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        how = how or Damage.KILL
        refuse_unless(how, self.ways, self.name)
        if not (pids := processes_of(self._data)):
            raise NotRunningError(f"{self.name} does not run", hint="start it: holdfast lab up regions")
        number = signal.SIGKILL if how is Damage.KILL else signal.SIGSTOP
        for pid in pids:
            if process := processes.find_process(pid):
                processes.send_signal(process, number)
        self._known.note(self.name, how)

    async def heal(self) -> None:
        for pid in processes_of(self._data):
            if (process := processes.find_process(pid)) and processes.phase_of(process) is Phase.FROZEN:
                processes.send_signal(process, signal.SIGCONT)
        self._known.place.forget(self.name)

    def status(self) -> PartStatus | None:
        told = self._known.status(self.name)
        if told and self._known.how(self.name) is Damage.KILL and processes_of(self._data):
            return None  # Patroni has it back
        return told


class DiskFault:
    """The disk of a region's database: the node dies, and its data directory is gone for good."""

    needs_parts = True
    ways = (Damage.LOSE,)

    def __init__(self, name: str, layout: Layout, region: str, node: Part, known: Known) -> None:
        self.name = name
        self._data = layout.data(region)
        self._node = node
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        refuse_unless(how or Damage.LOSE, self.ways, self.name)
        if not self._data.exists():
            return
        if (await self._node.status()).state is not PartState.MISSING:
            await self._node.break_(Damage.KILL)
        self._known.note(self.name, Damage.LOSE)
        # Out of the way first: a removal that is interrupted must not leave half a data directory in place.
        lost = self._data.with_name("data.lost")
        await asyncio.to_thread(shutil.rmtree, lost, ignore_errors=True)
        self._data.rename(lost)
        await asyncio.to_thread(shutil.rmtree, lost, ignore_errors=True)

    async def heal(self) -> None:
        """A new, empty disk: the node starts on it, and Patroni copies what the other has."""
        if self._known.how(self.name) is not None:
            await self._node.start()
        self._known.place.forget(self.name)

    def status(self) -> PartStatus | None:
        return self._known.status(self.name)


class ClockFault:
    """The wall clock of a site's voter: Patroni's, or the witness's."""

    needs_parts = False
    ways = (Damage.FORWARD, Damage.BACK)

    def __init__(self, name: str, layout: Layout, site: str, known: Known) -> None:
        self.name = name
        self._file = layout.clock_file(site)
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        how = how or Damage.FORWARD
        refuse_unless(how, self.ways, self.name)
        if not self._file.parent.exists():
            raise NotRunningError(f"{self.name} does not run", hint="start it: holdfast lab up regions")
        self._known.note(self.name, how)
        self._file.write_text(str(JUMP_S if how is Damage.FORWARD else -JUMP_S), encoding="ascii")

    async def heal(self) -> None:
        self._file.unlink(missing_ok=True)
        self._known.place.forget(self.name)

    def status(self) -> PartStatus | None:
        return self._known.status(self.name) if self._file.exists() else None


class LinkFault:
    """One link, or all of a site. Cut, or what the first side sends is lost while the other's arrives."""

    needs_parts = False
    ways = (Damage.CUT, Damage.ONE_WAY)

    def __init__(
        self,
        name: str,
        pairs: Sequence[tuple[str, str]],
        network: Network,
        layout: Layout,
        known: Known,
    ) -> None:
        self.name = name
        self._pairs = pairs
        self._network = network
        self._layout = layout
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        how = how or Damage.CUT
        refuse_unless(how, self.ways, self.name)
        if not self._layout.namespaces:
            raise UnsupportedError(
                "this lab has no links to cut: its sites share the machine's own network",
                hint="end it, then start it as root with: holdfast lab up regions --namespaces",
            )
        self._known.note(self.name, how)
        for one, other in self._pairs:
            await self._network.lose(one, other)
            if how is Damage.CUT:
                await self._network.lose(other, one)
            else:
                await self._network.pass_again(other, one)

    async def heal(self) -> None:
        if self._known.how(self.name) is None:
            return
        self._known.place.forget(self.name)
        if self._network.exists():
            for one, other in self._pairs:
                await self._network.pass_again(one, other)
                await self._network.pass_again(other, one)

    def status(self) -> PartStatus | None:
        return self._known.status(self.name) if self._layout.namespaces else None


class PartFault:
    """A part under a shorter name: it tells of itself, so this one does not."""

    needs_parts = False

    def __init__(self, part: Part, known: Known) -> None:
        self.name = part.name
        self._part = part
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        await self._part.break_(how or Damage.KILL)

    async def heal(self) -> None:
        await self._part.heal()

    def status(self) -> PartStatus | None:
        return self._known.status(self.name)


class ShortName:
    """The fault of whichever region is the primary when it is broken. Healed, all of that kind are."""

    needs_parts = False

    def __init__(self, name: str, meant: Mapping[str, Fault], view: Callable[[], str]) -> None:
        self.name = name
        self._meant = meant
        self._view = view

    async def break_(self, how: Damage | None) -> None:
        region = await asyncio.to_thread(self._view)
        await self._meant.get(region, self._meant["a"]).break_(how)

    async def heal(self) -> None:
        for fault in self._meant.values():
            if fault.status() is not None:
                await fault.heal()

    def status(self) -> PartStatus | None:
        """None: the fault behind it tells of itself."""
        return None
