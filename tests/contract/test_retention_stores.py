"""What retention promises, in memory and on PostgreSQL: nothing goes too early, and proofs stay."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import pytest

from holdfast.adapters.memory.ledger.retention import ForgettingLogs, MemoryRetention
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.retention import PostgresRetention
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.kernel.clock import Clock, ManualClock, SystemClock
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.log.tree import leaf_hashes, verify_inclusion
from holdfast.ledger.model import Kind, Prepared, Record, Status
from holdfast.ledger.persons.retention import Kept, Pruner, Retention
from holdfast.ledger.ports import LogStore
from holdfast.ledger.publish import proving

if TYPE_CHECKING:
    from conftest import Database

FOLDS = ("finding", "sums")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def prepared(tenant: str, *seqs: int) -> Prepared:
    records = [
        Record(
            epoch=1,
            job=f"job {seq}",
            kind=Kind.PRINT,
            occurred_at=NOON,
            seq=seq,
            source="a",
            status=Status.COMPLETED,
            tenant=tenant,
        )
        for seq in seqs
    ]
    leaves = [leaf_of(each) for each in records]
    stretches = numbered(["a"] * len(seqs), [1] * len(seqs), list(seqs))
    return Prepared(tenant, leaves, leaf_hashes(leaves), stretches)


class World(Protocol):
    """Logs, their retention, and a past that the test decides."""

    logs: LogStore
    retention: Retention

    @property
    def clock(self) -> Clock: ...
    async def days_pass(self, days: int) -> None: ...
    async def publish(self, log_id: int, size: int) -> None: ...
    async def fold(self, fold: str, log_id: int, position: int) -> None: ...
    async def unsettle(self, tenant: str, days_ago: int | None) -> None: ...
    async def journal(self) -> list[str]: ...


class InMemory:
    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.logs = ForgettingLogs(ZstdSegments(), self.clock)
        self.retention = MemoryRetention(self.logs, self.clock)

    async def days_pass(self, days: int) -> None:
        self.clock.advance(days * 86400)

    async def publish(self, log_id: int, size: int) -> None:
        self.retention.published[log_id] = size

    async def fold(self, fold: str, log_id: int, position: int) -> None:
        self.retention.followed[fold, log_id] = position

    async def unsettle(self, tenant: str, days_ago: int | None) -> None:
        self.retention.unsettled.pop(tenant, None)
        if days_ago is not None:
            self.retention.unsettled[tenant] = self.clock.now() - timedelta(days=days_ago)

    async def journal(self) -> list[str]:
        return self.retention.journal


class OnPostgres:
    """Everything is done as the role that serves, but for the past, which the owner moves back."""

    clock = SystemClock()

    def __init__(self, pool: Pool, owner: Pool) -> None:
        self.logs = PostgresLogs(pool, ZstdSegments())
        self.retention = PostgresRetention(pool)
        self._owner = owner

    async def days_pass(self, days: int) -> None:
        back = f"- interval '{days} days'"
        await self._do(
            f"UPDATE ledger.growth SET at = at {back}",
            f"UPDATE ledger.segment SET at = at {back}",
            "ALTER TABLE ledger.keeping DISABLE TRIGGER append_only",
            f"UPDATE ledger.keeping SET since = since {back}",
            "ALTER TABLE ledger.keeping ENABLE TRIGGER append_only",
            f"UPDATE ledger.concern SET since = since {back}",
        )

    async def publish(self, log_id: int, size: int) -> None:
        await self._do(f"INSERT INTO ledger.published (log_id, size, note) VALUES ({log_id}, {size}, '')")

    async def fold(self, fold: str, log_id: int, position: int) -> None:
        await self._do(
            f"INSERT INTO ledger.followed (fold, log_id, position) VALUES ('{fold}', {log_id}, {position})"
            f" ON CONFLICT (fold, log_id) DO UPDATE SET position = {position}"
        )

    async def unsettle(self, tenant: str, days_ago: int | None) -> None:
        await self._do("UPDATE ledger.concern SET over_at = now()")
        if days_ago is not None:
            await self._do(
                "INSERT INTO ledger.concern (tenant, kind, subject, since, facts) VALUES"
                f" ('{tenant}', 'gap_overdue', 'a', now() - interval '{days_ago} days', '{{}}')",
                "INSERT INTO ledger.concern (tenant, kind, subject, since, facts) VALUES"
                f" ('{tenant}', 'clock_off', 'a', now() - interval '999 days', '{{}}')",
            )

    async def journal(self) -> list[str]:
        async with self._owner.connection() as connection:
            cursor = await connection.execute("SELECT event FROM holdfast.journal ORDER BY id")
            return [event for (event,) in await cursor.fetchall()]

    async def _do(self, *statements: str) -> None:
        async with self._owner.connection() as connection:
            for each in statements:
                await connection.execute(each.encode())


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def world(database: "Database | None") -> AsyncIterator[World]:
    if database is None:
        yield InMemory()
        return
    async with (
        open_pool(database.conninfo(Role.LEDGER), "test") as pool,
        open_pool(database.conninfo(Role.OWNER), "test") as owner,
    ):
        yield OnPostgres(pool, owner)


def line(world: World) -> Sequencer:
    return Sequencer(
        world.logs,
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )


def pruner(world: World) -> Pruner:
    return Pruner(world.retention, world.clock, FOLDS)


async def grown(world: World, tenant: str = "acme") -> int:
    """A log of 800 leaves that came 60, 40 and 20 days ago: 300, 300 and 200. Published and folded to 800."""
    sequencer = line(world)
    for first, last in ((0, 300), (300, 600), (600, 800)):
        placed = (await sequencer.append([prepared(tenant, *range(first, last))])).placed[0]
        await world.days_pass(20)
    await world.publish(placed.log_id, 800)
    for fold in FOLDS:
        await world.fold(fold, placed.log_id, 800)
    return placed.log_id


async def declared(world: World, **keep_days: int | None) -> None:
    """And long enough ago to count. Entries get older by as much."""
    await world.retention.declare(keep_days)
    await world.days_pass(8)


async def seen(world: World, tenant: str = "acme") -> Kept:
    return next(each for each in await pruner(world).seen() if each.tenant == tenant)


async def test_what_is_old_enough_goes_and_is_proved_all_the_same(world: World) -> None:
    log_id = await grown(world)
    before = list(await world.logs.entries(log_id, 0, 800))
    proofs = {leaf: await proving.inclusion(world.logs, log_id, leaf, "", 800) for leaf in (0, 255, 299, 300)}
    await declared(world, acme=50)
    pruned = await pruner(world).prune({"acme": 50}, actor="olga")
    assert (pruned.up_to, pruned.gone.segments) == ({log_id: 300}, 1)
    assert pruned.gone.bytes > 0
    assert await world.retention.pruned_to(log_id) == 300

    for first in (0, 299):
        with pytest.raises(EntriesPruned):
            await world.logs.entries(log_id, first, 2)
    assert list(await world.logs.entries(log_id, 300, 500)) == before[300:]
    head = await world.logs.head("acme")
    assert head is not None
    for leaf, proof in proofs.items():
        assert await proving.inclusion(world.logs, log_id, leaf, "", 800) == proof
        verify_inclusion(leaf_hashes([before[leaf]]), leaf, 800, head.edge.root, proof.path)
    again = (await line(world).append([prepared("acme", *range(290, 310), 800)])).placed[0]
    assert (len(again.repeated), again.conflicts, again.size) == (20, [], 801)
    assert "ledger.entries_pruned" in await world.journal()
    assert (await pruner(world).prune({"acme": 50}, actor="olga")).gone.segments == 0


@pytest.mark.parametrize(
    ("published", "folded", "unsettled", "goes", "waits_for"),
    [
        (800, 800, None, 600, ""),
        (799, 800, None, 600, ""),
        (599, 800, None, 300, "a published checkpoint"),
        (0, 800, None, 0, "a published checkpoint"),
        (800, 599, None, 300, "a follower that has not read them"),
        (800, 0, None, 0, "a follower that has not read them"),
        (800, 800, 50, 300, "something that is not settled"),
        (800, 800, 99, 0, "something that is not settled"),
    ],
)
async def test_nothing_goes_before_its_time(
    world: World, published: int, folded: int, unsettled: int | None, goes: int, waits_for: str
) -> None:
    log_id = await grown(world)
    await declared(world, acme=30)
    if published < 800:
        if isinstance(world, InMemory):
            world.retention.published[log_id] = published
        elif isinstance(world, OnPostgres):
            await world._do(f"UPDATE ledger.published SET size = {published}")
    await world.fold("sums", log_id, folded)
    await world.unsettle("acme", unsettled)
    stands = await seen(world)
    assert (stands.up_to, stands.waits_for) == (goes, waits_for)
    await pruner(world).prune({"acme": 30}, actor="olga")
    assert await world.retention.pruned_to(log_id) == goes


async def test_leaves_of_a_tile_that_is_not_full_stay(world: World) -> None:
    log_id = await grown(world)
    await declared(world, acme=1)
    assert ((await seen(world)).tiled, (await seen(world)).waits_for) == (768, "their tile to be full")
    await pruner(world).prune({"acme": 1}, actor="olga")
    assert await world.retention.pruned_to(log_id) == 600  # the rest is one growth, and in the last tile
    assert len(await world.logs.entries(log_id, 600, 200)) == 200
    fresh = (await line(world).append([prepared("acme", 800)])).placed[0]  # the edge is read from the store
    assert (fresh.leaves, fresh.size) == ([800], 801)


async def test_a_shorter_keep_counts_a_week_later(world: World) -> None:
    log_id = await grown(world)
    assert (await seen(world)).keep_days is None
    await pruner(world).prune({"acme": 30}, actor="olga")
    assert (await world.retention.pruned_to(log_id), (await seen(world)).keep_days) == (0, None)
    await world.days_pass(8)
    assert (await seen(world)).keep_days == 30
    await world.retention.declare({"acme": 3})
    assert (await seen(world)).keep_days == 30
    await world.retention.declare({"acme": 300})  # a longer one counts at once
    assert (await seen(world)).keep_days == 300
    await world.days_pass(8)
    await world.retention.declare({"acme": None})
    assert (await seen(world)).keep_days is None
    assert await world.retention.pruned_to(log_id) == 0


async def test_a_hold_stops_everything_until_it_is_lifted(world: World) -> None:
    log_id, other = await grown(world), await grown(world, "other")
    await declared(world, acme=30, other=60)
    assert await world.retention.place_hold("acme", "court order", actor="olga")
    assert not await world.retention.place_hold("acme", "another", actor="otto")
    assert (await seen(world)).waits_for == "a legal hold: court order"
    pruned = await pruner(world).prune({"acme": 30, "other": 60}, actor="olga")
    assert (await world.retention.pruned_to(log_id), pruned.gone.segments) == (0, 1)
    assert await world.retention.pruned_to(other) == 300
    assert await world.retention.lift_hold("acme", actor="otto")
    assert not await world.retention.lift_hold("acme", actor="otto")
    assert [(each.reason, each.lifted_by) for each in await world.retention.holds("acme")] == [
        ("court order", "otto")
    ]
    await pruner(world).prune({"acme": 30, "other": 60}, actor="olga")
    assert await world.retention.pruned_to(log_id) == 600
    assert {"ledger.hold_placed", "ledger.hold_lifted"} <= set(await world.journal())


async def test_a_hold_keeps_what_was_declared_and_has_not_gone(world: World) -> None:
    log_id = await grown(world)
    await declared(world, acme=30)
    assert await world.retention.prune(log_id, FOLDS, actor="olga") == 600
    assert (await world.retention.sweep(1)).segments == 1  # and here the process dies
    await world.retention.place_hold("acme", "court order", actor="olga")
    assert (await world.retention.sweep(10)).segments == 0
    assert (await world.retention.drop()).segments == 0
    assert len(await world.logs.entries(log_id, 300, 300)) == 300
    await world.retention.lift_hold("acme", actor="olga")
    assert (await pruner(world).prune({"acme": 30}, actor="olga")).gone.segments == 1
    with pytest.raises(EntriesPruned):
        await world.logs.entries(log_id, 300, 300)
