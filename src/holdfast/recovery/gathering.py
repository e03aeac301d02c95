"""Evidence out of a run: what its steps found, gathered by agreed names. Pure.

    what               what was restored or moved, in one line
    data_bytes         how much data that was
    rpo_s, rto_s       measured, seconds; "unknown" where nobody knows
    lost_transactions  a number, or "unknown"
    lost_entries       entries of the ledger: a number, or "unknown"
    loss               the loss statement, in words
    corrective         what should be done about it
    phase.NAME         seconds of a phase that was measured within a step
    invariant.NAME     "holds", "fails: WHY" or "unknown: WHY"

A step that comes later in the playbook wins. Whatever else was found goes in as `step.key`. A figure that
cannot be read is unknown, and stands among the others as it was found: evidence is never refused for it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.recovery.evidence import (
    UNKNOWN,
    Approved,
    Evidence,
    Holds,
    Invariant,
    Loss,
    Measure,
    Outcome,
    Phase,
    Where,
    clipped,
    evidence_id,
    millis,
)
from holdfast.recovery.model import Did, Gate, Record, Run, RunState, Together

DRILL = "drill-"
RECORDING = "evidence.record"
"""The action of the step that records a run's evidence, and is no part of it."""

_ALSO = {"region-outage-automatic": "region-outage", "failover-forced": "region-outage"}
_WORDS = frozenset({"what", "loss", "corrective"})
_NUMBERS = frozenset({"data_bytes", "lost_transactions", "lost_entries"})
_SECONDS = frozenset({"rpo_s", "rto_s"})
_MOST_PHASES = 500
_MOST_FOUND = 500
_MOST_SECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Terms:
    """What is aimed at, and what the strictest agreement says; None where nothing does."""

    rpo_target: timedelta | None = None
    rto_target: timedelta | None = None
    rpo_contract: timedelta | None = None
    rto_contract: timedelta | None = None


def is_drill(run: Run) -> bool:
    """A playbook of drills, or one of the real ones that was started for a drill."""
    return run.playbook.name.startswith(DRILL) or run.given.get("drill") == "yes"


def scenario_of(run: Run) -> str:
    """`drill-restore` is a drill of the scenario `restore`; a lost region is one, however it was left."""
    name = run.playbook.name.removeprefix(DRILL)
    return run.given.get("scenario") or _ALSO.get(name, name)


def evidence_of(run: Run, terms: Terms, at: datetime, *, version: str = "") -> Evidence:
    """A run's evidence, recorded at `at`. The step that records it, under way itself, is left out."""
    found, rest = _gathered(run)
    return Evidence(
        id=evidence_id(run.id),
        scenario=clipped(scenario_of(run)),
        drill=is_drill(run),
        where=_where(run),
        subject=clipped(run.subject),
        what=clipped(found.get("what", "")),
        run=run.id,
        playbook=run.playbook.name,
        revision=run.playbook.revision,
        seed=_number(run.given.get("seed", "")),
        started_by=clipped(run.started_by),
        began_at=run.started_at,
        ended_at=run.ended_at,
        recorded_at=at,
        outcome=_outcome(run),
        why=clipped(run.why),
        data_bytes=_number(found.get("data_bytes", "")),
        phases=list(_phases(run))[:_MOST_PHASES],
        approvals=list(_approvals(run)),
        rpo=_measure(terms.rpo_target, terms.rpo_contract, found.get("rpo_s", UNKNOWN)),
        rto=_measure(terms.rto_target, terms.rto_contract, found.get("rto_s", UNKNOWN)),
        invariants=[
            _invariant(key.removeprefix("invariant."), text)
            for key, text in found.items()
            if key.startswith("invariant.")
        ],
        loss=Loss(
            transactions=_number(found.get("lost_transactions", "")),
            entries=_number(found.get("lost_entries", "")),
            statement=clipped(found.get("loss", "")),
        ),
        corrective=clipped(found.get("corrective", "")),
        found=dict(list(rest.items())[:_MOST_FOUND]),
        holdfast=version,
    )


def _gathered(run: Run) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """By agreed name, and the rest by `step.key`."""
    agreed, rest = dict[str, str](), dict[str, str]()
    for step in run.playbook.steps():
        record = run.records.get(step.name)
        if record is None or step.action == RECORDING:
            continue
        for key, text in record.found.items():
            if key in _WORDS or key.startswith("invariant."):
                agreed[key] = text
            elif key in _SECONDS or key in _NUMBERS:
                agreed[key] = text
                if not _can_be_read(key, text):
                    rest[f"{step.name}.{_ascii(key)}"] = clipped(text)
            elif not key.startswith("phase.") or _seconds(text) is None:
                rest[f"{step.name}.{_ascii(key)}"] = clipped(text)
    return agreed, rest


def _can_be_read(key: str, text: str) -> bool:
    if text == UNKNOWN:
        return True
    return (_seconds(text) if key in _SECONDS else _number(text)) is not None


def _phases(run: Run) -> Iterator[Phase]:
    for stage in run.playbook.stages:
        for part in stage.steps if isinstance(stage, Together) else (stage,):
            record = run.records.get(part.name)
            if record is None or getattr(part, "action", "") == RECORDING:
                continue
            yield Phase(
                name=part.name,
                title=clipped(part.title),
                began_at=record.began,
                lasted_ms=None if record.ended is None else millis(record.ended - record.began),
                attempts=record.attempts,
                ended=record.did.value,
                told=clipped(record.told),
            )
            yield from _measured_within(part.name, record)


def _measured_within(step: str, record: Record) -> Iterator[Phase]:
    for key, text in record.found.items():
        lasted = _seconds(text) if key.startswith("phase.") else None
        if lasted is not None:
            yield Phase(name=clipped(key.removeprefix("phase.")), within=step, lasted_ms=millis(lasted))


def _approvals(run: Run) -> Iterator[Approved]:
    for stage in run.playbook.stages:
        record = run.records.get(stage.name) if isinstance(stage, Gate) else None
        for each in record.approvals if record else ():
            yield Approved(gate=stage.name, who=clipped(each.who), at=each.at)


def _outcome(run: Run) -> Outcome:
    """Of one that is recorded by its own last step: done, as far as all that is before that step is."""
    if run.state is RunState.DONE:
        return Outcome.DONE
    others = [each for each in run.playbook.steps() if each.action != RECORDING]
    if run.state is RunState.RUNNING and all(run.did(each.name) is Did.DONE for each in others):
        return Outcome.DONE
    return Outcome.CANCELLED


def _where(run: Run) -> Where:
    try:
        return Where(run.given.get("on", Where.PRODUCTION))
    except ValueError:
        return Where.PRODUCTION


def _measure(target: timedelta | None, contract: timedelta | None, measured: str) -> Measure:
    lasted = _seconds(measured)
    return Measure(
        target_ms=None if target is None else millis(target),
        contract_ms=None if contract is None else millis(contract),
        measured_ms=None if lasted is None else millis(lasted),
    )


def _invariant(name: str, text: str) -> Invariant:
    word, _, detail = text.partition(":")
    known = word.strip() in {each.value for each in Holds}
    return Invariant(
        name=clipped(name),
        holds=Holds(word.strip()) if known else Holds.UNKNOWN,
        detail=clipped(detail.strip() if known else text),
    )


def _seconds(text: str) -> timedelta | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    if not math.isfinite(seconds) or not 0 <= seconds <= _MOST_SECONDS:
        return None
    return timedelta(seconds=seconds)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _ascii(key: str) -> str:
    """Names of fields are ASCII: then every reader sorts them alike."""
    return clipped(key).encode("ascii", "backslashreplace").decode()
