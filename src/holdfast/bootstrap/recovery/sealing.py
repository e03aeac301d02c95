"""The log of evidence as a Merkle log: its checkpoints, its proofs, and their verification. Pure.

It is of the ledger's kind (RFC 6962, C2SP tlog-checkpoint and tlog-proof) and has a key and an origin of its
own. It is short: a leaf for each drill. So all its hashes are at hand, and nothing is kept of the tree.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import msgspec

from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, Signed, verified
from holdfast.ledger.log.notes import Note, Signer, VerifierKey, Verifies
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH
from holdfast.ledger.log.tree import Edge, Tree, perfect_root
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import Entry, Evidence, entry_of
from holdfast.recovery.evidence_ports import Kept, Seal, leaf_hash

FORMAT = "holdfast-evidence/1"
MOST_FILE_BYTES = 256 << 20


def seal_with(signer: Signer) -> Seal:
    """Checkpoints of the log that bears the signer's name."""

    def seal(hashes: bytes) -> str:
        return checkpoint_over(hashes, signer.key.name).signed(signer).text

    return seal


def checkpoint_over(hashes: bytes, origin: str) -> Checkpoint:
    """Of the log with exactly these leaves."""
    edge, _ = Edge().grown(hashes)
    return Checkpoint(origin, edge.size, edge.root)


def prover(hashes: bytes, note: str) -> Callable[[int], Proof]:
    """Proofs that the log with these leaves, whose checkpoint `note` is, holds a leaf."""

    @cache
    def node(level: int, index: int) -> bytes:
        span = HASH_BYTES * TILE_WIDTH**level
        return perfect_root(hashes[index * span : (index + 1) * span])

    @lru_cache(maxsize=64)
    def read(level: int, first: int, count: int) -> bytes:
        if level == 0:
            return hashes[first * HASH_BYTES : (first + count) * HASH_BYTES]
        return b"".join(node(level, index) for index in range(first, first + count))

    tree = Tree(len(hashes) // HASH_BYTES, read)
    return lambda leaf: Proof(leaf, tuple(tree.inclusion(leaf)), note)


@dataclass(slots=True)
class LogChecked:
    """What became of looking through the whole log."""

    origin: str
    size: int = 0
    signed: int = 0
    """Checkpoints that verified."""
    problems: list[str] = field(default_factory=list)
    checkpoint: str = ""
    """The newest, as a note."""

    @property
    def holds(self) -> bool:
        return not self.problems


def check_log(
    kept: Sequence[Kept], origin: str, keys: Sequence[VerifierKey], verifies: Verifies
) -> LogChecked:
    """Every leaf in its canonical form, and every checkpoint over exactly the leaves up to its own."""
    found, edge, known = LogChecked(origin, len(kept)), Edge(), set[str]()
    for place, each in enumerate(kept):
        if each.leaf != place:
            found.problems.append(f"leaf {each.leaf:,} stands where leaf {place:,} belongs")
        edge, _ = edge.grown(leaf_hash(each.content))
        found.problems += [f"leaf {each.leaf:,}: {why}" for why in _wrong(each, known)]
        try:
            told = signed_by(each.note, keys, verifies).checkpoint
        except ProofRefused as error:
            found.problems.append(f"the checkpoint of leaf {each.leaf:,}: {error}")
            continue
        if told != Checkpoint(origin, edge.size, edge.root):
            text = f"the checkpoint of leaf {each.leaf:,} is not over the leaves that are there"
            found.problems.append(text)
            continue
        found.signed += 1
        found.checkpoint = each.note
    return found


def _wrong(each: Kept, known: set[str]) -> Iterable[str]:
    try:
        entry = entry_of(each.content)
    except EvidenceRefused as error:
        yield str(error)
        return
    if entry.id != each.id:
        yield f"it is kept under the id {each.id!r}, and says {entry.id!r}"
    if isinstance(entry, Evidence):
        known.add(entry.id)
    elif entry.about not in known:
        yield "a remark on an evidence that is not before it"


def continues(kept: Sequence[Kept], told: Checkpoint) -> None:
    """Raises EvidenceRefused unless the log begins with what somebody was once told of it."""
    if told.size > len(kept):
        raise EvidenceRefused(
            f"that checkpoint tells of {told.size:,} entries, and the log has {len(kept):,}",
            hint="entries are missing: they were lost, or somebody took them away",
        )
    hashes = b"".join(leaf_hash(each.content) for each in kept[: told.size])
    if checkpoint_over(hashes, told.origin) != told:
        raise EvidenceRefused(
            f"the first {told.size:,} entries are not those of that checkpoint",
            hint="the log was written anew, or it is another one",
        )


def signed_by(note: str, keys: Sequence[VerifierKey], verifies: Verifies) -> Signed:
    """The checkpoint in a note that one of the keys has signed. Raises ProofRefused."""
    refused = ProofRefused("no key is known for this log", hint="give its verifier key: --key name+id+key")
    for key in keys:
        try:
            return verified(note, key, verifies)
        except ProofRefused as error:
            refused = error
    raise refused


class _Proven(msgspec.Struct, frozen=True):
    entry: msgspec.Raw
    proof: str


class _File(msgspec.Struct, frozen=True):
    format: str
    log: str
    entries: list[_Proven]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file holds, verified: its entries, each with its leaf, and the newest checkpoint it rests on."""

    log: str
    entries: Sequence[tuple[int, Entry]]
    checkpoint: str
    size: int


def exported(kept: Sequence[Kept], chosen: Sequence[Kept], origin: str, key: str) -> bytes:
    """A file for whoever has only that and the verifier key: the chosen entries, each with its proof.

    `entry` is JSON as people read it; in its canonical form (RFC 8785) it is the leaf that the proof is of.
    """
    if not chosen:
        raise EvidenceRefused("there is no evidence yet", hint="holdfast drill restore makes the first")
    prove = prover(b"".join(leaf_hash(each.content) for each in kept), kept[-1].note)
    told = {
        "format": FORMAT,
        "log": origin,
        "key": key,
        "how": "holdfast evidence verify --offline FILE --key KEY, with the key from its operator",
        "entries": [{"entry": msgspec.Raw(each.content), "proof": prove(each.leaf).text} for each in chosen],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def shown_by(content: bytes, keys: Sequence[VerifierKey], verifies: Verifies) -> Shown:
    """What an exported file proves, for the holder of the log's key. Raises EvidenceRefused, ProofRefused."""
    if len(content) > MOST_FILE_BYTES:
        raise EvidenceRefused("the file is larger than any that was exported")
    try:
        told = msgspec.json.decode(content, type=_File)
        raws = [canonical_json(each.entry) for each in told.entries]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceRefused(
            "that is no exported evidence", hint="holdfast evidence export makes it"
        ) from error
    if told.format != FORMAT:
        raise EvidenceRefused(f"a file of the form {told.format!r}", hint="use a newer Holdfast")
    if not told.entries:
        raise EvidenceRefused("the file holds no entry")
    mine = [key for key in keys if key.name == told.log]
    if not mine:
        raise EvidenceRefused(
            f"none of the given keys is that of {told.log!r}",
            hint="ask its operator for the verifier key, by another way than the file came",
        )
    entries, newest = list[tuple[int, Entry]](), ("", 0)
    for each, raw in zip(told.entries, raws, strict=True):
        proof = Proof.parsed(each.proof)
        signed = _proven(proof, raw, mine, verifies)
        entries.append((proof.index, entry_of(raw)))
        newest = max(newest, (proof.checkpoint, signed.checkpoint.size), key=lambda pair: pair[1])
    return Shown(told.log, entries, *newest)


def canonical_json(content: bytes | msgspec.Raw) -> bytes:
    """JSON of texts, integers, truth values and nothing, as RFC 8785 writes it."""
    return msgspec.json.encode(msgspec.json.decode(content), order="sorted")


def checkpoint_in(content: bytes) -> Checkpoint:
    """What a file that somebody keeps tells of the log: an export, a proof, or a checkpoint. Not verified."""
    text = content[:MOST_FILE_BYTES].decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            proofs = [each.proof for each in msgspec.json.decode(content, type=_File).entries]
        except msgspec.MsgspecError as error:
            raise EvidenceRefused("that is no exported evidence") from error
        notes = [Proof.parsed(each).checkpoint for each in proofs]
    else:
        notes = [text if not text.startswith("c2sp.org/tlog-proof") else Proof.parsed(text).checkpoint]
    found = [Checkpoint.parsed(Note.parsed(note).body) for note in notes]
    if not found:
        raise EvidenceRefused("the file holds no checkpoint")
    return max(found, key=lambda each: each.size)


def _proven(proof: Proof, content: bytes, keys: Sequence[VerifierKey], verifies: Verifies) -> Signed:
    refused = ProofRefused("no key is known for this log")
    for key in keys:
        try:
            return proof.verify(content, key, verifies)
        except ProofRefused as error:
            refused = error
    raise refused
