"""What putting damaged data back took and cost, from what its run found. Pure.

RTO   from the beginning until the database was written to again: the damage, where it is known when that was,
      else when the run began
RPO   0 where nothing that was good is lost; else at most the time from the last good commit until nothing
      more was written: until the database only read, or was put back
"""

from collections.abc import Mapping
from datetime import datetime

from holdfast.recovery.evidence import UNKNOWN
from holdfast.recovery.model import Did, Run

FROZEN_BY, PUT_BACK_BY = "data.freeze", "data.salvage"
LAST = ("data.thaw", "data.verify")
"""Users are served again when these have come about."""


def cost_of(run: Run, given: Mapping[str, str], now: datetime) -> Mapping[str, str]:
    """By the names that evidence is gathered by. `given`: what the measuring step is given.

    began      when the damage was done, ISO 8601; empty: when the run began
    lost       changes that do not stay: a number, or "unknown"
    until      the last good commit, ISO 8601; empty where there is none
    frozen     whether the database only read meanwhile: yes or no
    told       what the people were told who agreed
    """
    began = _moment(given.get("began", "")) or run.started_at
    ended = max((each for name in LAST if (each := _ended(run, name))), default=now)
    nothing_lost = given.get("lost") == "0"
    found = {"rto_s": _seconds(began, ended), "rpo_s": "0" if nothing_lost else _rpo(run, given)}
    if nothing_lost:
        found["lost_transactions"] = "0"
    if given.get("told"):
        found["loss"] = given["told"]
    return found


def _rpo(run: Run, given: Mapping[str, str]) -> str:
    until = _moment(given.get("until", ""))
    stopped = _ended(run, FROZEN_BY if given.get("frozen") == "yes" else PUT_BACK_BY)
    return UNKNOWN if until is None or stopped is None else _seconds(until, stopped)


def _ended(run: Run, action: str) -> datetime | None:
    """When the step with this action came about."""
    for step in run.playbook.steps():
        record = run.records.get(step.name)
        if step.action == action and record is not None and record.did is Did.DONE:
            return record.ended
    return None


def _seconds(first: datetime, last: datetime) -> str:
    return f"{max((last - first).total_seconds(), 0.0):.3f}"


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
