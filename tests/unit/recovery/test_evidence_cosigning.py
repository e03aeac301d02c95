"""The witness of the log of evidence: what it vouches for, what it refuses, and that all of it is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_remark, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.adapters.witness.folder import FolderWitness
from holdfast.bootstrap.recovery.cosigning import Cosigner, standing_of_witness
from holdfast.bootstrap.recovery.sealing import (
    check_log,
    checkpoint_in,
    checkpoint_over,
    exported,
    file_continues,
    seal_with,
    shown_by,
)
from holdfast.interfaces.evidence_words import cosigned_words
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.errors import Fork, ProofRefused, WitnessAway, WitnessRefused
from holdfast.ledger.log.keys import LogsOf
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, Signature, VerifierKey
from holdfast.ledger.log.witness import Addition, Refused
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence_ports import Kept, Why
from holdfast.recovery.warnings import not_cosigned

COSIGNER = Ed25519Signer("witness.example", b"w" * 32, COSIGNATURE_V1)
STRANGER = Ed25519Signer("witness.example", b"s" * 32, COSIGNATURE_V1)
KEYS = [SIGNER.key, COSIGNER.key]
SEAL = seal_with(SIGNER)


class Asked:
    """A witness in a folder, asked as over HTTP. `away`: it does not answer; `signs`: with which key."""

    def __init__(self, folder: Path, logs: Sequence[VerifierKey] = (SIGNER.key,)) -> None:
        self.clock = ManualClock(BEGAN)
        self.folder = folder
        self.signs = COSIGNER
        self.away = False
        self.asked: list[Addition] = []
        self._logs = LogsOf(tuple(logs))

    async def cosign(self, addition: Addition) -> Signature | int:
        self.asked.append(addition)
        await asyncio.sleep(0)
        if self.away:
            raise WitnessAway("the witness does not answer")
        witness = FolderWitness(self.folder, self.signs, self._logs, verifies, self.clock)
        try:
            answer = witness.add(Addition.parsed(addition.text))
        finally:
            witness.close()
        if isinstance(answer, Refused):
            if answer.size is not None:
                return answer.size
            raise (Fork if answer.status == 422 else WitnessRefused)(answer.reason)
        return answer


class Scene:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(BEGAN)
        self.log = MemoryEvidence(self.clock.now)
        self.witness = Asked(folder)
        self.cosigner = Cosigner(self.log, self.witness, KEYS)

    async def record(self, *names: str) -> None:
        for name in names:
            await self.log.append(an_evidence(name), SEAL)

    async def verified(self) -> list[str]:
        return check_log(self.log.kept, ORIGIN, KEYS, verifies, await self.log.cosigned()).problems


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "state")


async def test_each_checkpoint_is_cosigned_and_goes_on_from_the_one_before(scene: Scene) -> None:
    assert await scene.cosigner.round()
    assert scene.witness.asked == []
    for names in (["r1"], ["r2", "r3", "r4"], [f"s{number}" for number in range(300)]):
        await scene.record(*names)
        assert await scene.cosigner.round()
        asked = len(scene.witness.asked)
        assert await scene.cosigner.round()
        assert len(scene.witness.asked) == asked, "what is cosigned is not asked for again"

    grown = await scene.log.grown()
    assert grown.unseen == 0
    assert [each.size for each in await scene.log.cosigned()] == [1, 4, 304]
    found = check_log(scene.log.kept, ORIGIN, KEYS, verifies, await scene.log.cosigned())
    assert (found.problems, found.cosigned, found.witnesses) == ([], 304, {"witness.example": BEGAN})


async def test_another_process_goes_on_from_where_the_witness_is(scene: Scene) -> None:
    await scene.record("r1", "r2")
    await scene.cosigner.round()
    await scene.record("r3")
    other = Cosigner(scene.log, scene.witness, KEYS)

    done = await asyncio.gather(scene.cosigner.round(), other.round(), other.round())

    assert all(done)
    assert [each.size for each in await scene.log.cosigned()] == [2, 3]


async def test_a_process_that_dies_between_the_cosignature_and_its_keeping_is_made_up_for(
    scene: Scene,
) -> None:
    await scene.record("r1")

    async def dies(size: int, note: str) -> None:
        raise ConnectionError(size, note)

    keep, scene.log.keep_cosigned = scene.log.keep_cosigned, dies  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await scene.cosigner.round()
    scene.log.keep_cosigned = keep  # type: ignore[method-assign]
    assert (await scene.log.grown()).unseen == 1
    await scene.record("r2")

    assert await Cosigner(scene.log, scene.witness, KEYS).round()
    assert [each.size for each in await scene.log.cosigned()] == [2]


async def test_without_the_witness_evidence_is_kept_and_it_is_said(scene: Scene) -> None:
    await scene.record("r1")
    await scene.cosigner.round()
    scene.witness.away = True
    await scene.record("r2", "r3")

    assert not await scene.cosigner.round()
    grown = await scene.log.grown()
    assert grown.waiting is not None
    assert (grown.size, grown.unseen, grown.waiting.why) == (3, 2, Why.AWAY)
    told = cosigned_words(grown)
    assert told.startswith("cosigned up to entry 1; 2 not cosigned since 2026-11-23 04:00:00 UTC: ")
    assert "does not answer" in told
    assert not_cosigned(grown, BEGAN + timedelta(minutes=59)) is None
    warned = not_cosigned(grown, BEGAN + timedelta(minutes=61))
    assert warned is not None
    assert (warned.event, warned.facts["entries"]) == ("evidence.not_cosigned", 2)

    scene.witness.away = False
    assert await scene.cosigner.round()
    grown = await scene.log.grown()
    assert (grown.unseen, grown.waiting) == (0, None)
    assert cosigned_words(grown) == "cosigned up to entry 3, the newest"
    assert not_cosigned(grown, BEGAN + timedelta(days=9)) is None


async def test_a_log_that_lost_entries_or_is_another_one_is_refused(scene: Scene) -> None:
    await scene.record("r1", "r2", "r3")
    await scene.cosigner.round()
    whole = list(scene.log.kept)
    scene.log.seen.clear()  # as a database is that was restored from before that

    for left in (whole[:2], whole[:1]):
        scene.log.kept[:] = left
        for cosigner in (scene.cosigner, Cosigner(scene.log, scene.witness, KEYS)):
            assert not await cosigner.round()
            waiting = (await scene.log.grown()).waiting
            assert waiting is not None
            assert waiting.why is Why.FORK
            assert "the witness has seen this log with 3 entries, and it has 2" in waiting.text
        assert await standing_of_witness(scene.witness, left, 0) == (
            f"it has cosigned 3 entries, and the log has {len(left)}: entries are missing"
        )

    scene.log.kept[:] = []
    empty = checkpoint_over(b"", ORIGIN).signed(SIGNER).text
    assert "entries are missing" in await standing_of_witness(scene.witness, [], 0, empty)
    await scene.record("other1", "other2", "other3")
    assert not await Cosigner(scene.log, scene.witness, KEYS).round()
    assert "another checkpoint of 3 entries" in await standing_of_witness(scene.witness, scene.log.kept, 0)
    await scene.record("other4")
    assert not await scene.cosigner.round()
    grown = await scene.log.grown()
    assert grown.waiting is not None
    assert grown.waiting.why is Why.FORK
    assert not_cosigned(grown, BEGAN) is not None, "that is told at once"
    assert "another checkpoint of 3 entries" in await standing_of_witness(scene.witness, scene.log.kept, 0)
    assert await scene.log.cosigned() == []


async def test_a_log_that_lost_entries_for_good_goes_on_under_another_name(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.record("r1", "r2", "r3")
    await scene.cosigner.round()
    earlier = checkpoint_in(await a_file(scene))
    del scene.log.kept[2], scene.log.seen[3]
    renamed = Ed25519Signer("ledger.example/evidence-2", bytes(range(1, 33)))
    witness = Asked(scene.witness.folder, [SIGNER.key, renamed.key])
    keys = [renamed.key, *KEYS]
    await scene.log.append(an_evidence("r4"), seal_with(renamed))

    assert await Cosigner(scene.log, witness, keys).round()
    assert await standing_of_witness(witness, scene.log.kept, 3) == ""
    found = check_log(scene.log.kept, renamed.key.name, keys, verifies, await scene.log.cosigned())
    assert (found.problems, found.cosigned, found.signed) == ([], 3, 3)
    assert not check_log(scene.log.kept, ORIGIN, KEYS, verifies).holds, "without the new key"
    kept, grown = scene.log.kept, await scene.log.grown()
    told = shown_by(exported(kept, kept, renamed.key.name, "", grown.cosigned), keys, verifies)
    assert (told.log, told.cosigned, list(told.unseen)) == ("ledger.example/evidence-2", 3, [])
    with pytest.raises(EvidenceRefused, match="not those of that checkpoint"):
        file_continues(told, earlier)


async def test_where_the_witness_stands_is_asked_without_moving_it(scene: Scene) -> None:
    await scene.record("r1", "r2")
    assert await standing_of_witness(scene.witness, scene.log.kept, 0) == ""
    await scene.cosigner.round()
    await scene.record("r3", "r4")
    before = [each.read_bytes() for each in sorted(scene.witness.folder.glob("*.checkpoint"))]

    assert await standing_of_witness(scene.witness, scene.log.kept, 2) == ""
    assert await standing_of_witness(scene.witness, scene.log.kept, 0) == ""
    assert "forgotten" in await standing_of_witness(scene.witness, scene.log.kept, 4)

    assert before == [each.read_bytes() for each in sorted(scene.witness.folder.glob("*.checkpoint"))]
    forgetful = Asked(scene.witness.folder.with_name("anew"))
    assert "has seen nothing" in await standing_of_witness(forgetful, scene.log.kept, 2)


async def test_a_witness_that_does_not_know_the_log_or_signs_with_another_key_is_said(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.record("r1")
    unknowing = Asked(tmp_path / "other", [Ed25519Signer("other.example", bytes(32)).key])
    assert not await Cosigner(scene.log, unknowing, KEYS).round()
    waiting = (await scene.log.grown()).waiting
    assert waiting is not None
    assert waiting.why is Why.REFUSES

    scene.witness.signs = STRANGER
    assert not await scene.cosigner.round()
    assert (await scene.log.grown()).unseen == 1
    assert await scene.log.cosigned() == [], "a signature that does not verify is not kept"


async def test_a_cosigned_checkpoint_over_other_leaves_is_found(scene: Scene) -> None:
    await scene.record("r1", "r2")
    await scene.cosigner.round()
    [seen] = await scene.log.cosigned()

    scene.log.seen[2] = replace(seen, note=scene.log.kept[0].note)
    assert any("cosigned checkpoint of 2 entries is not over" in each for each in await scene.verified())
    scene.log.seen[2] = replace(seen, note=scene.log.kept[1].note)
    assert any("bears no cosignature" in each for each in await scene.verified())
    lines = [each for each in Note.parsed(seen.note).signatures if each.name != "witness.example"]
    assert len(lines) == 1
    scene.log.seen = {2: seen, 5: replace(seen, size=5)}
    assert any("cosigned checkpoint of 5 entries" in each for each in await scene.verified())
    scene.log.seen = {2: seen}
    del scene.log.kept[1]
    assert any("cosigned checkpoint of 2 entries" in each for each in await scene.verified())


async def a_file(scene: Scene, chosen: Sequence[Kept] | None = None) -> bytes:
    kept, grown = scene.log.kept, await scene.log.grown()
    return exported(kept, kept if chosen is None else chosen, ORIGIN, "", grown.cosigned)


async def test_a_file_rests_on_what_was_cosigned_as_far_as_that_goes(scene: Scene) -> None:
    await scene.record("r1", "r2", "r3")
    await scene.cosigner.round()
    await scene.record("r4")
    await scene.log.append(a_remark(scene.log.kept[0].id), SEAL)

    some = shown_by(await a_file(scene, scene.log.kept[:2]), KEYS, verifies)
    assert (some.cosigned, some.size, list(some.unseen)) == (3, 5, [])
    assert some.witnesses == {"witness.example": BEGAN}
    whole = shown_by(await a_file(scene), KEYS, verifies)
    assert (whole.cosigned, whole.size, list(whole.unseen)) == (3, 5, [3, 4])
    # Whoever has not got the witness's key is told of no cosignature; the entries are proven all the same.
    plain = shown_by(await a_file(scene), [SIGNER.key], verifies)
    assert (plain.cosigned, plain.witnesses, list(plain.unseen)) == (0, {}, [0, 1, 2, 3, 4])
    # A cosignature in the name of a known witness that does not hold spoils the whole file.
    other = shown_by(await a_file(scene), [SIGNER.key, STRANGER.key], verifies)
    assert other.cosigned == 0, "the key's id tells them apart: another key's signature is nobody's"
    forged = (await a_file(scene)).decode().replace(Note.parsed(some.checkpoint).body, "")
    with pytest.raises((EvidenceRefused, ProofRefused)):
        shown_by(forged.encode(), [COSIGNER.key], verifies)


async def test_two_files_of_one_log_go_on_and_those_of_another_do_not(scene: Scene, tmp_path: Path) -> None:
    await scene.record("r1", "r2", "r3")
    await scene.cosigner.round()
    earlier = checkpoint_in(await a_file(scene, scene.log.kept[:1]))
    await scene.record("r4", "r5")
    later = shown_by(await a_file(scene, scene.log.kept[:1]), KEYS, verifies)
    newest = checkpoint_in(await a_file(scene, scene.log.kept[:1]))
    assert (earlier.size, newest.size) == (3, 5)

    file_continues(later, earlier)
    file_continues(later, newest)

    other = Scene(tmp_path / "other")
    await other.record("r1", "anew", "r3", "r4", "r5", "r6")
    forked = shown_by(await a_file(other, other.log.kept[:1]), KEYS, verifies)
    with pytest.raises(EvidenceRefused, match="not those of that checkpoint"):
        file_continues(forked, earlier)
    shrunk = shown_by(exported(scene.log.kept[:2], scene.log.kept[:1], ORIGIN, ""), [SIGNER.key], verifies)
    with pytest.raises(EvidenceRefused, match="tells of 3 entries, and the log has 2"):
        file_continues(shrunk, earlier)
    with pytest.raises(EvidenceRefused, match="does not tell the hashes"):
        file_continues(replace(later, hashes=b""), earlier)


async def test_a_file_whose_checkpoints_tell_of_two_logs_is_refused(scene: Scene, tmp_path: Path) -> None:
    """Both are signed by the log's key: whoever holds it has shown two histories."""
    await scene.record("r1", "r2")
    other = Scene(tmp_path / "other")
    await other.record("r1", "anew", "r3")
    one = (await a_file(scene, scene.log.kept[:1])).decode()
    mixed = one.replace(
        f'"checkpoint": {_json(scene.log.kept[-1].note)}', f'"checkpoint": {_json(other.log.kept[-1].note)}'
    )
    assert mixed != one
    with pytest.raises(EvidenceRefused):
        shown_by(mixed.encode(), KEYS, verifies)
    hashes = [await each.log.hashes() for each in (scene, other)]
    swapped = mixed.replace(_base64(hashes[0]), _base64(hashes[1]))
    assert swapped != mixed
    with pytest.raises(EvidenceRefused, match="not those of that checkpoint"):
        shown_by(swapped.encode(), KEYS, verifies)


def _json(text: str) -> str:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(text).decode()


def _base64(content: bytes) -> str:
    import base64  # noqa: PLC0415

    return base64.b64encode(content).decode()
