"""Retention in the database: partitions, rights, and several at once. Promises of any store are elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseBusy
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.retention import PostgresRetention
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.persons.retention import Pruner

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture
async def pool(migrated_database: "Database") -> AsyncIterator[Pool]:
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test") as pool:
        yield pool


async def append(pool: Pool, tenant: str, first: int, count: int) -> int:
    leaves = [f"{tenant} {seq}".encode() for seq in range(first, first + count)]
    batch = Prepared(
        tenant,
        leaves,
        leaf_hashes(leaves),
        [Numbered("a", 1, first, count)],
    )
    sequencer = Sequencer(
        PostgresLogs(pool, ZstdSegments()),
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )
    return (await sequencer.append([batch])).placed[0].log_id


def owner(database: "Database", *statements: str) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        for each in statements:
            cursor = connection.execute(each.encode())
        return cursor.fetchall() if cursor.description else []


def older(database: "Database", days: int) -> None:
    """All growths came so many days earlier. Segments go to the partitions of then."""
    owner(
        database,
        f"UPDATE ledger.growth SET at = at - interval '{days} days'",
        f"UPDATE ledger.segment SET at = at - interval '{days} days'",
    )


def declare(database: "Database", tenant: str, keep_days: int) -> None:
    owner(
        database,
        "INSERT INTO ledger.keeping (tenant, since, keep_days)"
        f" VALUES ('{tenant}', now() - interval '99 days', {keep_days})",
    )


def partitions(database: "Database") -> dict[str, int]:
    names = [
        str(name)
        for (name,) in owner(
            database,
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'ledger.segment'::regclass ORDER BY 1",
        )
    ]
    return {
        name.removeprefix("ledger."): int(str(owner(database, f"SELECT count(*) FROM {name}")[0][0]))
        for name in names
    }


async def test_a_partition_of_which_nothing_is_kept_is_dropped_whole(
    pool: Pool, migrated_database: "Database"
) -> None:
    retention = PostgresRetention(pool)
    then = datetime.now(UTC) - timedelta(days=70)
    name = await retention.make_partition(then)
    assert name == f"segment_{then:%Y%m}"
    logs = {tenant: await append(pool, tenant, 0, 256) for tenant in ("acme", "other")}
    older(migrated_database, 70)
    assert partitions(migrated_database)[name] == 2
    for tenant, log_id in logs.items():
        declare(migrated_database, tenant, 30)
        owner(migrated_database, f"INSERT INTO ledger.published VALUES ({log_id}, 256, '')")

    assert await retention.prune(logs["acme"], [], actor="olga") == 256
    assert (await retention.drop()).partitions == ()  # the other tenant's are in it
    assert await retention.prune(logs["other"], [], actor="olga") == 256
    gone = await retention.drop()
    assert (gone.partitions, gone.segments) == ((name,), 2)
    assert gone.bytes > 0
    assert name not in partitions(migrated_database)
    assert (await retention.sweep(10)).segments == 0
    with pytest.raises(EntriesPruned):
        await PostgresLogs(pool, ZstdSegments()).entries(logs["acme"], 0, 1)


async def test_what_is_kept_in_a_partition_keeps_it(pool: Pool, migrated_database: "Database") -> None:
    retention = PostgresRetention(pool)
    then = datetime.now(UTC) - timedelta(days=70)
    name = await retention.make_partition(then)
    assert name is not None
    for tenant in ("acme", "forever"):
        log_id = await append(pool, tenant, 0, 256)
        owner(migrated_database, f"INSERT INTO ledger.published VALUES ({log_id}, 256, '')")
    older(migrated_database, 70)
    declare(migrated_database, "acme", 30)
    pruned = await Pruner(retention, SystemClock(), []).prune({"acme": 30, "forever": None}, actor="olga")
    assert (pruned.gone.partitions, pruned.gone.segments) == ((), 1)
    assert partitions(migrated_database)[name] == 1
    assert len(await PostgresLogs(pool, ZstdSegments()).entries(log_id, 0, 256)) == 256


async def test_a_month_without_a_partition_is_moved_out_of_the_rest(
    pool: Pool, migrated_database: "Database"
) -> None:
    retention = PostgresRetention(pool)
    log_id = await append(pool, "acme", 0, 300)
    older(migrated_database, 400)
    await append(pool, "acme", 300, 10)
    assert partitions(migrated_database)["segment_beyond"] == 1
    then = datetime.now(UTC) - timedelta(days=400)
    made = await asyncio.gather(*(retention.make_partition(then) for _ in range(4)))  # several at once
    assert sorted(filter(None, made)) == [f"segment_{then:%Y%m}"]
    assert partitions(migrated_database)["segment_beyond"] == 0
    assert partitions(migrated_database)[f"segment_{then:%Y%m}"] == 1
    assert len(await PostgresLogs(pool, ZstdSegments()).entries(log_id, 0, 310)) == 310


async def test_partitions_are_made_ahead(pool: Pool, migrated_database: "Database") -> None:
    today = datetime.now(UTC)
    assert f"segment_{today:%Y%m}" in partitions(migrated_database)
    clock = ManualClock(datetime(2031, 11, 30, 23, 59, tzinfo=UTC))
    pruner = Pruner(PostgresRetention(pool), clock, [])
    assert await pruner.make_ahead() == ["segment_203111", "segment_203112", "segment_203201"]
    assert await pruner.make_ahead() == []


async def test_dropping_waits_for_no_reader(pool: Pool, migrated_database: "Database") -> None:
    retention = PostgresRetention(pool)
    await retention.make_partition(datetime.now(UTC) - timedelta(days=70))  # empty, and over
    with migrated_database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM ledger.segment")
        with pytest.raises(DatabaseBusy):
            await retention.drop()
    assert len((await retention.drop()).partitions) == 1


async def test_two_who_prune_at_once_prune_once(pool: Pool, migrated_database: "Database") -> None:
    log_id = await append(pool, "acme", 0, 256)
    older(migrated_database, 70)
    declare(migrated_database, "acme", 30)
    owner(migrated_database, f"INSERT INTO ledger.published VALUES ({log_id}, 256, '')")
    both = [Pruner(PostgresRetention(pool), SystemClock(), []) for _ in range(3)]
    found = await asyncio.gather(*(each.prune({"acme": 30}, actor="olga") for each in both))
    assert sum(each.gone.segments for each in found) == 1
    assert owner(migrated_database, "SELECT count(*) FROM ledger.pruned") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.segment",
        "TRUNCATE ledger.segment",
        "UPDATE ledger.segment SET entries = ''",
        "DELETE FROM ledger.segment_beyond",
        "DROP TABLE ledger.segment_beyond",
        "INSERT INTO ledger.pruned (log_id, up_to, older_than) VALUES (1, 1, now())",
        "INSERT INTO ledger.keeping (tenant, since, keep_days) VALUES ('acme', now() - interval '1 year', 1)",
        "UPDATE ledger.keeping SET keep_days = 1",
        "DELETE FROM ledger.keeping",
        "DELETE FROM ledger.hold",
        "UPDATE ledger.hold SET tenant = 'other'",
        "DELETE FROM ledger.person",
        "UPDATE ledger.person SET sealed = ''",
        "DELETE FROM ledger.erasure",
        "UPDATE ledger.erasure SET pseudonym = ''",
    ],
)
async def test_who_serves_takes_nothing_away_by_themselves(
    migrated_database: "Database", statement: str
) -> None:
    with (
        migrated_database.connect(Role.LEDGER) as serving,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        serving.execute(statement.encode())


async def test_who_serves_cannot_make_a_keep_count_before_its_week_is_over(
    pool: Pool, migrated_database: "Database"
) -> None:
    log_id = await append(pool, "acme", 0, 256)
    older(migrated_database, 4000)
    owner(migrated_database, f"INSERT INTO ledger.published VALUES ({log_id}, 256, '')")
    with migrated_database.connect(Role.LEDGER) as serving:
        serving.execute("INSERT INTO ledger.keeping (tenant, keep_days) VALUES ('acme', 1)")
        assert serving.execute("SELECT ledger.prune(1, '{}')").fetchall() == [(0,)]
        assert serving.execute("SELECT segments FROM ledger.sweep_pruned(1000)").fetchall() == [(0,)]
    for role in (Role.CONSOLE, Role.SITE, Role.CONTROLLER):
        with (
            migrated_database.connect(role) as other,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            other.execute("SELECT ledger.prune(1, '{}')")


async def test_the_console_sees_its_tenants_holds_and_nobodys_sealed_data(
    pool: Pool, migrated_database: "Database"
) -> None:
    retention = PostgresRetention(pool)
    for tenant in ("acme", "other"):
        await retention.place_hold(tenant, f"order about {tenant}", actor="olga")
    with migrated_database.connect(Role.CONSOLE) as console:
        assert console.execute("SELECT * FROM ledger.hold").fetchall() == []
        console.execute("SELECT set_config('holdfast.tenant', 'acme', false)")
        assert console.execute("SELECT reason FROM ledger.hold").fetchall() == [("order about acme",)]
        console.execute("SELECT set_config('holdfast.tenant', '*', false)")
        assert console.execute("SELECT count(*) FROM ledger.hold").fetchall() == [(2,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            console.execute("SELECT * FROM ledger.person")
