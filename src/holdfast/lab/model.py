"""The words of the lab: parts, what state they are in, how they are damaged, and what is told meanwhile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from holdfast.lab.errors import WrongDamageError


class PartState(Enum):
    """What a part is now, as the operating system sees it."""

    RUNNING = "running"
    BROKEN = "broken"  # somebody broke it here, and it does not run
    HANGING = "hanging"  # it exists but does nothing
    MISSING = "missing"  # it does not run, and nobody broke it here


class Damage(Enum):
    """How a part is broken."""

    KILL = "kill"  # at once, as by a crash
    STOP = "stop"  # in order, as by an administrator
    HANG = "hang"  # frozen: it keeps its ports and connections and answers nobody
    # Of a link:
    CUT = "cut"  # nothing passes, and nobody is told: packets are lost
    ONE_WAY = "one-way"  # what the first side sends is lost; what the other sends arrives
    # Of a disk and of what is on it:
    LOSE = "lose"  # the data directory is gone
    UPDATE = "update"  # a wrong UPDATE of every row, committed
    DROP = "drop"  # a table is dropped
    FLIP = "flip"  # bytes of a table's file are changed behind the server's back
    # Of a clock:
    FORWARD = "forward"  # five minutes ahead from one moment to the next
    BACK = "back"  # five minutes behind


WAYS = (Damage.KILL, Damage.STOP, Damage.HANG)
"""How whatever is made of processes is broken; the first is meant when nothing is said."""


def refuse_unless(how: Damage, ways: Sequence[Damage], name: str) -> None:
    """Raises WrongDamageError when `name` cannot be broken that way."""
    if how not in ways:
        raise WrongDamageError(
            f"{name} cannot be broken by {how.value}",
            hint=f"how it can be broken: {', '.join(each.value for each in ways)}",
        )


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part at one moment. `since` is when it came into this state, in UTC, where that is known."""

    name: str
    state: PartState
    pid: int | None = None
    port: int | None = None
    since: datetime | None = None


class Part(Protocol):
    """One thing in the lab that runs, breaks and heals. Operations converge: repeating one is harmless."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None:
        """Return when it runs and answers; raises LabError when it does not come to that."""
        ...

    async def stop(self) -> None:
        """Return when nothing of it runs any more, whatever state it was in. Its stored content stays."""
        ...

    async def break_(self, how: Damage) -> None:
        """Return when the damage is done; raises NotRunningError when there is nothing to break."""
        ...

    async def heal(self) -> None:
        """Return when it runs and answers again."""
        ...

    async def status(self) -> PartStatus: ...


class Fault(Protocol):
    """Damage to what is no part: a disk, a link, a clock, data. It converges, as a part does."""

    @property
    def name(self) -> str: ...

    @property
    def needs_parts(self) -> bool:
        """Whether it can be healed only when the parts run; else it is healed before they are started."""
        ...

    async def break_(self, how: Damage | None) -> None:
        """Return when the damage is done; None is the usual way. Raises WrongDamageError, NotRunningError."""
        ...

    async def heal(self) -> None:
        """Return when it is undone as far as the lab undoes it; harmless when there is none."""
        ...

    def status(self) -> PartStatus | None:
        """What is broken now; None when nothing is."""
        ...


class Stage(Enum):
    """What a LabEvent reports."""

    WAITING = "waiting"  # for another command on the same lab; `part` is empty
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    BREAKING = "breaking"
    BROKEN = "broken"
    HEALING = "healing"
    HEALED = "healed"


@dataclass(frozen=True, slots=True)
class LabEvent:
    """Progress: `part` reached `stage`; `done` of `total` parts are through."""

    part: str
    stage: Stage
    done: int
    total: int


Progress = Callable[[LabEvent], None]
