"""A checkpoint is handed out once it is in the second region and cosigned; never one that went back."""

from datetime import UTC, datetime

import pytest

from holdfast.adapters.memory.ledger.logs import (
    MemoryLogs,
    MemoryPublished,
    MemorySecondRegion,
    MemoryWitness,
)
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import Fork, NotFlushed, ProofRefused, WitnessAway
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.notes import COSIGNATURE_V1
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.publish import proving
from holdfast.ledger.publish.publishing import Publisher, over_all
from holdfast.ledger.witnessed import stands

ORIGIN = "ledger.example/acme"
LOG = Ed25519Signer(ORIGIN, bytes(32))
WITNESS = Ed25519Signer("witness.example", b"w" * 32, COSIGNATURE_V1)


class Scene:
    def __init__(self) -> None:
        self.packs = ZstdSegments()
        self.published = MemoryPublished()
        self.second = MemorySecondRegion()
        clock = ManualClock(datetime(2026, 11, 22, tzinfo=UTC))
        self.witness = MemoryWitness(WITNESS, {ORIGIN: LOG.key}, verifies, clock)
        self.begin_again()

    def begin_again(self) -> None:
        """The database is another one; the witness is not, nor what was published."""
        self.store = MemoryLogs(self.packs)
        self.line = Sequencer(
            self.store,
            self.packs,
            origin_of=lambda tenant: f"ledger.example/{tenant or 'logs'}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )
        self.size = 0

    def publisher(self) -> Publisher:
        """As a process that has just begun."""
        return Publisher(
            self.store, self.published, self.second, self.witness, witness_key=WITNESS.key, verifies=verifies
        )

    async def grow(self, count: int, word: str = "job") -> None:
        numbers = list(range(self.size, self.size + count))
        leaves = [f"{word} {number}".encode() for number in numbers]
        batch = Prepared("acme", leaves, leaf_hashes(leaves), [Numbered("s", 1, self.size, count)])
        await self.line.append([batch])
        self.size += count


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_it_is_handed_out_cosigned_and_once(scene: Scene) -> None:
    publisher = scene.publisher()
    for count in (3, 300, 1):
        await scene.grow(count)
        handed = await publisher.publish(1, LOG.key)
        assert handed is not None
        assert handed.checkpoint.size == scene.size
        assert handed.text == await scene.published.newest(1)
        assert verified(handed.text, LOG.key, verifies, witnesses=[WITNESS.key], quorum=1).witnesses
        assert await publisher.publish(1, LOG.key) is None


async def test_nothing_is_handed_out_before_both_have_it(scene: Scene) -> None:
    await scene.grow(5)
    scene.second.up_to = 0
    with pytest.raises(NotFlushed):
        await scene.publisher().publish(1, LOG.key)
    scene.second.up_to = 1 << 62
    scene.witness.away = True
    with pytest.raises(WitnessAway):
        await scene.publisher().publish(1, LOG.key)
    assert await scene.published.newest(1) is None
    scene.witness.away = False
    assert await scene.publisher().publish(1, LOG.key)


async def test_another_process_goes_on_where_the_witness_stands(scene: Scene) -> None:
    first, second = scene.publisher(), scene.publisher()
    for publisher in (first, second, first):
        await scene.grow(70)
        assert await publisher.publish(1, LOG.key)


@pytest.mark.parametrize("count", [10, 50, 51, 200])
async def test_a_log_that_lost_what_was_published_stands_still(scene: Scene, count: int) -> None:
    await scene.grow(50)
    await scene.publisher().publish(1, LOG.key)
    known = await scene.published.newest(1)
    scene.begin_again()
    scene.published = MemoryPublished()
    await scene.grow(count, "forged")
    for _ in range(2):
        with pytest.raises(Fork):
            await scene.publisher().publish(1, LOG.key)
    assert await scene.published.newest(1) is None
    assert known is not None


async def test_a_published_leaf_is_proved(scene: Scene) -> None:
    await scene.grow(600)
    handed = await scene.publisher().publish(1, LOG.key)
    assert handed is not None
    await scene.grow(100)  # the log goes on; the proof is to what was published
    for leaf in (0, 255, 256, 599):
        proof = await proving.inclusion(scene.store, 1, leaf, handed.text, handed.checkpoint.size)
        proof.verify(f"job {leaf}".encode(), LOG.key, verifies, witnesses=[WITNESS.key], quorum=1)
    with pytest.raises(ProofRefused):
        await proving.inclusion(scene.store, 1, 600, handed.text, handed.checkpoint.size)
    assert await proving.root(scene.store, 1, 600) == handed.checkpoint.root


async def test_the_log_over_all_logs_takes_a_checkpoint_once(scene: Scene) -> None:
    await scene.grow(3)
    handed = await scene.publisher().publish(1, LOG.key)
    assert handed is not None
    for _ in range(2):
        placed = (await scene.line.append([over_all({ORIGIN: handed})])).placed[0]
        assert (placed.leaves, placed.size, placed.conflicts) == ([0], 1, [])


async def test_where_the_witness_stands_is_found_out_and_left(scene: Scene) -> None:
    notes = dict[int, str]()

    async def grown(count: int, word: str = "job") -> str:
        await scene.grow(count, word)
        found = await scene.store.grown_to(1, 1)
        assert found is not None
        notes[found[0]] = found[2]
        return found[2]

    async def note_at(size: int) -> str | None:
        return notes.get(size)

    first = await grown(10)
    await scene.publisher().publish(1, LOG.key)
    assert await stands(scene.witness, first, note_at) == ""
    await grown(5)
    await scene.publisher().publish(1, LOG.key)
    assert await stands(scene.witness, first, note_at) == ""  # cosigned, and not published yet
    del notes[15]
    assert "15 leaves" in await stands(scene.witness, first, note_at)
    scene.begin_again()
    await grown(15, "forged")
    assert "another checkpoint of 15" in await stands(scene.witness, first, note_at)
    ahead = await grown(5, "forged")
    assert "15 leaves, and 20 are published" in await stands(scene.witness, ahead, note_at)
    scene.witness.away = True
    with pytest.raises(WitnessAway):
        await stands(scene.witness, first, note_at)
