"""`holdfast backup`: take one, see what there is, clear away what never became one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.copies import add_copies
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.recoverable import add_points
from holdfast.interfaces.cli.sizes import size_text
from holdfast.interfaces.cli.verifying import add_verify

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Commands, Place, Report

Database = Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")]
_UNREADABLE_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What `backup now` is asked for."""

    database: str
    full: bool = False
    label: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class BackupShown:
    """A backup, and where it is. `incomplete` tells, by region, what it lacks there."""

    id: str
    kind: str
    label: str
    parent: str
    started_at: datetime
    finished_at: datetime
    raw_bytes: int
    stored_bytes: int
    server_version: int
    timeline: int
    regions: tuple[str, ...]
    incomplete: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BackupOutcome:
    """What `backup now` came to; `backup` is None for a dry run."""

    kind: str
    parent: str
    why: str
    backup: BackupShown | None
    behind: Mapping[str, str]
    notes: tuple[str, ...]
    took: timedelta
    unlogged: int = 0


@dataclass(frozen=True, slots=True)
class BackupsListed:
    """Backups, oldest first. `away` tells, by region, why it could not be looked at."""

    backups: Sequence[BackupShown]
    away: Mapping[str, str]
    unreadable: Sequence[str]


@dataclass(frozen=True, slots=True)
class LeftoverShown:
    """What a half-finished backup left in a region. `kept` tells why it is still there; empty: it is gone."""

    region: str
    backup: str
    objects: int
    stored_bytes: int
    written_at: datetime
    kept: str


class BackupCommands(Protocol):
    """What these commands need behind them."""

    def now(self, place: Place, request: BackupRequest, report: Report) -> BackupOutcome: ...

    def listed(self, place: Place, database: str, region: str | None) -> BackupsListed: ...

    def sweep(
        self, place: Place, database: str, *, dry_run: bool
    ) -> tuple[Sequence[LeftoverShown], Mapping[str, str]]:
        """The leftovers, and by region why it could not be looked at."""
        ...


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Backups of databases: take, list, clear away.", no_args_is_help=True)
    _add_now(app, commands)
    _add_list(app, commands)
    _add_sweep(app, commands)
    add_copies(app, commands)
    add_verify(app, commands)
    add_points(app, commands)
    return app


def _add_now(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def now(
        database: Database,
        config: Config,
        data_dir: DataDir,
        full: Annotated[bool, typer.Option("--full", help="A whole one, not an increment.")] = False,
        label: Annotated[str, typer.Option("--label", help="A name for this moment, for restore --at.")] = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only say what would be taken, and why.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Take a backup into all regions: an increment of the newest one where that is possible."""
        request = BackupRequest(database, full, label, dry_run)
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcome = commands().backups().now(place(config, data_dir), request, report)
        if as_json:
            print_json(_plain_outcome(outcome, dry_run=dry_run))
        else:
            _print_outcome(outcome)


def _add_list(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command("list")
    def list_(
        database: Database,
        config: Config,
        data_dir: DataDir,
        region: Annotated[str | None, typer.Option("--region", help="Only what this region has.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show the backups, and which region has them whole. Reads the regions, and nothing else."""
        with told(as_json=as_json):
            listed = commands().backups().listed(place(config, data_dir), database, region)
        if as_json:
            print_json(
                {
                    "backups": [_plain(each) for each in listed.backups],
                    "away": dict(listed.away),
                    "unreadable": list(listed.unreadable),
                }
            )
        else:
            _print_list(listed)
        if listed.away or listed.unreadable:
            raise typer.Exit(1)


def _add_sweep(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def sweep(
        database: Database,
        config: Config,
        data_dir: DataDir,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Delete what half-finished backups left and nobody has written to for 24 hours."""
        with told(as_json=as_json):
            leftovers, away = commands().backups().sweep(place(config, data_dir), database, dry_run=dry_run)
        if as_json:
            print_json({"leftovers": [_fields(each) for each in leftovers], "away": dict(away)})
        else:
            _print_leftovers(leftovers, away)
        if away:
            raise typer.Exit(1)


def _print_outcome(outcome: BackupOutcome) -> None:
    what = outcome.kind if not outcome.parent else f"{outcome.kind}, of {outcome.parent}"
    what += f" ({outcome.why})" if outcome.why else ""
    backup = outcome.backup
    if backup is None:
        typer.echo(f"would take: {what}")
    else:
        typer.echo(
            f"{backup.id}: {what}; {size_text(backup.raw_bytes)} in {outcome.took.total_seconds():.1f} s, "
            f"{size_text(backup.stored_bytes)} stored in {', '.join(backup.regions)}"
        )
    for note in outcome.notes:
        typer.echo(f"note: {note}")
    for region, why in outcome.behind.items():
        typer.echo(f"holdfast: {region} does not have it yet: {why}", err=True)


def _print_list(listed: BackupsListed) -> None:
    rows = [
        (
            each.id,
            each.kind,
            f"{each.finished_at:%Y-%m-%d %H:%M:%S}",
            size_text(each.raw_bytes),
            size_text(each.stored_bytes),
            ", ".join(each.regions) or "none",
            each.label,
        )
        for each in listed.backups
    ]
    if rows:
        columns = {"id": "left", "kind": "left", "finished (UTC)": "left", "size": "right"}
        columns |= {"stored": "right", "whole in": "left", "label": "left"}
        print_table(columns, rows)
    else:
        typer.echo("there is no backup")
    for each in listed.backups:
        for region, why in each.incomplete.items():
            typer.echo(f"holdfast: {region} has {each.id} only in part: {why}", err=True)
    for region, why in listed.away.items():
        typer.echo(f"holdfast: {region} could not be looked at: {why}", err=True)
    for key in listed.unreadable[:_UNREADABLE_SHOWN]:
        typer.echo(f"holdfast: {key} cannot be read", err=True)
    if (more := len(listed.unreadable) - _UNREADABLE_SHOWN) > 0:
        typer.echo(f"holdfast: nor can {more} more objects; --json names them", err=True)


def _print_leftovers(leftovers: Sequence[LeftoverShown], away: Mapping[str, str]) -> None:
    for each in leftovers:
        what = f"{each.region}: {each.backup}, {each.objects} objects, {size_text(each.stored_bytes)}"
        typer.echo(f"kept  {what}: {each.kept}" if each.kept else f"gone  {what}")
    if not leftovers:
        typer.echo("nothing is left of half-finished backups")
    for region, why in away.items():
        typer.echo(f"holdfast: {region} could not be looked at: {why}", err=True)


def _plain_outcome(outcome: BackupOutcome, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "kind": outcome.kind,
        "parent": outcome.parent,
        "why": outcome.why,
        "backup": None if outcome.backup is None else _plain(outcome.backup),
        "behind": dict(outcome.behind),
        "notes": list(outcome.notes),
        "unlogged": outcome.unlogged,
        "took_s": outcome.took.total_seconds(),
    }


def _plain(backup: BackupShown) -> dict[str, object]:
    return {**_fields(backup), "regions": list(backup.regions), "incomplete": dict(backup.incomplete)}


def _fields(value: BackupShown | LeftoverShown) -> dict[str, object]:
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}
