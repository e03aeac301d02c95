"""When people are called: a run cannot go on without them, or traffic is moved without anybody's word. Pure.

a gate waits               when it begins to, and again when half of its time is gone
a run stands still         at once, and again each hour
nobody works on a run      when that lasts a minute, and again each hour
traffic moves by itself    when it begins, and when it is over (nobody has to do anything)

Each call has a key that is the same for the same call, whoever makes it: of several processes one does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.recovery.model import Gate, Run, RunState
from holdfast.recovery.views import Row, RunView
from holdfast.recovery.watching import ACTOR

AGAIN_AFTER = timedelta(hours=1)
UNATTENDED_AFTER = timedelta(minutes=1)
NEWS_FOR = timedelta(hours=1)
"""What was over for longer, and that nobody was told of, is no news: it stands in the list of runs."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a person reads, in one line, and how to see more."""

    key: str
    event: str
    """As the journal names it."""
    text: str
    facts: dict[str, object]
    look: str
    urgent: bool = True
    """Whether somebody has to do something now."""


def calls_of(view: RunView) -> Iterator[Call]:
    """What people are to be called for now, also what they have been called for already."""
    run = view.run
    gate = view.waits_at
    if gate is not None:
        yield from _of_gate(view, gate)
    if moved_by_itself(run):
        yield from _of_moved(view)
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


def moved_by_itself(run: Run) -> bool:
    """Whether it moves traffic, or has, though nobody started it."""
    return run.playbook.moves_traffic and run.started_by == ACTOR


def _of_moved(view: RunView) -> Iterator[Call]:
    """A gate that waits, and a run that stands still, call by themselves."""
    run, title = view.run, f"{view.run.playbook.title}: {view.run.subject}"
    look = f"holdfast run show {run.id}"
    moved = {key: run.given[key] for key in ("lost", "to") if key in run.given}
    if not any(isinstance(stage, Gate) for stage in run.playbook.stages) and not run.state.is_over:
        yield Call(
            f"run/{run.id}/moves",
            "recovery.failover_begun",
            f"{title} is moved by itself",
            {"run": run.id, **moved, "why": run.given.get("why", "")},
            f"holdfast run watch {run.id}",
        )
    if run.ended_at is not None and view.now - run.ended_at < NEWS_FOR:
        found = {key: text for record in run.records.values() for key, text in record.found.items()}
        told = ("rto_s", "rpo_s", "not_reached", "corrective")
        facts: dict[str, object] = {key: found[key] for key in told if key in found}
        end = f"{run.ended_at:%Y-%m-%d %H:%M:%S}Z"
        yield Call(
            f"run/{run.id}/moved",
            "recovery.failover_over",
            f"{title} was moved by itself" if run.state is RunState.DONE else f"{title}: {run.state.value}",
            {"run": run.id, **moved, "over": end, "why": run.why, **facts},
            look,
            urgent=run.state is not RunState.DONE,
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
                "why": run.given.get("why", ""),
                "roles": ", ".join(gate.roles),
                "approved_by": ", ".join(each.who for each in record.approvals),
                "wanted": gate.approvals - len(record.approvals),
                "until": f"{row.expires_at:%Y-%m-%d %H:%M:%S}Z",
            },
            f"holdfast run show {run.id}, then holdfast run approve {run.id}",
        )
