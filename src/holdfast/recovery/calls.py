"""When people are called because a run cannot go on without them. Pure.

a gate waits               when it begins to, and again when half of its time is gone
a run stands still         at once, and again each hour
nobody works on a run      when that lasts a minute, and again each hour

Each call has a key that is the same for the same call, whoever makes it: of several processes one does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.recovery.model import RunState
from holdfast.recovery.views import Row, RunView

AGAIN_AFTER = timedelta(hours=1)
UNATTENDED_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Call:
    """What a person reads, in one line, and how to see more."""

    key: str
    event: str
    """As the journal names it."""
    text: str
    facts: dict[str, object]
    look: str


def calls_of(view: RunView) -> Iterator[Call]:
    """What people are to be called for now, also what they have been called for already."""
    run = view.run
    gate = view.waits_at
    if gate is not None:
        yield from _of_gate(view, gate)
    if run.state in (RunState.NEEDS_OPERATOR, RunState.PARKED):
        times = [each.ended or each.began for each in run.records.values()]
        since = max(times, default=run.started_at)
        hours = max((view.now - since) // AGAIN_AFTER, 0)
        yield Call(
            f"run/{run.id}/stands/{run.turns}/{hours}",
            "recovery.run_stands_still",
            f"{run.playbook.title}: {run.subject} stands still, and needs a person",
            {"run": run.id, "why": run.why, "since": f"{since:%Y-%m-%d %H:%M:%S}Z"},
            f"holdfast run show {run.id}, then holdfast run resume {run.id} --retry, --by-hand or --back",
        )


def call_for_unattended(waits: timedelta, now: datetime) -> Iterator[Call]:
    """Of runs that are under way, and that no process has worked on for so long."""
    if waits >= UNATTENDED_AFTER:
        yield Call(
            f"unattended/{now.timestamp() // AGAIN_AFTER.total_seconds():.0f}",
            "recovery.run_unattended",
            "nobody works on a run that is under way",
            {"for_s": round(waits.total_seconds())},
            "holdfast run list; the logs of `holdfast serve recovery` say why",
        )


def _of_gate(view: RunView, row: Row) -> Iterator[Call]:
    run, gate, record = view.run, row.gate, row.record
    if gate is None or record is None or row.expires_at is None or view.now >= row.expires_at:
        return
    halves = 1 if view.now >= record.began + gate.expires_after / 2 else 0
    for half in range(halves + 1):
        yield Call(
            # A gate that waits anew, because somebody had the run go on, is another call.
            f"run/{run.id}/gate/{gate.name}/{record.began.timestamp():.0f}/{half}",
            "recovery.gate_waits",
            f"{run.playbook.title}: {run.subject} waits for people: {gate.title}",
            {
                "run": run.id,
                "gate": gate.name,
                "started_by": run.started_by,
                "roles": ", ".join(gate.roles),
                "approved_by": ", ".join(each.who for each in record.approvals),
                "wanted": gate.approvals - len(record.approvals),
                "until": f"{row.expires_at:%Y-%m-%d %H:%M:%S}Z",
            },
            f"holdfast run show {run.id}, then holdfast run approve {run.id}",
        )
