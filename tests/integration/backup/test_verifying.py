"""Verification of real copies of a real server: what is right passes, and what is wrong is named."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.protected import Protected
from tests.receiving_parts import until
from tests.restorable import CLOCK, DATABASE, Restorable
from tests.verified import Verified

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import NotFit
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.journal import this_boot
from holdfast.backup.restore.preflight import Way
from holdfast.backup.verify.invariants import Outcome
from holdfast.backup.verify.looking import Wanted
from holdfast.backup.verify.verification import How, Standing, Subject, verifications_in
from holdfast.backup.verify.verified_points import Which, older
from holdfast.backup.verify.warm import Roll, footing

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
    assert phases == ["fetch", "unpack", "counting", "first answer", "replay", "checks", "pages"]
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
    for _ in range(3):
        protected.sql("SELECT pg_switch_wal()")
        protected.sql("INSERT INTO orders SELECT 0, now(), 'one more'")
    stored.store_wal()

    warm = verified.newest({"more": "SELECT count(*) = 20003 FROM orders"})
    again = verified.newest({"more": "SELECT count(*) = 20003 FROM orders"})
    protected.sql("CHECKPOINT")
    stored.store_wal()
    behind = verified.newest({"more": "SELECT count(*) = 20003 FROM orders"})

    assert fresh.how is How.FRESH
    for record in (warm, again, behind):
        assert record.standing is Standing.PASSED, record.problems
        assert record.how is How.WARM
        assert record.pages.bad_count == 0
        assert record.reached_at is not None
    assert fresh.reached_lsn is not None
    assert warm.reached_lsn is not None
    assert warm.reached_lsn > fresh.reached_lsn
    # Counted work: no chunk again, and of the log only what the copy has not got yet.
    assert again.wal_bytes < warm.wal_bytes
    assert warm.fetched_bytes < fresh.fetched_bytes
    keys = {chunk.key for archive in backup.archives for chunk in archive.chunks}
    region = stored.regions[0]
    assert isinstance(region, MemoryRegion)
    assert sum(what == "get" and key in keys for what, key in region.calls) == len(keys)


def test_a_check_that_became_false_is_told_and_what_came_since_is_suspect(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected, [MemoryRegion("eu", locks=True), MemoryRegion("us")])
    protected.sql("ALTER SYSTEM SET wal_keep_size = '256MB'")
    protected.sql("SELECT pg_reload_conf()")
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
    assert [(each.backup, each.deletes) for each in good.wal] == [("", 0)]
    assert [(each.backup, each.deletes, each.drops) for each in record.wal] == [("", 2000, 0)]
    assert verified.told[-2:] == ["backup.suspicion_raised", "backup.verification_failed"]
    for region in stored.regions:
        (mark,) = holdings_of(region, DATABASE, CLOCK).suspects
        assert mark.since == good.reached_at
        assert "check orders" in mark.reason
    locked = stored.regions[0].locked_until(backup.manifest.key)
    assert locked is not None
    assert locked > CLOCK.now()
    protected.sql("INSERT INTO orders VALUES (1); DELETE FROM orders; DROP TABLE orders")
    newer = stored.take()
    stored.store_wal()
    # Laid out from the newer backup: the log before it is not in the copy, and is fetched to be counted.
    again = verified.newest(HAS_ORDERS, fresh=True)
    assert [(each.backup, each.deletes) for each in again.wal] == [(newer.id, 2001), ("", 0)]
    assert again.wal[0].drops >= 1
    assert not [each for each in again.remarks if "counted" in each]
    assert len(holdings_of(stored.regions[0], DATABASE, CLOCK).suspects) == 1


def test_a_flipped_bit_in_a_stored_chunk_is_found_in_that_region(
    protected: Protected, tmp_path: Path
) -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    stored = Restorable(protected, [eu, us])
    with_orders(protected)
    backup = stored.take()
    stored.store_wal()
    chunk = backup.archives[0].chunks[-1].key
    eu.damage(chunk, 1000)

    damaged = Verified(stored, tmp_path / "copies", eu).newest(HAS_ORDERS)
    sound = Verified(stored, tmp_path / "copies", us).newest(HAS_ORDERS)

    assert damaged.standing is Standing.FAILED
    (problem,) = damaged.problems
    assert problem.subject is Subject.STORED
    assert chunk in problem.text
    assert damaged.reached_at is None
    assert not (tmp_path / "copies" / "warm-eu" / "copy").exists()
    assert sound.standing is Standing.PASSED, sound.problems
    # The copy is damaged, not the database: nothing is suspect.
    assert holdings_of(us, DATABASE, CLOCK).suspects == ()


def test_a_random_older_moment_is_restored_and_its_copy_goes(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    with_orders(protected)
    backup = stored.take()
    moment = protected.value("SELECT now()")
    protected.sql("INSERT INTO orders SELECT 2001, now(), 'later'")
    stored.store_wal()
    holdings = holdings_of(stored.regions[0], DATABASE, CLOCK)
    (window,) = windows_of(holdings)
    between = replace(window, start=moment, end=moment + timedelta(microseconds=2))
    point = older([between], 7)
    assert point is not None
    assert point.target.time is not None
    verified = Verified(stored, tmp_path / "copies")

    record = verified.point(point, {"not yet": "SELECT count(*) = 2000 FROM orders"})

    assert record.standing is Standing.PASSED, record.problems
    assert (record.which, record.seed) == (Which.OLDER, 7)
    assert record.chain == (backup.id,)
    assert list((tmp_path / "copies").iterdir()) == []
    # What a killed one has left goes with the next; what a person kept stays.
    (tmp_path / "copies/once-eu-20261122T200000Z-aaaaaa/copy").mkdir(parents=True)
    kept = verified.verifier.verify(point, Wanted(), keep=True)
    verified.point(point)
    (left,) = (tmp_path / "copies").iterdir()
    assert left.name.startswith("kept-eu-")
    assert f"the copy stays in {left / 'copy'}" in kept.remarks


def test_false_failed_and_too_long_are_three_things(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    stored.take()
    stored.store_wal()
    checks = {
        "false": "SELECT false",
        "null": "SELECT max(1) > 5 FROM pg_class WHERE false",
        "broken": "SELECT nonsense",
        "many": "SELECT true FROM pg_class",
        "number": "SELECT 5",
        "slow": "SELECT pg_sleep(600) IS NULL",
        "writes": "CREATE TABLE no AS SELECT 1",
        "holds": "SELECT true",
    }

    record = Verified(stored, tmp_path / "copies").newest(
        checks, {"none": "SELECT now() WHERE false"}, timeout_s=1.0
    )

    assert {each.key: each.outcome.value for each in record.checks} == {
        "false": "false",
        "null": "false",
        "broken": "failed",
        "many": "failed",
        "number": "failed",
        "slow": "timeout",
        "writes": "failed",
        "holds": "holds",
    }
    assert record.newest[0].outcome is Outcome.FALSE
    standings = {each.text.split(":")[0].split(" failed")[0]: each.standing for each in record.problems}
    assert standings["check false"] is Standing.FAILED
    assert standings["check broken"] is Standing.UNPROVEN
    assert standings["check slow"] is Standing.UNPROVEN


def test_a_region_that_is_away_proves_nothing_and_harms_nothing(protected: Protected, tmp_path: Path) -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    stored = Restorable(protected, [eu, us])
    stored.take()
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies", eu)
    eu.faults.away = True

    record = verified.newest()

    assert record.standing is Standing.UNPROVEN
    assert verified.told == ["backup.verification_unproven"]
    assert verifications_in(us, DATABASE) == [record]
    eu.faults.away = False
    assert verified.newest().standing is Standing.PASSED


def test_wal_that_is_missing_is_told(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    with_orders(protected)
    stored.take()

    record = Verified(stored, tmp_path / "copies").newest()

    assert record.standing is Standing.FAILED
    assert [each.subject for each in record.problems] == [Subject.CHAIN]


def test_a_promoted_standby_is_followed_and_a_history_that_was_left_is_not(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    with_orders(protected)
    stored.take()
    # Before the standby is made: its checkpoint lets go of the segment that the backup began in.
    stored.store_wal()
    standby = protected.standby(tmp_path / "standby")
    try:
        protected.sql("SELECT pg_switch_wal()")
        protected.sql("INSERT INTO orders SELECT 2001, now(), 'both have it'")
        until(lambda: standby.value("SELECT count(*) FROM orders") == 2001, "the standby")
        stored.store_wal()
        verified = Verified(stored, tmp_path / "copies")
        assert verified.newest(HAS_ORDERS).how is How.FRESH
        standby.promote()
        standby.sql("INSERT INTO orders SELECT 2002, now(), 'on the new timeline'")
        standby.sql("DELETE FROM orders WHERE id <= 30")
        stored.server = standby
        stored.store_wal()

        followed = verified.newest({"followed": "SELECT count(*) = 1972 FROM orders"})

        assert followed.standing is Standing.PASSED, followed.problems
        assert (followed.how, followed.timeline) == (How.WARM, 2)
        (counts,) = followed.wal
        assert (counts.timeline, counts.deletes) == (2, 30)
    finally:
        standby.remove()


def test_a_restore_begins_with_a_clone_of_the_warm_copy(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    with_orders(protected)
    backup = stored.take()
    stored.store_wal()
    verified = Verified(stored, tmp_path / "copies")
    verified.newest(HAS_ORDERS)
    protected.sql("INSERT INTO orders SELECT 2001, now(), 'later'")
    stored.store_wal()
    region = stored.regions[0]
    assert isinstance(region, MemoryRegion)
    region.calls.clear()
    base, to = verified.verifier.warm, tmp_path / "restored"

    with base.held():
        way = footing(base.state(), holdings_of(region, DATABASE, CLOCK), stored.plan(), this_boot())
        assert isinstance(way, Roll)
        base.seed(way.plan, to)
    restored = stored.restorer().restore(way.plan, to, Way(resume=True))

    try:
        assert restored.copy.ask("postgres", "SELECT count(*) FROM orders", 60.0).rows == (("2001",),)
        restored.copy.promote()
        assert not restored.copy.ask("postgres", "SELECT pg_is_in_recovery()", 60.0).error
    finally:
        restored.copy.stop()
    chunks = {chunk.key for archive in backup.archives for chunk in archive.chunks}
    assert not any(what == "get" and key in chunks for what, key in region.calls)
    # The base itself stays what it was.
    assert verified.newest({"all": "SELECT count(*) = 2001 FROM orders"}).how is How.WARM


def test_two_do_not_work_on_one_warm_copy(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    verified = Verified(stored, tmp_path / "copies")
    with verified.verifier.warm.held(), pytest.raises(NotFit, match="somebody else"):
        verified.newest()
