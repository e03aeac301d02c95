"""`holdfast wal`: the write-ahead log of protected databases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, told
from holdfast.interfaces.cli.ports import Commands, Place

Database = Annotated[str, typer.Argument(metavar="DB", help="The database's key in the estate.")]


@dataclass(frozen=True, slots=True)
class RegionShown:
    """How far a region has the log. `lag_bytes` is None while it is on another timeline, or was not asked."""

    region: str
    has: str | None
    lag_bytes: int | None
    answers: bool
    error: str


@dataclass(frozen=True, slots=True)
class Receiving:
    """How a receiver stands. Places are written as PostgreSQL writes them."""

    database: str
    connected: bool
    error: str
    timeline: int | None
    received: str | None
    acknowledged: str
    spool_bytes: int
    spool_is_full: bool
    sync: str
    backup_wanted: str
    regions: Sequence[RegionShown]


@dataclass(frozen=True, slots=True)
class WalPushed:
    """What became of a file that the server handed over."""

    name: str
    stored: Sequence[str]
    waiting: Mapping[str, str]
    nothing_to_keep: bool


class WalCommands(Protocol):
    """What the commands of this module do."""

    def receive(self, place: Place, database: str, told: Callable[[Receiving], None]) -> None:
        """Receive until SIGTERM or SIGINT; `told` hears how it stands every few seconds."""
        ...

    def push(self, place: Place, database: str, path: Path) -> WalPushed: ...


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="The write-ahead log of protected databases.", no_args_is_help=True)

    @app.command()
    def receive(database: Database, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Receive a database's log in the foreground, and store it in its regions. Ctrl-C ends it.

        `holdfast serve backup` does the same for all of them.
        """
        with told(as_json=as_json):
            commands().wal().receive(
                place(config, data_dir),
                database,
                lambda state: print_json(asdict(state)) if as_json else typer.echo(_line(state)),
            )

    @app.command()
    def push(
        database: Database,
        path: Annotated[Path, typer.Argument(metavar="FILE", help="The file: %p of archive_command.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Store a file of the log, for archive_command = 'holdfast wal push DB %p'.

        Succeeds only when every region has it, or one has it and for the others it waits on this disk.
        """
        with told(as_json=as_json):
            pushed = commands().wal().push(place(config, data_dir), database, path)
        if as_json:
            print_json(asdict(pushed))
        elif pushed.waiting:
            for region, why in pushed.waiting.items():
                typer.echo(f"holdfast: {pushed.name} waits for region {region}: {why}", err=True)

    return app


def _line(state: Receiving) -> str:
    """One line on how it stands."""
    regions = ", ".join(
        f"{each.region} {'away: ' + each.error if each.error else _behind(each.lag_bytes)}"
        for each in state.regions
    )
    head = (
        f"timeline {state.timeline} {state.received}" if state.connected else f"not connected: {state.error}"
    )
    notes = [f"sync {state.sync}"] if state.sync != "off" else []
    notes += ["the spool is full"] if state.spool_is_full else []
    notes += [f"a backup is due: {state.backup_wanted}"] if state.backup_wanted else []
    return "; ".join([f"{state.database}: {head}", regions, *notes])


def _behind(lag_bytes: int | None) -> str:
    if lag_bytes is None:
        return "is on its way"
    return "has all" if lag_bytes == 0 else f"lacks {lag_bytes} bytes"
