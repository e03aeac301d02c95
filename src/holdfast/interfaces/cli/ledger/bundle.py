"""`holdfast ledger bundle` and `proof`: entries and what proves them, for who has nothing else."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, progress_shown, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """Which entries of which log, and where to. Leaves are ranges [first, last]; all where none is named."""

    tenant: str
    leaves: Sequence[tuple[int, int]]
    since: datetime | None
    until: datetime | None
    """By when they were taken in (UTC); half-open."""
    wanted: Mapping[str, Sequence[str]]
    """Values by dimension: job, user, device, cost_centre. An entry has one of each."""
    out: Path
    overwrite: bool


@dataclass(frozen=True, slots=True)
class BundleMade:
    """What is in the file."""

    path: str
    log: str
    size: int
    entries: int
    pruned: int
    bytes: int
    verifier_key: str


class BundleCommands(Protocol):
    """What these commands do."""

    def bundle(self, place: "Place", request: BundleRequest, report: "Report") -> BundleMade:
        """Raises NotThere while nothing of the log was published."""
        ...

    def proof(self, place: "Place", tenant: str, leaf: int) -> str:
        """A C2SP tlog-proof of a published entry."""
        ...


def add_bundle(app: typer.Typer, commands: Callable[[], "LedgerCommands"]) -> None:
    @app.command()
    def bundle(
        config: Config,
        data_dir: DataDir,
        out: Annotated[Path, typer.Option(metavar="FILE", help="Where to; packed where it ends in .gz.")],
        tenant: Annotated[str, typer.Option(help="Whose log; left out: the log over all logs.")] = "",
        leaf: Annotated[
            list[str] | None,
            typer.Option("--leaf", metavar="N|FROM-TO", help="Only these entries; several times."),
        ] = None,
        job: Annotated[list[str] | None, typer.Option(help="Only of this job; several times.")] = None,
        user: Annotated[list[str] | None, typer.Option(help="Only of this pseudonym; several times.")] = None,
        device: Annotated[list[str] | None, typer.Option(help="Only of this device; several times.")] = None,
        cost_centre: Annotated[list[str] | None, typer.Option(help="Only of that one.")] = None,
        since: Annotated[
            datetime | None,
            typer.Option("--received-from", metavar="TIME", help="Only entries taken in from then (UTC)."),
        ] = None,
        until: Annotated[
            datetime | None, typer.Option("--received-to", metavar="TIME", help="... and before then.")
        ] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Write entries into one file with all that proves them: with the verifier key it is all one needs.

        `holdfast ledger verify --bundle FILE --key KEY` checks it, on any machine.
        """
        leaves = [_range(each, as_json=as_json) for each in leaf or ()]
        wanted = {"job": job, "user": user, "device": device, "cost_centre": cost_centre}
        asked = {dimension: values for dimension, values in wanted.items() if values}
        request = BundleRequest(tenant, leaves, since, until, asked, out, overwrite)
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            made = commands().ledger_bundles().bundle(place(config, data_dir), request, report)
        if as_json:
            print_json(asdict(made))
            return
        typer.echo(f"{made.path}: {made.entries:,} entries of {made.log}, {made.bytes:,} bytes")
        if made.pruned:
            typer.echo(f"retention has taken {made.pruned:,} more; their hashes stand for them")
        typer.echo(f"verify it with: holdfast ledger verify --bundle {made.path} --key {made.verifier_key}")

    @app.command()
    def proof(
        config: Config,
        data_dir: DataDir,
        leaf: Annotated[int, typer.Argument(metavar="LEAF", min=0)],
        tenant: Annotated[str, typer.Option(help="Whose log; left out: the log over all logs.")] = "",
        out: Annotated[Path | None, typer.Option(metavar="FILE", help="Left out: standard output.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Print the proof that the newest published checkpoint holds an entry, as C2SP tlog-proof."""
        with told(as_json=as_json):
            text = commands().ledger_bundles().proof(place(config, data_dir), tenant, leaf)
        if as_json:
            print_json({"tenant": tenant, "leaf": leaf, "proof": text})
        elif out is None:
            sys.stdout.write(text)
        else:
            out.write_text(text, encoding="utf-8")


def _range(text: str, *, as_json: bool) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit())):
        found = int(first), int(last if dash else first)
        if found[0] <= found[1]:
            return found
    return fail(
        f"{text!r} is no leaf", "a number, or two of them: --leaf 17 or --leaf 100-199", as_json=as_json
    )
