"""Proofs out of every store of logs, of sizes that were signed and of others, in memory and on PostgreSQL."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from tests.kept_logs import SEED, TENANT

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import LogDamaged, ProofRefused
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.log.tree import (
    Edge,
    leaf_hash,
    leaf_hashes,
    perfect_root,
    quarter_roots,
    root_over,
    verify_consistency,
    verify_inclusion,
)
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.ports import LogStore, ProofParts
from holdfast.ledger.publish import proving

if TYPE_CHECKING:
    from conftest import Database

SIZES = (1, 3, 64, 65, 256, 300, 511, 512, 1_024, 1_100, 2_000)
LARGE = (65_536, 66_000, 70_001)
"""Where a tile of the second level is full."""

Appended = Callable[[Sequence[int]], Awaitable[int]]


@pytest.fixture(params=["memory", "postgres"])
def kept_in(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def logs(kept_in: "Database | None") -> AsyncIterator[LogStore]:
    if kept_in is None:
        yield MemoryLogs(ZstdSegments())
        return
    async with open_pool(kept_in.conninfo(Role.OWNER), "test") as pool:
        yield PostgresLogs(pool, ZstdSegments())


@pytest.fixture
def grown(logs: LogStore) -> Appended:
    """Lets the log grow to each of these sizes. Returns its number."""
    line = Sequencer(
        logs,
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, SEED),
    )

    async def grow(sizes: Sequence[int]) -> int:
        before = log_id = 0
        for size in sizes:
            leaves = [leaf(number) for number in range(before, size)]
            batch = Prepared(TENANT, leaves, leaf_hashes(leaves), [Numbered("s", 1, before, len(leaves))])
            log_id = (await line.append([batch])).placed[0].log_id
            before = size
        return log_id

    return grow


def leaf(number: int) -> bytes:
    return b'{"tenant":"acme","number":%d}' % number


def edge_of(size: int) -> Edge:
    return Edge().grown(leaf_hashes(leaf(number) for number in range(size)))[0]


async def test_every_leaf_is_proved_in_every_tree_that_was_signed(logs: LogStore, grown: Appended) -> None:
    log_id, dice = await grown(SIZES), random.Random(4)
    for size in SIZES:
        root = edge_of(size).root
        for number in {0, size - 1, *dice.sample(range(size), min(size, 8))}:
            path = (await proving.inclusion(logs, log_id, number, "", size)).path
            verify_inclusion(leaf_hash(leaf(number)), number, size, root, path)
        with pytest.raises(ProofRefused):
            await proving.inclusion(logs, log_id, size, "", size)


async def test_trees_that_were_never_signed_are_proved_as_well(logs: LogStore, grown: Appended) -> None:
    log_id = await grown((700, 1_500))
    for size in (1, 255, 256, 257, 640, 699, 701, 1_025, 1_499):
        root = edge_of(size).root
        assert await proving.root(logs, log_id, size) == root
        for number in {0, size // 2, size - 1}:
            path = (await proving.inclusion(logs, log_id, number, "", size)).path
            verify_inclusion(leaf_hash(leaf(number)), number, size, root, path)


async def test_each_tree_is_proved_to_begin_with_those_before(logs: LogStore, grown: Appended) -> None:
    log_id = await grown(SIZES)
    sizes = sorted({*SIZES, 2, 100, 777, 1_999})
    roots = {size: edge_of(size).root for size in sizes}
    for at, size in enumerate(sizes):
        for old in sizes[: at + 1]:
            proof = await proving.consistency(logs, log_id, old, size)
            verify_consistency(old, roots[old], size, roots[size], proof)


async def test_proofs_of_a_log_of_several_levels(logs: LogStore, grown: Appended) -> None:
    log_id, dice = await grown(LARGE), random.Random(5)
    for size in (*LARGE, 65_537, 69_999):
        root = edge_of(size).root
        for number in {0, 65_535, size - 1, *dice.sample(range(size), 4)}:
            path = (await proving.inclusion(logs, log_id, number, "", size)).path
            verify_inclusion(leaf_hash(leaf(number)), number, size, root, path)
        proof = await proving.consistency(logs, log_id, 66_000, size) if size >= 66_000 else []
        if proof:
            verify_consistency(66_000, edge_of(66_000).root, size, root, proof)


async def test_a_quarter_has_the_roots_over_all_four(logs: LogStore, grown: Appended) -> None:
    log_id = await grown((600, 70_000))
    tile = await logs.hashes(log_id, 0, 512, 256)
    above = await logs.hashes(log_id, 1, 0, 256)
    quarters = [(0, 8), (0, 10), (1, 3)]
    parts = [(1, 256, 17), (0, 69_888, 112)]
    found = await logs.proof_parts(log_id, [600, 70_000, 650], quarters, parts)
    assert [each.hashes for each in found.quarters] == [tile[:2048], tile[4096:6144], above[6144:]]
    assert [each.quarter_roots for each in found.quarters] == [quarter_roots(tile)] * 2 + [
        quarter_roots(above)
    ]
    assert perfect_root(found.quarters[0].quarter_roots) == perfect_root(tile)
    assert list(found.hashes) == list(await logs.many_hashes(log_id, parts))
    assert list(found.peaks) == [edge_of(600).peaks, edge_of(70_000).peaks, b""]
    assert await logs.proof_parts(log_id, [], [], []) == ProofParts([], [], [])


async def test_parts_that_are_not_there_are_damage(logs: LogStore, grown: Appended) -> None:
    log_id = await grown((600,))
    for quarters, parts in (([(0, 8)], []), ([(1, 0)], []), ([], [(1, 0, 3)]), ([], [(0, 512, 89)])):
        with pytest.raises(LogDamaged):
            await logs.proof_parts(log_id, [600], quarters, parts)


async def test_peaks_are_what_the_root_was_made_of(logs: LogStore, grown: Appended) -> None:
    log_id = await grown(SIZES)
    for size in SIZES:
        [peaks] = (await logs.proof_parts(log_id, [size], [], [])).peaks
        assert len(peaks) == size.bit_count() * HASH_BYTES
        assert root_over(peaks) == edge_of(size).root
