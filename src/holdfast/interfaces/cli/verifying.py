"""`holdfast backup verify` restores points and looks at them; `backup suspect` shows and lifts marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.sizes import size_text

if TYPE_CHECKING:
    from holdfast.backup.model import Suspicion
    from holdfast.backup.verify.verification import Verification
    from holdfast.interfaces.cli.ports import Commands, Place, Report

Database = Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")]


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What `backup verify` is asked for. Without a point: the newest and a random older one."""

    database: str
    newest: bool = False
    older: bool = False
    backup: str = ""
    """A backup's id or label: the moment that it became consistent."""
    at: datetime | None = None
    seed: int | None = None
    """Which older point; left out: today's."""
    region: str | None = None
    """Left out: each region in turn."""
    keep: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class MarkOutcome:
    """A suspicion, and by region why it does not know of it yet."""

    suspicion: Suspicion
    told: Sequence[str]
    behind: Mapping[str, str]


class VerifyCommands(Protocol):
    """What these commands need behind them."""

    def verify(self, place: Place, request: VerifyRequest, report: Report) -> Sequence[Verification]:
        """Each point in each region, in the order in which they were verified."""
        ...

    def suspicions(self, place: Place, database: str) -> Sequence[Suspicion]: ...

    def suspect(self, place: Place, database: str, since: datetime, reason: str) -> MarkOutcome: ...

    def lift(self, place: Place, database: str, mark: str) -> MarkOutcome: ...


def add_verify(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    """Add `verify` and `suspect` to `holdfast backup`."""
    _add_verify(app, commands)
    suspect = typer.Typer(help="Marks on points that may hold damage.", no_args_is_help=True)
    _add_suspect(suspect, commands)
    app.add_typer(suspect, name="suspect")


def _add_verify(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def verify(
        database: Database,
        config: Config,
        data_dir: DataDir,
        newest: Annotated[bool, typer.Option("--newest", help="Only the newest point.")] = False,
        older: Annotated[bool, typer.Option("--older", help="Only a random older point.")] = False,
        backup: Annotated[str, typer.Option("--id", help="This backup, by its id or label.")] = "",
        at: Annotated[
            datetime | None,
            typer.Option("--at", parser=parse_moment, metavar="TIME", help="This moment, with its offset."),
        ] = None,
        region: Annotated[str | None, typer.Option("--region", help="Only from this region.")] = None,
        seed: Annotated[int | None, typer.Option("--seed", help="Choose the older point again.")] = None,
        keep: Annotated[bool, typer.Option("--keep", help="Leave the copy of another point, too.")] = False,
        fresh: Annotated[
            bool, typer.Option("--fresh", help="Lay out from the backups, also where a copy is warm.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Restore points in isolation, and see that what came back is right. Nothing is ever promoted."""
        if sum((newest, older, bool(backup), at is not None)) > 1:
            raise typer.BadParameter("name one of --newest, --older, --id, --at, or none of them")
        request = VerifyRequest(
            database, newest, older or seed is not None, backup, at, seed, region, keep, fresh
        )
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            records = commands().verifications().verify(place(config, data_dir), request, report)
        if as_json:
            print_json({"verifications": [plain(each) for each in records]})
        else:
            for each in records:
                _print(each)
        if any(each.standing.value != "passed" for each in records):
            raise typer.Exit(1)


def _add_suspect(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command("list")
    def list_(database: Database, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show the suspicions, those that were lifted too."""
        with told(as_json=as_json):
            marks = commands().verifications().suspicions(place(config, data_dir), database)
        if as_json:
            print_json({"suspicions": [_fields(each) for each in marks]})
        elif not marks:
            typer.echo("nothing is suspect")
        else:
            columns = {"id": "left", "since (UTC)": "left", "state": "left", "reason": "left"}
            print_table(
                columns, [(each.id, f"{each.since:%F %T}", _state(each), each.reason) for each in marks]
            )

    @app.command("raise")
    def raise_(
        database: Database,
        config: Config,
        data_dir: DataDir,
        since: Annotated[
            datetime,
            typer.Option("--since", parser=parse_moment, metavar="TIME", help="The last moment known good."),
        ],
        reason: Annotated[str, typer.Option("--reason", help="What you have seen.")],
        as_json: AsJson = False,
    ) -> None:
        """Mark every point behind a moment as suspect, and keep what is before it from being deleted."""
        with told(as_json=as_json):
            outcome = commands().verifications().suspect(place(config, data_dir), database, since, reason)
        _print_mark(outcome, as_json=as_json)

    @app.command()
    def lift(
        database: Database,
        mark: Annotated[str, typer.Argument(metavar="ID", help="As `suspect list` shows it.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Take a suspicion back: a person has looked, and nothing is wrong."""
        with told(as_json=as_json):
            outcome = commands().verifications().lift(place(config, data_dir), database, mark)
        _print_mark(outcome, as_json=as_json)


def plain(record: Verification) -> dict[str, Any]:
    """A record for programs: as it is stored, and the time to the first answer beside it."""
    import msgspec  # noqa: PLC0415

    return {**msgspec.to_builtins(record), "ready_s": record.ready_s}


def _print(record: Verification) -> None:
    reached = f"{record.reached_at:%F %T} UTC" if record.reached_at else "no moment"
    size = "" if record.size_bytes is None else f", {size_text(record.size_bytes)}"
    typer.echo(
        f"{record.standing.value}: {record.which.value} point in {record.region}, up to {reached}"
        f" ({record.how.value}, {size_text(record.fetched_bytes)} fetched{size}, "
        f"answered after {record.ready_s:.1f} s)"
    )
    for each in record.problems:
        typer.echo(f"  {each.text}" + (f"\n    hint: {each.hint}" if each.hint else ""))
    pages = record.pages
    if pages.why_not:
        typer.echo(f"  page checksums: not available: {pages.why_not}")
    else:
        healed = f"; {pages.healed} were torn, and are whole in WAL" if pages.healed else ""
        typer.echo(f"  page checksums: {pages.pages - pages.bad_count:,} of {pages.pages:,} fit{healed}")
    held = sum(each.outcome.value == "holds" for each in record.checks)
    if record.checks:
        typer.echo(f"  checks: {held} of {len(record.checks)} hold")
    for newest in record.newest:
        if newest.age_s is not None:
            typer.echo(f"  newest row of {newest.key}: {newest.age_s:.0f} s before the end")
    typer.echo(f"  rows: {sum(each.rows for each in record.tables):,} in {len(record.tables)} tables")
    for counts in record.wal:
        typer.echo(
            f"  in WAL {f'before {counts.backup}' if counts.backup else 'since the newest backup'}:"
            f" {counts.deletes:,} rows deleted, {counts.drops:,} files dropped, {counts.truncates:,} emptied"
        )
    if record.unlogged:
        typer.echo(f"  unlogged tables, empty after a restore: {', '.join(record.unlogged)}")
    for text in record.remarks:
        typer.echo(f"  note: {text}")
    if record.phases:
        typer.echo("  " + ", ".join(f"{each.name} {each.took_s:.2f} s" for each in record.phases))


def _print_mark(outcome: MarkOutcome, *, as_json: bool) -> None:
    if as_json:
        print_json({**_fields(outcome.suspicion), "told": list(outcome.told), "behind": dict(outcome.behind)})
    else:
        mark = outcome.suspicion
        typer.echo(f"{mark.id}: points behind {mark.since:%F %T} UTC, {_state(mark)}: {mark.reason}")
        for region, why in outcome.behind.items():
            typer.echo(f"holdfast: {region} does not know yet: {why}", err=True)
    if outcome.behind:
        raise typer.Exit(1)


def _state(mark: Suspicion) -> str:
    return "suspect" if mark.lifted_at is None else f"lifted by {mark.lifted_by}"


def _fields(mark: Suspicion) -> dict[str, Any]:
    return {name: getattr(mark, name) for name in type(mark).__dataclass_fields__}
