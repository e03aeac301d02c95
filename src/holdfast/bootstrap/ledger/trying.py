"""What `holdfast check` tries of the ledger: its signing key, and the witness, with a log of nothing."""

import time
from collections.abc import Sequence

from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.ledger.witnesses import witness_of
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.keys import PrivateKey, named
from holdfast.ledger.log.notes import Note, Signature, Signer, VerifierKey
from holdfast.ledger.log.tree import EMPTY_ROOT
from holdfast.ledger.log.witness import Addition


async def ledger_findings(declared: DeclaredLedger, place: Place) -> Sequence[Finding]:
    """Changes nothing: what the witness is asked to cosign is a log without leaves, with which all begin."""
    subject = "ledger.signing_key"
    try:
        signer = Ed25519Signer(
            declared.name, PrivateKey.parsed(secret_of(place.config, declared.signing_key)).seed
        )
    except HoldfastError as error:
        return [Finding(subject, ok=False, text=_told(error))]
    public = declared.public_key
    if public is not None and named(VerifierKey.parsed(public), declared.name) != signer.key:
        return [Finding(subject, ok=False, text="is not the key that ledger.public_key belongs to")]
    found = [Finding(subject, ok=True, text=f"signs as {signer.key.text}")]
    if declared.witness is None:
        text = "none is declared: nobody vouches that there was no other history"
        return [*found, Finding("ledger.witness", ok=True, text=text, warning=True)]
    return [*found, await _witness(declared, place, signer)]


async def _witness(declared: DeclaredLedger, place: Place, signer: Signer) -> Finding:
    subject, began = "ledger.witness", time.monotonic()
    try:
        async with witness_of(declared, place.config) as witness:
            assert witness is not None and declared.witness is not None  # noqa: S101, PT018  it is declared
            note = Checkpoint(declared.name, 0, EMPTY_ROOT).signed(signer)
            answer = await witness.cosign(Addition(0, (), note.text))
            text = f"has cosigned {answer:,} leaves of the log over all" if isinstance(answer, int) else ""
            if isinstance(answer, Signature):
                _signed(note, answer, signer.key, VerifierKey.parsed(declared.witness.key))
                text = "cosigns, and has seen nothing of this ledger yet"
    except HoldfastError as error:
        return Finding(subject, ok=False, text=_told(error))
    return Finding(subject, ok=True, text=text, took_ms=(time.monotonic() - began) * 1000)


def _signed(note: Note, answer: Signature, log: VerifierKey, witness: VerifierKey) -> None:
    """Raises ProofRefused."""
    verified(note.with_signatures([answer]).text, log, verifies, witnesses=[witness], quorum=1)


def _told(error: HoldfastError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
