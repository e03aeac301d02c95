"""`holdfast report`, and the files of `holdfast sla report`: what a month or a range of dates came to."""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.interfaces.cli.moments import parse_day, parse_month
from holdfast.interfaces.cli.options import Config, DataDir, place
from holdfast.interfaces.cli.output import fail, told
from holdfast.interfaces.cli.ports import Commands, Place

Subject = Literal["component", "cluster", "agreement"]


class FileFormat(StrEnum):
    """How a report is written."""

    html = "html"
    pdf = "pdf"
    csv = "csv"
    json = "json"


class ReportLanguage(StrEnum):
    en = "en"
    de = "de"


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A report about a component (`eu/api`), a cluster (`eu`), or an agreement, by its key or its customer's.

    Of a month (year, month), of the days from `first` to `last`, or, without any of these, of the last month.
    """

    subject: Subject
    key: str
    format: FileFormat
    language: ReportLanguage
    month: tuple[int, int] | None = None
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A finished report and what it may be called."""

    name: str
    content: bytes


Month = Annotated[str | None, typer.Option("--month", help="Such as 2026-10; the last one when left out.")]
First = Annotated[str | None, typer.Option("--from", help="The first day, such as 2026-10-01.")]
Last = Annotated[str | None, typer.Option("--to", help="The last day, included.")]
As = Annotated[FileFormat, typer.Option("--format", help="html, pdf, csv or json.")]
Language = Annotated[ReportLanguage, typer.Option("--language", help="Of html and pdf.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; stdout when left out.")
]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Historical reports.", no_args_is_help=True)

    def report(subject: Subject, promise: str, key_help: str) -> None:
        @app.command(subject, help=promise)
        def write(
            key: Annotated[str, typer.Argument(help=key_help)],
            config: Config,
            data_dir: DataDir,
            month: Month = None,
            first: First = None,
            last: Last = None,
            form: As = FileFormat.html,
            language: Language = ReportLanguage.en,
            output: Output = None,
        ) -> None:
            request = requested(subject, key, form, language, month, first, last)
            write_report(commands, place(config, data_dir), request, output)

    report("component", "Report what a component's past came to.", "cluster/component, such as eu/api")
    report("cluster", "Report what a cluster's past came to.", "The cluster's key.")
    report(
        "agreement",
        "Report what an agreement's past came to, with every incident, as an operator sees it.",
        "The agreement's key, or its customer's.",
    )
    return app


def requested(
    subject: Subject,
    key: str,
    form: FileFormat,
    language: ReportLanguage,
    month: str | None,
    first: str | None,
    last: str | None,
) -> ReportRequest:
    """The request that the options make. Raises typer.BadParameter."""
    if month is not None and (first or last):
        raise typer.BadParameter("give --month, or --from and --to")
    if (first is None) != (last is None):
        raise typer.BadParameter("--from and --to go together")
    return ReportRequest(
        subject,
        key,
        form,
        language,
        parse_month(month) if month else None,
        parse_day(first) if first else None,
        parse_day(last) if last else None,
    )


def write_report(
    commands: Callable[[], Commands], where: Place, request: ReportRequest, output: Path | None
) -> None:
    """Make the report and put it where it is wanted: whole, or not at all."""
    if output is None and request.format is FileFormat.pdf and sys.stdout.isatty():
        fail("a PDF is nothing for a terminal", "say where to: -o report.pdf")
    with told(as_json=False):
        made = commands().report(where, request)
    if output is None:
        sys.stdout.buffer.write(made.content)
        sys.stdout.buffer.flush()
        return
    target = output / made.name if output.is_dir() else output
    try:
        _write(target, made.content)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", "choose another place: -o FILE")
    typer.echo(f"wrote {target}", err=True)


def _write(target: Path, content: bytes) -> None:
    handle, fresh = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp is for secrets; a report has the rights that any new file has.
        umask = os.umask(0)
        os.umask(umask)
        Path(fresh).chmod(0o666 & ~umask)
        Path(fresh).replace(target)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
