"""The words of recovery, as frozen values.

A **playbook** says what is to be done: **stages** one after the other, each of them a step, a gate, a pause,
or several steps side by side. A **step** is a named action that observes, acts and verifies, and comes to
the same when it is repeated; a **gate** waits for people. A **run** is one playbook at work on one subject:
it carries the playbook as it was when the run began, so that an edited one changes no run.

A replica works on a run under a **lease** with an **epoch**: each takeover has the next one, and whatever a
step changes outside is told the epoch, so that a replica which wakes late cannot change it any more.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,63}$")]


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """How often a step is tried, and how long is waited in between: twice as long each time."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    pause: timedelta = timedelta(seconds=2)
    longest_pause: timedelta = timedelta(minutes=1)

    def pause_after(self, attempt: int) -> timedelta:
        """Before the attempt that follows number `attempt`, which is from 1."""
        doubled: timedelta = self.pause * 2 ** min(attempt - 1, 30)
        return min(doubled, self.longest_pause)


class Step(Struct, frozen=True, forbid_unknown_fields=True, tag="step", tag_field="stage", kw_only=True):
    """An action. `undo` is the action that takes it back; without one there is nothing to take back.

    From the beginning of a step of `no_return` on, the run goes forward only.
    """

    name: Name
    title: str
    action: str
    given: Mapping[str, str] = {}
    undo: str | None = None
    within: timedelta = timedelta(minutes=5)
    retry: Retry = Retry()
    no_return: bool = False
    by_hand: str = ""
    """What a person does instead, when everything is dark."""
    undo_by_hand: str = ""
    """How a person takes it back."""


class Gate(Struct, frozen=True, forbid_unknown_fields=True, tag="gate", tag_field="stage", kw_only=True):
    """Waits until so many people of one of these roles have approved. Nobody counts twice."""

    name: Name
    title: str
    roles: Sequence[str]
    approvals: Annotated[int, Meta(ge=1, le=5)] = 1
    four_eyes: bool = False
    """Whoever started the run does not count."""
    expires_after: timedelta = timedelta(hours=1)


class Pause(Struct, frozen=True, forbid_unknown_fields=True, tag="pause", tag_field="stage", kw_only=True):
    """Waits so long: for caches to expire, for a replica to settle."""

    name: Name
    title: str
    lasts: timedelta


class Together(
    Struct, frozen=True, forbid_unknown_fields=True, tag="together", tag_field="stage", kw_only=True
):
    """Steps side by side, `at_once` of them at most."""

    name: Name
    title: str
    steps: Sequence[Step]
    at_once: Annotated[int, Meta(ge=1, le=32)] = 4


Stage = Step | Gate | Pause | Together


class Taken(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A word that a run is started with. Without a default somebody must give it."""

    title: str
    default: str | None = None
    by_hand: str = ""
    """What people who follow it by hand take it to be, where they are told nothing else: `{primary}`."""


class Playbook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be done. `revision` counts the changes of the playbook under this name."""

    name: Name
    title: str
    stages: Sequence[Stage]
    about: str = ""
    """When it is the right one, and when it is not. For people."""
    takes: Mapping[str, Taken] = {}
    """What a run is started with, beside its subject."""
    revision: Annotated[int, Meta(ge=1)] = 1
    moves_traffic: bool = False
    """A failover of its subject: only one of those may be under way."""
    roles: tuple[str, ...] = ()
    """Who may start, cancel and resume it: whoever holds one of these; empty: whoever may work with runs."""

    def steps(self) -> Iterator[Step]:
        """All of them, in the order of their stages."""
        for stage in self.stages:
            if isinstance(stage, Step):
                yield stage
            elif isinstance(stage, Together):
                yield from stage.steps


class Did(StrEnum):
    """What became of a stage's part."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Its last attempt. Another one follows while there are any left."""
    UNDOING = "undoing"
    UNDONE = "undone"
    NOT_UNDONE = "not undone"
    """An attempt to undo it has failed."""


class Approval(Struct, frozen=True):
    """Somebody has approved a gate."""

    who: str
    at: datetime


class Record(Struct, frozen=True, kw_only=True):
    """What happened at a step, a gate or a pause. Times are aware, by the database's clock."""

    did: Did
    began: datetime
    """The attempt that is told of; of a gate and a pause, when they were reached."""
    ended: datetime | None = None
    attempts: int = 1
    undo_attempts: int = 0
    told: str = ""
    """What the action said, for people."""
    found: Mapping[str, str] = {}
    """What later steps are given."""
    approvals: tuple[Approval, ...] = ()


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    """What was done is undone, the last first."""
    DONE = "done"
    CANCELLED = "cancelled"
    """Everything that could be undone is."""
    NEEDS_OPERATOR = "needs operator"
    """It stands still, and a person must look: then it is resumed."""
    PARKED = "parked"
    """Those who worked on it keep dying: it is not taken up by itself any more."""

    @property
    def is_over(self) -> bool:
        return self in (RunState.DONE, RunState.CANCELLED)

    @property
    def is_active(self) -> bool:
        """Whether a replica has something to do."""
        return self in (RunState.RUNNING, RunState.CANCELLING)


class Run(Struct, frozen=True, kw_only=True):
    """One playbook at work. What changes it is in transitions.py; what to do next in planner.py."""

    id: str
    playbook: Playbook
    subject: str
    """A cluster, a database: what the playbook works on."""
    given: Mapping[str, str] = {}
    started_by: str
    started_at: datetime
    state: RunState = RunState.RUNNING
    records: Mapping[str, Record] = {}
    """By the name of a step, a gate or a pause."""
    cancel_asked_by: str = ""
    why: str = ""
    """Why it needs an operator, was cancelled or parked."""
    stood_in: RunState = RunState.RUNNING
    """What it was in before it stood still, and goes on with."""
    ended_at: datetime | None = None
    turns: int = 0
    """Attempts that were begun, of whatever step, to do it or to undo it."""
    lost_leases: int = 0
    """One after the other, without a step ended in between."""

    def did(self, name: str) -> Did | None:
        """None for what has not been reached."""
        record = self.records.get(name)
        return None if record is None else record.did

    @property
    def is_past_return(self) -> bool:
        """A step of no return has begun: it may have taken effect, whatever it said."""
        return any(step.no_return and step.name in self.records for step in self.playbook.steps())
