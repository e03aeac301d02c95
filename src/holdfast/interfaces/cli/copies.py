"""`holdfast backup copy` and `scrub`: a region catches up from another, and is proven object by object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, progress_shown, told
from holdfast.interfaces.cli.sizes import size_text

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Commands, Place, Report

SHARE = 0.1
_FEW = 20

Database = Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")]


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """What `backup copy` is asked for."""

    database: str
    source: str
    target: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CopyOutcome:
    """What the target lacked, and what came of it. `done` is None for a dry run."""

    backups: Sequence[str]
    wal_pieces: int
    histories: int
    most_bytes: int
    done: CopyDone | None


@dataclass(frozen=True, slots=True)
class CopyDone:
    """What was copied. `failed` tells by backup why it was not; `damaged` are keys of the source."""

    backups: Sequence[str]
    objects: int
    stored_bytes: int
    damaged: Sequence[str]
    failed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScrubRequest:
    """What `backup scrub` is asked for. `region` None: all of them. `share` of the objects is read."""

    database: str
    region: str | None
    share: float
    heal: bool


@dataclass(frozen=True, slots=True)
class HarmShown:
    """An object that was not as it should be."""

    key: str
    harm: str
    healed_from: str
    why_not: str


@dataclass(frozen=True, slots=True)
class ScrubOutcome:
    """What was read of a region, and found."""

    region: str
    at: datetime
    known: int
    read: int
    read_bytes: int
    harmed: Sequence[HarmShown]


class CopyCommands(Protocol):
    """What these commands need behind them."""

    def copy(self, place: Place, request: CopyRequest, report: Report) -> CopyOutcome: ...

    def scrub(
        self, place: Place, request: ScrubRequest, report: Report
    ) -> tuple[Sequence[ScrubOutcome], Mapping[str, str]]:
        """Of each region what was found, and by region why it could not be read."""
        ...


def add_copies(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    """Add both commands to `holdfast backup`."""
    _add_copy(app, commands)
    _add_scrub(app, commands)


def _add_copy(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def copy(
        database: Database,
        config: Config,
        data_dir: DataDir,
        source: Annotated[str, typer.Option("--from", metavar="REGION", help="Which has it.")],
        target: Annotated[str, typer.Option("--to", metavar="REGION", help="Which lacks it.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is lacking.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Copy to a region what it lacks beside another. Broken off, it goes on where it was."""
        request = CopyRequest(database, source, target, dry_run)
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcome = commands().copies().copy(place(config, data_dir), request, report)
        if as_json:
            print_json(asdict(outcome))
        else:
            _print_copy(outcome, request)
        if outcome.done and (outcome.done.damaged or outcome.done.failed):
            raise typer.Exit(1)


def _add_scrub(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def scrub(
        database: Database,
        config: Config,
        data_dir: DataDir,
        region: Annotated[str | None, typer.Option("--region", help="Only this one.")] = None,
        share: Annotated[
            float,
            typer.Option(min=0.0, max=1.0, help="Of the objects; day by day it is the turn of others."),
        ] = SHARE,
        everything: Annotated[bool, typer.Option("--all", help="Read every object.")] = False,
        heal: Annotated[
            bool, typer.Option("--heal", help="Replace what is harmed from a region that has it unharmed.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Read what regions hold, and prove that it is what was stored."""
        request = ScrubRequest(database, region, 1.0 if everything else share, heal)
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcomes, away = commands().copies().scrub(place(config, data_dir), request, report)
        if as_json:
            print_json({"regions": [asdict(each) for each in outcomes], "away": dict(away)})
        else:
            _print_scrub(outcomes, away)
        if away or any(not each.healed_from for one in outcomes for each in one.harmed):
            raise typer.Exit(1)


def _print_copy(outcome: CopyOutcome, request: CopyRequest) -> None:
    lacks = [
        f"{len(outcome.backups)} backups" if outcome.backups else "",
        f"{outcome.wal_pieces} pieces of WAL" if outcome.wal_pieces else "",
        f"{outcome.histories} timelines" if outcome.histories else "",
    ]
    lacked = ", ".join(filter(None, lacks))
    if not lacked:
        typer.echo(f"{request.target} lacks nothing that {request.source} has")
    elif outcome.done is None:
        typer.echo(f"{request.target} lacks {lacked}: {size_text(outcome.most_bytes)} at most")
    else:
        done = outcome.done
        typer.echo(
            f"{request.target} lacked {lacked}; copied {done.objects} objects, {size_text(done.stored_bytes)}"
        )
        for backup, why in done.failed.items():
            typer.echo(f"holdfast: {backup} was not copied: {why}", err=True)
        _print_few([f"holdfast: damaged in {request.source}: {key}" for key in done.damaged])
        if done.damaged:
            typer.echo(f"  hint: holdfast backup scrub {request.database} --all --heal", err=True)


def _print_scrub(outcomes: Sequence[ScrubOutcome], away: Mapping[str, str]) -> None:
    for one in outcomes:
        read = f"read {one.read} of {one.known} objects, {size_text(one.read_bytes)}"
        healed = sum(1 for each in one.harmed if each.healed_from)
        harmed = f"{len(one.harmed)} harmed, {healed} healed" if one.harmed else "all as they were stored"
        typer.echo(f"{one.region}: {read}: {harmed}")
        lines = []
        for each in one.harmed:
            end = f", healed from {each.healed_from}" if each.healed_from else ""
            end = f", not healed: {each.why_not}" if each.why_not else end
            lines.append(f"holdfast: {one.region}: {each.harm}: {each.key}{end}")
        _print_few(lines)
    for region, why in away.items():
        typer.echo(f"holdfast: {region} could not be read: {why}", err=True)


def _print_few(lines: Sequence[str]) -> None:
    for line in lines[:_FEW]:
        typer.echo(line, err=True)
    if len(lines) > _FEW:
        typer.echo(f"holdfast: and {len(lines) - _FEW} more; --json tells all", err=True)
