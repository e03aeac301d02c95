"""`holdfast sla`: what an agreement's window came to."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from holdfast.interfaces.cli.moments import parse_month
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, fail, print_json, told
from holdfast.interfaces.cli.ports import Commands
from holdfast.interfaces.cli.reporting import (
    FileFormat,
    Language,
    Output,
    ReportLanguage,
    requested,
    write_report,
)


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Service level agreements.", no_args_is_help=True)

    @app.command()
    def report(
        agreement: Annotated[str, typer.Argument(help="The agreement's key, or its customer's.")],
        config: Config,
        data_dir: DataDir,
        month: Annotated[str | None, typer.Option(help="Such as 2026-10; now when left out.")] = None,
        form: Annotated[
            FileFormat | None, typer.Option("--format", help="The whole report: html, pdf, csv or json.")
        ] = None,
        language: Language = ReportLanguage.en,
        output: Output = None,
        as_json: AsJson = False,
    ) -> None:
        """Show an agreement's figures, by the formula that the agreement names."""
        if form is not None:
            chosen = month or datetime.now(UTC).strftime("%Y-%m")
            request = requested("agreement", agreement, form, language, chosen, None, None)
            write_report(commands, place(config, data_dir), request, output)
            return
        if output is not None:
            fail("-o writes a report", "say which: --format pdf", as_json=as_json)
        # The middle of a month lies in it whatever the agreement's time zone.
        moment = None if month is None else datetime(*parse_month(month), 15, tzinfo=UTC)
        with told(as_json=as_json):
            found = commands().sla_report(place(config, data_dir), agreement, moment)
        from holdfast.interfaces.cli.statements import as_plain, print_report  # noqa: PLC0415  `--help` is quick

        if as_json:
            print_json(as_plain(found))
        else:
            print_report(found)

    @app.command()
    def verify(
        config: Config,
        data_dir: DataDir,
        agreement: Annotated[
            str | None, typer.Argument(help="The agreement's key; all of them when left out.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Recompute every frozen month from the stored intervals. Ends with 1 where one does not match."""
        with told(as_json=as_json):
            found = commands().sla_verify(place(config, data_dir), agreement)
        from holdfast.interfaces.cli.frozen import print_verified, verified_as_plain  # noqa: PLC0415

        if as_json:
            print_json(verified_as_plain(found))
        else:
            print_verified(found)
        if not all(each.is_sound for each in found):
            raise typer.Exit(FAILED)

    @app.command()
    def intervals(
        agreement: Annotated[str, typer.Argument(help="The agreement's key in the estate file.")],
        month: Annotated[str, typer.Option(help="A frozen month, such as 2026-10.")],
        config: Config,
        data_dir: DataDir,
    ) -> None:
        """Print the lines that a frozen month's SHA-256 is over, to recompute it with any tool."""
        with told(as_json=False):
            found = commands().sla_verify(place(config, data_dir), agreement)
        of_month = [each for each in found if each.row.month == month]
        if not of_month:
            known = ", ".join(dict.fromkeys(each.row.month for each in found)) or "none yet"
            fail(f"{month} of {agreement} is not frozen", f"there are: {known}")
        # Byte for byte what is hashed: no line end is added or translated.
        sys.stdout.buffer.write("".join(of_month[-1].recomputed.lines).encode())
        sys.stdout.buffer.flush()

    return app
