"""The witness: what it cosigns, and every way to make it cosign two histories."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.adapters.witness.folder import FolderWitness
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.errors import LogDamaged, ProofRefused, WitnessAway
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, Signature, VerifierKey
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tree import EMPTY_ROOT, Edge, Tree, leaf_hashes
from holdfast.ledger.log.witness import Addition, Refused

ORIGIN = "ledger.example/acme"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOG = Ed25519Signer(ORIGIN, bytes(32))
SIGNER = Ed25519Signer("witness.example", b"w" * 32, COSIGNATURE_V1)


def entries(size: int, fork_at: int | None = None) -> list[bytes]:
    return [b"forked" if fork_at is not None and n >= fork_at else b"%d" % n for n in range(size)]


def tree(leaves: list[bytes]) -> Tree:
    hashes = leaf_hashes(leaves)
    assert len(leaves) < 256
    return Tree(len(leaves), lambda _level, first, count: hashes[first * 32 : (first + count) * 32])


def checkpoint(leaves: list[bytes], signer: Ed25519Signer = LOG, origin: str = ORIGIN) -> str:
    edge, _ = Edge().grown(leaf_hashes(leaves))
    return Checkpoint(origin, edge.size, edge.root).signed(signer).text


def addition(old: int, leaves: list[bytes]) -> Addition:
    return Addition(old, tuple(tree(leaves).consistency(old)), checkpoint(leaves))


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[FolderWitness]:
    found = opened(tmp_path)
    yield found
    found.close()


def opened(folder: Path) -> FolderWitness:
    return FolderWitness(folder, SIGNER, {ORIGIN: LOG.key}, verifies, ManualClock(NOON))


def test_it_cosigns_what_goes_on(witness: FolderWitness) -> None:
    at = 0
    for size in (3, 3, 10, 64):
        answer = witness.add(Addition.parsed(addition(at, entries(size)).text))
        assert isinstance(answer, Signature)
        note = Note.parsed(checkpoint(entries(size))).with_signatures([answer])
        found = verified(note.text, LOG.key, verifies, witnesses=[SIGNER.key], quorum=1)
        assert found.witnesses == {"witness.example": NOON}
        at = size


def test_it_remembers_after_it_was_ended(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert isinstance(first.add(addition(0, entries(10))), Signature)
    first.close()
    second = opened(tmp_path)
    assert second.add(addition(0, entries(12))) == Refused(409, "the witness stands elsewhere", 10)
    with pytest.raises(WitnessAway):
        opened(tmp_path)
    second.close()


def test_it_is_blind_rather_than_forgetful(tmp_path: Path) -> None:
    witness = opened(tmp_path)
    witness.add(addition(0, entries(10)))
    [kept] = tmp_path.glob("*.checkpoint")
    kept.write_text(kept.read_text()[:-9])
    with pytest.raises((LogDamaged, ProofRefused)):
        witness.add(addition(0, entries(12)))
    witness.close()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (addition(10, entries(12, fork_at=5)), 422),
        (addition(10, entries(10, fork_at=9)), 409),
        (addition(0, entries(12)), 409),
        (addition(8, entries(12)), 409),
        (Addition(10, (), checkpoint(entries(9))), 400),
        (Addition(10, (), checkpoint(entries(12))), 422),
        (Addition(10, (*addition(10, entries(12)).proof, bytes(32)), checkpoint(entries(12))), 422),
        (Addition(10, (), checkpoint(entries(12), Ed25519Signer(ORIGIN, b"x" * 32))), 403),
        (Addition(10, (), checkpoint(entries(12)).replace("12\n", "13\n", 1)), 403),
        (Addition(0, (), checkpoint(entries(1), origin="other.example/log")), 404),
    ],
)
def test_it_refuses_everything_else(witness: FolderWitness, asked: Addition, status: int) -> None:
    witness.add(addition(0, entries(10)))
    answer = witness.add(asked)
    assert isinstance(answer, Refused)
    assert answer.status == status
    newest = witness.newest(ORIGIN)
    assert newest is not None
    assert newest.size == 10


def test_an_empty_log_has_one_root(witness: FolderWitness) -> None:
    assert witness.add(Addition(0, (), Checkpoint(ORIGIN, 0, bytes(32)).signed(LOG).text)) == Refused(
        422, "an empty log has one root only"
    )
    assert isinstance(
        witness.add(Addition(0, (), Checkpoint(ORIGIN, 0, EMPTY_ROOT).signed(LOG).text)), Signature
    )


def test_a_proof_goes_offline_and_comes_back(witness: FolderWitness) -> None:
    leaves = entries(41)
    answer = witness.add(addition(0, leaves))
    assert isinstance(answer, Signature)
    text = Note.parsed(checkpoint(leaves)).with_signatures([answer]).text
    proof = Proof.parsed(Proof(17, tuple(tree(leaves).inclusion(17)), text).text)
    known = {"witnesses": [VerifierKey.parsed(SIGNER.key.text)], "quorum": 1}
    key = VerifierKey.parsed(LOG.key.text)
    found = proof.verify(leaves[17], key, verifies, **known)  # type: ignore[arg-type]
    assert found.checkpoint.size == 41
    with pytest.raises(ProofRefused):
        proof.verify(leaves[16], key, verifies, **known)  # type: ignore[arg-type]
    for at in range(0, len(proof.text), 7):  # one letter of it changed, wherever
        letter = "A" if proof.text[at] != "A" else "B"
        with pytest.raises(ProofRefused):
            Proof.parsed(proof.text[:at] + letter + proof.text[at + 1 :]).verify(
                leaves[17],
                key,
                verifies,
                **known,  # type: ignore[arg-type]
            )
