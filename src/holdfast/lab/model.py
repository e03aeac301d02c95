"""The words of the lab: parts, what state they are in, how they are damaged, and what is told meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol


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
