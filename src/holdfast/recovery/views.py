"""A run as people look at it: what was done, what is under way, who is waited for, how long yet. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.recovery import transitions
from holdfast.recovery.errors import Refused
from holdfast.recovery.expected import Remainder, Took, remainder, took_before
from holdfast.recovery.model import Approval, Did, Gate, Pause, Record, Run, RunState, Stage, Step, Together
from holdfast.recovery.transitions import How


class Kind(StrEnum):
    """What a row is about."""

    STEP = "step"
    GATE = "gate"
    PAUSE = "pause"
    TOGETHER = "together"


class Mark(StrEnum):
    """How a row stands."""

    LATER = "later"
    UNDER_WAY = "under way"
    WAITS_FOR_PEOPLE = "waits for people"
    WAITS = "waits"
    """A pause; or a step, for its next attempt."""
    DONE = "done"
    FAILED = "failed"
    """It is not tried again by itself."""
    UNDOING = "being undone"
    UNDONE = "undone"
    NOT_UNDONE = "not undone"
    NEVER = "was not begun"
    NOT_PASSED = "was not passed"
    """A gate or a pause at which the run turned back."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step, a gate, a pause, or the title of several steps side by side."""

    kind: Kind
    number: str
    """3, or 3a for one of several side by side."""
    name: str
    title: str
    mark: Mark
    record: Record | None = None
    took: timedelta | None = None
    """Of the attempt that is told of; while it is under way, up to now."""
    usual: Took | None = None
    step: Step | None = None
    gate: Gate | None = None
    expires_at: datetime | None = None
    """Of a gate that waits: then nobody can approve it any more; of a pause that waits: its end."""

    @property
    def approvals(self) -> Sequence[Approval]:
        return () if self.record is None else self.record.approvals


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at a moment of the store's clock."""

    run: Run
    now: datetime
    rows: Sequence[Row]
    left: Remainder | None
    """None when the run does not go forward."""
    took: Mapping[str, Took] = field(default_factory=dict)
    by_hand: Mapping[str, str] = field(default_factory=dict)
    """By step that has failed: how people do it."""
    away: str = ""
    """Why this is how it was last known: the database does not answer now."""

    @property
    def waits_at(self) -> Row | None:
        """The gate that it waits at."""
        return next((each for each in self.rows if each.mark is Mark.WAITS_FOR_PEOPLE), None)

    @property
    def lasts(self) -> timedelta:
        """Since its beginning, up to its end or now."""
        return max((self.run.ended_at or self.now) - self.run.started_at, timedelta())

    @property
    def done(self) -> int:
        """Of its `total` stages, those that are done."""
        return sum(each.mark is Mark.DONE for each in self._stages)

    @property
    def total(self) -> int:
        return len(self._stages)

    @property
    def _stages(self) -> Sequence[Row]:
        return [each for each in self.rows if each.number.isdigit()]


def view_of(run: Run, now: datetime, earlier: Iterable[Run] = ()) -> RunView:
    """`earlier` runs of whatever playbook, the newest first: they tell how long steps take."""
    took = took_before(run, earlier)
    rows = tuple(
        row
        for number, stage in enumerate(run.playbook.stages, 1)
        for row in _rows(run, number, stage, now, took)
    )
    return RunView(run, now, rows, remainder(run, now, took), took)


def _rows(run: Run, number: int, stage: Stage, now: datetime, took: Mapping[str, Took]) -> Iterator[Row]:
    match stage:
        case Step():
            yield _of_step(run, str(number), stage, now, took)
        case Gate() | Pause():
            yield _of_wait(run, str(number), stage, now)
        case Together():
            steps = [
                _of_step(run, f"{number}{letter(index)}", step, now, took)
                for index, step in enumerate(stage.steps)
            ]
            yield Row(
                Kind.TOGETHER, str(number), stage.name, stage.title, _of_several([s.mark for s in steps])
            )
            yield from steps


def letter(index: int) -> str:
    """A to z, then aa."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


def _of_step(run: Run, number: str, step: Step, now: datetime, took: Mapping[str, Took]) -> Row:
    record = run.records.get(step.name)
    length: timedelta | None = None
    if record is not None:
        length = max((record.ended or now) - record.began, timedelta())
    mark = _mark_of_step(run, step, record)
    return Row(Kind.STEP, number, step.name, step.title, mark, record, length, took.get(step.name), step)


def _mark_of_step(run: Run, step: Step, record: Record | None) -> Mark:
    if record is None:
        return Mark.LATER if _goes_forward(run) else Mark.NEVER
    match record.did:
        case Did.RUNNING:
            return Mark.UNDER_WAY
        case Did.DONE:
            return Mark.DONE
        case Did.FAILED:
            again = run.state is RunState.RUNNING and record.attempts < step.retry.attempts
            return Mark.WAITS if again else Mark.FAILED
        case Did.UNDOING:
            return Mark.UNDOING
        case Did.UNDONE:
            return Mark.UNDONE
        case Did.NOT_UNDONE:
            return Mark.NOT_UNDONE


def _goes_forward(run: Run) -> bool:
    """Now, or when somebody has it go on that stands still."""
    if run.state in (RunState.NEEDS_OPERATOR, RunState.PARKED):
        return run.stood_in is RunState.RUNNING
    return run.state is RunState.RUNNING


def _of_wait(run: Run, number: str, stage: Gate | Pause, now: datetime) -> Row:
    record = run.records.get(stage.name)
    kind = Kind.GATE if isinstance(stage, Gate) else Kind.PAUSE
    gate = stage if isinstance(stage, Gate) else None
    if record is None:
        mark = Mark.LATER if _goes_forward(run) else Mark.NEVER
        return Row(kind, number, stage.name, stage.title, mark, gate=gate)
    length = max((record.ended or now) - record.began, timedelta())
    if record.did is Did.DONE:
        return Row(kind, number, stage.name, stage.title, Mark.DONE, record, length, gate=gate)
    if run.state is not RunState.RUNNING:
        mark = Mark.FAILED if _goes_forward(run) else Mark.NOT_PASSED
        return Row(kind, number, stage.name, stage.title, mark, record, gate=gate)
    ends = record.began + (stage.expires_after if isinstance(stage, Gate) else stage.lasts)
    mark = Mark.WAITS_FOR_PEOPLE if gate is not None else Mark.WAITS
    return Row(kind, number, stage.name, stage.title, mark, record, length, gate=gate, expires_at=ends)


def _of_several(marks: Sequence[Mark]) -> Mark:
    """Of steps side by side: what concerns people most."""
    for mark in (Mark.NOT_UNDONE, Mark.FAILED, Mark.UNDOING, Mark.UNDER_WAY, Mark.WAITS, Mark.UNDONE):
        if mark in marks:
            return mark
    if all(mark is Mark.DONE for mark in marks):
        return Mark.DONE
    # Some are done, and the next ones were not begun yet: between two of them.
    return Mark.UNDER_WAY if Mark.DONE in marks and Mark.LATER in marks else marks[0] if marks else Mark.DONE


@dataclass(frozen=True, slots=True)
class Possible:
    """What somebody may do with a run now; why not, where they might want to know."""

    approve: bool = False
    why_not: str = ""
    """Of the gate that it waits at."""
    cancel: bool = False
    resume: Sequence[How] = ()


def possible_for(view: RunView, who: str, roles: AbstractSet[str]) -> Possible:
    """By the same rules that decide when it is done."""
    run, now = view.run, view.now
    gate, approve, why_not = view.waits_at, False, ""
    if gate is not None:
        try:
            approve = transitions.approved(run, gate.name, who, roles, now) != run
            why_not = "" if approve else "you have approved it"
        except Refused as error:
            why_not = str(error)
    try:
        transitions.must_be_allowed(run.playbook, roles)
    except Refused:
        return Possible(approve, why_not)
    ways = tuple(how for how in How if _can(lambda how=how: transitions.resumed(run, who, how, now)))  # type: ignore[misc]
    # Past the point of no return it would only be noted.
    cancel = run.state is not RunState.CANCELLING and not run.is_past_return
    return Possible(approve, why_not, cancel and _can(lambda: transitions.cancelled(run, who)), ways)


def _can(transition: Callable[[], Run]) -> bool:
    try:
        transition()
    except Refused:
        return False
    return True
