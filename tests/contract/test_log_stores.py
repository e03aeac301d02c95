"""What every store of logs promises, in memory and on PostgreSQL, and what a sequencer makes of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.kept_logs import ORIGIN, SEED, TENANT, prepared, record

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.append.sequences import Run
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.errors import LogDamaged, Overtaken
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.tree import Edge, Tree, leaf_hashes, verify_inclusion
from holdfast.ledger.model import Conflict, Prepared
from holdfast.ledger.ports import Growth, LogStore

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


class Late:
    """A store that somebody else appends to between the reading of the head and the append."""

    def __init__(self, store: LogStore) -> None:
        self.store = store
        self.appends = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def append(self, growths: object) -> int:
        self.appends += 1
        await sequencer(self.store).append([prepared(record("other", self.appends))])
        return await self.store.append(growths)  # type: ignore[arg-type]


async def test_a_growth_from_elsewhere_than_the_end_leaves_nothing(store: LogStore) -> None:
    await sequencer(store).append([prepared(record("a", 1))])
    growth: list[Growth] = []

    class Noted(Late):
        async def append(self, growths: object) -> int:
            growth.extend(growths)  # type: ignore[call-overload]
            return await super().append(growths)

    line = sequencer(Noted(store))  # type: ignore[arg-type]
    await line.append([prepared(record("a", 2), record("a", 1))])
    with pytest.raises(Overtaken):
        await store.append(growth)
    with pytest.raises(Overtaken):
        async with store.turn([growth[0].log_id]) as mine:
            await mine.append(growth)
    head = await store.head(TENANT)
    assert head is not None
    assert head.edge.size == 3


async def test_who_was_overtaken_has_the_next_turn(store: LogStore) -> None:
    late = Late(store)
    line = sequencer(late)  # type: ignore[arg-type]
    await line.append([prepared(record("a", 1))])
    await sequencer(store).append([prepared(*(record("other", seq) for seq in range(2, 9)))])
    for seq in range(2, 6):
        placed = (await line.append([prepared(record("a", seq), record("other", seq))])).placed[0]
        assert placed.repeated == [1], "what others appended meanwhile is known"
    assert late.appends == 1, "once overtaken, it waits for its turn at first"
    head = await store.head(TENANT)
    assert head is not None
    assert {key: numbers.ranges for key, numbers in head.known.items()} == {
        ("a", 1): [(1, 5)],
        ("other", 1): [(1, 8)],
    }
    assert head.edge.root == (await tree_of(store, head.log_id, head.edge.size)).root()


async def test_two_that_append_all_the_time_both_get_on(store: LogStore) -> None:
    done, alone = {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def work(name: str, other: str, line: Sequencer) -> None:
        seen = 0
        while min(done.values()) < 25 and max(done.values()) < 250:
            await line.append([prepared(*(record(name, 3 * done[name] + at) for at in range(3)))])
            done[name] += 1
            alone[name], seen = alone[name] + 1 if done[other] == seen else 0, done[other]
            assert alone[name] < 10, "the other one goes on as well"
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(work("a", "b", sequencer(store)), work("b", "a", sequencer(store)))
    head = await store.head(TENANT)
    assert head is not None
    assert head.edge.size == 3 * sum(done.values())
    assert head.edge.root == (await tree_of(store, head.log_id, head.edge.size)).root()


async def test_a_repeat_is_behind_what_others_committed(store: LogStore) -> None:
    """Nothing is acknowledged by a place in the WAL that is before its commit."""
    line, other = sequencer(store), sequencer(store)
    await line.append([over_other_tenant(1)])
    there = await other.append([prepared(record("a", 1))])
    again = await line.append([prepared(record("a", 1))])
    assert again.placed[0].repeated == [0]
    assert again.lsn >= there.lsn


def over_other_tenant(seq: int) -> Prepared:
    return replace(prepared(record("a", seq)), tenant="elsewhere")


async def test_a_turn_knows_growths_that_hold_conflicts_alone(store: LogStore) -> None:
    line, other = sequencer(store), sequencer(store)
    await line.append([prepared(record("a", 1))])
    head = await store.head(TENANT)
    assert head is not None
    conflict = (await other.append([prepared(record("a", 1, job="other"))])).placed[0]
    assert conflict.conflicts == [0]
    grown = await store.since(head)
    assert grown is not None
    assert (grown.edge.size, list(grown.runs)) == (2, [])
    for seq in (2, 3):
        assert (await line.append([prepared(record("a", seq))])).placed[0].leaves == [seq]
    again = await line.append([prepared(record("a", 1, job="other"))])
    assert (again.placed[0].leaves, again.placed[0].conflicts) == ([1], [0])


async def test_a_turn_that_fails_leaves_nothing_and_holds_nobody(store: LogStore) -> None:
    line = sequencer(store)
    await line.append([prepared(record("a", 1))])
    head = await store.head(TENANT)
    assert head is not None
    with pytest.raises(ZeroDivisionError):
        async with store.turn([head.log_id]):
            raise ZeroDivisionError
    assert (await line.append([prepared(record("a", 2))])).placed[0].size == 2


async def test_a_log_that_was_put_back_is_read_anew(store: LogStore) -> None:
    """What a sequencer remembers of a log that is another one now decides nothing."""
    line = sequencer(store)
    await line.append([prepared(record("a", 1), record("a", 2))])
    head = await store.head(TENANT)
    assert head is not None
    grown = await store.since(head)
    assert grown is not None
    assert (grown.edge, list(grown.runs)) == (head.edge, [])
    edge, _ = Edge().grown(leaf_hashes([b"x", b"y"]))
    assert await store.since(replace(head, edge=edge)) is None
    longer, _ = edge.grown(leaf_hashes([b"z"]))
    assert await store.since(replace(head, edge=longer)) is None
    await sequencer(store).append([prepared(*(record("b", at) for at in range(300)))])
    grown = await store.since(head)
    assert grown is not None
    assert grown.edge == (await store.head(TENANT)).edge  # type: ignore[union-attr]
    assert list(grown.runs) == [Run("b", 1, 0, 299, 2)]


async def test_no_number_stands_twice_whatever_is_believed(store: LogStore) -> None:
    line = sequencer(store)
    await line.append([prepared(*(record("a", seq) for seq in (1, 2, 3, 7)))])
    for wrong in ((3, 3), (0, 1), (4, 9), (2, 2), (7, 7)):
        believing = sequencer(store)
        head = await store.head(TENANT)
        assert head is not None
        head.known["a", 1].remove(0, 100)  # type: ignore[index]
        believing._heads[TENANT] = head
        with pytest.raises(LogDamaged, match="stands"):
            await believing.append([prepared(*(record("a", seq) for seq in range(wrong[0], wrong[1] + 1)))])
    assert (await line.append([prepared(record("a", 5))])).placed[0].size == 5


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
