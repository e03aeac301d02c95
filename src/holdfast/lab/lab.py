"""The lab's commands: up, down, break, heal, status."""

import asyncio
import difflib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.lab.errors import NotRunningError, PartFailedError, UnknownPartError
from holdfast.lab.model import Damage, Fault, LabEvent, Part, PartState, PartStatus, Progress, Stage
from holdfast.lab.place import Place
from holdfast.lab.sources import find_printcloud
from holdfast.lab.topology import CUSTOMER_LINKS, DEFAULT_BASE_PORT, Topology, printcloud

DEFAULT_DIRECTORY = Path(".holdfast/lab")


def silent(_: LabEvent) -> None:
    pass


class AnyLab:
    """A lab in one directory. Its processes outlive this object and the program that holds it.

    Every command converges and may be repeated; commands on the same directory take turns (LabBusyError
    after `patience_s`). All raise HoldfastError with a message and a hint. One event loop at a time.
    """

    _place: Place
    _patience_s: float
    _sources: Callable[[], Path]
    _topology: Topology
    _faults: Mapping[str, Fault] = MappingProxyType({})

    @property
    def names(self) -> tuple[str, ...]:
        """What can be broken and healed: every part, then every group of parts."""
        return (*self._topology.parts, *self._topology.groups, *self._faults)

    async def up(self, progress: Progress = silent) -> tuple[PartStatus, ...]:
        """Start whatever does not run and heal whatever is broken; leave what runs alone."""
        self._sources()
        self._place.prepare()
        async with self._locked(progress):
            there = [fault for fault in self._faults.values() if fault.status() is not None]
            for fault in there:
                if not fault.needs_parts:
                    await fault.heal()
            count = _Count(progress, len(self._topology.parts), Stage.STARTING, Stage.STARTED)
            for floor in self._topology.floors:
                await _side_by_side([count.around(part.name, part.start) for part in floor])
            for fault in there:
                if fault.needs_parts:
                    await fault.heal()
        return await self.status()

    async def down(self, progress: Progress = silent) -> tuple[PartStatus, ...]:
        """End every process of the lab, also those that an interrupted `up` left behind. Content stays."""
        if not self._place.root.exists():
            return await self.status()
        async with self._locked(progress):
            count = _Count(progress, len(self._topology.parts), Stage.STOPPING, Stage.STOPPED)
            for floor in reversed(self._topology.floors):
                await _side_by_side([count.around(part.name, part.stop) for part in floor])
        return await self.status()

    async def break_(
        self, name: str, how: Damage | None = None, progress: Progress = silent
    ) -> tuple[PartStatus, ...]:
        """Do real damage to a part, to every part of a group, or as a fault; their statuses afterwards.

        Without `how` it is done in the usual way. Raises UnknownPartError, WrongDamageError, and
        NotRunningError when there is nothing to break.
        """
        if fault := self._faults.get(name):
            await self._act_on(fault, lambda: fault.break_(how), progress, Stage.BREAKING, Stage.BROKEN)
            return tuple(each for each in (fault.status(),) if each)
        parts = self._named(name)

        async def damage(part: Part) -> None:
            await part.break_(how or Damage.KILL)

        return await self._each(parts, damage, progress, Stage.BREAKING, Stage.BROKEN)

    async def heal(self, name: str, progress: Progress = silent) -> tuple[PartStatus, ...]:
        """Undo the damage: start or wake each part and wait until it answers. Their statuses afterwards."""
        if fault := self._faults.get(name):
            await self._act_on(fault, fault.heal, progress, Stage.HEALING, Stage.HEALED)
            return (fault.status() or PartStatus(fault.name, PartState.RUNNING),)
        parts = self._named(name)

        async def repair(part: Part) -> None:
            await part.heal()

        return await self._each(parts, repair, progress, Stage.HEALING, Stage.HEALED)

    async def status(self) -> tuple[PartStatus, ...]:
        """Every part as it is now, in the topology's order, then every fault that is there now.

        Changes nothing and waits for nobody.
        """
        parts = [await part.status() for part in self._topology.parts.values()]
        return (*parts, *(told for fault in self._faults.values() if (told := fault.status())))

    async def _act_on(
        self,
        fault: Fault,
        act: Callable[[], Awaitable[None]],
        progress: Progress,
        before: Stage,
        after: Stage,
    ) -> None:
        self._place.prepare()
        async with self._locked(progress):
            await _Count(progress, 1, before, after).around(fault.name, act)

    async def _each(
        self,
        parts: Sequence[Part],
        act: Callable[[Part], Awaitable[None]],
        progress: Progress,
        before: Stage,
        after: Stage,
    ) -> tuple[PartStatus, ...]:
        self._place.prepare()
        async with self._locked(progress):
            count = _Count(progress, len(parts), before, after)
            await _side_by_side([count.around(part.name, partial(act, part)) for part in parts])
        return tuple([await part.status() for part in parts])

    @asynccontextmanager
    async def _locked(self, progress: Progress) -> AsyncIterator[None]:
        def waiting() -> None:
            progress(LabEvent("", Stage.WAITING, 0, len(self._topology.parts)))

        async with self._place.locked(self._patience_s, waiting):
            yield

    def _named(self, name: str) -> tuple[Part, ...]:
        parts = self._topology.parts
        if name in parts:
            return (parts[name],)
        if name in self._topology.groups:
            return tuple(parts[member] for member in self._topology.groups[name])
        near = difflib.get_close_matches(name, self.names, n=1)
        question = f"did you mean {near[0]}? " if near else ""
        raise UnknownPartError(f"the lab has no {name!r}", hint=f"{question}there is {', '.join(self.names)}")


class Lab(AnyLab):
    """The sample print service: three clusters with one database server."""

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        *,
        sources: Path | None = None,
        base_port: int = DEFAULT_BASE_PORT,
        bin_dir: Path | None = None,
        clock: Clock | None = None,
        patience_s: float = 120.0,
    ) -> None:
        """`sources` is the folder of the sample service; when left out, it is looked for when it is needed.

        The services listen on `base_port` + 10 to + 32. `bin_dir` holds PostgreSQL's programs; the packaged
        ones when left out.
        """
        self.directory = directory
        self._place = Place(directory)
        self._patience_s = patience_s
        self._sources = partial(find_printcloud, sources)
        self._topology = printcloud(self._place, self._sources, base_port, bin_dir, clock or SystemClock())

    @property
    def estate_file(self) -> Path:
        """The estate that describes this lab on its default ports. Raises SourcesMissingError."""
        return self._sources() / "holdfast.yaml"

    def environment(self) -> dict[str, str]:
        """The variables that the estate file refers to: the secrets of the customers' report links.

        Made when first asked for and kept in the lab's directory, readable by the owner only.
        """
        return {name: self._place.secret(name.lower().replace("_", "-")) for name in CUSTOMER_LINKS}


class _Count:
    """Tells how far a command over several parts has come."""

    def __init__(self, progress: Progress, total: int, before: Stage, after: Stage) -> None:
        self._progress = progress
        self._total = total
        self._before = before
        self._after = after
        self._done = 0

    async def around(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        self._progress(LabEvent(name, self._before, self._done, self._total))
        await act()
        self._done += 1
        self._progress(LabEvent(name, self._after, self._done, self._total))


async def _side_by_side(acts: Sequence[Awaitable[None]]) -> None:
    """Do them all, whatever becomes of the others, then raise what went wrong, as one error."""
    ends = await asyncio.gather(*acts, return_exceptions=True)
    wrong = [end for end in ends if isinstance(end, BaseException)]
    for error in wrong:
        if not isinstance(error, HoldfastError):
            raise error
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        hints = {error.hint: None for error in wrong if isinstance(error, HoldfastError) and error.hint}
        kind = (
            NotRunningError if all(isinstance(each, NotRunningError) for each in wrong) else PartFailedError
        )
        raise kind("; ".join(map(str, wrong)), hint="; ".join(hints)) from wrong[0]
