"""`holdfast ledger ingest`: read what print servers write into the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, fail, print_json, progress_shown, told
from holdfast.kernel.durations import format_duration

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report
    from holdfast.ledger.intake.feeding import Total

FORMATS = ("cups", "papercut", "ndjson")
SHOWN = 20
"""As many refused lines are shown to people."""


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What `ledger ingest` is asked for. `log_format`, `time_zone` None: as the format has it."""

    files: tuple[Path, ...]
    tenant: str
    source: str
    form: str
    dry_run: bool = False
    follow: bool = False
    whole: bool = False
    log_format: str | None = None
    time_zone: str | None = None
    encoding: str = "cp1252"


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What became of the files."""

    total: Total
    took: timedelta
    held_back: int
    """Jobs whose last line may still come."""
    half_written: tuple[str, ...]
    """Files whose last line had no end."""
    notes: tuple[str, ...]


class IngestCommands(Protocol):
    """What the command needs behind it."""

    def ingest(self, place: Place, request: IngestRequest, report: Report) -> IngestOutcome:
        """With `follow` it returns when the process is told to end."""
        ...


def add_ingest(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def ingest(
        files: Annotated[
            list[Path],
            typer.Argument(
                metavar="FILE...", help="Oldest first; also packed with gzip; - reads standard input."
            ),
        ],
        tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant's key.")],
        source: Annotated[str, typer.Option("--source", "-s", metavar="SOURCE", help="The source's key.")],
        form: Annotated[str, typer.Option("--format", "-f", help="cups, papercut or ndjson.")],
        config: Config,
        data_dir: DataDir,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Read and tell, and take nothing in.")
        ] = False,
        follow: Annotated[
            bool, typer.Option("--follow", help="Stay, and read what comes, also after a rotation.")
        ] = False,
        whole: Annotated[
            bool,
            typer.Option(
                "--whole", help="Nobody writes these files any more: leave nothing for the next time."
            ),
        ] = False,
        log_format: Annotated[
            str | None,
            typer.Option(
                "--log-format", metavar="FORMAT", help="CUPS' PageLogFormat, if not the standard one."
            ),
        ] = None,
        time_zone: Annotated[
            str | None,
            typer.Option("--time-zone", metavar="ZONE", help="Of PaperCut's times; left out: the tenant's."),
        ] = None,
        encoding: Annotated[str, typer.Option("--encoding", help="Of lines that are not UTF-8.")] = "cp1252",
        as_json: AsJson = False,
    ) -> None:
        """Read files of a print server into the log. The same again changes nothing.

        Ends with 1 when a line was refused; the others are in.
        """
        if form not in FORMATS:
            fail(f"there is no format {form!r}", f"there are: {', '.join(FORMATS)}", as_json=as_json)
        if follow and (dry_run or whole):
            fail("--follow goes with neither --dry-run nor --whole", as_json=as_json)
        request = IngestRequest(
            tuple(files), tenant, source, form, dry_run, follow, whole, log_format, time_zone, encoding
        )
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcome = commands().ledger_ingesting().ingest(place(config, data_dir), request, report)
        if as_json:
            print_json(_plain(outcome, dry_run=dry_run))
        else:
            _print(outcome, dry_run=dry_run)
        total = outcome.total
        if total.refused or total.otherwise or total.conflicts:
            raise typer.Exit(FAILED)


def _print(outcome: IngestOutcome, *, dry_run: bool) -> None:
    total = outcome.total
    would = "would be taken in" if dry_run else "taken in"
    leaves = ""
    if total.first_leaf is not None and total.last_leaf is not None:
        leaves = f" (leaves {total.first_leaf:,} to {total.last_leaf:,})"
    took = format_duration(_rounded(outcome.took))
    lines = "line" if total.refused == 1 else "lines"
    typer.echo(
        f"{total.lines:,} lines in {took}: {total.taken:,} jobs {would}{leaves}, "
        f"{total.repeated:,} there already, {total.refused:,} {lines} refused"
    )
    if total.otherwise:
        typer.echo(
            f"{total.otherwise:,} jobs are read otherwise now than when they were taken in, and stay as they "
            "are; correct them if they are wrong: holdfast ledger correct"
        )
    if total.conflicts:
        typer.echo(f"{total.conflicts:,} jobs became conflict entries, which count nothing")
    for each in total.told[:SHOWN]:
        typer.echo(f"  {each.file}, line {each.line:,}: {each.reason}", err=True)
    if (more := total.refused + total.otherwise + total.conflicts - SHOWN) > 0:
        typer.echo(f"  and {more:,} more; --json shows up to 1,000", err=True)
    for name in outcome.half_written:
        typer.echo(f"the last line of {name} has no end yet, and was left (--whole takes it)")
    if outcome.held_back:
        typer.echo(f"{outcome.held_back:,} jobs may still get pages, and were left (--whole takes them)")
    if total.one_region:
        typer.echo("in one region so far; `holdfast ledger status` shows whether a second one has it")
    for note in outcome.notes:
        typer.echo(note)


def _rounded(took: timedelta) -> timedelta:
    return timedelta(seconds=round(took.total_seconds(), 1))


def _plain(outcome: IngestOutcome, *, dry_run: bool) -> dict[str, object]:
    total = outcome.total
    return {
        "dry_run": dry_run,
        "lines": total.lines,
        "taken": total.taken,
        "first_leaf": total.first_leaf,
        "last_leaf": total.last_leaf,
        "repeated": total.repeated,
        "refused": total.refused,
        "otherwise": total.otherwise,
        "conflicts": total.conflicts,
        "told": [each._asdict() for each in total.told],
        "size": total.size,
        "one_region": total.one_region,
        "held_back": outcome.held_back,
        "half_written": list(outcome.half_written),
        "notes": list(outcome.notes),
        "took_s": round(outcome.took.total_seconds(), 3),
    }
