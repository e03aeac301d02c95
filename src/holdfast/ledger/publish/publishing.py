"""Publishing: a checkpoint is handed out once it is in the second region and the witness has cosigned it.

What was handed out can never be taken back: so nobody sees a checkpoint that a failover could lose, and none
that does not continue what the witness saw. A log whose database lost published leaves is refused by the
witness, and stands still until an operator has decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from holdfast.ledger.errors import NotFlushed, WitnessAway
from holdfast.ledger.log.checkpoint import Checkpoint, LogKeys, verified
from holdfast.ledger.log.notes import Note, Signature, VerifierKey, Verifies
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.ports import LogStore, Published, SecondRegion, Witness
from holdfast.ledger.publish import proving
from holdfast.ledger.publish.cosigning import MOST_TRIES, Cosigning

WHEN_LOST = "published leaves are missing: see 'When leaves were lost' in docs/ledger-proof.md"
OVERALL = ""
"""The tenant of the log over all tenants' checkpoints."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A checkpoint that may be handed out."""

    log_id: int
    checkpoint: Checkpoint
    text: str


class Publisher:
    """Publishes what the logs have grown to. Two may do so at once: the witness lets one of them go first."""

    def __init__(
        self,
        store: LogStore,
        published: Published,
        second: SecondRegion,
        witness: Witness | None,
        *,
        witness_key: VerifierKey | None,
        verifies: Verifies,
        flushed_within_s: float = 10.0,
    ) -> None:
        """Without a witness nobody cosigns: what is published is in the second region, no more is said."""
        self._store = store
        self._published = published
        self._second = second
        self._cosigning = None if witness is None else Cosigning(witness, hint=WHEN_LOST)
        self._witness_key = witness_key
        self._verifies = verifies
        self._flushed_within_s = flushed_within_s

    async def publish(self, log_id: int, log_key: LogKeys) -> Handed | None:
        """The log's newest checkpoint, handed out; None when there is nothing new.

        Raises NotFlushed and WitnessAway when it must wait, and Fork when it can never be.
        """
        for _ in range(MOST_TRIES):
            newest = await self._published.newest(log_id)
            grown = await self._store.grown_to(log_id, 1)
            if grown is None or (newest and Checkpoint.parsed(Note.parsed(newest).body).size >= grown[0]):
                return None
            size, _, text = grown
            # The growth is behind us in the WAL: when all that is committed now is there, so is it.
            if not await self._second.flushed(await self._store.lsn(), self._flushed_within_s):
                raise NotFlushed(f"the second region has not flushed the log up to {size:,} leaves")
            note = Note.parsed(text)
            if self._cosigning is not None:
                signature = await self._cosigned(self._cosigning, log_id, size, text)
                if signature is None:
                    continue  # somebody else had it cosigned further on meanwhile
                note = note.with_signatures([signature])
            known = [self._witness_key] if self._witness_key else []
            found = verified(note.text, log_key, self._verifies, witnesses=known, quorum=len(known))
            await self._published.publish(log_id, size, note.text)
            return Handed(log_id, found.checkpoint, note.text)
        raise WitnessAway("others publish this log faster than it can be followed here")

    async def _cosigned(self, cosigning: Cosigning, log_id: int, size: int, text: str) -> Signature | None:
        """None when the witness is ahead of this size, and the log by now as well."""

        async def is_grown_to(old_size: int) -> bool:
            return await self._store.grown_to(log_id, old_size) is not None

        proof = partial(proving.consistency, self._store, log_id, size=size)
        return await cosigning.of(log_id, size, text, proof, is_grown_to)


def over_all(handed: Mapping[str, Handed]) -> Prepared:
    """These checkpoints, by origin, as leaves of the log over all tenants' logs.

    A leaf is the checkpoint without its signatures: published twice it is the same leaf, and another root
    under the same size becomes a conflict entry, for all to see.
    """
    origins = sorted(handed)
    leaves = [handed[origin].checkpoint.body.encode() for origin in origins]
    return Prepared(
        tenant=OVERALL,
        leaves=leaves,
        hashes=leaf_hashes(leaves),
        stretches=[Numbered(origin, 0, handed[origin].checkpoint.size, 1) for origin in origins],
    )
