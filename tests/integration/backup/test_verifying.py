"""Verification of real copies of a real server: what is right passes, and each thing that is wrong is named."""

from pathlib import Path

from tests.protected import Protected
from tests.restorable import CLOCK, DATABASE, Restorable
from tests.verified import Verified

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.holdings import holdings_of
from holdfast.backup.invariants import Outcome
from holdfast.backup.verification import How, Standing, Subject, verifications_in

HAS_ORDERS = {"orders": "SELECT count(*) >= 2000 FROM orders"}


def with_orders(server: Protected, rows: int = 2000) -> None:
    server.sql(
        "CREATE TABLE orders AS SELECT i AS id, now() AS at, md5(i::text) AS what "
        f"FROM generate_series(1, {rows}) i"
    )


def test_the_newest_point_is_restored_looked_at_and_recorded(protected: Protected, tmp_path: Path) -> None:
    regions = [MemoryRegion("eu"), MemoryRegion("us")]
    stored = Restorable(protected, regions)
    with_orders(protected)
    protected.sql("CREATE UNLOGGED TABLE sessions AS SELECT 1 AS x")
    backup = stored.take()
    protected.sql("INSERT INTO orders SELECT 2001, now(), 'newest'")
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies")

    record = verified.newest(HAS_ORDERS, {"orders": "SELECT max(at) FROM orders;"})

    assert record.standing is Standing.PASSED, record.problems
    assert record.how is How.FRESH
    assert record.chain == (backup.id,)
    assert [(each.key, each.outcome) for each in record.checks] == [("orders", Outcome.HOLDS)]
    assert record.newest[0].age_s is not None
    assert 0 <= record.newest[0].age_s < 60
    assert {each.name: each.rows for each in record.tables}["postgres.public.orders"] == 2001
    assert all(each.is_exact for each in record.tables)
    assert record.unlogged == ("postgres.public.sessions",)
    assert record.pages.why_not == ""
    assert record.pages.pages > 100
    assert record.pages.bad_count == 0
    assert record.size_bytes is not None
    assert record.size_bytes > 1_000_000
    assert record.fetched_bytes >= backup.stored_bytes
    phases = [each.name for each in record.phases]
    assert phases == ["fetching", "syncing", "first answer", "replaying", "checks", "pages"]
    assert verified.told == ["backup.verification_passed"]
    for region in regions:
        assert verifications_in(region, DATABASE) == [record]
    assert holdings_of(regions[0], DATABASE, CLOCK).suspects == ()


def test_the_copy_that_stays_is_rolled_forward_by_wal_alone(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    with_orders(protected, 20_000)
    backup = stored.take()
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies")
    fresh = verified.newest(HAS_ORDERS)
    protected.sql("INSERT INTO orders SELECT 0, now(), 'one more'; CHECKPOINT")
    stored.store_wal()

    warm = verified.newest({"more": "SELECT count(*) = 20001 FROM orders"})
    again = verified.newest({"more": "SELECT count(*) = 20001 FROM orders"})

    assert fresh.how is How.FRESH
    for record in (warm, again):
        assert record.standing is Standing.PASSED, record.problems
        assert record.how is How.WARM
        assert record.pages.bad_count == 0
        assert record.reached_at is not None
    assert fresh.reached_lsn is not None
    assert warm.reached_lsn is not None
    assert warm.reached_lsn > fresh.reached_lsn
    keys = {chunk.key for archive in backup.archives for chunk in archive.chunks}
    region = stored.regions[0]
    assert isinstance(region, MemoryRegion)
    assert sum(what == "get" and key in keys for what, key in region.calls) == len(keys)


def test_a_check_that_became_false_is_told_and_what_came_since_is_suspect(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected, [MemoryRegion("eu", locks=True), MemoryRegion("us")])
    with_orders(protected)
    backup = stored.take()
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies")
    good = verified.newest(HAS_ORDERS)
    protected.sql("DELETE FROM orders")
    stored.store_wal()

    record = verified.newest(HAS_ORDERS)

    assert record.standing is Standing.FAILED
    assert [(each.subject, each.text) for each in record.problems] == [
        (Subject.INVARIANT, "check orders: it returned false")
    ]
    assert "postgres.public.orders has 0 rows; it had 2,000" in record.remarks
    assert verified.told[-2:] == ["backup.suspicion_raised", "backup.verification_failed"]
    for region in stored.regions:
        (mark,) = holdings_of(region, DATABASE, CLOCK).suspects
        assert mark.since == good.reached_at
        assert "check orders" in mark.reason
    locked = stored.regions[0].locked_until(backup.manifest.key)
    assert locked is not None
    assert locked > CLOCK.now()
    verified.newest(HAS_ORDERS)
    assert len(holdings_of(stored.regions[0], DATABASE, CLOCK).suspects) == 1
