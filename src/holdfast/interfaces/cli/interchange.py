"""`holdfast import` and `holdfast export`: other tools' set-ups in, service level objectives out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from holdfast.interchange.errors import NothingError
from holdfast.interchange.report import Kind, Remark, unsupported
from holdfast.interfaces.cli.options import AsJson, Config, DataDir
from holdfast.interfaces.cli.output import FAILED, fail, print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.ports import Commands, ImportOutcome, ImportRequest, PastImported, SourceName
from holdfast.kernel.durations import format_duration

To = Annotated[Path | None, typer.Option("--to", help="Where to write the estate; printed when left out.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 when something had no counterpart.")]
History = Annotated[
    bool, typer.Option("--history", help="Import the past too, into the database of --data-dir.")
]


def build_import(commands: Callable[[], Commands]) -> typer.Typer:
    """`holdfast import SOURCE ...`."""
    app = typer.Typer(help="Make an estate of another tool's set-up.", no_args_is_help=True)

    @app.command()
    def openslo(
        files: Annotated[list[Path], typer.Argument(help="OpenSLO v1 documents, YAML.")],
        data_dir: DataDir,
        base: Annotated[Path | None, typer.Option(help="The estate that the SLOs are about.")] = None,
        prometheus: Annotated[str | None, typer.Option(help="The address of Prometheus.")] = None,
        to: To = None,
        force: Force = False,
        dry_run: DryRun = False,
        strict: Strict = False,
        as_json: AsJson = False,
    ) -> None:
        """Agreements of OpenSLO objectives, and checks of those that ask Prometheus."""
        request = ImportRequest(
            "openslo", tuple(files), to, force=force, dry_run=dry_run, base=base, prometheus=prometheus
        )
        _run(commands(), request, data_dir, strict=strict, as_json=as_json)

    @app.command("uptime-kuma")
    def uptime_kuma(
        database: Annotated[Path, typer.Argument(help="Uptime Kuma's kuma.db, version 1 or 2.")],
        data_dir: DataDir,
        to: To = None,
        history: History = False,
        force: Force = False,
        dry_run: DryRun = False,
        strict: Strict = False,
        as_json: AsJson = False,
    ) -> None:
        """The monitors of an Uptime Kuma database and, with --history, their heartbeats."""
        _with_history(
            commands(), "uptime-kuma", database, data_dir, to, history, force, dry_run, strict, as_json
        )

    @app.command()
    def gatus(
        file: Annotated[Path, typer.Argument(help="Gatus' config.yaml.")],
        data_dir: DataDir,
        to: To = None,
        force: Force = False,
        dry_run: DryRun = False,
        strict: Strict = False,
        as_json: AsJson = False,
    ) -> None:
        """The endpoints and conditions of a Gatus configuration."""
        request = ImportRequest("gatus", (file,), to, force=force, dry_run=dry_run)
        _run(commands(), request, data_dir, strict=strict, as_json=as_json)

    @app.command()
    def upptime(
        folder: Annotated[Path, typer.Argument(help="A clone of the Upptime repository.")],
        data_dir: DataDir,
        to: To = None,
        history: History = False,
        force: Force = False,
        dry_run: DryRun = False,
        strict: Strict = False,
        as_json: AsJson = False,
    ) -> None:
        """The sites of an Upptime repository and, with --history, what git remembers of them."""
        _with_history(commands(), "upptime", folder, data_dir, to, history, force, dry_run, strict, as_json)

    return app


def build_export(commands: Callable[[], Commands]) -> typer.Typer:
    """`holdfast export FORMAT ...`."""
    app = typer.Typer(help="Make other tools' documents of the estate.", no_args_is_help=True)

    @app.callback()
    def several() -> None:
        """Keeps the format a command of its own while there is only one."""

    @app.command()
    def openslo(
        config: Config,
        to: Annotated[Path | None, typer.Option("--to", help="Where to write it.")] = None,
        force: Force = False,
        as_json: AsJson = False,
    ) -> None:
        """The agreements as OpenSLO v1."""
        with told(as_json=as_json):
            exported = commands().export_openslo(config, to, force=force)
        if as_json:
            remarks = [remark.as_json() for remark in exported.remarks]
            print_json({"slos": exported.slos, "to": to, "remarks": remarks, "text": exported.text})
            return
        if to is None:
            typer.echo(exported.text, nl=False)
        else:
            typer.echo(f"wrote {exported.slos} SLOs to {to}")
        _print_remarks(exported.remarks, to_stderr=to is None)

    return app


def _with_history(
    commands: Commands,
    source: SourceName,
    path: Path,
    data_dir: Path,
    to: Path | None,
    history: bool,
    force: bool,
    dry_run: bool,
    strict: bool,
    as_json: bool,
) -> None:
    if history and (to is None or dry_run):
        fail("history goes with an estate", "name the estate with --to, without --dry-run", as_json=as_json)
    request = ImportRequest(source, (path,), to, force=force, dry_run=dry_run, history=history)
    _run(commands, request, data_dir, strict=strict, as_json=as_json)


def _run(commands: Commands, request: ImportRequest, data_dir: Path, *, strict: bool, as_json: bool) -> None:
    with told(as_json=as_json), progress_shown(quiet=as_json) as report:
        try:
            outcome = commands.import_set_up(request, data_dir, report)
        except NothingError as error:
            if as_json:
                remarks = [remark.as_json() for remark in error.remarks]
                print_json({"error": str(error), "hint": error.hint, "remarks": remarks})
                raise typer.Exit(FAILED) from None
            _print_remarks(error.remarks, to_stderr=True)
            raise
    print_json(_as_json(outcome)) if as_json else _print(outcome)
    if strict and unsupported(tuple(outcome.remarks)):
        raise typer.Exit(FAILED)


def _print(outcome: ImportOutcome) -> None:
    """The estate itself goes to stdout only when it is not written, so that it can be redirected."""
    shown = outcome.written is None and not outcome.pasts
    if shown:
        typer.echo(outcome.text, nl=False)
    _print_remarks(outcome.remarks, to_stderr=shown)
    clusters, components, agreements = _counts(outcome)
    what = f"{clusters} clusters, {components} components, {agreements} agreements"
    if outcome.written is not None:
        typer.echo(f"wrote {outcome.written}: {what}")
        typer.echo(f"look at it, then run: holdfast check --config {outcome.written}")
    elif shown:
        typer.echo(f"would write {what}; add --to holdfast.yaml to write them", err=True)
    if outcome.pasts:
        _print_pasts(outcome.pasts)


def _print_remarks(remarks: Sequence[Remark], *, to_stderr: bool) -> None:
    for remark in remarks:
        typer.echo(remark.as_text(), err=to_stderr)
    without = unsupported(tuple(remarks))
    references = sum(remark.kind is Kind.REFERENCE for remark in remarks)
    parts = f"{without} part{'' if without == 1 else 's'} without a counterpart"
    secrets = f"{references} secret{'' if references == 1 else 's'} to provide"
    typer.echo(f"{parts}, {secrets}", err=to_stderr)


def _print_pasts(pasts: Sequence[PastImported]) -> None:
    rows = [
        (
            past.check,
            past.refused or f"{past.records} records",
            past.transitions or "",
            f"{past.gaps} ({format_duration(past.unknown)})" if past.gaps else "",
            f"{past.first:%Y-%m-%d}" if past.first else "",
            f"{past.last:%Y-%m-%d}" if past.last else "",
        )
        for past in pasts
    ]
    headings = ("check", "past", "changes", "gaps, unknown", "from", "to")
    print_table(dict.fromkeys(headings, "left"), rows)


def _counts(outcome: ImportOutcome) -> tuple[int, int, int]:
    clusters = outcome.estate.clusters
    components = sum(len(each.components) for each in clusters.values())
    return len(clusters), components, len(outcome.estate.agreements)


def _as_json(outcome: ImportOutcome) -> dict[str, object]:
    clusters, components, agreements = _counts(outcome)
    return {
        "written": outcome.written,
        "clusters": clusters,
        "components": components,
        "agreements": agreements,
        "unsupported": unsupported(tuple(outcome.remarks)),
        "remarks": [remark.as_json() for remark in outcome.remarks],
        "history": [
            {
                "check": past.check,
                "refused": past.refused or None,
                "records": past.records,
                "transitions": past.transitions,
                "gaps": past.gaps,
                "unknown_s": past.unknown.total_seconds(),
                "out_of_order": past.out_of_order,
                "first": past.first,
                "last": past.last,
            }
            for past in outcome.pasts
        ],
        "text": outcome.text,
    }
