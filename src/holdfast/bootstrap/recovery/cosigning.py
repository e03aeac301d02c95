"""The witness of the log of evidence: it cosigns each checkpoint, and remembers what it has cosigned.

Evidence is kept whether or not the witness answers: a lost region may have taken it along. What is not
cosigned yet is told wherever evidence is shown, with the reason, and is cosigned as soon as it can be.
"""

import asyncio
from collections.abc import Sequence

import structlog

from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.ledger.witnesses import witness_at
from holdfast.bootstrap.recovery.evidence_keys import evidence_keys
from holdfast.bootstrap.recovery.sealing import tree_over
from holdfast.bootstrap.recovery.terms import keeping_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import Fork, ProofRefused, WitnessAway, WitnessRefused
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, Signature, VerifierKey
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.log.witness import Addition
from holdfast.ledger.ports import Witness
from holdfast.ledger.publish.cosigning import MOST_TRIES, Cosigning
from holdfast.recovery.evidence_ports import EvidenceLog, Kept, Why

LOOK_EVERY_S = 5.0
PATIENT_FOR_S = 20.0
"""Between two questions to a witness that did not cosign, at most."""
WHEN_LOST = "see 'When the witness refuses' in docs/evidence.md"

log = structlog.get_logger()


class Cosigner:
    """Has the log's newest checkpoint cosigned. Two processes may do so at once."""

    def __init__(self, evidence: EvidenceLog, witness: Witness, keys: Sequence[VerifierKey]) -> None:
        """`keys` are those of the log, and of its witness."""
        self._evidence = evidence
        self._cosigning = Cosigning(witness, "entries", WHEN_LOST)
        self._keys = keys
        self._told = ""

    async def round(self) -> bool:
        """Whether everything is cosigned now. Why it is not, is kept; what the database raises is raised."""
        grown = await self._evidence.grown()
        if not grown.unseen:
            return True
        try:
            signature = await self._signature(grown.size, grown.note)
            if signature is None:
                return False  # another process had a longer one cosigned meanwhile
            note = self._checked(grown.note, signature)
        except (WitnessAway, WitnessRefused, ProofRefused) as error:
            why = _why(error)
            if str(error) != self._told:
                self._told = str(error)
                log.warning("evidence_not_cosigned", reason=why.value, error=self._told, hint=error.hint)
            await self._evidence.keep_waiting(why, f"{error}; {error.hint}" if error.hint else str(error))
            return False
        await self._evidence.keep_cosigned(grown.size, note)
        self._told = ""
        return True

    async def _signature(self, size: int, note: str) -> Signature | None:
        hashes = (await self._evidence.hashes())[: size * HASH_BYTES]

        async def consistency(old_size: int) -> Sequence[bytes]:
            return await asyncio.to_thread(tree_over(hashes).consistency, old_size)

        async def is_grown_to(old_size: int) -> bool:
            return (await self._evidence.grown()).size >= old_size

        return await self._cosigning.of("evidence", size, note, consistency, is_grown_to)

    def _checked(self, note: str, signature: Signature) -> str:
        """The note with both signatures. Raises ProofRefused for a cosignature that does not hold."""
        text = Note.parsed(note).with_signatures([signature]).text
        witnesses = [key for key in self._keys if key.kind == COSIGNATURE_V1]
        verified(text, self._keys, verifies, witnesses=witnesses, quorum=1)
        return text


def _why(error: HoldfastError) -> Why:
    match error:
        case WitnessAway():
            return Why.AWAY
        case WitnessRefused():
            return Why.REFUSES
        case Fork():
            return Why.FORK
        case _:
            return Why.FAILED


async def keep_cosigning(working: Working) -> None:
    """A duty: until cancelled. Without a declared witness there is nothing to do."""
    declared = keeping_of(working.estate).witness
    if declared is None:
        return
    keys = evidence_keys(working.estate, working.place.config, working.place.data_dir)
    async with witness_at(declared, working.place.config) as witness:
        if witness is None:
            return
        cosigner, pause_s = Cosigner(PostgresEvidence(working.pool), witness, keys), LOOK_EVERY_S
        while True:
            pause_s = LOOK_EVERY_S if await cosigner.round() else min(pause_s * 2, PATIENT_FOR_S)
            await asyncio.sleep(pause_s)


async def standing_of_witness(
    witness: Witness, kept: Sequence[Kept], seen: int, empty: str | None = None
) -> str:
    """How the witness differs from the log that is here; empty when it does not.

    It is asked for what it has cosigned already, which leaves it where it is. `seen` is the size of the
    newest cosigned checkpoint that is here; `empty` the signed checkpoint of a log without entries. Raises
    WitnessAway and WitnessRefused.
    """
    asked = len(kept)
    for _ in range(MOST_TRIES):
        note = kept[asked - 1].note if asked else empty
        if note is None:
            return ""  # nobody here can ask about a log without entries
        try:
            answer = await witness.cosign(Addition(asked, (), note))
        except Fork as error:
            return str(error)
        if isinstance(answer, Signature):
            behind = f"it remembers {asked:,} entries, and has cosigned {seen:,}: it has forgotten"
            return behind if asked < seen else ""
        if answer == asked:
            return f"it has cosigned another checkpoint of {asked:,} entries: this log is another one"
        if answer > len(kept):
            return f"it has cosigned {answer:,} entries, and the log has {len(kept):,}: entries are missing"
        if not answer:
            return f"it has seen nothing of this log, and had cosigned {seen:,} entries" if seen else ""
        asked = answer
    return ""  # it goes on faster than it can be asked
