"""`holdfast playbook`: what there is, whether it can be run, and how it is done by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Place
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
    from holdfast.recovery.expected import Took
    from holdfast.recovery.model import Playbook, Stage
    from holdfast.recovery.runbook import Runbook
    from holdfast.recovery.shelf import Shelved

PlaybookName = Annotated[str, typer.Argument(metavar="PLAYBOOK", help="A playbook's name.")]
Given = Annotated[
    list[str] | None,
    typer.Option("--given", "-g", metavar="NAME=TEXT", help="What it is started with; several times."),
]


@dataclass(frozen=True, slots=True)
class PlaybookDetails:
    """A playbook, and what the database knows of it.

    `unknown` tells why the database could not be asked; then there are neither revisions nor times.
    """

    playbook: Playbook
    where: str
    revisions: Sequence[tuple[int, datetime]] = ()
    """The newest first, with when it was first started."""
    is_changed: bool = False
    """The file is another than the newest revision: it becomes the next one when it is started."""
    took: Mapping[str, Took] = field(default_factory=dict)
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class RunbookMade:
    """A runbook, where its playbook is from, and what could not be read on the way."""

    runbook: Runbook
    where: str
    printed_at: datetime
    trouble: str = ""


class PlaybookCommands(Protocol):
    """What these commands need behind them."""

    def shelf(self, place: Place) -> Sequence[Shelved]:
        """All there are, by name. Needs files only."""
        ...

    def check(self, place: Place, which: Sequence[str]) -> Sequence[Shelved]:
        """Those of these names, and those in these files. All of them when none is named."""
        ...

    def details(self, place: Place, name: str, revision: int | None) -> PlaybookDetails:
        """One, as its file has it, or as it was in a revision."""
        ...

    def runbook(self, place: Place, name: str, subject: str, given: Mapping[str, str]) -> RunbookMade:
        """Needs files only, and does without the estate's when it cannot be read."""
        ...


def add_playbooks(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add `holdfast playbook`."""
    group = typer.Typer(help="Playbooks: what is done in a disaster, step by step.", no_args_is_help=True)
    app.add_typer(group, name="playbook")
    _add_list(group, commands)
    _add_show(group, commands)
    _add_check(group, commands)


def given_of(texts: Sequence[str] | None) -> dict[str, str]:
    """`NAME=TEXT` each."""
    given = dict[str, str]()
    for each in texts or ():
        name, sign, text = each.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{each!r} is not NAME=TEXT")
        if name in given:
            raise typer.BadParameter(f"{name} is given twice")
        given[name] = text
    return given


def _add_list(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show the playbooks that Holdfast has, and those of the estate. Needs no running Holdfast."""
        with told(as_json=as_json):
            shelf = commands().recovery_playbooks().shelf(place(config, data_dir))
        if as_json:
            print_json([_plain_shown(each) for each in shelf])
            return
        rows = [
            (
                each.name,
                "WRONG" if each.playbook is None else len(list(each.playbook.steps())),
                ""
                if each.playbook is None
                else sum(type(s).__name__ == "Gate" for s in each.playbook.stages),
                "yes" if each.playbook is not None and each.playbook.moves_traffic else "",
                each.where + (", instead of Holdfast's own" if each.replaces else ""),
                each.problems[0].message if each.playbook is None else each.playbook.title,
            )
            for each in shelf
        ]
        columns = {"playbook": "left", "steps": "right", "gates": "right", "moves traffic": "left"}
        print_table(columns | {"from": "left", "what it does": "left"}, rows)


def _add_show(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def show(
        name: PlaybookName,
        config: Config,
        data_dir: DataDir,
        subject: Annotated[
            str, typer.Option("--for", metavar="SUBJECT", help="The cluster or database it is for.")
        ] = "",
        given: Given = None,
        offline: Annotated[
            bool,
            typer.Option(
                "--offline", help="As a runbook to be followed by hand. Reads files and nothing else."
            ),
        ] = False,
        revision: Annotated[int | None, typer.Option("--revision", min=1, help="As it was run then.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show a playbook's steps; with --offline print it for people to follow when everything is dark."""
        if offline and revision is not None:
            fail("revisions are in the database, which --offline does not ask", as_json=as_json)
        words = given_of(given)
        with told(as_json=as_json):
            behind, where = commands().recovery_playbooks(), place(config, data_dir)
            if offline:
                _print_runbook(behind.runbook(where, name, subject, words), as_json=as_json)
                return
            details = behind.details(where, name, revision)
        if as_json:
            print_json(_plain_details(details))
        else:
            _print_details(details)


def _add_check(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def check(
        config: Config,
        data_dir: DataDir,
        which: Annotated[
            list[str] | None, typer.Argument(metavar="[PLAYBOOK|FILE]...", help="All when none is named.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say all that is wrong with playbooks, with file and line. Needs no running Holdfast."""
        with told(as_json=as_json):
            found = commands().recovery_playbooks().check(place(config, data_dir), which or ())
        wrong = sum(each.playbook is None for each in found)
        if as_json:
            print_json([_plain_shown(each) for each in found])
        else:
            for each in found:
                for problem in each.problems:
                    typer.echo(problem.as_text(), err=True)
                for warning in each.warnings:
                    typer.echo(f"warning: {warning.as_text()}", err=True)
            right = len(found) - wrong
            typer.echo(f"{right} can be run" + (f", {wrong} cannot" if wrong else ""))
        if wrong:
            raise typer.Exit(1)


def _print_runbook(made: RunbookMade, *, as_json: bool) -> None:
    from holdfast.interfaces.cli.recovery.runbook import plain_runbook, runbook_text  # noqa: PLC0415

    if as_json:
        print_json(plain_runbook(made.runbook, made.where, made.printed_at, made.trouble))
        return
    if made.trouble:
        typer.echo(f"holdfast: without the estate's addresses: {made.trouble}", err=True)
    sys.stdout.write(runbook_text(made.runbook, made.where, made.printed_at))


def _print_details(details: PlaybookDetails) -> None:
    playbook = details.playbook
    typer.echo(f"{playbook.name}: {playbook.title}  ({details.where})")
    if playbook.about:
        typer.echo(f"\n{playbook.about}\n")
    if details.revisions:
        number, since = details.revisions[0]
        changed = "; the file is another by now" if details.is_changed else ""
        typer.echo(f"revision {number}, first run {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC{changed}")
    elif details.unknown:
        typer.echo(f"revisions and times are not known: {details.unknown}")
    if playbook.roles:
        typer.echo(f"started, cancelled and resumed by: {', '.join(playbook.roles)}")
    for name, taken in playbook.takes.items():
        default = "must be given" if taken.default is None else f"{taken.default!r} if not given"
        typer.echo(f"takes {name}: {taken.title} ({default})")
    rows = [
        row for number, stage in enumerate(playbook.stages, 1) for row in _rows(number, stage, details.took)
    ]
    columns = {"": "left", "step": "left", "what": "left", "by": "left", "at most": "right"}
    print_table(columns | {"took": "right", "in": "right"}, rows)


def _rows(number: int, stage: Stage, took: Mapping[str, Took], sub: str = "") -> list[tuple[object, ...]]:
    from holdfast.interfaces.run_words import length_text  # noqa: PLC0415
    from holdfast.kernel.durations import format_duration  # noqa: PLC0415
    from holdfast.recovery.model import Gate, Pause, Step  # noqa: PLC0415
    from holdfast.recovery.views import letter  # noqa: PLC0415

    mark = f"{number}{sub}"
    if isinstance(stage, Gate):
        people = f"{stage.approvals} of {', '.join(stage.roles)}" + (
            ", not who began" if stage.four_eyes else ""
        )
        return [(mark, stage.name, stage.title, people, format_duration(stage.expires_after), "", "")]
    if isinstance(stage, Pause):
        return [(mark, stage.name, stage.title, "wait", format_duration(stage.lasts), "", "")]
    if isinstance(stage, Step):
        known = took.get(stage.name)
        by = (
            stage.action
            + (f", undo {stage.undo}" if stage.undo else "")
            + (", NO RETURN" if stage.no_return else "")
        )
        times = ("", "") if known is None else (length_text(known.median), f"{known.runs} runs")
        return [(mark, stage.name, stage.title, by, format_duration(stage.within), *times)]
    rows: list[tuple[object, ...]] = [(mark, stage.name, stage.title, f"{stage.at_once} at once", "", "", "")]
    for index, step in enumerate(stage.steps):
        rows += _rows(number, step, took, letter(index))
    return rows


def _plain_shown(shown: Shelved) -> dict[str, Any]:
    playbook = shown.playbook
    return {
        "name": shown.name,
        "from": shown.where,
        "replaces_own": shown.replaces,
        "title": None if playbook is None else playbook.title,
        "steps": None if playbook is None else len(list(playbook.steps())),
        "moves_traffic": None if playbook is None else playbook.moves_traffic,
        "ok": playbook is not None,
        "problems": [asdict(each) for each in shown.problems],
        "warnings": [asdict(each) for each in shown.warnings],
    }


def _plain_details(details: PlaybookDetails) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    return {
        "from": details.where,
        "playbook": msgspec.to_builtins(details.playbook),
        "revisions": [{"revision": number, "since": since} for number, since in details.revisions],
        "is_changed": details.is_changed,
        "took_s": {
            name: {
                "median": each.median.total_seconds(),
                "longest": each.longest.total_seconds(),
                "runs": each.runs,
            }
            for name, each in details.took.items()
        },
        "unknown": details.unknown,
    }
