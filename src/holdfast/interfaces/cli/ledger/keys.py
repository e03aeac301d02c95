"""`holdfast ledger key`: the keys of ledgers and witnesses."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A new key: the file that nobody else may read, its name, and the key that everybody may have."""

    path: str
    name: str
    verifier_key: str


class KeyCommands(Protocol):
    """What `holdfast ledger key` does."""

    def new(self, name: str, path: Path, *, witness: bool) -> KeyMade: ...

    def of_file(self, path: Path, origin: str | None) -> str:
        """The verifier key of a key file, under another name where one is given."""
        ...

    def of_estate(self, place: "Place", tenant: str) -> str:
        """The verifier key of a tenant's log; of the ledger for the empty tenant."""
        ...


def add_keys(app: typer.Typer, commands: Callable[[], "LedgerCommands"]) -> None:
    keys = typer.Typer(help="Keys that checkpoints are signed and cosigned with.", no_args_is_help=True)
    app.add_typer(keys, name="key")

    @keys.command()
    def new(
        name: Annotated[str, typer.Argument(metavar="NAME", help="The ledger's name, or the witness's.")],
        out: Annotated[Path, typer.Option(metavar="FILE", help="Where the private key goes (mode 0600).")],
        witness: Annotated[
            bool, typer.Option("--witness", help="A witness's key: it cosigns, never signs.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Make an Ed25519 key, and print the verifier key that belongs to it.

        The file is all there is of it: keep a copy where the ledger is not.
        """
        with told(as_json=as_json):
            made = commands().ledger_keys().new(name, out, witness=witness)
        if as_json:
            print_json(asdict(made))
            return
        typer.echo(made.verifier_key)
        typer.echo(f"the private key is in {made.path}: keep a copy of it elsewhere", err=True)

    @keys.command()
    def show(
        config: Config,
        data_dir: DataDir,
        file: Annotated[
            Path | None, typer.Argument(metavar="FILE", help="Left out: the estate's ledger.")
        ] = None,
        tenant: Annotated[
            str, typer.Option(help="That of this tenant's log; left out: of the whole ledger.")
        ] = "",
        origin: Annotated[str | None, typer.Option(help="With FILE: under this log's name.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Print the verifier key: auditors check with it, and witnesses know the ledger by it."""
        if file is not None and tenant:
            fail("--tenant is about the estate's ledger", "with FILE: --origin NAME/TENANT", as_json=as_json)
        with told(as_json=as_json):
            if file is None:
                text = commands().ledger_keys().of_estate(place(config, data_dir), tenant)
            else:
                text = commands().ledger_keys().of_file(file, origin)
        print_json({"verifier_key": text}) if as_json else typer.echo(text)
