"""`holdfast ledger late`: entries of a damaged database that the ledger in force does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, print_json, progress_shown, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report

SHOWN = 20
"""As many stretches that are lost are shown to people, of each log."""


@dataclass(frozen=True, slots=True)
class LateLog:
    """A tenant's log in the damaged database. `common`: so many leaves does the one in force have, too."""

    tenant: str
    size: int
    common: int
    written: int
    by_hand: int
    lost: Sequence[tuple[int, int, str]]
    """Leaves [first, end) that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class LateFound:
    """What was found, and where it was written. `by_hand` is empty when nothing is."""

    logs: Sequence[LateLog]
    file: Path
    by_hand: Path | None


class LateCommands(Protocol):
    """What the command needs behind it."""

    def late(self, place: Place, database: str, file: Path, report: Report) -> LateFound: ...


def add_late(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def late(
        database: Annotated[
            str, typer.Argument(metavar="DATABASE", help="The damaged one's name, on Holdfast's own server.")
        ],
        config: Config,
        data_dir: DataDir,
        to: Annotated[Path, typer.Option("--to", help="A new file; `ledger reapply` takes it.")],
        as_json: AsJson = False,
    ) -> None:
        """Write down what came into the ledger after the moment that its database was put back to.

        Only what the log's signed checkpoints prove; the rest goes to FILE.by-hand, each with the reason.
        Ends with 1 when something cannot be read: that is told.
        """
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            found = commands().ledger_late().late(place(config, data_dir), database, to, report)
        if as_json:
            print_json(
                {
                    "file": str(found.file),
                    "by_hand": None if found.by_hand is None else str(found.by_hand),
                    "logs": [
                        {
                            "tenant": each.tenant,
                            "size": each.size,
                            "common": each.common,
                            "written": each.written,
                            "by_hand": each.by_hand,
                            "lost": [{"first": a, "end": b, "why": why} for a, b, why in each.lost],
                        }
                        for each in found.logs
                    ],
                }
            )
        else:
            _print(found)
        if any(each.lost for each in found.logs):
            raise typer.Exit(FAILED)


def _print(found: LateFound) -> None:
    for each in found.logs:
        typer.echo(
            f"{each.tenant}: {each.common:,} of {each.size:,} leaves are here, {each.written:,} written"
        )
        if each.by_hand:
            typer.echo(f"  {each.by_hand:,} must be looked at: {found.by_hand}", err=True)
        for first, end, why in each.lost[:SHOWN]:
            leaves = f"leaf {first:,}" if end == first + 1 else f"leaves {first:,} to {end - 1:,}"
            typer.echo(f"  {leaves}: {why}", err=True)
    if any(each.written for each in found.logs):
        typer.echo(f"take them in: holdfast ledger reapply {found.file}")
    else:
        typer.echo("there is nothing that is not here")
