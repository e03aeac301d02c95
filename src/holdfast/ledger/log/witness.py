"""What a witness decides: to cosign a checkpoint, or why not. Source: C2SP tlog-witness, `add-checkpoint`.

The decision is pure. Whoever calls it keeps the newest cosigned checkpoint, compares and sets it in one
step, and has it on disk before the cosignature leaves: else two answers could roll the log back.
"""

import base64
import re
from dataclasses import dataclass

from holdfast.ledger.errors import Fork, ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, LogKeys, verified
from holdfast.ledger.log.notes import Note, Verifies, from_canonical_base64
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.log.tree import EMPTY_ROOT, verify_consistency

MOST_HASHES = 63
MOST_REQUEST_BYTES = 64 * 1024
SIZE_TYPE = "text/x.tlog.size"
"""What a witness says with 409: where it stands."""
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Addition:
    """A request to cosign: the size that the log believes the witness has, the proof from there, the note."""

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old_size}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parsed(cls, text: str) -> "Addition":
        """Raises ProofRefused for anything malformed."""
        head, _, checkpoint = text.partition("\n\n")
        first, *hashes = head.split("\n")
        old = _OLD.fullmatch(first)
        if not old or not checkpoint or len(hashes) > MOST_HASHES or len(text) > MOST_REQUEST_BYTES:
            raise ProofRefused("that is no request to cosign")
        proof = tuple(from_canonical_base64(each) for each in hashes)
        if any(len(each) != HASH_BYTES for each in proof):
            raise ProofRefused("a line of the proof is no hash")
        return cls(int(old[1]), proof, checkpoint)


@dataclass(frozen=True, slots=True)
class Refused:
    """`status` as HTTP would have it; `size` is told with 409: where the witness stands."""

    status: int
    reason: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Cosign:
    """Keep this checkpoint in place of the one before, then sign this note."""

    checkpoint: Checkpoint
    note: Note


def judged(
    addition: Addition, known: Checkpoint | None, log: LogKeys | None, verifies: Verifies
) -> Cosign | Refused:
    """The answer, where `known` is the newest that was cosigned, and `log` the keys of its origin."""
    if log is None:
        return Refused(404, "this log is not known here")
    try:
        found = verified(addition.checkpoint, log, verifies)
    except ProofRefused as error:
        return Refused(403, str(error))
    new = found.checkpoint
    if addition.old_size > new.size:
        return Refused(400, "the old size is beyond the checkpoint's")
    if addition.old_size != (known.size if known else 0):
        return Refused(409, "the witness stands elsewhere", known.size if known else 0)
    if known and new.size == known.size and new.root != known.root:
        return Refused(409, "the witness has cosigned another root of that size", known.size)
    old_root = known.root if known else EMPTY_ROOT
    if not new.size and new.root != EMPTY_ROOT:
        return Refused(422, "an empty log has one root only")
    try:
        verify_consistency(addition.old_size, old_root, new.size, new.root, addition.proof)
    except (Fork, ProofRefused) as error:
        return Refused(422, str(error))
    return Cosign(new, found.note)


def origin_of(checkpoint: str) -> str:
    """The first line, by which the trusted key and what is known are looked up."""
    return checkpoint.partition("\n")[0]
