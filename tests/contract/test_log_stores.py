"""What every store of logs promises, in memory and on PostgreSQL, and what a sequencer makes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from tests.kept_logs import ORIGIN, SEED, TENANT, prepared, record

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.errors import LogDamaged, Overtaken
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.tree import Tree, leaf_hashes, verify_inclusion
from holdfast.ledger.model import Conflict
from holdfast.ledger.ports import LogStore

if TYPE_CHECKING:
    from conftest import Database


def sequencer(store: LogStore) -> Sequencer:
    return Sequencer(
        store,
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, SEED),
    )


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def store(database: "Database | None") -> AsyncIterator[LogStore]:
    if database is None:
        yield MemoryLogs(ZstdSegments())
        return
    async with open_pool(database.conninfo(Role.OWNER), "test") as pool:
        yield PostgresLogs(pool, ZstdSegments())


async def tree_of(store: LogStore, log_id: int, size: int) -> Tree:
    """A tree over hashes that were read beforehand: the tree itself waits for nothing."""
    levels = {}
    level, count = 0, size
    while count:
        levels[level] = b"".join(
            [await store.hashes(log_id, level, at, min(256, count - at)) for at in range(0, count, 256)]
        )
        level, count = level + 1, count // 256
    return Tree(size, lambda level, first, count: levels[level][first * 32 : (first + count) * 32])


async def test_what_was_appended_is_proved_by_its_checkpoint(store: LogStore) -> None:
    line = sequencer(store)
    entries = list[bytes]()
    for at in (0, 1, 300, 301, 700):
        batch = prepared(*(record("a", at * 1000 + n) for n in range(at or 3)))
        placed = (await line.append([batch])).placed[0]
        assert placed.leaves == list(range(len(entries), len(entries) + len(batch.leaves)))
        entries += batch.leaves

    head = await store.head(TENANT)
    assert head is not None
    grown = await store.grown_to(head.log_id, 1)
    assert grown is not None
    size, root, note = grown
    assert (size, root) == (len(entries), head.edge.root)
    signed = verified(note, Ed25519Signer(ORIGIN, SEED).key, verifies)
    assert (signed.checkpoint.size, signed.checkpoint.root) == (size, root)
    assert list(await store.entries(head.log_id, 0, size)) == entries
    assert list(await store.entries(head.log_id, 250, 120)) == entries[250:370]
    tree = await tree_of(store, head.log_id, size)
    assert tree.root() == root
    for leaf in (0, 2, 255, 256, 303, size - 1):
        verify_inclusion(leaf_hashes([entries[leaf]]), leaf, size, root, tree.inclusion(leaf))


async def test_a_repeat_is_absorbed_and_a_conflict_is_told_once(store: LogStore) -> None:
    line = sequencer(store)
    await line.append([prepared(*(record("a", n) for n in range(600)))])
    for _ in range(2):
        mixed = prepared(record("a", 3), record("a", 599), record("a", 5, job="other"), record("b", 1))
        placed = (await line.append([mixed])).placed[0]
        assert placed.leaves[:2] == [3, 599]
        assert (placed.repeated[:2], placed.conflicts) == ([0, 1], [2])
        assert placed.leaves[2:] == [601, 600]
        assert placed.size == 602
    told = entry_of((await store.entries(placed.log_id, 601, 1))[0])
    assert isinstance(told, Conflict)
    assert (told.leaf, told.source, told.seq) == (5, "a", 5)
    assert told.came.encode() == leaf_of(record("a", 5, job="other"))


async def test_the_same_twice_in_one_request(store: LogStore) -> None:
    first, other = record("a", 1), record("a", 1, job="other")
    placed = (await sequencer(store).append([prepared(first, first, other, other, record("a", 2))])).placed[0]
    assert placed.leaves == [0, 0, 2, 2, 1]
    assert (placed.repeated, placed.conflicts, placed.size) == ([1], [2, 3], 3)


async def test_two_sequencers_never_fork_a_log(store: LogStore) -> None:
    one, two = sequencer(store), sequencer(store)
    for n in range(6):
        await (one, two)[n % 2].append([prepared(*(record("ab"[n % 2], n * 300 + at) for at in range(300)))])
    again = await one.append([prepared(record("b", 300))])  # what the other one took in is known here too
    assert again.placed[0].repeated == [0]
    head = await store.head(TENANT)
    assert head is not None
    assert head.edge.size == 1800
    assert head.edge.root == (await tree_of(store, head.log_id, 1800)).root()


async def test_a_head_is_of_one_moment_while_the_log_grows(store: LogStore) -> None:
    growing = sequencer(store)
    await growing.append([prepared(record("one", 1))])

    async def grow() -> None:
        for seq in range(2, 60):
            await growing.append([prepared(record("one", seq))])
            await asyncio.sleep(0)

    task, heads = asyncio.create_task(grow()), 0
    while not task.done():
        head = await store.head(TENANT)
        assert head is not None
        assert [numbers.ranges for numbers in head.known.values()] == [[(1, head.edge.size)]]
        heads += 1
        await asyncio.sleep(0)
    await task
    assert heads > 1


async def test_a_growth_from_elsewhere_than_the_end_leaves_nothing(store: LogStore) -> None:
    seen = list[object]()

    class Late:
        """A store that somebody else appends to between the reading of the head and the append."""

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def append(self, growths: object) -> int:
            seen.append(growths)
            await sequencer(store).append([prepared(record("other", len(seen)))])
            return await store.append(growths)  # type: ignore[arg-type]

    with pytest.raises(Overtaken):
        await sequencer(Late()).append([prepared(record("a", 1))])  # type: ignore[arg-type]
    head = await store.head(TENANT)
    assert head is not None
    assert len(seen) == head.edge.size > 1
    assert ("a", 1) not in head.known


async def test_a_gap_in_what_is_stored_is_damage(store: LogStore) -> None:
    await sequencer(store).append([prepared(record("a", 1))])
    head = await store.head(TENANT)
    assert head is not None
    with pytest.raises(LogDamaged):
        await store.entries(head.log_id, 0, 2)
    with pytest.raises(LogDamaged):
        await store.hashes(head.log_id, 0, 0, 2)
    assert await store.head("nobody") is None
    assert await store.grown_to(head.log_id, 2) is None


async def test_hashes_are_the_same_together_and_one_by_one(store: LogStore) -> None:
    line = sequencer(store)
    for first, count in ((0, 700), (700, 1), (701, 900)):
        await line.append([prepared(*(record("a", first + n) for n in range(count)))])
    head = await store.head(TENANT)
    assert head is not None
    size = 1601
    asked = [(0, 3, 1), (0, 0, 256), (0, 1280, 128), (0, 1536, 65), (0, 1600, 1), (1, 0, 6), (1, 5, 1)]
    together = await store.many_hashes(head.log_id, asked)
    assert [len(each) // 32 for each in together] == [count for _, _, count in asked]
    assert list(together) == [await store.hashes(head.log_id, *each) for each in asked]
    assert together[3] == leaf_hashes(await store.entries(head.log_id, 1536, 65))
    for beyond in ((0, size, 1), (1, 6, 1), (2, 0, 1)):
        with pytest.raises(LogDamaged):
            await store.many_hashes(head.log_id, [(0, 3, 1), beyond])


async def test_what_several_sources_post_at_once_is_one_growth(store: LogStore) -> None:
    line = sequencer(store)
    await line.append([prepared(record("a", 1))])
    posted = [prepared(record("b", 1)), prepared(record("a", 1), record("a", 2)), prepared(record("b", 1))]
    one, two, three = (await line.append(posted)).placed
    assert (one.leaves, one.repeated) == ([1], [])
    assert (two.leaves, two.repeated) == ([0, 2], [0])
    assert (three.leaves, three.repeated) == ([1], [0])
    assert {each.size for each in (one, two, three)} == {3}
    grown = await store.grown_to(one.log_id, 1)
    assert grown is not None
    assert grown[0] == 3
    assert (await store.grown_to(one.log_id, 4)) is None
    assert [entry_of(each).source for each in await store.entries(one.log_id, 0, 3)] == ["a", "b", "a"]


async def test_a_record_that_came_long_ago_is_found_in_the_store(store: LogStore) -> None:
    """As by a process that has just begun: nothing is known of it but what is stored."""
    await sequencer(store).append([prepared(*(record("a", n) for n in range(600)))])
    again = prepared(record("a", 0), record("a", 255), record("a", 599, job="other"), record("a", 600))
    placed = (await sequencer(store).append([again])).placed[0]
    assert (placed.leaves, placed.repeated, placed.conflicts) == ([0, 255, 601, 600], [0, 1], [2])
