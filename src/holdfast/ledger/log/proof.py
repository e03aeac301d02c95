"""Proofs for whoever is offline: a leaf's index, its path to the root, and the checkpoint that has the root.

Source: C2SP tlog-proof.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.checkpoint import LogKeys, Signed, verified
from holdfast.ledger.log.notes import VerifierKey, Verifies, from_canonical_base64
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.log.tree import leaf_hash, verify_inclusion

_HEAD = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MOST_HASHES = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """That the log holds a leaf at `index`. `checkpoint` is the signed note's text."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.path)
        return f"{_HEAD}\nindex {self.index}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parsed(cls, text: str) -> "Proof":
        """Raises ProofRefused for anything malformed. An `extra` line is read over."""
        head, _, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if len(lines) > 1 and lines[1].startswith("extra "):
            del lines[1]
        index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 and lines[0] == _HEAD else None
        if not index or not checkpoint or len(lines) - 2 > _MOST_HASHES:
            raise ProofRefused("that is no proof", hint=f"it begins with the line {_HEAD}")
        return cls(int(index[1]), tuple(_hash(line) for line in lines[2:]), checkpoint)

    def verify(
        self,
        entry: bytes,
        log: LogKeys,
        verifies: Verifies,
        *,
        witnesses: Iterable[VerifierKey] = (),
        quorum: int = 0,
    ) -> Signed:
        """The checkpoint that holds the entry. Raises ProofRefused when anything of it does not hold."""
        found = verified(self.checkpoint, log, verifies, witnesses=witnesses, quorum=quorum)
        verify_inclusion(
            leaf_hash(entry), self.index, found.checkpoint.size, found.checkpoint.root, self.path
        )
        return found


def _hash(line: str) -> bytes:
    content = from_canonical_base64(line)
    if len(content) != HASH_BYTES:
        raise ProofRefused("a line of the proof is no hash")
    return content
