"""A run in a terminal: a picture that changes, or a line for each change where nothing can be drawn."""

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING

from holdfast.interfaces.run_words import (
    SIGNS,
    left_text,
    length_text,
    reason_of,
    remark_text,
    standing_text,
    usual_text,
)
from holdfast.recovery.views import Mark, RunView

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {
    Mark.LATER: "bright_black",
    Mark.UNDER_WAY: "bold cyan",
    Mark.WAITS_FOR_PEOPLE: "bold yellow",
    Mark.WAITS: "yellow",
    Mark.DONE: "green",
    Mark.FAILED: "bold red",
    Mark.UNDOING: "cyan",
    Mark.UNDONE: "bright_black",
    Mark.NOT_UNDONE: "bold red",
    Mark.NEVER: "bright_black",
    Mark.NOT_PASSED: "bright_black",
}


def picture(view: RunView) -> "RenderableType":
    """The run as it stands."""
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("step", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("usually", overflow="fold")
    table.add_column("", overflow="fold")
    for row in view.rows:
        style = _STYLES[row.mark]
        indent = "" if row.number.isdigit() else "  "
        table.add_row(
            row.number,
            Text(f"{indent}{row.title}", style="bold" if row.mark is Mark.UNDER_WAY else ""),
            Text(f"{SIGNS[row.mark]} {row.mark.value}", style=style),
            "" if row.took is None else length_text(row.took),
            Text(usual_text(row), style="bright_black"),
            Text(remark_text(row)),
        )
    return Group(*(Text(line) for line in _heading(view)), table, *(Text(each) for each in _footing(view)))


def _heading(view: RunView) -> list[str]:
    run = view.run
    lines = [
        f"{run.playbook.title}: {run.subject}   run {run.id}, {run.playbook.name} {run.playbook.revision}"
    ]
    began = f"{run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines.append(f"{standing_text(view)}; began {began} by {run.started_by}, lasts {length_text(view.lasts)}")
    if reason := reason_of(view):
        lines.append(f"begun because: {reason}")
    if run.why:
        lines.append(f"why: {run.why}")
    if run.cancel_asked_by:
        lines.append(f"{run.cancel_asked_by} asked for a cancel" + (_TOO_LATE if run.is_past_return else ""))
    return [*lines, ""]


_TOO_LATE = ": it is past its point of no return, and goes forward"


def _footing(view: RunView) -> list[str]:
    left = left_text(view)
    lines = ["", f"the database does not answer, this is how it was: {view.away}"] if view.away else []
    lines += ["", f"left: {left}"] if left else []
    if view.left is not None and view.left.over:
        lines.append(f"longer than ever before: {', '.join(view.left.over)}")
    if view.waits_at is not None:
        lines.append(f"approve it: holdfast run approve {view.run.id}")
    titles = {row.name: row.title for row in view.rows}
    for name, text in view.by_hand.items():
        lines += ["", f"{titles[name]}, by hand:", *(f"    {line}" for line in text.splitlines()), ""]
    if view.run.state.value in {"needs operator", "parked"}:
        lines.append(f"go on: holdfast run resume {view.run.id} --retry (or --by-hand, or --back)")
    return lines


class Lines:
    """A line for each thing that changed: for a log, and for a screen reader."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._marks = dict[str, tuple[Mark, int, int]]()
        self._standing = ""
        self._away = False

    def show(self, view: RunView) -> None:
        """Say what is new in it."""
        at = f"{view.now.astimezone(UTC):%H:%M:%S}"
        if bool(view.away) != self._away:
            self._away = bool(view.away)
            said = f"the database does not answer: {view.away}" if view.away else "the database answers again"
            self._say(f"{at} {said}")
        for row in view.rows:
            now = (row.mark, 0 if row.record is None else row.record.attempts, len(row.approvals))
            if self._marks.get(row.name, (Mark.LATER, 0, 0)) == now or row.mark is Mark.NEVER:
                continue
            self._marks[row.name] = now
            remark = remark_text(row)
            took = f" in {length_text(row.took)}" if row.mark is Mark.DONE and row.took else ""
            said = f"{at} {row.number:>3} {row.title}: {row.mark.value}{took}"
            self._say(f"{said} ({remark})" if remark else said)
        standing = f"{view.run.state.value}" + (f": {view.run.why}" if view.run.why else "")
        if standing != self._standing:
            self._standing = standing
            self._say(f"{at} run {view.run.id} is {standing}")
