"""`holdfast ledger reapply`: take entries in again that only a lost primary had."""

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
    from holdfast.ledger.intake.feeding import Total

SHOWN = 20
"""As many lines that went wrong are shown to people."""


@dataclass(frozen=True, slots=True)
class ReappliedSource:
    """What became of the entries of one source. `total` None: they were left, all `left` of them."""

    tenant: str
    source: str
    total: Total | None = None
    left: int = 0
    why_left: str = ""


@dataclass(frozen=True, slots=True)
class ReapplyOutcome:
    """What became of a file's entries. `unread`: lines that are none, and why."""

    sources: Sequence[ReappliedSource]
    unread: Sequence[tuple[int, str]]

    @property
    def well(self) -> bool:
        """All of them are in the log."""
        return not self.unread and all(
            each.total is not None and not each.total.refused and not each.total.conflicts
            for each in self.sources
        )


class ReapplyCommands(Protocol):
    """What the command needs behind it."""

    def reapply(self, place: Place, file: Path, report: Report, *, dry_run: bool) -> ReapplyOutcome: ...


def add_reapply(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def reapply(
        file: Annotated[
            Path,
            typer.Argument(
                metavar="FILE",
                help="entries.ndjson of a tail that was archived; the loss statement names it.",
            ),
        ],
        config: Config,
        data_dir: DataDir,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Read and tell, and take nothing in.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Take entries in again that only a lost primary had. The same again changes nothing.

        Ends with 1 when one of them is not in the log then.
        """
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            outcome = (
                commands().ledger_reapplying().reapply(place(config, data_dir), file, report, dry_run=dry_run)
            )
        if as_json:
            print_json(_plain(outcome, dry_run=dry_run))
        else:
            _print(outcome, dry_run=dry_run)
        if not outcome.well:
            raise typer.Exit(FAILED)


def _print(outcome: ReapplyOutcome, *, dry_run: bool) -> None:
    would = "would be looked for, and taken in where they are missing" if dry_run else "taken in again"
    for each in outcome.sources:
        name = f"{each.tenant}  {each.source}"
        if each.total is None:
            typer.echo(f"{name}: {each.left:,} left: {each.why_left}", err=True)
            continue
        there = "" if dry_run else f", {each.total.repeated:,} there already"
        typer.echo(f"{name}: {each.total.taken:,} {would}{there}")
        if each.total.conflicts:
            typer.echo(
                f"  {each.total.conflicts:,} numbers belong to other jobs now: these became conflict entries",
                err=True,
            )
        for line in each.total.told[:SHOWN]:
            typer.echo(f"  line {line.line:,}: {line.reason}", err=True)
    for number, reason in outcome.unread[:SHOWN]:
        typer.echo(f"line {number:,}: {reason}", err=True)
    if not outcome.sources and not outcome.unread:
        typer.echo("there is no entry in it")


def _plain(outcome: ReapplyOutcome, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "sources": [
            {"tenant": each.tenant, "source": each.source, "left": each.left, "why_left": each.why_left}
            | (
                {"taken": 0, "repeated": 0, "refused": 0, "conflicts": 0, "told": []}
                if each.total is None
                else {
                    "taken": each.total.taken,
                    "repeated": each.total.repeated,
                    "refused": each.total.refused,
                    "conflicts": each.total.conflicts,
                    "told": [line._asdict() for line in each.total.told],
                }
            )
            for each in outcome.sources
        ],
        "unread": [{"line": line, "reason": reason} for line, reason in outcome.unread],
    }
