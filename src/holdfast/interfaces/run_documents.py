"""A run for programs: the same document from the command line and from the API."""

from typing import Any

from holdfast.recovery.views import Row, RunView


def run_document(view: RunView) -> dict[str, Any]:
    """Times are datetimes in UTC, lengths are in seconds; null is unknown, or not yet."""
    run, gate, left = view.run, view.waits_at, view.left
    return {
        "id": run.id,
        "playbook": run.playbook.name,
        "revision": run.playbook.revision,
        "title": run.playbook.title,
        "subject": run.subject,
        "given": dict(run.given),
        "state": run.state.value,
        "why": run.why,
        "moves_traffic": run.playbook.moves_traffic,
        "past_return": run.is_past_return,
        "started_by": run.started_by,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "cancel_asked_by": run.cancel_asked_by or None,
        "as_of": view.now,
        "away": view.away or None,
        "lasts_s": view.lasts.total_seconds(),
        "waits_at": None if gate is None else gate.name,
        "left": None
        if left is None
        else {
            "at_least_s": left.takes.total_seconds(),
            "gates": left.gates,
            "unknown": list(left.unknown),
            "over": list(left.over),
        },
        "stages": [_row(each, view.by_hand.get(each.name)) for each in view.rows],
    }


def _row(row: Row, by_hand: str | None) -> dict[str, Any]:
    record, usual, step = row.record, row.usual, row.step
    return {
        "number": row.number,
        "kind": row.kind.value,
        "name": row.name,
        "title": row.title,
        "state": row.mark.value,
        "action": None if step is None else step.action,
        "no_return": step is not None and step.no_return,
        "began": None if record is None else record.began,
        "ended": None if record is None else record.ended,
        "took_s": None if row.took is None else row.took.total_seconds(),
        "usual_s": None if usual is None else usual.median.total_seconds(),
        "longest_s": None if usual is None else usual.longest.total_seconds(),
        "earlier_runs": 0 if usual is None else usual.runs,
        "attempts": 0 if record is None else record.attempts,
        "told": "" if record is None else record.told,
        "by_hand": by_hand,
        "found": {} if record is None else dict(record.found),
        "approvals": [{"who": each.who, "at": each.at} for each in row.approvals],
        "approvals_wanted": None if row.gate is None else row.gate.approvals,
        "roles": None if row.gate is None else list(row.gate.roles),
        "four_eyes": row.gate is not None and row.gate.four_eyes,
        "until": row.expires_at,
    }
