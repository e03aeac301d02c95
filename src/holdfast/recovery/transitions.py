"""How a run changes. Pure: each returns the run as it is afterwards, or raises Refused.

Whoever writes one down does so in one transaction with its journal entry, and only while no later epoch than
their own stands in the run's row.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum

from msgspec.structs import replace

from holdfast.kernel.people import person_of
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Approval, Did, Gate, Playbook, Record, Run, RunState

MOST_LOST_LEASES = 5
"""So many replicas one after the other died of a run, before it is parked."""
LONGEST_TOLD = 4000
LONGEST_FOUND = 100_000


def begun(run: Run, name: str, attempt: int, at: datetime) -> Run:
    """An attempt of a step begins; also one that somebody who is gone had begun."""
    _must(run, RunState.RUNNING)
    if run.did(name) is Did.DONE:
        raise Refused(f"{name} is done already")
    return _turned(_with(run, name, Record(did=Did.RUNNING, began=at, attempts=attempt)))


def ended(
    run: Run, name: str, at: datetime, *, well: bool, told: str = "", found: Mapping[str, str] | None = None
) -> Run:
    """The attempt came to an end. What it found is given to later steps."""
    record = _record(run, name)
    if record.did is not Did.RUNNING:
        raise Refused(f"{name} is not under way")
    did = Did.DONE if well else Did.FAILED
    kept = {bearable(key): bearable(text, LONGEST_FOUND) for key, text in (found or {}).items()}
    changed = replace(record, did=did, ended=at, told=bearable(told), found=kept)
    return replace(_with(run, name, changed), lost_leases=0)


def bearable(text: str, most: int = LONGEST_TOLD) -> str:
    """What an action says may come from anywhere: as much of it is kept as is bearable, and can be stored."""
    clean = text.replace("\x00", "").encode(errors="replace").decode()
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def undoing(run: Run, name: str, attempt: int, at: datetime) -> Run:
    """A step begins to be taken back."""
    _must(run, RunState.CANCELLING)
    changed = replace(_record(run, name), did=Did.UNDOING, began=at, ended=None, undo_attempts=attempt)
    return _turned(_with(run, name, changed))


def undone(run: Run, name: str, at: datetime, *, well: bool, told: str = "") -> Run:
    """It was taken back, or could not be."""
    record = _record(run, name)
    if record.did is not Did.UNDOING:
        raise Refused(f"{name} is not being undone")
    did = Did.UNDONE if well else Did.NOT_UNDONE
    changed = replace(record, did=did, ended=at, told=bearable(told))
    return replace(_with(run, name, changed), lost_leases=0)


def reached(run: Run, name: str, at: datetime) -> Run:
    """A gate or a pause begins to wait. Repeated, it has waited since the first time, or since now when that
    has not come yet: the clock went back.
    """
    _must(run, RunState.RUNNING)
    record = run.records.get(name)
    if record is None:
        return _with(run, name, Record(did=Did.RUNNING, began=at))
    if record.did is Did.RUNNING and at < record.began:
        return _with(run, name, replace(record, began=at))
    return run


def passed(run: Run, name: str, at: datetime) -> Run:
    """A gate or a pause has waited enough."""
    _must(run, RunState.RUNNING)
    return _with(run, name, replace(_record(run, name), did=Did.DONE, ended=at))


def approved(run: Run, name: str, who: str, roles: AbstractSet[str], at: datetime) -> Run:
    """Somebody who has these roles approves a gate. The same person a second time changes nothing."""
    _must(run, RunState.RUNNING)
    gate = next((each for each in run.playbook.stages if isinstance(each, Gate) and each.name == name), None)
    if gate is None:
        raise Refused(f"the playbook has no gate {name!r}")
    record = run.records.get(name)
    if record is None or record.did is not Did.RUNNING:
        raise Refused(f"the run does not wait at {name!r}")
    if at >= record.began + gate.expires_after:
        raise Refused(f"{name!r} has expired", hint="start the run again")
    if roles.isdisjoint(gate.roles):
        raise Refused(f"{name!r} is approved by: {', '.join(gate.roles)}")
    person = person_of(who)
    if gate.four_eyes and person == person_of(run.started_by):
        raise Refused("whoever started the run cannot approve it", hint="ask somebody else")
    if any(person_of(each.who) == person for each in record.approvals):
        return run
    return _with(run, name, replace(record, approvals=(*record.approvals, Approval(who, at))))


def must_be_allowed(playbook: Playbook, roles: AbstractSet[str]) -> None:
    """Raises Refused when none of these roles may start, cancel or resume runs of the playbook."""
    if playbook.roles and roles.isdisjoint(playbook.roles):
        raise Refused(f"{playbook.name!r} is for: {', '.join(playbook.roles)}", hint="ask one of them")


def cancelled(run: Run, who: str) -> Run:
    """Somebody wants to go back. Past the point of no return that is only noted: the run goes forward."""
    if run.state.is_over:
        raise Refused(f"the run is {run.state.value}")
    asked = replace(run, cancel_asked_by=run.cancel_asked_by or who)
    if run.is_past_return or run.state is RunState.CANCELLING:
        return asked
    return replace(asked, state=RunState.CANCELLING, why=f"cancelled by {who}", lost_leases=0)


def turned_back(run: Run, why: str) -> Run:
    """It cannot go forward, and is undone."""
    _must(run, RunState.RUNNING)
    if run.is_past_return:
        raise Refused("the run is past the point of no return")
    return replace(run, state=RunState.CANCELLING, why=why)


def stood_still(run: Run, why: str) -> Run:
    """A person is needed."""
    _must(run, RunState.RUNNING, RunState.CANCELLING)
    return replace(run, state=RunState.NEEDS_OPERATOR, stood_in=run.state, why=why)


def finished(run: Run, state: RunState, at: datetime) -> Run:
    """All is done, or undone."""
    _must(run, RunState.RUNNING if state is RunState.DONE else RunState.CANCELLING)
    return replace(run, state=state, ended_at=at)


def lease_lost(run: Run) -> Run:
    """A replica that worked on it is gone. One that ends several of them is parked."""
    lost = run.lost_leases + 1
    if not run.state.is_active or lost < MOST_LOST_LEASES:
        return replace(run, lost_leases=lost)
    why = f"{lost} replicas have died of it, one after the other"
    return replace(run, state=RunState.PARKED, stood_in=run.state, why=why, lost_leases=lost)


class How(StrEnum):
    """How a person has a run go on that stands still."""

    RETRY = "retry"
    """What failed is tried again, with all its attempts."""
    BY_HAND = "by hand"
    """What failed was done by that person."""
    BACK = "back"
    """Undo what was done."""


def resumed(run: Run, who: str, how: How, at: datetime) -> Run:
    """A run that stands still goes on. Raises Refused when it does not, or cannot go back any more."""
    _must(run, RunState.NEEDS_OPERATOR, RunState.PARKED)
    if how is How.BACK and run.is_past_return:
        raise Refused("the run is past the point of no return", hint="retry, or do the step by hand")
    state = RunState.CANCELLING if how is How.BACK else run.stood_in
    records = {name: _gone_on(each, who, how, at) for name, each in run.records.items()}
    return replace(run, state=state, records=records, why="", lost_leases=0)


def _gone_on(record: Record, who: str, how: How, at: datetime) -> Record:
    if record.did is Did.FAILED:
        if how is How.BY_HAND:
            return replace(record, did=Did.DONE, ended=at, told=f"done by hand by {who}")
        return replace(record, attempts=0)
    if record.did is Did.NOT_UNDONE:
        if how is How.BY_HAND:
            return replace(record, did=Did.UNDONE, ended=at, told=f"undone by hand by {who}")
        return replace(record, undo_attempts=0)
    if record.did is Did.RUNNING and record.ended is None and how is How.RETRY:
        return replace(record, began=at)  # a gate that expired waits anew
    return record


def _with(run: Run, name: str, record: Record) -> Run:
    return replace(run, records={**run.records, name: record})


def _turned(run: Run) -> Run:
    return replace(run, turns=run.turns + 1)


def _record(run: Run, name: str) -> Record:
    record = run.records.get(name)
    if record is None:
        raise Refused(f"{name} has not been reached")
    return record


def _must(run: Run, *states: RunState) -> None:
    if run.state not in states:
        raise Refused(f"the run is {run.state.value}")
