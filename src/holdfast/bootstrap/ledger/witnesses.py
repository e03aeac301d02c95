"""The witness that the estate declares, and `holdfast ledger witness`, which is one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import structlog
import uvloop

from holdfast.adapters.signing.ed25519 import signer_of, verifies
from holdfast.adapters.witness.folder import FolderWitness
from holdfast.adapters.witness.http import HttpWitness
from holdfast.bootstrap.ledger.at_hand import key_from
from holdfast.bootstrap.ledger.keys import read_key
from holdfast.bootstrap.logs import configure_logs
from holdfast.bootstrap.serving import bound, serve_until_stopped
from holdfast.bootstrap.signals import Signals
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.estate.ledger import LedgerWitness
from holdfast.interfaces.cli.ledger.witness import WitnessRequest
from holdfast.interfaces.witness.app import create_witness_app
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.errors import KeyRefused, Unsuitable
from holdfast.ledger.log.keys import LogsOf
from holdfast.ledger.log.notes import COSIGNATURE_V1, ED25519, VerifierKey

log = structlog.get_logger()


def witness_of(declared: DeclaredLedger, config: Path) -> AbstractAsyncContextManager[HttpWitness | None]:
    """The ledger's witness, as `witness_at` has it."""
    return witness_at(declared.witness, config)


@asynccontextmanager
async def witness_at(wanted: LedgerWitness | None, config: Path) -> AsyncIterator[HttpWitness | None]:
    """The witness to ask; None where none is declared. Nothing is asked yet. Paths are beside the estate."""
    if wanted is None:
        yield None
        return
    ca_file = None if wanted.ca_file is None else _beside(config, wanted.ca_file)
    async with HttpWitness(wanted.url, VerifierKey.parsed(wanted.key), ca_file=ca_file) as witness:
        yield witness


def _beside(config: Path, name: str) -> Path:
    return config.absolute().parent / name


class LocalWitness:
    """A witness on this machine, which knows neither estate nor database."""

    def serve(self, request: WitnessRequest) -> None:
        """Until SIGTERM or SIGINT."""
        configure_logs("witness")
        key = read_key(request.key_file)
        if key.kind != COSIGNATURE_V1:
            raise KeyRefused(
                f"{request.key_file} holds a ledger's key, not a witness's",
                hint="holdfast ledger key new --witness makes one",
            )
        logs = tuple(key_from(each) for each in request.logs)
        if any(each.kind != ED25519 for each in logs):
            raise KeyRefused("--log takes the verifier keys of ledgers", hint="that of a witness was given")
        witness = FolderWitness(request.state, signer_of(key), LogsOf(logs), verifies, SystemClock())
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(witness, request))
        finally:
            witness.close()


async def _serve(witness: FolderWitness, request: WitnessRequest) -> None:
    signals = Signals()
    signals.install()
    app = create_witness_app(witness, lambda error: log.error("witness_cannot_answer", error=str(error)))
    try:
        listening = bound(request.listen)
    except (OSError, ValueError) as error:
        raise Unsuitable(f"{request.listen} cannot be listened on: {error}") from error
    log.info("witness_started", listen=request.listen, logs=len(request.logs))
    await serve_until_stopped(app, request.listen, signals, listening=listening, tls=request.tls)
