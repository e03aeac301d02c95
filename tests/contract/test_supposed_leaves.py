"""A growth that supposes what stands in the log already: it is there, or nothing is written."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.kept_logs import SEED, TENANT, prepared, record

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.recent import Recent
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import Otherwise
from holdfast.ledger.model import Prepared, Record
from holdfast.ledger.ports import Growth, LogStore

if TYPE_CHECKING:
    from conftest import Database


class Watched:
    """A store that tells what it was asked for, and lets growths be changed on their way."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self.asked = list[str]()
        self.supposed = dict[int, bytes]()

    def __getattr__(self, name: str) -> object:
        self.asked.append(name)
        return getattr(self._store, name)

    async def append(self, growths: Sequence[Growth]) -> int:
        self.asked.append("append")
        for growth in growths:
            growth.supposed.update(self.supposed)  # type: ignore[attr-defined]
        return await self._store.append(growths)


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def store(database: "Database | None") -> AsyncIterator[LogStore]:
    if database is None:
        yield MemoryLogs(ZstdSegments())
        return
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        yield PostgresLogs(pool, ZstdSegments())


def line(store: object) -> Sequencer:
    """That remembers where numbers stand, and no hash."""
    made = Sequencer(
        store,  # type: ignore[arg-type]
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, SEED),
    )
    made._recent = Recent(0)
    return made


def theirs(*records: Record) -> Prepared:
    """Of another tenant."""
    mine = [msgspec.structs.replace(each, tenant="other") for each in records]
    return replace(prepared(*mine), tenant="other")


async def begun(store: LogStore) -> tuple[Watched, Sequencer]:
    watched = Watched(store)
    made = line(watched)
    await made.append([prepared(*(record("a", n) for n in range(600)))])
    watched.asked.clear()
    return watched, made


async def test_a_repeat_beside_new_records_asks_for_nothing_but_the_append(store: LogStore) -> None:
    watched, made = await begun(store)
    [placed] = (await made.append([prepared(*(record("a", n) for n in (3, 3, 64, 511, 599, 600)))])).placed
    assert (placed.leaves, placed.repeated) == ([3, 3, 64, 511, 599, 600], [0, 1, 2, 3, 4])
    assert watched.asked == ["append"]


async def test_what_is_no_repeat_is_found_though_it_was_supposed_to_be(store: LogStore) -> None:
    watched, made = await begun(store)
    other, third = record("a", 64, job="other"), record("a", 3, job="third")
    came = prepared(record("a", 3), other, record("a", 600), third, record("a", 599, job="late"), other)
    [placed] = (await made.append([came])).placed
    assert (placed.repeated, placed.conflicts) == ([0], [1, 3, 4, 5])
    assert placed.leaves == [3, 601, 600, 602, 603, 601]
    assert watched.asked.count("append") == 2
    head = await store.head(TENANT)
    assert head is not None
    assert head.edge.size == 604
    [placed] = (await made.append([came])).placed  # all of it once more: nothing is new
    assert (placed.leaves, placed.size) == ([3, 601, 600, 602, 603, 601], 604)


async def test_repeats_alone_are_looked_at(store: LogStore) -> None:
    watched, made = await begun(store)
    again = prepared(record("a", 3), record("a", 64, job="other"))
    [placed] = (await made.append([again])).placed
    assert (placed.repeated, placed.conflicts, placed.leaves) == ([0], [1], [3, 600])
    assert "leaf_hashes" in watched.asked


@pytest.mark.parametrize("leaf", [5, 511, 512, 599, 10_000])
async def test_a_growth_that_supposes_wrongly_leaves_nothing(store: LogStore, leaf: int) -> None:
    """Another hash than the leaf's, or that of a leaf in no full tile."""
    watched, made = await begun(store)
    watched.supposed = {leaf: bytes(32)}
    with pytest.raises(Otherwise):
        await made.append([prepared(record("a", 600), record("b", 1))])
    head = await store.head(TENANT)
    assert head is not None
    assert head.edge.size == 600
    assert ("b", 1) not in head.known
    watched.supposed = {}
    [placed] = (await made.append([prepared(record("a", 600), record("a", 7))])).placed
    assert (placed.leaves, placed.size) == ([600, 7], 601)


async def test_of_several_logs_none_grows_where_one_supposes_wrongly(store: LogStore) -> None:
    """And the records of each get their places when it is decided again."""
    watched, made = await begun(store)
    beside = [record("a", n) for n in range(300)]
    await made.append([theirs(*beside)])
    watched.asked.clear()
    mine = prepared(record("a", 3), record("a", 600))
    others = theirs(record("a", 5, job="x"), beside[6], record("a", 300))
    first, second = (await made.append([mine, others])).placed
    assert (first.leaves, first.repeated) == ([3, 600], [0])
    assert (second.leaves, second.repeated, second.conflicts) == ([301, 6, 300], [1], [0])
    assert watched.asked.count("append") == 2
