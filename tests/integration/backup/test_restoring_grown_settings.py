"""Recovery pauses where WAL asks for larger settings than a copy has: that is never its target."""

import time
from datetime import datetime
from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, Protected
from tests.restorable import Noted, Restorable

from holdfast.backup.errors import NotRecoverable
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import Target, TargetKind

PROBE = "SELECT string_agg(i::text, ' ' ORDER BY i) FROM t"


def _keeps_wal(server: Protected) -> Restorable:
    server.sql("ALTER SYSTEM SET wal_keep_size = '512MB'")
    server.sql("SELECT pg_reload_conf()")
    return Restorable(server)


def _grown(server: Protected, **settings: str) -> None:
    server.stop()
    server.settings |= settings
    server.start()


def _with_everything_raised(protected: Protected) -> tuple[Restorable, dict[str, tuple[Target, str]]]:
    """A backup, then each setting raised in two restarts; and targets of each kind behind that."""
    stored = _keeps_wal(protected)
    protected.sql("CREATE TABLE t (i int)")
    protected.sql("INSERT INTO t VALUES (1)")
    stored.take()
    protected.sql("INSERT INTO t VALUES (2)")
    _grown(protected, max_connections="120", max_worker_processes="12")
    protected.sql("INSERT INTO t VALUES (3)")
    _grown(protected, max_wal_senders="20", max_prepared_transactions="5", max_locks_per_transaction="90")
    protected.sql("INSERT INTO t VALUES (4)")
    moment: datetime = protected.value("SELECT clock_timestamp()")
    time.sleep(0.01)
    place = parse_lsn(protected.value("SELECT pg_current_wal_insert_lsn()::text"))
    with protected.connect() as connection, connection.transaction():
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        connection.execute("INSERT INTO t VALUES (5)")
    protected.sql("INSERT INTO t VALUES (6)")
    stored.store_wal()
    return stored, {
        "time": (Target(TargetKind.TIME, time=moment), "1 2 3 4"),
        "lsn": (Target(TargetKind.LSN, lsn=place, inclusive=False), "1 2 3 4"),
        "xid": (Target(TargetKind.XID, xid=int(row[0])), "1 2 3 4 5"),
        "latest": (Target(), "1 2 3 4 5 6"),
    }


def test_every_kind_of_target_is_met_behind_settings_that_were_raised(
    protected: Protected, tmp_path: Path
) -> None:
    stored, wanted = _with_everything_raised(protected)

    for name, (target, rows) in wanted.items():
        progress = Noted()
        restored = stored.restorer(progress=progress).restore(stored.plan(target), tmp_path / name)
        try:
            assert restored.copy.ask("postgres", PROBE, 60.0).rows == ((rows,),), name
            assert restored.at_target == (name != "latest")
            again = [each for each in progress.notes if "started again" in each]
            assert len(again) == 2
            assert "max_connections = 120, max_worker_processes = 12" in again[0]
            assert restored.copy.ask("postgres", "SHOW max_locks_per_transaction", 60.0).rows == (("90",),)
        finally:
            restored.copy.stop()

    with pytest.raises(NotRecoverable, match="no transaction 4000000 ends"):
        stored.restorer().restore(stored.plan(Target(TargetKind.XID, xid=4000000)), tmp_path / "none")


def test_whoever_starts_such_a_copy_next_has_room_for_its_recovery(
    protected: Protected, tmp_path: Path
) -> None:
    stored, wanted = _with_everything_raised(protected)
    target, rows = wanted["time"]
    restorer, plan = stored.restorer(), stored.plan(target)
    restored = restorer.restore(plan, tmp_path / "copy")
    restorer.finish(plan, restored, promote=False, keep_running=False)

    # With the settings of the time of the backup.
    operators = Protected(tmp_path / "operators", bin_dir=protected.binaries.folder)
    (tmp_path / "copy").rename(operators.data)
    operators.start()
    try:
        while operators.value("SELECT pg_is_in_recovery()"):
            time.sleep(0.02)
        assert operators.value(PROBE) == rows
    finally:
        operators.stop()


def test_a_debian_server_of_an_older_version_comes_back_at_a_moment(tmp_path: Path) -> None:
    protected = Protected(tmp_path / "debian", bin_dir=DEBIAN_15)
    try:
        protected.start()
        stored = _keeps_wal(protected)
        protected.sql("CREATE TABLE t (i int)")
        protected.sql("INSERT INTO t VALUES (1)")
        stored.take()
        _grown(protected, max_connections="70")
        protected.sql("INSERT INTO t VALUES (2)")
        moment: datetime = protected.value("SELECT clock_timestamp()")
        time.sleep(0.01)
        protected.sql("INSERT INTO t VALUES (3)")
        stored.store_wal()
        plan = stored.plan(Target(TargetKind.TIME, time=moment))
        assert plan.backup.server_version // 10000 == 15

        restorer = stored.restorer()
        restored = restorer.restore(plan, tmp_path / "copy")

        try:
            assert restored.at_target
            assert restored.copy.ask("postgres", PROBE, 60.0).rows == (("1 2",),)
            version = restored.copy.ask("postgres", "SHOW server_version_num", 60.0).rows[0][0]
            assert version is not None
            assert version.startswith("15")
            restorer.finish(plan, restored, promote=True, keep_running=True)
            # What it says of itself lies in its own folder, and nothing was an error.
            ours = tmp_path / "copy" / "holdfast-restore"
            assert (ours / "server.pid").is_file()
            assert "external PID file" not in (ours / "server.log").read_text(encoding="utf-8")
        finally:
            restored.copy.stop()
    finally:
        protected.remove()
