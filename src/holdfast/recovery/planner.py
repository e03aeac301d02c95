"""What a run does next: a pure function of the run, the time, and what this replica is busy with.

What holds at any time, whoever crashes, fails, cancels or approves (tests/property/test_planner.py):

1. A stage begins only when all stages before it are done.
2. A step is tried again only after its attempt has ended, or whoever worked on it is gone.
3. What is undone was begun before, and has an `undo`; later stages are undone before earlier ones, and
   nothing begins any more once undoing has.
4. From the beginning of a step of no return on nothing is undone: a cancel goes forward, and what cannot go
   forward waits for a person.
5. A gate lets through only with its approvals, by people of its roles, nobody twice, and before it expires.
6. A run that is over stays as it is.
7. Every run comes to an end, or stands where a person can see why: there is always an order, or something
   that is waited for.
8. Nothing waits longer than the playbook says, though the database's clock goes back: what has begun later
   than now begins to wait anew.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from holdfast.kernel.people import person_of
from holdfast.recovery.model import Did, Gate, Pause, Record, Run, RunState, Stage, Step, Together


@dataclass(frozen=True, slots=True)
class Begin:
    """Act: attempt number `attempt` of a step, from 1."""

    step: Step
    attempt: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take a step back: attempt number `attempt`, from 1."""

    step: Step
    attempt: int


@dataclass(frozen=True, slots=True)
class Reach:
    """A gate or a pause begins to wait."""

    stage: Gate | Pause


@dataclass(frozen=True, slots=True)
class Pass:
    """A gate or a pause has waited enough."""

    stage: Gate | Pause


@dataclass(frozen=True, slots=True)
class TurnBack:
    """It cannot go forward: what was done is undone."""

    why: str


@dataclass(frozen=True, slots=True)
class StandStill:
    """It can go neither forward nor back without a person."""

    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """All is done, or undone."""

    state: RunState


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing before that time; None: not before something else happens."""

    until: datetime | None


Order = Begin | Undo | Reach | Pass | TurnBack | StandStill | Finish | Wait


def orders(run: Run, now: datetime, busy: AbstractSet[str] = frozenset()) -> Sequence[Order]:
    """What to do now, all of it at once. `busy`: the steps that this replica works on already."""
    match run.state:
        case RunState.RUNNING:
            return _forward(run, now, busy)
        case RunState.CANCELLING:
            return _back(run, now, busy)
        case _:
            return [Wait(None)]


def _forward(run: Run, now: datetime, busy: AbstractSet[str]) -> Sequence[Order]:
    for stage in run.playbook.stages:
        if _is_done(run, stage):
            continue
        match stage:
            case Gate() | Pause():
                return [_at_wait(run, stage, now)]
            case Step():
                return _at_steps(run, [stage], 1, now, busy)
            case Together():
                return _at_steps(run, stage.steps, stage.at_once, now, busy)
    return [Finish(RunState.DONE)]


def _is_done(run: Run, stage: Stage) -> bool:
    parts = stage.steps if isinstance(stage, Together) else [stage]
    return all(run.did(each.name) is Did.DONE for each in parts)


def _at_wait(run: Run, stage: Gate | Pause, now: datetime) -> Order:
    record = run.records.get(stage.name)
    if record is None or now < record.began:
        return Reach(stage)
    if isinstance(stage, Pause):
        ends = record.began + stage.lasts
        return Pass(stage) if now >= ends else Wait(ends)
    if len({person_of(each.who) for each in record.approvals}) >= stage.approvals:
        return Pass(stage)
    expires = record.began + stage.expires_after
    if now < expires:
        return Wait(expires)
    return _cannot_go_on(run, f"nobody approved {stage.title!r} in time")


def _at_steps(
    run: Run, steps: Sequence[Step], at_once: int, now: datetime, busy: AbstractSet[str]
) -> Sequence[Order]:
    working = [each for each in steps if each.name in busy]
    failed = [each for each in steps if _has_failed(run, each)]
    if failed:
        if working:  # what is under way ends first: it would be undone while it acts
            return [Wait(None)]
        first = failed[0]
        return [_cannot_go_on(run, f"{first.title!r} failed: {run.records[first.name].told}")]
    orders, waits = list[Order](), list[datetime]()
    for step in steps:
        if step.name in busy or run.did(step.name) is Did.DONE:
            continue
        if len(working) + len(orders) >= at_once:
            break
        again = _not_before(step, run.records.get(step.name), now)
        if again is None or now >= again:
            orders.append(Begin(step, _tried(run, step) + 1))
        else:
            waits.append(again)
    return orders or [Wait(min(waits, default=None))]


def _tried(run: Run, step: Step) -> int:
    """Attempts that came to an end. One that nobody works on any more was no attempt: it is made again."""
    record = run.records.get(step.name)
    if record is None:
        return 0
    return record.attempts if record.did is Did.FAILED else record.attempts - 1


def _has_failed(run: Run, step: Step) -> bool:
    record = run.records.get(step.name)
    return record is not None and record.did is Did.FAILED and record.attempts >= step.retry.attempts


def _not_before(step: Step, record: Record | None, now: datetime) -> datetime | None:
    if record is None or record.did is not Did.FAILED or record.ended is None or now < record.ended:
        return None
    return record.ended + step.retry.pause_after(record.attempts)


def _cannot_go_on(run: Run, why: str) -> Order:
    return StandStill(why) if run.is_past_return else TurnBack(why)


def _back(run: Run, now: datetime, busy: AbstractSet[str]) -> Sequence[Order]:
    if busy:
        return [Wait(None)]
    for step in _to_undo(run):
        record = run.records[step.name]
        if record.did is Did.NOT_UNDONE:
            if record.undo_attempts >= step.retry.attempts:
                return [StandStill(f"{step.title!r} could not be undone: {record.told}")]
            ended = record.ended or now
            again = ended + step.retry.pause_after(record.undo_attempts)
            if ended <= now < again:
                return [Wait(again)]
            return [Undo(step, record.undo_attempts + 1)]
        # One that was being undone by somebody who is gone is undone again: it comes to the same.
        return [Undo(step, max(record.undo_attempts, 1))]
    return [Finish(RunState.CANCELLED)]


def _to_undo(run: Run) -> Iterator[Step]:
    """Steps that have left something behind, the last one first."""
    for step in reversed(list(run.playbook.steps())):
        if step.undo is not None and run.did(step.name) not in (None, Did.UNDONE):
            yield step
