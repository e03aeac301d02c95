"""`holdfast sla`: what an agreement's window came to."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from holdfast.interfaces.cli.moments import parse_month
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, told
from holdfast.interfaces.cli.ports import Commands


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Service level agreements.", no_args_is_help=True)

    @app.command()
    def report(
        agreement: Annotated[str, typer.Argument(help="The agreement's key in the estate file.")],
        config: Config,
        data_dir: DataDir,
        month: Annotated[str | None, typer.Option(help="Such as 2026-10; now when left out.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show an agreement's figures, by the formula that the agreement names."""
        # The middle of a month lies in it whatever the agreement's time zone.
        moment = None if month is None else datetime(*parse_month(month), 15, tzinfo=UTC)
        with told(as_json=as_json):
            found = commands().sla_report(place(config, data_dir), agreement, moment)
        from holdfast.interfaces.cli.statements import as_plain, print_report  # noqa: PLC0415  `--help` is quick

        if as_json:
            print_json(as_plain(found))
        else:
            print_report(found)

    return app
