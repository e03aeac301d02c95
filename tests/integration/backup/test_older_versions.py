"""PostgreSQL 14, 16 and 17: taken, streamed, restored to a moment, verified; with what each of them can."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installation import eventually
from tests.protected import OLDER, Protected
from tests.receiving_parts import receiving, wal_in
from tests.restorable import CLOCK, DATABASE, Noted, Restorable
from tests.verified import Verified

from holdfast.adapters.postgres.replication.probing import LocalStandbys
from holdfast.adapters.postgres.replication.readiness import readiness
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.errors import IncrementRefused
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import BackupKind, Target, TargetKind
from holdfast.backup.restore.preflight import Way
from holdfast.backup.search.finding import Asked, Finder
from holdfast.backup.search.searching import Question
from holdfast.backup.take.readiness import SlotState
from holdfast.backup.verify.verification import Standing
from holdfast.backup.wal.wal_pages import MAGICS

WHOLE = "SELECT count(*) = 5000 FROM plain"


@pytest.fixture(scope="module", params=sorted(OLDER))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """A small server with two tablespaces beside its own."""
    folder = tmp_path_factory.mktemp(f"version-{request.param}")
    started = Protected(folder / "server", bin_dir=OLDER[request.param], segment_mb=1).start()
    for name in ("fast", "slow"):
        (folder / name).mkdir(mode=0o700)
        started.own(folder / name)
        started.sql(f"CREATE TABLESPACE {name} LOCATION '{folder / name}'")
        started.sql(f"CREATE TABLE {name} TABLESPACE {name} AS SELECT n FROM generate_series(1, 300) AS n")
    started.sql("CREATE TABLE plain AS SELECT n, md5(n::text) AS text FROM generate_series(1, 5000) AS n")
    started.sql("CREATE TABLE account (id int PRIMARY KEY, balance int)")
    started.sql("INSERT INTO account SELECT n, 100 FROM generate_series(1, 50) AS n")
    yield started
    started.remove()


def test_it_is_taken_streamed_restored_verified_and_searched(server: Protected, tmp_path: Path) -> None:
    stored = Restorable(server)
    region = stored.regions[0]
    increments = server.binaries.major >= 17
    with receiving(server.params, tmp_path / "spool", stored.regions, database=DATABASE):
        stored.take()
        server.sql("UPDATE plain SET text = 'changed' WHERE n = 1")
        second = stored.take(full=not increments)
        assert second.kind is (BackupKind.INCREMENTAL if increments else BackupKind.FULL)
        assert [each.oid == 0 for each in second.archives] == [False, False, True]
        server.sql("INSERT INTO slow SELECT n FROM generate_series(301, 400) AS n")
        moment = server.value("SELECT clock_timestamp()")
        time.sleep(0.01)
        server.sql("DELETE FROM slow; UPDATE account SET balance = balance + 1 WHERE id < 20")
        with server.connect() as connection, connection.transaction():
            connection.execute("UPDATE account SET balance = -1 WHERE id = 7")
            row = connection.execute("SELECT txid_current()").fetchone()
        wrong = row[0] if row else 0
        server.sql("UPDATE account SET balance = balance + 1 WHERE id > 20")
        # A whole answer of the server stands behind the last commit, which is asynchronous to nobody here.
        end = parse_lsn(server.value("SELECT pg_current_wal_flush_lsn()::text"))
        eventually(
            lambda: any(
                each.start + len(content) >= end for each, content in wal_in(region, DATABASE).items()
            ),
            "the log is in the region",
        )
    (magic,) = {content[:2] for content in wal_in(region, DATABASE).values()}
    assert MAGICS[int.from_bytes(magic, "little")] == server.binaries.major

    restored = stored.restorer().restore(
        stored.plan(Target(TargetKind.TIME, moment)), tmp_path / "copy", Way()
    )
    try:
        counts = (
            "SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM fast), (SELECT count(*) FROM slow)"
        )
        asked = restored.copy.ask("postgres", counts, 60.0)
        assert (asked.error, asked.rows) == ("", (("5000", "300", "400"),))
    finally:
        restored.copy.stop()

    verified = Verified(stored, tmp_path / "verified").newest({"whole": WHOLE}, fresh=True)
    assert (verified.standing, verified.problems) == (Standing.PASSED, ())
    assert {each.name: each.rows for each in verified.tables}["postgres.public.slow"] == 0

    programs = LocalStandbys(server.binaries.folder)
    finder = Finder(DATABASE, region, [], stored.packer, programs, tmp_path / "scratch", CLOCK, Noted())
    found = finder.find(Asked(Question("SELECT bool_and(balance >= 0) FROM account", "postgres", 20.0)))
    assert found.outcome.turn
    after = found.outcome.turn.after
    assert (after.commit.xid, after.kind) == (wrong, "UPDATE")
    assert [(each.table, each.updated) for each in after.tables] == [("public.account", 1)]


def test_it_says_what_it_lets_us_do(server: Protected) -> None:
    PostgresSource(server.params).make_slot("holdfast_asked")
    told = readiness(server.params, "holdfast_asked")
    PostgresSource(server.params).drop_slot("holdfast_asked")
    assert (told.version // 10_000, told.sql_refused) == (server.binaries.major, "")
    assert told.slot == SlotState(is_active=False, is_lost=False)
    assert told.settings["wal_level"] == "replica"
    assert ("summarize_wal" in told.settings) == (server.binaries.major >= 17)


def test_only_17_and_later_take_an_increment(server: Protected) -> None:
    if server.binaries.major < 17:
        source = PostgresSource(server.params)
        wanted = pytest.raises(IncrementRefused, match=f"{server.binaries.major} takes no incremental")
        with wanted, source.base_backup(label="x", parent_manifest=b"{}") as events:
            next(events)


def test_a_slot_tells_the_timeline_that_its_place_is_on(server: Protected) -> None:
    source = PostgresSource(server.params)
    before = source.make_slot("holdfast_before")
    assert before == source.make_slot("holdfast_before")
    assert before.timeline == 1
    assert before.restart is not None
    server.sql("CREATE TABLE more AS SELECT 1 AS n")
    server.stop()
    (server.data / "recovery.signal").touch()
    server.own(server.data / "recovery.signal")
    server.settings["restore_command"] = "false"
    server.start()
    eventually(lambda: source.identify().timeline == 2, "the second timeline")
    assert source.slot("holdfast_before") == before
    server.sql("CHECKPOINT")
    after = source.make_slot("holdfast_after")
    assert after.timeline == 2
    for name in ("holdfast_before", "holdfast_after"):
        source.drop_slot(name)
        source.drop_slot(name)
        assert source.slot(name) is None
