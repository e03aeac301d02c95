"""`holdfast ledger correct`: a new entry in the place of one that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place


@dataclass(frozen=True, slots=True)
class CorrectionRequest:
    """What `ledger correct` is asked for. `actor` empty: who runs the command."""

    tenant: str
    leaf: int
    settings: tuple[str, ...]
    reason: str
    actor: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CorrectionOutcome:
    """Both entries, as JSON has them, and what is another."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    differences: Sequence[tuple[str, str, str]]
    leaf: int | None
    """The new entry's; None for a dry run."""
    repeated: bool
    """It was there already, the same."""
    one_region: bool


class CorrectionCommands(Protocol):
    """What the command needs behind it."""

    def correct(self, place: Place, request: CorrectionRequest) -> CorrectionOutcome: ...


def add_correcting(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def correct(
        tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="The tenant's key.")],
        leaf: Annotated[int, typer.Option("--leaf", min=0, help="The entry that is wrong.")],
        reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads it later.")],
        settings: Annotated[
            list[str],
            typer.Option(
                "--set", metavar="FIELD=VALUE", help="What is right: sheets.A4=3, prices.print=1250EUR."
            ),
        ],
        config: Config,
        data_dir: DataDir,
        actor: Annotated[
            str, typer.Option("--actor", help="Who says so; left out: who runs this command.")
        ] = "",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show both entries.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Put a new entry in the place of one that is wrong. The wrong one stays, and counts no more."""
        request = CorrectionRequest(tenant, leaf, tuple(settings), reason, actor, dry_run)
        with told(as_json=as_json):
            outcome = commands().ledger_correcting().correct(place(config, data_dir), request)
        if as_json:
            print_json(_plain(outcome))
            return
        columns = {"field": "left", f"leaf {leaf:,}": "left", "correction": "left"}
        print_table(columns, outcome.differences)
        if outcome.leaf is None:
            typer.echo("nothing was written")
        elif outcome.repeated:
            typer.echo(f"leaf {outcome.leaf:,} is this correction already")
        else:
            typer.echo(f"leaf {outcome.leaf:,} corrects leaf {leaf:,}")
        if outcome.one_region:
            typer.echo("in one region so far; `holdfast ledger status` shows whether a second one has it")


def _plain(outcome: CorrectionOutcome) -> dict[str, object]:
    return {
        "before": outcome.before,
        "after": outcome.after,
        "differences": [
            {"field": name, "before": before, "after": after} for name, before, after in outcome.differences
        ],
        "leaf": outcome.leaf,
        "repeated": outcome.repeated,
        "one_region": outcome.one_region,
    }
