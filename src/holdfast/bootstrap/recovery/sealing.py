"""The log of evidence as a Merkle log: its checkpoints, its proofs, and their verification. Pure.

It is of the ledger's kind (RFC 6962, C2SP tlog-checkpoint and tlog-proof) and has a key and an origin of its
own. It is short: a leaf for each drill. So all its hashes are at hand, and nothing is kept of the tree.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache

import msgspec

from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, Signed, verified
from holdfast.ledger.log.notes import (
    COSIGNATURE_V1,
    ED25519,
    Note,
    Signer,
    VerifierKey,
    Verifies,
    from_canonical_base64,
)
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH
from holdfast.ledger.log.tree import Edge, Tree, perfect_root, verify_inclusion
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import Entry, Evidence, entry_of
from holdfast.recovery.evidence_ports import Cosigned, Kept, Seal, leaf_hash

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
    tree = tree_over(hashes)
    return lambda leaf: Proof(leaf, tuple(tree.inclusion(leaf)), note)


def tree_over(hashes: bytes) -> Tree:
    """The tree with these leaves."""

    @cache
    def node(level: int, index: int) -> bytes:
        span = HASH_BYTES * TILE_WIDTH**level
        return perfect_root(hashes[index * span : (index + 1) * span])

    @lru_cache(maxsize=64)
    def read(level: int, first: int, count: int) -> bytes:
        if level == 0:
            return hashes[first * HASH_BYTES : (first + count) * HASH_BYTES]
        return b"".join(node(level, index) for index in range(first, first + count))

    return Tree(len(hashes) // HASH_BYTES, read)


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
    cosigned: int = 0
    """So many of the first entries a witness vouches for, whose key is known."""
    witnesses: Mapping[str, datetime] = field(default_factory=dict)
    """Who cosigned those, and when."""

    @property
    def holds(self) -> bool:
        return not self.problems


def check_log(
    kept: Sequence[Kept],
    origin: str,
    keys: Sequence[VerifierKey],
    verifies: Verifies,
    cosigned: Sequence[Cosigned] = (),
) -> LogChecked:
    """Every leaf in its canonical form, and every checkpoint over exactly the leaves up to its own.

    `keys` are the log's and those of witnesses. One that signed under another name is of the time in which
    the log had that name.
    """
    found, edge, known = LogChecked(origin, len(kept)), Edge(), set[str]()
    roots = {0: edge.root}
    for place, each in enumerate(kept):
        if each.leaf != place:
            found.problems.append(f"leaf {each.leaf:,} stands where leaf {place:,} belongs")
        edge, _ = edge.grown(leaf_hash(each.content))
        roots[edge.size] = edge.root
        found.problems += [f"leaf {each.leaf:,}: {why}" for why in _wrong(each, known)]
        try:
            told = signed_by(each.note, keys, verifies).checkpoint
        except ProofRefused as error:
            found.problems.append(f"the checkpoint of leaf {each.leaf:,}: {error}")
            continue
        if (told.size, told.root) != (edge.size, edge.root):
            text = f"the checkpoint of leaf {each.leaf:,} is not over the leaves that are there"
            found.problems.append(text)
            continue
        found.signed += 1
        found.checkpoint = each.note
    for seen in cosigned:
        _check_cosigned(found, seen, roots, keys, verifies)
    return found


def _check_cosigned(
    found: LogChecked,
    seen: Cosigned,
    roots: Mapping[int, bytes],
    keys: Sequence[VerifierKey],
    verifies: Verifies,
) -> None:
    """A checkpoint that bears a cosignature is over what is there."""
    name = f"the cosigned checkpoint of {seen.size:,} entries"
    try:
        told = signed_by(seen.note, keys, verifies)
    except ProofRefused as error:
        found.problems.append(f"{name}: {error}")
        return
    if (told.checkpoint.size, told.checkpoint.root) != (seen.size, roots.get(seen.size)):
        found.problems.append(f"{name} is not over the leaves that are there")
    elif told.witnesses:
        found.cosigned, found.witnesses = seen.size, told.witnesses
    elif any(key.kind == COSIGNATURE_V1 for key in keys):
        found.problems.append(f"{name} bears no cosignature of a witness whose key is known")


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
    begins_with(b"".join(leaf_hash(each.content) for each in kept), told)


def begins_with(hashes: bytes, told: Checkpoint) -> None:
    """The same of a log that is known by its leaves' hashes. Raises EvidenceRefused."""
    size = len(hashes) // HASH_BYTES
    if told.size > size:
        raise EvidenceRefused(
            f"that checkpoint tells of {told.size:,} entries, and the log has {size:,}",
            hint="entries are missing: they were lost, or somebody took them away",
        )
    if checkpoint_over(hashes[: told.size * HASH_BYTES], told.origin) != told:
        raise EvidenceRefused(
            f"the first {told.size:,} entries are not those of that checkpoint",
            hint="the log was written anew, or it is another one",
        )


def file_continues(shown: "Shown", told: Checkpoint) -> None:
    """Raises EvidenceRefused unless the log that a file is of begins with what somebody was told of it."""
    if not shown.hashes:
        raise EvidenceRefused(
            "the file does not tell the hashes of its log's leaves",
            hint="have it exported again, by this version of Holdfast",
        )
    begins_with(shown.hashes, told)


def signed_by(note: str, keys: Sequence[VerifierKey], verifies: Verifies) -> Signed:
    """The checkpoint in a note that one of the log's keys has signed. Raises ProofRefused.

    Those of witnesses among the keys tell who has cosigned it: that nobody has is no reason to refuse it.
    """
    refused = ProofRefused("no key is known for this log", hint="give its verifier key: --key name+id+key")
    witnesses = [key for key in keys if key.kind == COSIGNATURE_V1]
    for key in keys:
        if key.kind == ED25519:
            try:
                return verified(note, key, verifies, witnesses=witnesses)
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
    checkpoint: str = ""
    leaves: str = ""


_FILE = msgspec.json.Decoder(_File)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file holds, verified: its entries, each with its leaf, and the newest checkpoint it rests on."""

    log: str
    entries: Sequence[tuple[int, Entry]]
    checkpoint: str
    size: int
    cosigned: int
    """The size of the newest checkpoint in it that a witness has cosigned whose key was given."""
    witnesses: Mapping[str, datetime]
    """Who cosigned that, and when."""
    unseen: Sequence[int]
    """Leaves of entries whose checkpoint no such witness has cosigned."""
    hashes: bytes
    """Of all leaves of the log; empty where an older Holdfast made the file."""


def exported(
    kept: Sequence[Kept],
    chosen: Sequence[Kept],
    origin: str,
    key: str,
    cosigned: Cosigned | None = None,
) -> bytes:
    """A file for whoever has only that and the verifier keys: the chosen entries, each with its proof.

    `entry` is JSON as people read it; in its canonical form (RFC 8785) it is the leaf that the proof is of.
    A proof rests on the checkpoint that a witness has `cosigned`, when the entry is in it already. `leaves`,
    the hashes of all leaves one behind the other, show that the log goes on from any earlier file.
    """
    if not chosen:
        raise EvidenceRefused("there is no evidence yet", hint="holdfast drill restore makes the first")
    hashes = b"".join(leaf_hash(each.content) for each in kept)
    newest, seen = prover(hashes, kept[-1].note), 0
    vouched = newest
    if cosigned is not None and cosigned.size <= len(kept):
        seen = cosigned.size
        vouched = prover(hashes[: seen * HASH_BYTES], cosigned.note)
    proofs = [(vouched if each.leaf < seen else newest)(each.leaf) for each in chosen]
    told = {
        "format": FORMAT,
        "log": origin,
        "key": key,
        "how": "holdfast evidence verify --offline FILE --key KEY, with the key from its operator",
        "cosigned": seen,
        "entries": [
            {"entry": msgspec.Raw(each.content), "proof": proof.text}
            for each, proof in zip(chosen, proofs, strict=True)
        ],
        "checkpoint": kept[-1].note,
        "leaves": base64.b64encode(hashes).decode(),
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def shown_by(content: bytes, keys: Sequence[VerifierKey], verifies: Verifies) -> Shown:
    """What an exported file proves, for the holder of the log's key. Raises EvidenceRefused, ProofRefused."""
    if len(content) > MOST_FILE_BYTES:
        raise EvidenceRefused("the file is larger than any that was exported")
    try:
        told = _FILE.decode(content)
        raws = [canonical_json(each.entry) for each in told.entries]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceRefused(
            "that is no exported evidence", hint="holdfast evidence export makes it"
        ) from error
    if told.format != FORMAT:
        raise EvidenceRefused(f"a file of the form {told.format!r}", hint="use a newer Holdfast")
    if not told.entries:
        raise EvidenceRefused("the file holds no entry")
    mine = [key for key in keys if key.name == told.log or key.kind == COSIGNATURE_V1]
    if all(key.kind == COSIGNATURE_V1 for key in mine):
        raise EvidenceRefused(
            f"none of the given keys is that of {told.log!r}",
            hint="ask its operator for the verifier key, by another way than the file came",
        )
    entries, unseen, found = list[tuple[int, Entry]](), list[int](), dict[str, Signed]()
    for each, raw in zip(told.entries, raws, strict=True):
        proof = Proof.parsed(each.proof)
        signed = found.get(proof.checkpoint) or signed_by(proof.checkpoint, mine, verifies)
        found[proof.checkpoint] = signed
        checkpoint = signed.checkpoint
        verify_inclusion(leaf_hash(raw), proof.index, checkpoint.size, checkpoint.root, proof.path)
        entries.append((proof.index, entry_of(raw)))
        if not signed.witnesses:
            unseen.append(proof.index)
    hashes = b""
    if told.checkpoint:
        found[told.checkpoint] = signed_by(told.checkpoint, mine, verifies)
        hashes = _hashes_of(told.leaves, [each.checkpoint for each in found.values()])
    newest, cosigned = max(found, key=lambda note: found[note].checkpoint.size), 0
    witnesses: Mapping[str, datetime] = {}
    for each_signed in found.values():
        if each_signed.witnesses and each_signed.checkpoint.size > cosigned:
            cosigned, witnesses = each_signed.checkpoint.size, each_signed.witnesses
    size = found[newest].checkpoint.size
    return Shown(told.log, entries, newest, size, cosigned, witnesses, unseen, hashes)


def _hashes_of(text: str, checkpoints: Sequence[Checkpoint]) -> bytes:
    """The hashes of the log's leaves, which every checkpoint in the file is over. Raises EvidenceRefused."""
    hashes, size = from_canonical_base64(text), max(each.size for each in checkpoints)
    if len(hashes) != size * HASH_BYTES:
        raise EvidenceRefused("the file does not tell the hashes of its log's leaves")
    for each in checkpoints:
        begins_with(hashes, each)
    return hashes


def canonical_json(content: bytes | msgspec.Raw) -> bytes:
    """JSON of texts, integers, truth values and nothing, as RFC 8785 writes it."""
    return msgspec.json.encode(msgspec.json.decode(content), order="sorted")


def checkpoint_in(content: bytes) -> Checkpoint:
    """What a file that somebody keeps tells of the log: an export, a proof, or a checkpoint. Not verified."""
    text = content[:MOST_FILE_BYTES].decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            file = _FILE.decode(content)
            proofs = [each.proof for each in file.entries]
        except msgspec.MsgspecError as error:
            raise EvidenceRefused("that is no exported evidence") from error
        notes = [Proof.parsed(each).checkpoint for each in proofs]
        notes += [file.checkpoint] if file.checkpoint else []
    else:
        notes = [text if not text.startswith("c2sp.org/tlog-proof") else Proof.parsed(text).checkpoint]
    found = [Checkpoint.parsed(Note.parsed(note).body) for note in notes]
    if not found:
        raise EvidenceRefused("the file holds no checkpoint")
    return max(found, key=lambda each: each.size)
