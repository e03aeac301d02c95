"""`holdfast restore`: a database as it was at a moment, in a folder, proven by a query that it answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, progress_shown, told
from holdfast.interfaces.cli.sizes import size_text

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Commands, Place, Report


@dataclass(frozen=True, slots=True)
class PartRequest:
    """One table, or one database, to be loaded into a server that is in use. `into` is libpq's string.

    Without `name` it goes in the place of what is there.
    """

    table: str | None
    database: str | None
    name: str | None
    into: str


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is restored, from where, to where. `store` is an address that is used instead of the estate."""

    database: str
    at: str
    to: Path
    region: str | None = None
    timeline: int | None = None
    exclusive: bool = False
    dry_run: bool = False
    keep_running: bool = False
    promote: bool = False
    resume: bool = False
    delta: bool = False
    tablespaces: Mapping[str, Path] = field(default_factory=dict)
    bin_dir: Path | None = None
    store: str | None = None
    keys: Mapping[str, Path] = field(default_factory=dict)
    part: PartRequest | None = None
    warm: bool = False
    whole: bool = False
    """Fetch all files, also for a part."""
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """What was, or would be, restored. Times in UTC, durations in seconds. A dry run has no results."""

    database: str
    region: str
    folder: str
    backup: str
    chain: tuple[str, ...]
    wal_segments: int
    needed_bytes: int
    dry_run: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    expected_s: float | None = None
    fetch_s: float | None = None
    first_answer_s: float | None = None
    replay_s: float | None = None
    replayed_lsn: str | None = None
    last_commit: datetime | None = None
    at_target: bool | None = None
    promoted: bool = False
    fetched_bytes: int | None = None
    """Of the files' stored bytes; None when it was all. `stored_bytes`: what all would have been."""
    stored_bytes: int | None = None
    loaded: str | None = None
    """What was loaded elsewhere, as a sentence."""
    running: str | None = None
    """How to reach it, when it was left running."""


class RestoreCommands(Protocol):
    """What these commands need behind them."""

    def restore(self, place: Place, request: RestoreRequest, report: Report) -> RestoreOutcome: ...


def add_restore(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def restore(
        database: Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")],
        to: Annotated[Path, typer.Option("--to", help="The folder to restore into.")],
        config: Config,
        data_dir: DataDir,
        at: Annotated[
            str,
            typer.Option("--at", help="latest, a time, an LSN, xid:NUMBER, or a backup's label or id."),
        ] = "latest",
        region: Annotated[
            str | None, typer.Option("--region", help="From here; left out: the first that can.")
        ] = None,
        timeline: Annotated[
            int | None, typer.Option("--timeline", help="Left out: the newest one that leads there.")
        ] = None,
        exclusive: Annotated[
            bool, typer.Option("--exclusive", help="Stop before what was committed exactly there.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only say what it would do, and what stands in the way.")
        ] = False,
        promote: Annotated[
            bool, typer.Option("--promote", help="Let it accept writes, on a timeline of its own.")
        ] = False,
        keep_running: Annotated[
            bool, typer.Option("--keep-running", help="Leave it running on its private socket.")
        ] = False,
        warm: Annotated[
            bool, typer.Option("--warm", help="Begin with a clone of the verified copy, where it serves.")
        ] = False,
        anyway: Annotated[
            bool, typer.Option("--anyway", help="Also when the programs lack what the database needs.")
        ] = False,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with a restore that was broken off.")
        ] = False,
        delta: Annotated[
            bool, typer.Option("--delta", help="Over a data directory: write only files that differ.")
        ] = False,
        tablespace: Annotated[
            list[str] | None,
            typer.Option("--tablespace", metavar="OID=PATH", help="Left out: inside the folder."),
        ] = None,
        bin_dir: Annotated[
            Path | None,
            typer.Option("--bin-dir", help="PostgreSQL of the same major version; left out: as declared."),
        ] = None,
        from_store: Annotated[
            str | None,
            typer.Option("--from-store", metavar="URL", help="Without an estate, from a store's address."),
        ] = None,
        key: Annotated[
            list[str] | None,
            typer.Option("--key", metavar="NAME=FILE", help="With --from-store: opens what is sealed."),
        ] = None,
        table: Annotated[
            str | None, typer.Option("--table", metavar="SCHEMA.TABLE", help="Load this one into --into.")
        ] = None,
        part_of: Annotated[
            str | None,
            typer.Option("--database", metavar="NAME", help="Load it into --into; or where --table is."),
        ] = None,
        name: Annotated[
            str | None, typer.Option("--as", help="The new name; left out: in its own place.")
        ] = None,
        into: Annotated[
            str | None,
            typer.Option("--into", metavar="CONNINFO", help="libpq's string, without a password."),
        ] = None,
        whole: Annotated[
            bool,
            typer.Option("--whole", help="For a part: restore all of it, and leave that in the folder."),
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Replace what is there without asking.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Restore a database to a moment. Done when the restored server has answered a query."""
        part = _part(table, part_of, name, into, as_json=as_json)
        asks = part is not None and part.name is None and not (yes or dry_run)
        if asks and (as_json or not typer.confirm(_question(table, part_of), err=True)):
            fail("nothing was done", "--yes replaces it; --as loads under a name", as_json=as_json)
        request = RestoreRequest(
            database,
            at,
            to,
            region=region,
            timeline=timeline,
            exclusive=exclusive,
            dry_run=dry_run,
            keep_running=keep_running,
            promote=promote,
            resume=resume,
            warm=warm,
            anyway=anyway,
            delta=delta,
            tablespaces=_pairs(tablespace, "--tablespace", "16384=/srv/fast", as_json=as_json),
            bin_dir=bin_dir,
            store=from_store,
            keys=_pairs(key, "--key", "year-2026=backup-2026.key", as_json=as_json),
            part=part,
            whole=whole,
        )
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcome = commands().restores().restore(place(config, data_dir), request, report)
        if as_json:
            print_json(asdict(outcome))
        else:
            for line in lines_of(outcome):
                typer.echo(line)
        if outcome.problems:
            raise typer.Exit(1)


def _pairs(given: Sequence[str] | None, option: str, example: str, *, as_json: bool) -> dict[str, Path]:
    pairs = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals or not name or not value:
            fail(f"{option} {each!r} does not say what goes where", f"{option} {example}", as_json=as_json)
        pairs[name] = Path(value)
    return pairs


def _part(
    table: str | None, database: str | None, name: str | None, into: str | None, *, as_json: bool
) -> PartRequest | None:
    if table is None and database is None:
        if name or into:
            fail("--as and --into are for --table or --database", as_json=as_json)
        return None
    if into is None:
        fail(
            "where it is to be loaded is missing", "--into 'host=db.example.com dbname=shop'", as_json=as_json
        )
    return PartRequest(table, database, name, into)


def _question(table: str | None, database: str | None) -> str:
    if table is not None:
        return f"replace all rows of {table} there?"
    return f"let it take the name of {database} there, which is kept under another, and end its sessions?"


def lines_of(outcome: RestoreOutcome) -> list[str]:
    """What a person reads of it."""
    increments = len(outcome.chain) - 1
    what = f"backup {outcome.backup}" + (f" ({increments} increments on a full one)" if increments else "")
    lines = []
    if outcome.dry_run:
        size = size_text(outcome.needed_bytes)
        lines.append(
            f"would restore {outcome.database} from {outcome.region}: {what},"
            f" {outcome.wal_segments} segments of WAL, at most {size} into {outcome.folder}"
        )
        if outcome.expected_s is not None and outcome.fetched_bytes is not None:
            lines.append(f"all of it would take about {outcome.expected_s:.0f} s")
        elif outcome.expected_s is not None:
            lines.append(f"it would take about {outcome.expected_s:.0f} s")
        elif outcome.region:
            lines.append(f"how long it would take is unknown: no copy was verified from {outcome.region} yet")
    else:
        lines.append(f"restored {outcome.database} from {outcome.region} into {outcome.folder}: {what}")
        lines.append(
            f"fetched in {outcome.fetch_s:.1f} s, first answer after {outcome.first_answer_s:.1f} s more,"
            f" replayed in {outcome.replay_s:.1f} s, to {outcome.replayed_lsn}"
        )
        last = "none" if outcome.last_commit is None else outcome.last_commit.isoformat()
        lines.append(f"last commit: {last}")
    if outcome.fetched_bytes is not None:
        size, of = size_text(outcome.fetched_bytes), size_text(outcome.stored_bytes or 0)
        lines.append(f"files: {size} fetched of {of}, all others are left out")
    if outcome.loaded:
        lines.append(outcome.loaded)
    lines += [f"problem: {each}" for each in outcome.problems]
    lines += [f"note: {each}" for each in outcome.notes]
    if outcome.running:
        lines.append(f'it runs: psql "{outcome.running}"')
    elif not outcome.dry_run and outcome.fetched_bytes is not None:
        lines.append("these files are no copy of the server, and are removed")
    elif not outcome.dry_run and not outcome.promoted:
        lines.append("it is shut down; started, it ends recovery there and accepts writes. Archiving is off")
    elif outcome.promoted:
        lines.append("it is promoted, and shut down. Archiving is off")
    return lines
