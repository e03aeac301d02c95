"""`holdfast run`: start a playbook, watch what it does, and have a say in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.recovery.playbooks import Given, PlaybookName, given_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.interfaces.cli.ports import Place
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
    from holdfast.recovery.views import RunView

RunId = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help="Its id, or how it begins; the only one that is not over if left out."
    ),
]
Show = Callable[["RunView"], None]
SHOWN = 20


class Way(StrEnum):
    """How a run goes on that stands still."""

    RETRY = "retry"
    BY_HAND = "by-hand"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What `run start` is asked for."""

    playbook: str
    subject: str
    given: Mapping[str, str]


class RunCommands(Protocol):
    """What these commands need behind them. `which` is a run's id, how one begins, or None for the only one
    that is not over; each raises NotThere when that is none, or several.
    """

    def start(self, place: Place, request: StartRequest) -> RunView: ...

    def newest(self, place: Place, most: int, *, over: bool, before: str | None = None) -> Sequence[RunView]:
        """The newest first, those that began before that run; without `over` those that are not over."""
        ...

    def get(self, place: Place, which: str | None) -> RunView: ...

    def watch(self, place: Place, which: str | None, show: Show) -> RunView:
        """Hand `show` the run, and again whenever it may have changed, at least each second.

        Returns the last of it: when it is over, or stands still.
        """
        ...

    def approve(self, place: Place, which: str | None, gate: str | None) -> RunView:
        """The gate of that name, or the one that it waits at."""
        ...

    def cancel(self, place: Place, which: str | None) -> RunView: ...

    def resume(self, place: Place, which: str | None, way: Way) -> RunView: ...


def add_runs(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add `holdfast run`."""
    group = typer.Typer(help="Runs: playbooks at work.", no_args_is_help=True)
    app.add_typer(group, name="run")
    _add_start(group, commands)
    _add_looking(group, commands)
    _add_watch(group, commands)
    _add_steering(group, commands)


def _add_start(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def start(
        playbook: PlaybookName,
        subject: Annotated[
            str, typer.Argument(metavar="SUBJECT", help="A cluster or a database of the estate.")
        ],
        config: Config,
        data_dir: DataDir,
        given: Given = None,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is over.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Start a playbook. A running `holdfast serve recovery` takes it on."""
        request = StartRequest(playbook, subject, given_of(given))
        where = place(config, data_dir)
        with told(as_json=as_json):
            view = commands().recovery_runs().start(where, request)
        say_started(commands, where, view, watch=watch, as_json=as_json)


def say_started(
    commands: Callable[[], RecoveryCommands], where: Place, view: RunView, *, watch: bool, as_json: bool
) -> None:
    """Say that a run has begun, and follow it where that is wanted."""
    if watch:
        if not as_json:
            typer.echo(f"started run {view.run.id}")
        follow(commands, where, view.run.id, as_json=as_json)
    elif as_json:
        print_json(plain_run(view))
    else:
        typer.echo(f"started run {view.run.id}; follow it: holdfast run watch {view.run.id}")


def _add_looking(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
        most: Annotated[int, typer.Option("--most", min=1, max=1000, help="So many at most.")] = SHOWN,
        before: Annotated[
            str | None, typer.Option("--before", metavar="RUN", help="Only those that began before that one.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show the runs that are not over, the newest first."""
        where = place(config, data_dir)
        with told(as_json=as_json):
            views = commands().recovery_runs().newest(where, most, over=all_, before=before)
        if as_json:
            print_json([plain_run(each) for each in views])
        elif not views:
            none = "there was no run yet" if before is None else "there is none before that"
            typer.echo(none if all_ else "no run is under way")
        else:
            _print_list(views)
            if len(views) == most:
                option = " --all" if all_ else ""
                typer.echo(f"older ones: holdfast run list{option} --before {views[-1].run.id}")

    @group.command()
    def show(config: Config, data_dir: DataDir, run: RunId = None, as_json: AsJson = False) -> None:
        """Show a run as it is now: its steps, how long they took, what they found."""
        with told(as_json=as_json):
            view = commands().recovery_runs().get(place(config, data_dir), run)
        if as_json:
            print_json(plain_run(view))
        else:
            _print_view(view, findings=True)


def _add_watch(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def watch(config: Config, data_dir: DataDir, run: RunId = None, as_json: AsJson = False) -> None:
        """Follow a run until it is over or stands still. Exits with 0 only when it is done."""
        follow(commands, place(config, data_dir), run, as_json=as_json)


def _add_steering(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def approve(
        config: Config,
        data_dir: DataDir,
        run: RunId = None,
        gate: Annotated[
            str | None, typer.Option("--gate", metavar="NAME", help="The one that it waits at if left out.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Approve the gate at which a run waits, under your own account of this machine."""
        with told(as_json=as_json):
            view = commands().recovery_runs().approve(place(config, data_dir), run, gate)
        _say(view, "approved", as_json=as_json)
        if view.waits_at is not None and not as_json:
            from holdfast.interfaces.run_words import remark_text  # noqa: PLC0415

            typer.echo(f"{view.waits_at.title}: {remark_text(view.waits_at)}")

    @group.command()
    def cancel(config: Config, data_dir: DataDir, run: RunId = None, as_json: AsJson = False) -> None:
        """Have a run take back what it did. Past its point of no return it goes forward all the same."""
        with told(as_json=as_json):
            view = commands().recovery_runs().cancel(place(config, data_dir), run)
        if view.run.is_past_return and not as_json:
            typer.echo("holdfast: it is past its point of no return, and goes forward", err=True)
        _say(view, "cancel asked for", as_json=as_json)

    @group.command()
    def resume(
        config: Config,
        data_dir: DataDir,
        run: RunId = None,
        retry: Annotated[bool, typer.Option("--retry", help="Try again what failed.")] = False,
        by_hand: Annotated[
            bool, typer.Option("--by-hand", help="You have done what failed: go on behind it.")
        ] = False,
        back: Annotated[bool, typer.Option("--back", help="Take back what was done.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Have a run go on that stands still. Say how."""
        ways = [way for way, asked in ((Way.RETRY, retry), (Way.BY_HAND, by_hand), (Way.BACK, back)) if asked]
        if len(ways) != 1:
            fail("say how it goes on", "one of --retry, --by-hand and --back", as_json=as_json)
        with told(as_json=as_json):
            view = commands().recovery_runs().resume(place(config, data_dir), run, ways[0])
        _say(view, "goes on", as_json=as_json)


def follow(
    commands: Callable[[], RecoveryCommands], where: Place, which: str | None, *, as_json: bool
) -> None:
    """Show a run until it is over or stands still. Exits with 1 unless it is done."""
    with told(as_json=as_json), _shown(as_json=as_json) as show:
        last = commands().recovery_runs().watch(where, which, show)
    if last.run.state.value != "done":
        raise typer.Exit(1)


@contextmanager
def _shown(*, as_json: bool) -> Iterator[Show]:
    """A picture that changes on a terminal; elsewhere a line for each change; a JSON document a line."""
    from holdfast.interfaces.cli.recovery.watching import Lines, picture  # noqa: PLC0415

    if as_json:
        yield _JsonLines().show
    elif not sys.stdout.isatty():
        yield Lines(typer.echo).show
    else:
        from rich.live import Live  # noqa: PLC0415

        with Live(auto_refresh=False, screen=False) as live:
            yield lambda view: live.update(picture(view), refresh=True)


class _JsonLines:
    """One document in a line for each change of the run."""

    def __init__(self) -> None:
        self._last: object = None

    def show(self, view: RunView) -> None:
        if (view.run, bool(view.away)) == self._last:
            return
        self._last = (view.run, bool(view.away))
        typer.echo(json.dumps(plain_run(view), default=_text, ensure_ascii=False))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _say(view: RunView, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(plain_run(view))
    else:
        typer.echo(f"run {view.run.id}: {what}; it is {view.run.state.value}")


def _print_list(views: Sequence[RunView]) -> None:
    from holdfast.interfaces.run_words import left_text, length_text, standing_text  # noqa: PLC0415

    columns = {"run": "left", "playbook": "left", "of": "left", "state": "left", "began (UTC)": "left"}
    columns |= {"took": "right", "left": "right", "by": "left"}
    print_table(
        columns,
        [
            (
                each.run.id,
                each.run.playbook.name,
                each.run.subject,
                standing_text(each),
                f"{each.run.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                length_text(each.lasts),
                left_text(each),
                each.run.started_by,
            )
            for each in views
        ],
    )


def _print_view(view: RunView, *, findings: bool) -> None:
    from rich.console import Console  # noqa: PLC0415

    from holdfast.interfaces.cli.output import PIPED_WIDTH  # noqa: PLC0415
    from holdfast.interfaces.cli.recovery.watching import picture  # noqa: PLC0415

    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(picture(view))
    found = [(row, key, text) for row in view.rows if row.record for key, text in row.record.found.items()]
    if findings and found:
        columns = {"found by": "left", "what": "left", "is": "left"}
        print_table(columns, [(row.name, key, text) for row, key, text in found])


def plain_run(view: RunView) -> dict[str, Any]:
    """A run for programs. Times in UTC, lengths in seconds."""
    from holdfast.interfaces.run_documents import run_document  # noqa: PLC0415

    return run_document(view)
