"""`holdfast ledger jobs|accesses`: a tenant's jobs, on the screen or as a file, and who read them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Protocol

import typer

from holdfast.interfaces.cli.ledger.finding import (
    Columns,
    CostCentres,
    Devices,
    Jobs,
    Kinds,
    Since,
    SourceKeys,
    Statuses,
    Tenant,
    Until,
    Users,
    Whats,
    filter_of,
    moment_text,
)
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, fail, print_json, print_table, progress_shown, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report
    from holdfast.interfaces.job_lists import FileForm
    from holdfast.ledger.find.access import Access
    from holdfast.ledger.find.finding import Filter
    from holdfast.ledger.find.indexing import Compared
    from holdfast.ledger.find.jobs import Job, JobsPage


@dataclass(frozen=True, slots=True)
class JobsAsked:
    """A page of jobs: at most `limit`, of leaves below `below`."""

    tenant: str
    wanted: Filter
    limit: int
    below: int | None


@dataclass(frozen=True, slots=True)
class ExportAsked:
    """All jobs that match, in a file. `columns` are names, none for the usual ones."""

    tenant: str
    wanted: Filter
    form: FileForm
    columns: Sequence[str]
    out: Path | BinaryIO


class JobsCommands(Protocol):
    """What these commands need behind them."""

    def jobs(self, place: Place, asked: JobsAsked) -> JobsPage: ...

    def export(self, place: Place, asked: ExportAsked, report: Report) -> int:
        """How many jobs were written."""
        ...

    def accesses(self, place: Place, tenant: str, *, before: int | None, limit: int) -> Sequence[Access]:
        """Newest first."""
        ...

    def reindex(self, place: Place, tenant: str, *, check: bool, report: Report) -> Compared:
        """Drop a tenant's index, so that the follower makes it anew; with `check` compare it, and no more."""
        ...


def add_jobs(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    _add_jobs(app, commands)
    _add_accesses(app, commands)
    _add_reindex(app, commands)


def _add_jobs(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def jobs(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        since: Since = None,
        until: Until = None,
        job: Jobs = None,
        user: Users = None,
        device: Devices = None,
        cost_centre: CostCentres = None,
        source: SourceKeys = None,
        kind: Kinds = None,
        status: Statuses = None,
        what: Whats = None,
        columns: Columns = "",
        limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = 50,
        below: Annotated[
            int | None, typer.Option("--below", min=0, metavar="LEAF", help="Show what came in before this.")
        ] = None,
        form: Annotated[
            str, typer.Option("--format", metavar="FORM", help="Export all of them: csv, xlsx or ndjson.")
        ] = "",
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", metavar="FILE", help="Where to; its ending says the form."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show a tenant's jobs, the newest first, or export them. That you did is written down."""
        from holdfast.ledger.find.columns import chosen  # noqa: PLC0415

        with told(as_json=as_json):
            named = {
                "job": job,
                "user": user,
                "device": device,
                "cost_centre": cost_centre,
                "source": source,
                "kind": kind,
                "status": status,
                "what": what,
            }
            wanted = filter_of(named, since, until)
            names = [each.strip() for each in columns.split(",") if each.strip()]
            picked = chosen(names)
            if form or out:
                _export(commands, place(config, data_dir), tenant, wanted, form, names, out, as_json=as_json)
                return
            page = (
                commands()
                .ledger_jobs()
                .jobs(place(config, data_dir), JobsAsked(tenant, wanted, limit, below))
            )
        if as_json:
            print_json(_plain_page(tenant, page))
        else:
            _print_page(page, picked)


def _export(
    commands: Callable[[], LedgerCommands],
    where: Place,
    tenant: str,
    wanted: Filter,
    form: str,
    columns: Sequence[str],
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from holdfast.interfaces.job_lists import FileForm  # noqa: PLC0415

    known = ", ".join(FileForm)
    name = form or (out.suffix.removeprefix(".") if out else "")
    if name not in set(FileForm):
        fail(f"there is no form {name!r}", f"--format takes: {known}", as_json=as_json)
    into: Path | BinaryIO = out if out is not None else sys.stdout.buffer
    if out is None and (as_json or (name == FileForm.XLSX and sys.stdout.isatty())):
        fail("a file is wanted", "say where to: --out FILE", as_json=as_json)
    asked = ExportAsked(tenant, wanted, FileForm(name), columns, into)
    with progress_shown(quiet=as_json or out is None) as report:
        count = commands().ledger_jobs().export(where, asked, report)
    if as_json:
        print_json({"tenant": tenant, "jobs": count, "file": out, "format": name})
    elif out is not None:
        typer.echo(f"{count:,} jobs written to {out}")


def _add_accesses(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def accesses(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = 50,
        before: Annotated[
            int | None, typer.Option("--before", min=1, metavar="ID", help="Show those before this line.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show who read or exported a tenant's entries, the newest first."""
        with told(as_json=as_json):
            found = (
                commands().ledger_jobs().accesses(place(config, data_dir), tenant, before=before, limit=limit)
            )
        if as_json:
            print_json({"tenant": tenant, "accesses": [plain_access(each) for each in found]})
        elif not found:
            typer.echo("Nobody has read or exported anything yet.")
        else:
            print_accesses(found)


def _add_reindex(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def reindex(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        check: Annotated[
            bool, typer.Option("--check", help="Only compare the index with the log: 1 when they differ.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Make the index of a tenant's entries anew. Everything is found meanwhile, too, only slower."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            found = (
                commands().ledger_jobs().reindex(place(config, data_dir), tenant, check=check, report=report)
            )
        if as_json:
            print_json(
                {
                    "tenant": tenant,
                    "size": found.size,
                    "indexed": found.position,
                    "differences": found.differences,
                }
            )
        elif not check:
            typer.echo(f"The index of {found.size:,} entries is dropped; the follower makes it anew.")
        else:
            for each in found.differences:
                typer.echo(each)
            what = f"{len(found.differences):,} differences" if found.differences else "no difference"
            typer.echo(f"{found.position:,} of {found.size:,} entries are indexed: {what}")
        if found.differences:
            raise typer.Exit(FAILED)


def print_accesses(found: Sequence[Access]) -> None:
    columns = {"id": "right", "when": "left", "who": "left", "way": "left", "did": "left"}
    print_table(
        {**columns, "entries": "right", "asked for": "left"},
        [
            (
                each.id,
                moment_text(each.at),
                each.reading.caller.who,
                each.reading.caller.way,
                each.reading.act,
                "?" if each.reading.rows is None else f"{each.reading.rows:,}",
                asked_text(each),
            )
            for each in found
        ],
    )


def asked_text(access: Access) -> str:
    """The filter in a line; the usual restriction to jobs goes without saying."""
    facts = {name: value for name, value in access.reading.wanted.facts().items() if name != "what"}
    told_of = [
        f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in facts.items()
    ]
    if not told_of and access.reading.start == access.reading.end:
        return f"leaf {', '.join(map(str, access.reading.also[:5]))}"
    return "; ".join(told_of) or "everything"


def plain_access(access: Access) -> dict[str, Any]:
    reading = access.reading
    return {
        "id": access.id,
        "at": access.at,
        "who": reading.caller.who,
        "way": reading.caller.way,
        "act": reading.act,
        "asked": reading.wanted.facts(),
        "first_leaf": reading.start,
        "end_leaf": reading.end,
        "also": reading.also,
        "entries": reading.rows,
    }


def plain_job(job: Job) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    from holdfast.ledger.find.columns import standing_of  # noqa: PLC0415

    return {
        "leaf": job.leaf,
        "what": job.what,
        "standing": standing_of(job),
        "corrected_by": job.corrected_by,
        "conflicts": job.conflicts,
        "entry": msgspec.to_builtins(job.entry),
        "original": None if job.original is None else msgspec.to_builtins(job.original),
    }


def _plain_page(tenant: str, page: JobsPage) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "size": page.size,
        "jobs": [plain_job(each) for each in page.jobs],
        "next": page.next,
        "pruned_below": page.pruned_below,
        "complete": page.complete,
    }


def _print_page(page: JobsPage, columns: Sequence[Any]) -> None:
    from holdfast.ledger.find.columns import row_of  # noqa: PLC0415

    if page.jobs:
        print_table(
            {column.name: "right" if column.is_number else "left" for column in columns},
            [[_cell(value) for value in row_of(job, columns)] for job in page.jobs],
        )
    elif page.next is None:
        typer.echo("No job is like that.")
    if page.pruned_below is not None:
        typer.echo(f"Leaves below {page.pruned_below:,} are not kept any more.")
    if not page.complete:
        typer.echo("The index is far behind: corrections of these jobs may not be shown yet.")
    if page.next is not None:
        typer.echo(f"Older ones: --below {page.next}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return moment_text(value) if hasattr(value, "astimezone") else str(value)
