"""`holdfast maintenance repeat` and `series`: work that happens again and again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from holdfast.interfaces.cli.moments import parse_length, parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, told
from holdfast.interfaces.cli.planned import plain_series, series_summary
from holdfast.interfaces.cli.planning import SeriesRequest
from holdfast.interfaces.cli.ports import Commands

Id = Annotated[str, typer.Argument(metavar="ID", help="As `maintenance series list` shows it.")]
Rule = Annotated[str, typer.Option("--rule", help="An RRULE of RFC 5545: 'FREQ=WEEKLY;BYDAY=SU'")]
TimeZone = Annotated[str, typer.Option("--time-zone", help="Whose wall clock it goes by: Europe/Berlin")]
First = Annotated[str, typer.Option("--from", help="The first start; its time of day is that of all.")]
Lasts = Annotated[str, typer.Option("--lasts", help="How long each lasts, such as 2h.")]
Remind = Annotated[list[str] | None, typer.Option("--remind", help="As for `plan`.")]


def build(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    """Add these commands to those of maintenance."""
    series = typer.Typer(help="Recurring maintenance.", no_args_is_help=True)

    def do(request: SeriesRequest, config: Config, data_dir: DataDir, *, as_json: bool) -> None:
        with told(as_json=as_json):
            done = commands().series(place(config, data_dir), request)
        print_json(plain_series(done)) if as_json else typer.echo(series_summary(done))

    _build_repeat(app, do)
    _build_change(series, do)

    @series.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show every recurring plan with what it has planned."""
        with told(as_json=as_json):
            found = commands().series_list(place(config, data_dir))
        if as_json:
            print_json([plain_series(each) for each in found])
        for each in () if as_json else found:
            typer.echo(series_summary(each))

    @series.command()
    def show(series_id: Id, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show one with what it has planned."""
        with told(as_json=as_json):
            found = commands().series_show(place(config, data_dir), series_id)
        print_json(plain_series(found)) if as_json else typer.echo(series_summary(found))

    @series.command()
    def end(series_id: Id, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Plan nothing more by it, and cancel what it planned that has not begun."""
        do(SeriesRequest("end", series_id), config, data_dir, as_json=as_json)

    app.add_typer(series, name="series")


def _build_repeat(app: typer.Typer, do: Callable[..., None]) -> None:
    @app.command()
    def repeat(
        components: Annotated[list[str], typer.Argument(help="cluster/component; * for all, such as eu/*")],
        rule: Rule,
        first: First,
        lasts: Lasts,
        config: Config,
        data_dir: DataDir,
        time_zone: TimeZone = "UTC",
        title: Annotated[str, typer.Option("--title", help="What customers read.")] = "Planned maintenance",
        text: Annotated[str | None, typer.Option("--text", help="As for `plan`.")] = None,
        start_by_hand: Annotated[bool, typer.Option("--start-by-hand", help="As for `plan`.")] = False,
        end_by_hand: Annotated[bool, typer.Option("--end-by-hand", help="As for `plan`.")] = False,
        remind: Remind = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be planned.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Plan maintenance again and again. What the next weeks bring is announced now, in one message."""
        request = SeriesRequest(
            "plan",
            components=tuple(components),
            rule=rule,
            time_zone=time_zone,
            first_at=parse_moment(first),
            lasts=parse_length(lasts),
            title=title,
            body=text,
            starts_by_clock=not start_by_hand,
            ends_by_clock=not end_by_hand,
            remind=_lengths(remind),
            dry_run=dry_run,
        )
        do(request, config, data_dir, as_json=as_json)


def _build_change(series: typer.Typer, do: Callable[..., None]) -> None:
    @series.command()
    def change(
        series_id: Id,
        config: Config,
        data_dir: DataDir,
        components: Annotated[
            list[str] | None, typer.Option("--component", help="All of them, anew.")
        ] = None,
        rule: Annotated[str | None, typer.Option("--rule", help="An RRULE.")] = None,
        first: Annotated[str | None, typer.Option("--from", help="Another first start.")] = None,
        lasts: Annotated[str | None, typer.Option("--lasts", help="How long each lasts.")] = None,
        time_zone: Annotated[str | None, typer.Option("--time-zone", help="Whose wall clock.")] = None,
        title: Annotated[str | None, typer.Option("--title", help="What customers read.")] = None,
        text: Annotated[str | None, typer.Option("--text", help="As for `plan`.")] = None,
        remind: Remind = None,
        as_json: AsJson = False,
    ) -> None:
        """Change it, and all that it planned that has not begun."""
        request = SeriesRequest(
            "change",
            series_id,
            tuple(components) if components else None,
            rule,
            time_zone,
            parse_moment(first) if first else None,
            parse_length(lasts) if lasts else None,
            title,
            text,
            remind=_lengths(remind),
        )
        do(request, config, data_dir, as_json=as_json)


def _lengths(texts: list[str] | None) -> tuple[timedelta, ...] | None:
    return tuple(parse_length(each) for each in texts) if texts else None
