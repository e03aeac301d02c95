"""What `holdfast check` tries of the ledger: its signing key, the standby in another region, the witness."""

import time
from collections.abc import Sequence

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.standby import Standing, followers_of
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.bootstrap.database import is_embedded, server_for
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.ledger.witnesses import witness_of
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.estate.ledger import LedgerRegion
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.keys import PrivateKey, named
from holdfast.ledger.log.notes import Note, Signature, Signer, VerifierKey
from holdfast.ledger.log.tree import EMPTY_ROOT
from holdfast.ledger.log.witness import Addition


async def ledger_findings(estate: Estate, place: Place) -> Sequence[Finding]:
    """Changes nothing: what the witness is asked to cosign is a log without leaves, with which all begin."""
    declared = estate.ledger
    if declared is None:
        return []
    second = [] if declared.second_region is None else [await _standby(estate, declared.second_region, place)]
    return [*second, *await _proving(declared, place)]


async def _standby(estate: Estate, region: LedgerRegion, place: Place) -> Finding:
    """Whether it follows. A server of our own is not started for this."""
    subject, began = "ledger.second_region", time.monotonic()
    try:
        server = server_for(estate, place.config, place.data_dir)
        if is_embedded(server):
            if getattr(server, "pid", None) is None:
                text = f"nobody can tell whether {region.standby} follows: no Holdfast is running here"
                return Finding(subject, ok=True, text=text, warning=True)
            await server.start()
        standing = await followers_of(server.conninfo(Role.OWNER), region.standby)
    except HoldfastError as error:
        return Finding(subject, ok=False, text=_told(error))
    ok, text = _judged(standing, region)
    took_ms = (time.monotonic() - began) * 1000
    return Finding(subject, ok=ok, text=text, took_ms=took_ms, warning=ok and standing.followers > 1)


def _judged(standing: Standing, region: LedgerRegion) -> tuple[bool, str]:
    name = region.standby
    if not standing.followers:
        meanwhile = "nothing is acknowledged" if region.when_away == "stall" else "all is in one region"
        return False, f"no standby follows as {name} ({meanwhile}): application_name in its primary_conninfo"
    if region.mode == "synchronous" and not standing.is_waited_for:
        return False, f"{name} follows, and commits do not wait for it: synchronous_standby_names"
    if standing.followers > 1:
        return True, f"{standing.followers} follow as {name}: the one that has least counts"
    return True, f"{name} follows, {standing.behind:,} bytes behind"


async def _proving(declared: DeclaredLedger, place: Place) -> Sequence[Finding]:
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
            if isinstance(answer, Signature):
                _signed(note, answer, signer.key, VerifierKey.parsed(declared.witness.key))
                text = "cosigns, and has seen nothing of this ledger yet"
            else:
                leaves = "leaf" if answer == 1 else "leaves"
                text = f"has cosigned {answer:,} {leaves} of the log over all"
    except HoldfastError as error:
        return Finding(subject, ok=False, text=_told(error))
    return Finding(subject, ok=True, text=text, took_ms=(time.monotonic() - began) * 1000)


def _signed(note: Note, answer: Signature, log: VerifierKey, witness: VerifierKey) -> None:
    """Raises ProofRefused."""
    verified(note.with_signatures([answer]).text, log, verifies, witnesses=[witness], quorum=1)


def _told(error: HoldfastError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
