"""`holdfast ledger prune` and `hold`: entries that are no longer kept, and what must not go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.sizes import size_text

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place
    from holdfast.ledger.persons.retention import Hold, Kept

TenantKey = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's key.")]


@dataclass(frozen=True, slots=True)
class PruneOutcome:
    """How each log stood before; up to which leaf each is pruned now, by tenant; what left the disk."""

    before: Sequence[Kept]
    dry_run: bool
    up_to: dict[str, int]
    segments: int
    bytes: int
    partitions: Sequence[str]


class RetentionCommands(Protocol):
    """What these commands need behind them."""

    def prune(self, place: Place, *, dry_run: bool) -> PruneOutcome: ...

    def hold(self, place: Place, tenant: str, reason: str) -> bool:
        """False when one stands already."""
        ...

    def lift(self, place: Place, tenant: str) -> bool:
        """False when none stands."""
        ...

    def holds(self, place: Place, tenant: str | None) -> Sequence[Hold]: ...


def add_retention(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    """Add `prune` and `hold` to `holdfast ledger`."""
    _add_prune(app, commands)
    _add_holds(app, commands)


def _add_prune(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def prune(
        config: Config,
        data_dir: DataDir,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Let go of entries that are no longer kept. Hashes and proofs stay. It happens daily by itself."""
        with told(as_json=as_json):
            outcome = commands().ledger_retention().prune(place(config, data_dir), dry_run=dry_run)
        if as_json:
            shown = [
                asdict(each) | {"going": each.going, "waits_for": each.waits_for} for each in outcome.before
            ]
            print_json(asdict(outcome) | {"before": shown})
            return
        _print_prune(outcome)


def _add_holds(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    group = typer.Typer(
        help="Legal holds: nothing of a tenant is pruned and nobody erased.", no_args_is_help=True
    )
    app.add_typer(group, name="hold")

    @group.command("place")
    def place_(
        tenant: TenantKey,
        config: Config,
        data_dir: DataDir,
        reason: Annotated[str, typer.Option("--reason", help="Why; it is shown wherever the hold stands.")],
        as_json: AsJson = False,
    ) -> None:
        """Put a hold on a tenant. It stands until it is lifted."""
        if not reason.strip():
            fail("a hold needs a reason", as_json=as_json)
        with told(as_json=as_json):
            placed = commands().ledger_retention().hold(place(config, data_dir), tenant, reason.strip())
        if as_json:
            print_json({"tenant": tenant, "placed": placed})
        else:
            typer.echo(
                f"nothing of {tenant} goes from now on" if placed else f"a hold stands on {tenant} already"
            )

    @group.command()
    def lift(tenant: TenantKey, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Lift the hold on a tenant. What is no longer kept goes with the next pruning."""
        with told(as_json=as_json):
            lifted = commands().ledger_retention().lift(place(config, data_dir), tenant)
        if as_json:
            print_json({"tenant": tenant, "lifted": lifted})
        else:
            typer.echo(f"lifted the hold on {tenant}" if lifted else f"no hold stands on {tenant}")

    @group.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        tenant: Annotated[
            str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Of this tenant only.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show all holds, also those that were lifted."""
        with told(as_json=as_json):
            found = commands().ledger_retention().holds(place(config, data_dir), tenant)
        if as_json:
            print_json([asdict(each) for each in found])
            return
        headings = ("tenant", "since", "by", "lifted", "reason")
        print_table(
            dict.fromkeys(headings, "left"),
            [
                (
                    each.tenant,
                    f"{each.placed_at:%Y-%m-%d %H:%M}",
                    each.actor,
                    f"{each.lifted_at:%Y-%m-%d %H:%M} by {each.lifted_by}" if each.lifted_at else "",
                    each.reason,
                )
                for each in found
            ],
        )


def _print_prune(outcome: PruneOutcome) -> None:
    verb = "would go" if outcome.dry_run else "went"
    columns = {
        "tenant": "left",
        "kept": "right",
        "leaves": "right",
        "gone before": "right",
        verb: "right",
        "others wait for": "left",
    }
    print_table(
        columns,
        [
            (
                each.tenant,
                "for ever" if each.keep_days is None else f"{each.keep_days} d",
                f"{each.size:,}",
                f"{each.pruned:,}",
                f"{each.going if outcome.dry_run else _went(each, outcome):,}",
                each.waits_for,
            )
            for each in outcome.before
        ],
    )
    if not outcome.dry_run and outcome.segments:
        whole = f"; dropped whole: {', '.join(outcome.partitions)}" if outcome.partitions else ""
        typer.echo(f"{outcome.segments:,} segments, {size_text(outcome.bytes)}{whole}")


def _went(each: Kept, outcome: PruneOutcome) -> int:
    return outcome.up_to.get(each.tenant, each.pruned) - each.pruned
