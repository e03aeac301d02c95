"""What recovery needs from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from holdfast.recovery.model import Playbook, Run

NEWEST_KEPT = 3
SHORTEST_KEEP = timedelta(days=7)
"""A request that is sent again must find the run that it started."""

Transition = Callable[[Run, datetime], Run]
"""A run as it is afterwards, at the database's time. Raises Refused; and is called again when it must be."""


@dataclass(frozen=True, slots=True)
class Held:
    """A run that a replica works on, and the epoch that it does so in."""

    run: Run
    epoch: int
    now: datetime
    """By the store's clock, when the run was as it is here."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is told of a change, in the journal: in the same transaction, or not at all."""

    actor: str
    event: str
    facts: Mapping[str, object]


class RunStore(Protocol):
    """The runs. Times are the store's own: no replica's clock decides anything."""

    async def start(self, run: Run, note: Note) -> Run:
        """Keep a new run, with its beginning by the store's clock.

        Raises Refused when its playbook moves traffic, and another such run of its subject is not over.
        """
        ...

    async def claim(self, replica: str, lease: timedelta) -> Held | None:
        """Take on an active run that nobody works on, in its next epoch; None when there is none.

        One whose lease has ended was lost by a replica: the run counts it.
        """
        ...

    async def free_in(self) -> timedelta | None:
        """How long until the first lease of an active run ends, unless it is renewed; None without any lease.

        By the store's clock, and not negative: when to claim again, so that no run waits longer than a lease.
        """
        ...

    async def renew(self, run_id: str, epoch: int, lease: timedelta) -> None:
        """Go on working on it. Raises Fenced when a later epoch has begun."""
        ...

    async def release(self, run_id: str, epoch: int) -> None:
        """Nobody works on it any more. Does nothing when a later epoch has begun."""
        ...

    async def change(self, run_id: str, transition: Transition, note: Note, epoch: int | None = None) -> Held:
        """The run changes by `transition`, in one transaction with the note; no note when nothing changes.

        With an epoch it raises Fenced when a later one has begun; people act in none. Raises Refused from
        the transition, and NotThere.
        """
        ...

    async def get(self, run_id: str) -> Held:
        """Raises NotThere."""
        ...

    async def newest(
        self, most: int, before: str | None = None, *, over: bool | None = None
    ) -> Sequence[Run]:
        """The newest first: those that began before that run; all, or only those that are over, or are not.

        None are before a run that there is not.
        """
        ...

    async def prune(self, keep: timedelta, most: int) -> int:
        """Let go of runs that ended longer ago, and whose evidence is kept: the oldest, so many at most.

        The newest NEWEST_KEPT of each playbook on each subject stay: by them it is known how long steps take.
        Returns how many went; one note tells of them.
        """
        ...

    async def unfinished(self) -> Sequence[Run]:
        """Those that are not over, the newest first."""
        ...

    @property
    def heard(self) -> int:
        """How many changes of runs this replica has heard of. To be read before the runs are."""
        ...

    async def woken(self, since: int, within_s: float) -> None:
        """Return when more was heard of than `since`, or after so long."""
        ...


class PlaybookBook(Protocol):
    """The revisions of playbooks: what was run under a name, and when it changed."""

    async def revised(self, playbook: Playbook) -> Playbook:
        """The playbook with the revision that it has: the newest one's when it is the same, else the next.

        The number that it came with does not count.
        """
        ...

    async def revisions(self, name: str) -> Sequence[tuple[Playbook, datetime]]:
        """All of them, the newest first, each with when it was first seen."""
        ...


@dataclass(frozen=True, slots=True)
class Fence:
    """What a target is told when it is changed, so that it can refuse who comes late: by (epoch, turn).

    Epochs are of all runs together: whoever takes a run on, whichever it is, has a later one than all before.
    The turn is later for each attempt: what a replica sent before it gave an attempt up may arrive when that
    has been undone. So a target keeps the newest (epoch, turn) that it has heard of, for each thing that one
    step at a time changes, and refuses older ones: also those of an earlier run.
    """

    run_id: str
    epoch: int
    turn: int


Found = Mapping[str, str]


class Action(Protocol):
    """What a step does. All three may be called again and again, by one replica after another."""

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        """None when there is something to do; else what later steps may want to know of what is there."""
        ...

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Bring it about. Raises StepFailed, or any HoldfastError."""
        ...

    async def verify(self, given: Mapping[str, str]) -> Found:
        """Raises StepFailed when it has not come about."""
        ...
