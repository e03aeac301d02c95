"""The log of evidence: proofs hold, and whatever was altered, moved or taken away is found."""

import json
from dataclasses import replace

import pytest
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_remark, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.bootstrap.recovery.sealing import (
    canonical_json,
    check_log,
    checkpoint_in,
    continues,
    exported,
    prover,
    seal_with,
    shown_by,
)
from holdfast.ledger.errors import ProofRefused
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import canonical
from holdfast.recovery.evidence_ports import Kept, leaf_hash

KEYS = [SIGNER.key]
OTHER = Ed25519Signer(ORIGIN, bytes(32))


async def a_log(count: int) -> list[Kept]:
    """Evidence, and after each third a remark on it."""
    log = MemoryEvidence(lambda: BEGAN)
    seal = seal_with(SIGNER)
    for number in range(count):
        kept = await log.append(an_evidence(f"r{number}"), seal)
        if number % 3 == 2:
            await log.append(a_remark(kept.id), seal)
    return log.kept


@pytest.mark.parametrize("count", [1, 2, 3, 8, 300])
async def test_every_leaf_has_a_proof_that_holds(count: int) -> None:
    kept = await a_log(count)
    hashes = b"".join(leaf_hash(each.content) for each in kept)

    prove = prover(hashes, kept[-1].note)
    for each in kept:
        prove(each.leaf).verify(each.content, SIGNER.key, verifies)


async def test_a_whole_log_holds() -> None:
    kept = await a_log(20)

    found = check_log(kept, ORIGIN, KEYS, verifies)

    assert found.problems == []
    assert (found.size, found.signed) == (len(kept), len(kept))
    assert found.checkpoint == kept[-1].note


async def test_a_log_without_entries_holds() -> None:
    assert check_log([], ORIGIN, KEYS, verifies).holds


async def test_what_was_altered_is_found() -> None:
    kept = await a_log(5)
    altered = kept[2].content.replace(b'"started_by":"ben"', b'"started_by":"eve"')
    kept[2] = replace(kept[2], content=altered)

    found = check_log(kept, ORIGIN, KEYS, verifies)

    assert found.signed == 2, "every checkpoint from there on tells of other leaves"
    assert any("leaf 2" in each for each in found.problems)


async def test_an_altered_leaf_that_was_signed_again_does_not_continue_what_was_told() -> None:
    before, after = await a_log(5), MemoryEvidence(lambda: BEGAN)
    for number in range(5):
        await after.append(an_evidence(f"other{number}"), seal_with(SIGNER))
    told = checkpoint_in(before[3].note.encode())

    assert check_log(after.kept, ORIGIN, KEYS, verifies).holds
    continues(before, told)
    with pytest.raises(EvidenceRefused, match="not those of that checkpoint"):
        continues(after.kept, told)
    with pytest.raises(EvidenceRefused, match="and the log has 2"):
        continues(before[:2], told)


async def test_entries_in_another_order_are_found() -> None:
    kept = await a_log(3)
    kept[0], kept[1] = kept[1], kept[0]

    assert not check_log(kept, ORIGIN, KEYS, verifies).holds


async def test_a_log_that_another_key_signed_is_refused_and_an_old_key_is_not() -> None:
    kept = await a_log(2)

    assert not check_log(kept, ORIGIN, [OTHER.key], verifies).holds
    assert check_log(kept, ORIGIN, [OTHER.key, SIGNER.key], verifies).holds


async def test_an_exported_file_proves_its_entries_with_the_key_alone() -> None:
    kept = await a_log(7)

    shown = shown_by(exported(kept, kept[2:4], ORIGIN, SIGNER.key.text), KEYS, verifies)

    assert [(leaf, entry.id) for leaf, entry in shown.entries] == [(2, kept[2].id), (3, kept[3].id)]
    assert (shown.log, shown.size) == (ORIGIN, len(kept))
    assert checkpoint_in(exported(kept, kept[2:4], ORIGIN, "")).size == len(kept)


async def test_whoever_has_the_file_can_write_the_leaf_again_by_rfc_8785() -> None:
    kept = await a_log(1)
    told = json.loads(exported(kept, kept, ORIGIN, SIGNER.key.text))

    entry = told["entries"][0]["entry"]
    plain = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert plain == kept[0].content == canonical(an_evidence("r0"))


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ('"started_by": "ben"', '"started_by": "eve"'),
        ('"measured_ms": 1250', '"measured_ms": 1'),
        ("index 0", "index 1"),
        ('"log": "ledger.example/evidence"', '"log": "other.example/evidence"'),
        ("holdfast-evidence/1", "holdfast-evidence/2"),
        ('"kind": "evidence"', '"kind": "remark"'),
    ],
)
async def test_an_altered_file_is_refused(one: str, another: str) -> None:
    kept = await a_log(2)
    content = exported(kept, kept[:1], ORIGIN, SIGNER.key.text).decode()
    assert one in content

    with pytest.raises((EvidenceRefused, ProofRefused)):
        shown_by(content.replace(one, another).encode(), KEYS, verifies)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"[" * 10_000, b"\xff", b'{"format":1}'])
async def test_what_is_no_export_is_refused(content: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        shown_by(content, KEYS, verifies)


async def test_another_key_proves_nothing() -> None:
    kept = await a_log(1)

    with pytest.raises(ProofRefused):
        shown_by(exported(kept, kept, ORIGIN, ""), [OTHER.key], verifies)
    with pytest.raises(EvidenceRefused, match="none of the given keys"):
        shown_by(exported(kept, kept, ORIGIN, ""), [Ed25519Signer("x", bytes(32)).key], verifies)


async def test_nothing_to_export_says_so() -> None:
    with pytest.raises(EvidenceRefused, match="no evidence yet"):
        exported([], [], ORIGIN, "")


def test_canonical_json_is_that_of_rfc_8785() -> None:
    # Appendix B's strings and the sorting of section 3.2.3, as far as names are ASCII.
    told = '{"b":"\\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"\\/","a":[true,null,9007199254740991]}'
    assert canonical_json(told.encode()) == (
        '{"a":[true,null,9007199254740991],"b":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()
    )
