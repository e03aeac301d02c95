"""Logs are published again and again: what is away is waited for and told once, and the others go on."""

from collections.abc import Mapping
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
from holdfast.ledger.log.keys import LogsOf
from holdfast.ledger.log.notes import COSIGNATURE_V1
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.publish.handing_out import EVERYWHERE, OVERALL_EVERY, HandingOut
from holdfast.ledger.publish.publishing import OVERALL, Publisher

NAME = "ledger.example"
LEDGER = Ed25519Signer(NAME, bytes(32))
WITNESS = Ed25519Signer("witness.example", b"w" * 32, COSIGNATURE_V1)


class Scene:
    def __init__(self) -> None:
        self.packs = ZstdSegments()
        self.clock = ManualClock(datetime(2026, 11, 22, tzinfo=UTC))
        self.second = MemorySecondRegion()
        self.witness = MemoryWitness(WITNESS, LogsOf((LEDGER.key,)), verifies, self.clock)
        self.store = MemoryLogs(self.packs)
        self.published = MemoryPublished(self.store)
        self.line = self.sequencer()
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.closed: set[str] = set()

    def sequencer(self) -> Sequencer:
        return Sequencer(
            self.store,
            self.packs,
            origin_of=lambda tenant: f"{NAME}/{tenant}" if tenant else NAME,
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )

    def handing_out(self) -> HandingOut:
        """As a process that has just begun."""
        publisher = Publisher(
            self.store, self.published, self.second, self.witness, witness_key=WITNESS.key, verifies=verifies
        )
        return HandingOut(
            publisher,
            self.published,
            lambda prepared: self.line.append([prepared]),
            lambda origin: Ed25519Signer(origin, bytes(32)).key,
            self.clock,
            lambda name, facts: self.events.append((name, facts)),
            self._is_closed,
        )

    async def _is_closed(self, tenant: str) -> bool:
        return tenant in self.closed

    async def grow(self, tenant: str, first: int, count: int = 3) -> None:
        numbers = list(range(first, first + count))
        leaves = [f"{tenant} {number}".encode() for number in numbers]
        await self.line.append(
            [Prepared(tenant, leaves, leaf_hashes(leaves), [Numbered("s", 1, first, count)])]
        )

    def sizes(self) -> dict[str, int]:
        return {tenant: max(self.published.of(log.id), default=0) for tenant, log in self.store.all.items()}


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_every_log_is_published_and_then_the_one_over_all(scene: Scene) -> None:
    await scene.grow("acme", 0)
    await scene.grow("umbrella", 0)
    out = scene.handing_out()
    assert await out.round() == 2
    assert await out.round() == 1
    assert scene.sizes() == {"acme": 3, "umbrella": 3, OVERALL: 2}
    assert await out.round() == 0
    assert (out.waiting, scene.events) == ({}, [])


async def test_the_log_over_all_grows_now_and_then_by_the_newest(scene: Scene) -> None:
    out = scene.handing_out()
    for number in range(5):
        await scene.grow("acme", number * 3)
        await out.round()
    assert scene.sizes() == {"acme": 15, OVERALL: 1}
    scene.clock.advance(OVERALL_EVERY.total_seconds())
    await out.round()
    await out.round()
    assert scene.sizes()[OVERALL] == 2
    assert b"\n15\n" in (await scene.store.entries(2, 1, 1))[0]


async def test_what_an_ended_process_left_unlisted_is_listed_by_the_next(scene: Scene) -> None:
    out = scene.handing_out()
    await scene.grow("acme", 0)
    await out.round()
    await scene.grow("acme", 3)
    await out.round()  # published, and the minute is not over
    after = scene.handing_out()
    scene.line = scene.sequencer()
    await after.round()
    assert [entry.split(b"\n")[1] for entry in await scene.store.entries(2, 0, 2)] == [b"3", b"6"]


async def test_a_witness_that_is_away_is_told_once_and_so_is_its_return(scene: Scene) -> None:
    out = scene.handing_out()
    scene.witness.away = True
    for tenant in ("acme", "umbrella"):
        await scene.grow(tenant, 0)
    for _ in range(3):
        assert await out.round() == 0
        scene.clock.advance(1.0)
    [waiting] = out.waiting.values()
    assert (waiting.subject, waiting.reason) == (EVERYWHERE, "witness_away")
    assert waiting.since == datetime(2026, 11, 22, tzinfo=UTC)
    scene.witness.away = False
    assert await out.round() == 2
    assert [name for name, _ in scene.events] == ["publishing_waits", "publishing_goes_on"]
    assert out.waiting == {}


async def test_a_fork_stands_still_alone(scene: Scene) -> None:
    for tenant in ("acme", "umbrella"):
        await scene.grow(tenant, 0, 5)
    await scene.handing_out().round()
    lost = scene.store.all["acme"]
    del lost.entries[2:], lost.growths[:], lost.runs[:]
    scene.published = MemoryPublished(scene.store)
    scene.line = scene.sequencer()
    await scene.grow("acme", 7, 1)
    await scene.grow("umbrella", 5, 1)
    out = scene.handing_out()
    await out.round()
    assert (scene.sizes()["acme"], scene.sizes()["umbrella"]) == (0, 6)
    assert list(out.waiting) == [(f"{NAME}/acme", "fork")]
    assert "published leaves are missing" in out.waiting[f"{NAME}/acme", "fork"].hint

    # Once its tenant goes on in another log nobody waits for it: it is closed.
    scene.closed = {"umbrella"}
    await out.round()
    assert list(out.waiting) == [(f"{NAME}/acme", "fork")]
    scene.closed = {"acme"}
    for _ in range(2):
        await out.round()
    assert out.waiting == {}
    assert [(name, facts["reason"]) for name, facts in scene.events] == [
        ("publishing_waits", "fork"),
        ("publishing_goes_on", "fork"),
    ]
    assert scene.sizes()["acme"] == 0


async def test_two_processes_publish_the_same_logs(scene: Scene) -> None:
    one, two = scene.handing_out(), scene.handing_out()
    for number in range(6):
        await scene.grow("acme", number * 3)
        await (one, two)[number % 2].round()
    assert scene.sizes()["acme"] == 18
    assert scene.events == []
