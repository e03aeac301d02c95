"""What `holdfast check` tries of recovery: the key that signs evidence, and the witness that cosigns it."""

import time
from collections.abc import Sequence

from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.ledger.witnesses import witness_at
from holdfast.bootstrap.recovery.evidence_keys import evidence_signer
from holdfast.bootstrap.recovery.sealing import checkpoint_over
from holdfast.bootstrap.recovery.terms import keeping_of
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.notes import Signature, VerifierKey
from holdfast.ledger.log.witness import Addition


def evidence_findings(estate: Estate, place: Place) -> Sequence[Finding]:
    """Only of a declared key: the data directory's own is made when it is needed first."""
    subject = "recovery.evidence.signing_key"
    if keeping_of(estate).signing_key is None:
        return []
    try:
        key = evidence_signer(estate, place.config, place.data_dir).key
    except HoldfastError as error:
        text = f"{error}; {error.hint}" if error.hint else str(error)
        return [Finding(subject, ok=False, text=text)]
    return [Finding(subject, ok=True, text=f"signs as {key.text}")]


async def evidence_witness_findings(estate: Estate, place: Place) -> Sequence[Finding]:
    """Changes nothing: what the witness is asked to cosign is a log without entries, with which all begin."""
    subject, declared, began = "recovery.evidence.witness", keeping_of(estate).witness, time.monotonic()
    if estate.recovery is None:
        return []
    if declared is None:
        text = "none is declared: nobody vouches that evidence was not written anew"
        return [Finding(subject, ok=True, text=text, warning=True)]
    try:
        signer = evidence_signer(estate, place.config, place.data_dir)
        note = checkpoint_over(b"", signer.key.name).signed(signer)
        async with witness_at(declared, place.config) as witness:
            if witness is None:
                return []
            answer = await witness.cosign(Addition(0, (), note.text))
        if isinstance(answer, Signature):
            cosigned = note.with_signatures([answer]).text
            key = VerifierKey.parsed(declared.key)
            verified(cosigned, signer.key, verifies, witnesses=[key], quorum=1)
            text = "cosigns, and has seen no evidence yet"
        else:
            text = f"has cosigned {answer:,} {'entry' if answer == 1 else 'entries'} of the log of evidence"
    except HoldfastError as error:
        told = f"{error}; {error.hint}" if error.hint else str(error)
        return [Finding(subject, ok=False, text=told)]
    return [Finding(subject, ok=True, text=text, took_ms=(time.monotonic() - began) * 1000)]
