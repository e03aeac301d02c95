"""Checkpoints: a log's size and root, signed by the log and cosigned by witnesses.

Sources: C2SP tlog-checkpoint, tlog-cosignature.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.notes import (
    COSIGNATURE_V1,
    ED25519,
    Note,
    Signature,
    Signer,
    VerifierKey,
    Verifies,
    signed,
)
from holdfast.ledger.log.tiles import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """That the log named by its origin has so many leaves under that root."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parsed(cls, body: str) -> "Checkpoint":
        """Raises ProofRefused for a malformed one. Extension lines are refused: ours have none."""
        lines = body.split("\n")
        if len(lines) == 4 and lines[0] and not lines[3] and _SIZE.fullmatch(lines[1]):
            try:
                root = base64.b64decode(lines[2], validate=True)
            except (binascii.Error, ValueError):
                root = b""
            found = cls(lines[0], int(lines[1]), root)
            if len(root) == HASH_BYTES and found.body == body:
                return found
        raise ProofRefused("that is no checkpoint")

    def signed(self, signer: Signer) -> Note:
        return signed(self.body, signer)


def cosigned(note: Note, witness: Signer, at: datetime) -> Signature:
    """The witness's statement that it never saw this log say anything else, up to now."""
    seconds = int(at.timestamp())
    content = seconds.to_bytes(_TIME_BYTES, "big") + witness.sign(_cosigned_message(note.body, seconds))
    return Signature(witness.key.name, witness.key.id, content)


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint whose signatures were checked: by the log, and by these witnesses at these times."""

    checkpoint: Checkpoint
    note: Note
    witnesses: dict[str, datetime]


LogKeys = VerifierKey | Sequence[VerifierKey]
"""Whom a log's checkpoints verify with: its key, or also those that it had before."""


def verified(
    text: str, log: LogKeys, verifies: Verifies, *, witnesses: Iterable[VerifierKey] = (), quorum: int = 0
) -> Signed:
    """The checkpoint in a note. Raises ProofRefused unless the log signed it and `quorum` witnesses did.

    A line that claims a known key and does not verify makes the whole note malformed, as signed-note asks.
    """
    note = Note.parsed(text)
    checkpoint = Checkpoint.parsed(note.body)
    keys = [log] if isinstance(log, VerifierKey) else log
    if not any(key.name == checkpoint.origin for key in keys):
        known = " or ".join(sorted({repr(key.name) for key in keys})) or "any known log"
        raise ProofRefused(f"that is a checkpoint of {checkpoint.origin!r}, not of {known}")
    own = [key for key in keys if key.name == checkpoint.origin]
    if not any(_holds(each, key, note.body, verifies) for key in own for each in note.signatures):
        raise ProofRefused("the log has not signed it")
    seen = {
        key.name: datetime.fromtimestamp(int.from_bytes(each.content[:_TIME_BYTES], "big"), UTC)
        for key in witnesses
        for each in note.signatures
        if _holds(each, key, note.body, verifies)
    }
    if len(seen) < quorum:
        raise ProofRefused(f"{len(seen)} of {quorum} witnesses have cosigned it")
    return Signed(checkpoint, note, seen)


def _holds(signature: Signature, key: VerifierKey, body: str, verifies: Verifies) -> bool:
    if not signature.is_by(key):
        return False
    content, message = signature.content, body.encode()
    if key.kind == COSIGNATURE_V1:
        message = _cosigned_message(body, int.from_bytes(content[:_TIME_BYTES], "big"))
        content = content[_TIME_BYTES:]
    if key.kind not in {ED25519, COSIGNATURE_V1} or not verifies(key.public, content, message):
        raise ProofRefused(f"a signature in the name of {key.name!r} does not verify")
    return True


def _cosigned_message(body: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()
