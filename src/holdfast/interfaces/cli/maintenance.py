"""`holdfast maintenance`: announce planned work, so that readers know of it and agreements leave it out."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from holdfast.interfaces.cli import series
from holdfast.interfaces.cli.moments import parse_length, parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told
from holdfast.interfaces.cli.planned import plain, shown, summary
from holdfast.interfaces.cli.planning import MaintenanceRequest
from holdfast.interfaces.cli.ports import Commands

Id = Annotated[str, typer.Argument(metavar="ID", help="As `maintenance list` shows it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say who would be told, and do nothing.")]
Title = Annotated[str | None, typer.Option("--title", help="What customers read.")]
Text = Annotated[
    str | None, typer.Option("--text", help="What customers read beneath the title, in Markdown.")
]
Remind = Annotated[
    list[str] | None, typer.Option("--remind", help="Remind readers so long before, such as 24h; repeatable.")
]
StartByHand = Annotated[
    bool | None,
    typer.Option(
        "--start-by-hand/--start-by-clock", help="Whether somebody has to start it.", show_default=False
    ),
]
EndByHand = Annotated[
    bool | None,
    typer.Option(
        "--end-by-hand/--end-by-clock", help="Whether somebody has to finish it.", show_default=False
    ),
]
Components = Annotated[list[str], typer.Argument(help="cluster/component; * for all, such as eu/*")]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Planned maintenance.", no_args_is_help=True)

    def do(request: MaintenanceRequest, config: Config, data_dir: DataDir, *, as_json: bool) -> None:
        with told(as_json=as_json):
            done = commands().maintenance(place(config, data_dir), request)
        print_json(plain(done)) if as_json else typer.echo(summary(done))

    _build_planning(app, do)
    _build_steps(app, do)

    @app.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        everything: Annotated[
            bool, typer.Option("--all/--coming", help="Also what was in the last 90 days.")
        ] = True,
        as_json: AsJson = False,
    ) -> None:
        """Show what is planned, and what was in the last 90 days."""
        with told(as_json=as_json):
            found = commands().maintenance_list(place(config, data_dir), finished=everything)
        if as_json:
            print_json([plain(each) for each in found])
            return
        rows = [
            (
                each.maintenance.id,
                f"{each.maintenance.window.start:%Y-%m-%d %H:%M}Z",
                f"{each.maintenance.window.end:%Y-%m-%d %H:%M}Z",
                each.maintenance.stage.value.replace("_", " "),
                each.maintenance.title,
                ", ".join(each.components),
            )
            for each in found
        ]
        print_table(dict.fromkeys(("id", "from", "to", "", "title", "components"), "left"), rows)

    @app.command()
    def show(maintenance_id: Id, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show one with all that was said and changed, and for whom its notice suffices."""
        with told(as_json=as_json):
            found = commands().maintenance_show(place(config, data_dir), maintenance_id)
        print_json(plain(found)) if as_json else typer.echo(shown(found))

    series.build(app, commands)
    return app


def _build_planning(app: typer.Typer, do: Callable[..., None]) -> None:
    @app.command()
    def plan(
        components: Components,
        start: Annotated[str, typer.Option("--from", help="When it begins: 2026-11-22T03:00+01:00")],
        end: Annotated[str, typer.Option("--to", help="When it ends.")],
        config: Config,
        data_dir: DataDir,
        title: Title = "Planned maintenance",
        text: Text = None,
        start_by_hand: StartByHand = None,
        end_by_hand: EndByHand = None,
        remind: Remind = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Announce maintenance now. The announcement's time is taken, and cannot be changed."""
        request = MaintenanceRequest(
            "plan",
            components=tuple(components),
            start=parse_moment(start),
            end=parse_moment(end),
            title=title,
            body=text,
            starts_by_clock=not_(start_by_hand),
            ends_by_clock=not_(end_by_hand),
            remind=lengths(remind),
            dry_run=dry_run,
        )
        do(request, config, data_dir, as_json=as_json)

    @app.command()
    def change(
        maintenance_id: Id,
        config: Config,
        data_dir: DataDir,
        components: Annotated[
            list[str] | None, typer.Option("--component", help="All of them, anew.")
        ] = None,
        start: Annotated[str | None, typer.Option("--from", help="When it begins.")] = None,
        end: Annotated[str | None, typer.Option("--to", help="When it ends.")] = None,
        title: Title = None,
        text: Text = None,
        start_by_hand: StartByHand = None,
        end_by_hand: EndByHand = None,
        remind: Remind = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Change what is given. Time that is added counts as announced now."""
        request = MaintenanceRequest(
            "change",
            maintenance_id,
            tuple(components) if components else None,
            parse_moment(start) if start else None,
            parse_moment(end) if end else None,
            title=title,
            body=text,
            starts_by_clock=not_(start_by_hand),
            ends_by_clock=not_(end_by_hand),
            remind=lengths(remind),
            dry_run=dry_run,
        )
        do(request, config, data_dir, as_json=as_json)


def _build_steps(app: typer.Typer, do: Callable[..., None]) -> None:
    @app.command()
    def extend(
        maintenance_id: Id,
        until: Annotated[str, typer.Option("--to", help="When it ends now.")],
        config: Config,
        data_dir: DataDir,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Let it last longer. The time that is added counts as announced now."""
        request = MaintenanceRequest("extend", maintenance_id, at=parse_moment(until), dry_run=dry_run)
        do(request, config, data_dir, as_json=as_json)

    @app.command()
    def start(
        maintenance_id: Id,
        config: Config,
        data_dir: DataDir,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Begin it now. Begun late, the time since its planned start counts again."""
        do(MaintenanceRequest("start", maintenance_id, dry_run=dry_run), config, data_dir, as_json=as_json)

    @app.command()
    def finish(
        maintenance_id: Id,
        config: Config,
        data_dir: DataDir,
        at: Annotated[str | None, typer.Option("--at", help="It was over then already.")] = None,
        text: Text = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """It is over. What is left of its planned time counts again."""
        moment = parse_moment(at) if at else None
        request = MaintenanceRequest("finish", maintenance_id, at=moment, body=text, dry_run=dry_run)
        do(request, config, data_dir, as_json=as_json)

    @app.command()
    def cancel(
        maintenance_id: Id,
        config: Config,
        data_dir: DataDir,
        reason: Annotated[str, typer.Option("--reason", help="What customers read.")] = "",
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Cancel it: its time counts again. Under way, it ends now."""
        request = MaintenanceRequest("cancel", maintenance_id, body=reason, dry_run=dry_run)
        do(request, config, data_dir, as_json=as_json)

    @app.command()
    def post(
        maintenance_id: Id,
        text: Annotated[str, typer.Argument(help="What customers read, in Markdown.")],
        config: Config,
        data_dir: DataDir,
        stage: Annotated[
            str | None, typer.Option("--stage", help="in_progress or verifying, when that changes.")
        ] = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
    ) -> None:
        """Say something about it to its readers."""
        if stage not in {None, "scheduled", "in_progress", "verifying", "completed", "cancelled"}:
            raise typer.BadParameter(f"{stage!r} is no stage; write in_progress or verifying")
        request = MaintenanceRequest("post", maintenance_id, body=text, stage=stage, dry_run=dry_run)
        do(request, config, data_dir, as_json=as_json)


def lengths(texts: list[str] | None) -> tuple[timedelta, ...] | None:
    return tuple(parse_length(each) for each in texts) if texts else None


def not_(by_hand: bool | None) -> bool | None:
    return None if by_hand is None else not by_hand
