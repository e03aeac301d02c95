"""`holdfast ledger witness`: be the witness of somebody's ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.output import fail, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands


@dataclass(frozen=True, slots=True)
class WitnessRequest:
    """How a witness is run. `logs` are verifier keys or files with them; `tls` a certificate and its key."""

    key_file: Path
    state: Path
    logs: Sequence[str]
    listen: str
    tls: tuple[Path, Path] | None


class WitnessCommands(Protocol):
    """What `holdfast ledger witness` does."""

    def serve(self, request: WitnessRequest) -> None:
        """Until SIGTERM or SIGINT. Needs no estate and no database."""
        ...


def add_witness(app: typer.Typer, commands: Callable[[], "LedgerCommands"]) -> None:
    @app.command()
    def witness(
        key_file: Annotated[
            Path, typer.Option(metavar="FILE", help="The witness's key (key new --witness).")
        ],
        log: Annotated[
            list[str],
            typer.Option("--log", metavar="KEY|FILE", help="A ledger's verifier key; once for each ledger."),
        ],
        state: Annotated[Path, typer.Option(metavar="DIR", help="Where it remembers what it has cosigned.")],
        listen: Annotated[str, typer.Option(metavar="ADDRESS", help="Where it answers.")] = "127.0.0.1:8084",
        tls_certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="For https (PEM).")] = None,
        tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="For https (PEM).")] = None,
    ) -> None:
        """Cosign the checkpoints of a ledger, as long as each goes on from the one before. Ctrl-C ends it.

        Run it where the ledger's operator cannot change it, and keep its DIR: a witness that forgot would
        cosign another history. It needs neither estate nor database. Protocol: C2SP tlog-witness.
        """
        if (tls_certificate is None) != (tls_key is None):
            fail("https needs both --tls-certificate and --tls-key")
        tls = (tls_certificate, tls_key) if tls_certificate and tls_key else None
        with told(as_json=False):
            commands().ledger_witness().serve(WitnessRequest(key_file, state, log, listen, tls))
