"""How a run is told of to people: the same words in the terminal and in the console."""

from collections.abc import Mapping
from datetime import UTC, timedelta

from holdfast.recovery.model import RunState
from holdfast.recovery.views import Kind, Mark, Row, RunView

SIGNS = {
    Mark.LATER: "○",
    Mark.UNDER_WAY: "▶",
    Mark.WAITS_FOR_PEOPLE: "?",
    Mark.WAITS: "…",
    Mark.DONE: "✔",
    Mark.FAILED: "✖",
    Mark.UNDOING: "◀",
    Mark.UNDONE: "↩",
    Mark.NOT_UNDONE: "✖",
    Mark.NEVER: "-",
    Mark.NOT_PASSED: "-",
}
"""They differ in their signs, not in colour alone."""


DECISIVE: Mapping[str, str] = {
    "last_good": "Last good commit",
    "first_bad": "First bad commit",
    "told": "What is put back, and what is lost",
    "lost": "Changes that are lost",
    "loss": "What is lost",
    "put_back": "Put back",
    "rto_s": "Seconds that it took",
    "rpo_s": "Seconds of data that are lost, at most",
}
"""What people decide by, and what a run came to, of all that its steps have found."""


def decisive_of(view: RunView) -> list[tuple[str, str]]:
    """In the words of people: the newest of each, in the order of `DECISIVE`."""
    found = dict[str, str]()
    for row in view.rows:
        if row.record is not None:
            found |= row.record.found
    if found.get("loss") == found.get("told"):
        found.pop("loss", None)
    why = [("Begun because", reason)] if (reason := reason_of(view)) else []
    return [*why, *((words, found[key]) for key, words in DECISIVE.items() if found.get(key))]


def length_text(length: timedelta) -> str:
    """`8.3s`, `42s`, `2m05s`, `1h02m`: no more exactly than people can use it."""
    seconds = length.total_seconds()
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def standing_text(view: RunView) -> str:
    """`running, at 3 of 7`, `waits for people`, `cancelled`."""
    state = view.run.state
    if state is RunState.RUNNING and view.waits_at is not None:
        return "waits for people"
    if state is RunState.RUNNING:
        return f"running, {view.done} of {view.total} done"
    return state.value


def left_text(view: RunView) -> str:
    """`12s`, `at least 12s`, `12s and 1 gate`, `not known`; empty when it does not go forward."""
    left = view.left
    if left is None:
        return ""
    known = length_text(left.takes)
    if left.unknown:
        known = "not known" if not left.takes else f"at least {known}"
    if left.gates:
        known += f" and {left.gates} gate" + ("s" if left.gates > 1 else "")
    return known


def usual_text(row: Row) -> str:
    """What a step took before: `8.3s (5 runs, 12s at most)`."""
    usual = row.usual
    if usual is None:
        return ""
    runs = f"{usual.runs} run" + ("s" if usual.runs > 1 else "")
    return f"{length_text(usual.median)} ({runs}, {length_text(usual.longest)} at most)"


def remark_text(row: Row) -> str:
    """What there is to say of a row: what it told, who approved, who is waited for, what comes next."""
    said = list[str]()
    record, gate = row.record, row.gate
    if gate is not None:
        said += [f"approved by {each.who}" for each in row.approvals]
        if row.mark is Mark.WAITS_FOR_PEOPLE:
            wanted = gate.approvals - len(row.approvals)
            people = "one" if wanted == 1 else str(wanted)
            who = f"waits for {people} of: {', '.join(gate.roles)}"
            if wanted > 0:
                said.append(who + (", and not who started it" if gate.four_eyes else ""))
                said.append(_until(row))
    elif row.kind is Kind.STEP and row.step is not None:
        if record is not None and record.attempts > 1:
            said.append(f"attempt {record.attempts} of {row.step.retry.attempts}")
        if record is not None and record.told:
            said.append(record.told)
        if row.step.no_return and row.mark is Mark.LATER:
            said.append("no way back from here")
    elif row.mark is Mark.WAITS and row.expires_at is not None:
        said.append(_until(row))
    return "; ".join(said)


def _until(row: Row) -> str:
    """With its day, where that is another one than that on which it began to wait."""
    ends, began = row.expires_at, None if row.record is None else row.record.began
    if ends is None:
        return ""
    same = began is not None and began.astimezone(UTC).date() == ends.astimezone(UTC).date()
    return f"until {ends.astimezone(UTC):{'' if same else '%Y-%m-%d '}%H:%M:%S} UTC"


def reason_of(view: RunView) -> str:
    """Why it was begun, where whoever began it has said so."""
    return view.run.given.get("why", "")
