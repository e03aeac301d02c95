"""Completeness where only PostgreSQL can say: rights, what dies in the middle, what retention took."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.completeness import PostgresCompleteness
from holdfast.adapters.postgres.ledger.completeness_folds import CompletenessFold, MetersFold
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.tenancy import as_tenant
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.completeness.judging import ClaimMade, Judge, Settling
from holdfast.ledger.completeness.meters import Counter, Reading, Verdict, judged
from holdfast.ledger.following import Follower
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Kind, Prepared, Record, Status

if TYPE_CHECKING:
    from conftest import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TABLES = (
    "standing", "gap", "clock", "claim", "reading", "metered_device", "metered", "settled", "concern",
)  # fmt: skip


class Kept:
    """A ledger on PostgreSQL, through the role that serves it."""

    def __init__(self, pool: Pool) -> None:
        packs = ZstdSegments()
        self.pool = pool
        self.logs = PostgresLogs(pool, packs)
        self.following = PostgresFollowing(pool, packs)
        self.store = PostgresCompleteness(pool, self.following, self.logs)
        self.folds = [CompletenessFold(pool), MetersFold(pool, self.following, self.logs)]
        self.follower = Follower(self.following, self.folds)
        self.sequencer = Sequencer(
            self.logs,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )

    async def append(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        sources, epochs, seqs = map(list, columns)
        batch = Prepared(records[0].tenant, leaves, leaf_hashes(leaves), numbered(sources, epochs, seqs))
        await self.sequencer.append([batch])

    async def fold(self) -> None:
        while (await self.follower.round()).more:
            pass


@asynccontextmanager
async def kept(database: "Database", role: Role = Role.LEDGER) -> AsyncIterator[Kept]:
    async with open_pool(database.conninfo(role), "test", max_size=6) as pool:
        yield Kept(pool)


def record(
    seq: int, at: datetime = NOON, *, tenant: str = "acme", source: str = "a", **more: object
) -> Record:
    fields = {"epoch": 1, "job": f"{source}-{seq}", "kind": Kind.PRINT, "status": Status.COMPLETED}
    return Record(**{**fields, "occurred_at": at, "seq": seq, "source": source, "tenant": tenant, **more})  # type: ignore[arg-type]


async def filled(ledger: Kept, tenant: str) -> None:
    """Something in every table."""
    await ledger.append(
        record(1, tenant=tenant, device="d", sheets={"A4": 1}),
        record(5, datetime(1970, 1, 1, tzinfo=UTC), tenant=tenant),
    )
    hour = timedelta(hours=1)
    readings = [Reading("d", Counter.SHEETS, NOON + n * hour, n + 1) for n in (-1, 1)]
    await ledger.store.read_meters(tenant, "a", readings)
    await ledger.store.claim(tenant, "a", [ClaimMade(1, 7)])
    await ledger.store.settle(Settling(tenant, "gap", "a", "lost", 1, 2, 2), actor="ada", at=NOON)
    await ledger.fold()
    far = datetime.now(UTC) + timedelta(days=2)
    await Judge(ledger.store, ManualClock(far), gap_after=timedelta(days=1)).look()


async def test_tenants_see_none_of_each_other(migrated_database: "Database") -> None:
    async with kept(migrated_database) as ledger:
        for tenant in ("acme", "other"):
            await filled(ledger, tenant)
    async with open_pool(migrated_database.conninfo(Role.CONSOLE), "test") as pool:
        for table in TABLES:
            query = f"SELECT DISTINCT tenant FROM ledger.{table} ORDER BY tenant"
            if table == "metered":  # of the first device, and of the second one
                query = "SELECT DISTINCT (ARRAY['acme', 'other'])[device_id] FROM ledger.metered ORDER BY 1"
            for seen, expected in (
                ("acme", ["acme"]),
                ("other", ["other"]),
                ("*", ["acme", "other"]),
                ("", []),
                ("nobody", []),
            ):
                async with as_tenant(pool, seen) as connection:
                    rows = await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]
                assert [tenant for (tenant,) in rows] == expected, (table, seen)
            async with pool.connection() as connection:
                assert await (await connection.execute(query)).fetchall() == [], table  # type: ignore[arg-type]
        # Who reads for people reads everything that the pages show, and changes nothing.
        reading = PostgresCompleteness(pool)
        judge = Judge(reading, ManualClock(datetime.now(UTC)), gap_after=timedelta(days=1))
        assert [each.log.tenant for each in await judge.status()] == ["acme", "other"]
        assert (await judge.found("acme")).missing
        for table in TABLES:
            async with pool.connection() as connection:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await connection.execute(f"DELETE FROM ledger.{table}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.reading SET value = 0",
        "DELETE FROM ledger.reading",
        "UPDATE ledger.settled SET reason = 'x'",
        "DELETE FROM ledger.settled",
        "TRUNCATE ledger.settled",
        "DELETE FROM ledger.concern",
        "UPDATE ledger.concern SET since = now()",
        "TRUNCATE ledger.gap",
    ],
)
async def test_who_serves_changes_nothing_that_was_told(
    migrated_database: "Database", statement: str
) -> None:
    async with kept(migrated_database) as ledger:
        await filled(ledger, "acme")
        async with ledger.pool.connection() as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)  # type: ignore[arg-type]


async def test_a_fold_that_dies_in_the_middle_leaves_nothing_and_is_done_again(
    migrated_database: "Database",
) -> None:
    """It waits for a table that we hold, with half of its work done, and its connection is cut."""
    async with kept(migrated_database) as ledger:
        await ledger.append(record(1), record(4), record(6, datetime(1970, 1, 1, tzinfo=UTC)))
        with migrated_database.connect() as holder, holder.transaction():
            holder.execute("LOCK TABLE ledger.clock IN ACCESS EXCLUSIVE MODE")
            folding = asyncio.create_task(ledger.follower.round())
            with migrated_database.connect() as watching:
                waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
                pids: list[tuple[int]] = []
                while not pids:
                    await asyncio.sleep(0.01)
                    pids = watching.execute(waiting, [migrated_database.name]).fetchall()
                for (pid,) in pids:
                    watching.execute("SELECT pg_terminate_backend(%s)", [pid])
            with suppress(Exception):
                await folding
        with migrated_database.connect() as looking:
            for table in ("standing", "gap", "clock"):
                assert looking.execute(f"SELECT count(*) FROM ledger.{table}").fetchone() == (0,)  # type: ignore[arg-type]
        await ledger.fold()
        assert [(each.first, each.last) for each in await ledger.store.gaps("acme")] == [(2, 3), (5, 5)]
        assert [each.entries for each in await ledger.store.standings("acme")] == [3]
        assert [each.marked for each in await ledger.store.clocks("acme")] == [1]


async def test_many_folds_at_once_count_each_entry_once(migrated_database: "Database") -> None:
    async with kept(migrated_database) as one, kept(migrated_database) as two:
        numbers = list(range(1, 401))
        Random(7).shuffle(numbers)
        readings = [Reading("d", Counter.SHEETS, NOON + timedelta(days=n), 400 * n) for n in (0, 1)]

        async def come() -> None:
            for at in range(0, 400, 20):
                await one.append(
                    *(
                        record(n, NOON + timedelta(seconds=n), device="d", sheets={"A4": 1})
                        for n in numbers[at : at + 20]
                    )
                )
                if at == 200:
                    await one.store.read_meters("acme", "a", readings)

        coming = asyncio.create_task(come())
        while not coming.done():
            await asyncio.gather(*(each.follower.round() for each in (one, two, one)))
            await two.store.meter_new_devices()
        await coming
        await one.fold()
        assert await one.store.gaps("acme") == []
        [standing] = await one.store.standings("acme")
        assert (standing.lowest, standing.highest, standing.entries) == (1, 400, 400)
        await one.store.meter_new_devices()
        [stretch] = judged(await one.store.stretches("acme", NOON))
        assert (stretch.recorded, stretch.jobs, stretch.verdict) == (400, 400, Verdict.AGREES)


async def test_what_retention_took_before_it_was_folded_is_not_missing(migrated_database: "Database") -> None:
    async with kept(migrated_database) as ledger:
        await ledger.append(*(record(n) for n in (1, 2, 3, 7)))
        await ledger.append(record(9))
        with migrated_database.connect() as owner:
            owner.execute("DELETE FROM ledger.segment WHERE first = 0")
        await ledger.fold()
        assert [(each.first, each.last) for each in await ledger.store.gaps("acme")] == [(4, 6), (8, 8)]
        [standing] = await ledger.store.standings("acme")
        assert (standing.lowest, standing.highest, standing.entries, standing.leaf) == (1, 9, 5, 4)


async def test_a_source_that_numbers_at_random_holds_nobody_up(migrated_database: "Database") -> None:
    """A stolen token may post what it likes under its own source: its gaps are many, and a part is read."""
    async with kept(migrated_database) as ledger:
        random = Random(3)
        seqs = random.sample(range(2**52), 6_000)
        await ledger.append(*(record(n) for n in sorted(seqs[:3000])))
        await ledger.append(*(record(n) for n in sorted(seqs[3000:])))
        await ledger.append(record(1, source="b"), record(3, source="b"))
        await ledger.fold()
        expected, last = 0, 0
        for seq in sorted(seqs):
            expected += seq > last + 1
            last = seq
        assert len(await ledger.store.gaps("acme", "a", most=10_000)) == expected
        found = await ledger.store.gaps("acme", most=10)
        assert len(found) == 11
        assert [(each.first, each.last) for each in found if each.source == "b"] == [(2, 2)]
