"""Restores of real servers: to a moment, through chains of increments, and after trouble on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.protected import Protected
from tests.restorable import Noted, Restorable

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.errors import Damaged, NotFit, NotRecoverable
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import Target, TargetKind
from holdfast.backup.ports import Copy
from holdfast.backup.restore.journal import JOURNAL, MARKER
from holdfast.backup.restore.preflight import Way
from holdfast.backup.restore.restoring import Restored

PROBE = "SELECT string_agg(i::text, ' ' ORDER BY i) FROM t"


def _value(copy: Copy, sql: str, dbname: str = "postgres") -> str | None:
    asked = copy.ask(dbname, sql, 60.0)
    assert not asked.error, asked.error
    return asked.rows[0][0]


@contextmanager
def _restored(
    stored: Restorable, folder: Path, target: Target | None = None, way: Way | None = None
) -> Iterator[Restored]:
    restored = stored.restorer().restore(stored.plan(target), folder, way or Way())
    try:
        yield restored
    finally:
        restored.copy.stop()


def test_a_full_backup_and_its_wal_answer_a_query(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 3) i")
    protected.sql("ALTER SYSTEM SET archive_command = 'touch /tmp/must-not-be-there'")
    protected.sql("ALTER SYSTEM SET primary_conninfo = 'host=192.0.2.1'")
    stored.take()
    protected.sql("INSERT INTO t VALUES (4)")
    stored.store_wal()
    progress = Noted()

    restored = stored.restorer(progress=progress).restore(stored.plan(), tmp_path / "copy")

    try:
        assert _value(restored.copy, PROBE) == "1 2 3 4"
        assert _value(restored.copy, "SELECT pg_is_in_recovery()") == "True"
        assert not restored.at_target
        assert [phase for phase, _ in progress.phases] == ["fetching", "syncing", "replaying"]
        for name, wanted in {
            "archive_mode": "off",
            "archive_command": "(disabled)",
            "primary_conninfo": "",
            "listen_addresses": "",
        }.items():
            assert _value(restored.copy, f"SHOW {name}") == wanted
        assert restored.copy.ask("postgres", "INSERT INTO t VALUES (9)", 5.0).error
        assert restored.copy.ask("postgres", "SELECT pg_sleep(60)", 0.05).error
        assert _value(restored.copy, "SELECT 1") == "1"
    finally:
        restored.copy.stop()


def test_each_kind_of_target_is_met(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t (i int)")
    protected.sql("INSERT INTO t VALUES (1)")
    stored.take(label="before the release")
    protected.sql("INSERT INTO t VALUES (2)")
    moment: datetime = protected.value("SELECT clock_timestamp()")
    time.sleep(0.01)
    protected.sql("INSERT INTO t VALUES (3)")
    place = parse_lsn(protected.value("SELECT pg_current_wal_insert_lsn()::text"))
    with protected.connect() as connection, connection.transaction():
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        connection.execute("INSERT INTO t VALUES (4)")
    protected.sql("INSERT INTO t VALUES (5)")
    stored.store_wal()
    xid = int(row[0])
    # An LSN is a record's place: inclusive is the record that begins there, which is the next transaction's.
    wanted = {
        "label": (Target(TargetKind.LABEL, label="before the release"), "1"),
        "id": (Target(TargetKind.LABEL, label=stored.backups[0].id), "1"),
        "time": (Target(TargetKind.TIME, time=moment), "1 2"),
        "lsn": (Target(TargetKind.LSN, lsn=place, inclusive=False), "1 2 3"),
        "xid": (Target(TargetKind.XID, xid=xid), "1 2 3 4"),
        "before": (Target(TargetKind.XID, xid=xid, inclusive=False), "1 2 3"),
        "latest": (Target(), "1 2 3 4 5"),
    }

    for name, (target, rows) in wanted.items():
        with _restored(stored, tmp_path / name, target) as restored:
            assert _value(restored.copy, PROBE) == rows, name
            assert restored.at_target == (name != "latest")

    with pytest.raises(NotRecoverable, match="no transaction 4000000 ends"):
        stored.restorer().restore(stored.plan(Target(TargetKind.XID, xid=4000000)), tmp_path / "none")


def test_increments_with_large_objects_unlogged_tables_and_tablespaces(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    outside = tmp_path / "outside"
    outside.mkdir()
    os.chown(outside, protected.confinement.uid, protected.confinement.gid)
    protected.sql(f"CREATE TABLESPACE fast LOCATION '{outside}'")
    protected.sql("""
        CREATE TABLE t TABLESPACE fast AS SELECT i, repeat('x', 300) AS pad FROM generate_series(1, 4000) i;
        CREATE UNLOGGED TABLE gone AS SELECT 1;
        SELECT lo_from_bytea(4711, repeat('large', 50000)::bytea);
    """)
    stored.take()
    protected.sql("UPDATE t SET pad = 'changed' WHERE i % 400 = 0")
    stored.take()
    protected.sql("SELECT lo_put(4711, 100000, 'another')")
    protected.sql("CREATE TABLE u TABLESPACE fast AS SELECT 7 AS i")
    stored.take()
    stored.store_wal()
    question = "SELECT md5(string_agg(t::text, ',' ORDER BY i)) || md5(lo_get(4711)) FROM t"
    truth = protected.value(question)
    oid = str(protected.value("SELECT oid FROM pg_tablespace WHERE spcname = 'fast'"))
    mapped = Way(tablespaces={oid: tmp_path / "mapped"})

    for name, way in (("inside", Way()), ("elsewhere", mapped)):
        preflight = stored.restorer().preflight(stored.plan(), tmp_path / name, way)
        with _restored(stored, tmp_path / name, way=way) as restored:
            assert _value(restored.copy, question) == truth
            assert _value(restored.copy, "SELECT i FROM u") == "7"
            link = tmp_path / name / "pg_tblspc" / oid
            assert link.is_symlink() == (name == "elsewhere")
        assert any("unlogged" in each for each in preflight.notes)
    assert list((tmp_path / "mapped").iterdir())

    restorer = stored.restorer()
    restored = restorer.restore(stored.plan(), tmp_path / "promoted")
    restorer.finish(stored.plan(), restored, promote=True, keep_running=False)
    server = _as_its_operator_starts(protected, tmp_path / "promoted", tmp_path)
    try:
        assert server.value("SELECT count(*) FROM gone") == 0
        assert server.value(question) == truth
        assert server.value("SHOW archive_mode") == "off"
    finally:
        server.stop()


def _as_its_operator_starts(like: Protected, data: Path, tmp_path: Path) -> Protected:
    """The folder as the data directory of a server that knows nothing of Holdfast."""
    folder = tmp_path / f"operators-{data.name}"
    server = Protected(folder, bin_dir=like.binaries.folder)
    data.rename(server.data)
    return server.start()


def test_whoever_starts_a_copy_next_gets_a_primary_at_the_target(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t (i int)")
    protected.sql("INSERT INTO t VALUES (1)")
    stored.take()
    protected.sql("INSERT INTO t VALUES (2)")
    moment: datetime = protected.value("SELECT clock_timestamp()")
    protected.sql("INSERT INTO t VALUES (3)")
    stored.store_wal()

    for name, target, rows in (
        ("moment", Target(TargetKind.TIME, time=moment), "1 2"),
        ("end", Target(), "1 2 3"),
    ):
        restorer, plan = stored.restorer(), stored.plan(target)
        restored = restorer.restore(plan, tmp_path / name)
        restorer.finish(plan, restored, promote=False, keep_running=False)
        server = _as_its_operator_starts(protected, tmp_path / name, tmp_path)
        try:
            while server.value("SELECT pg_is_in_recovery()"):
                time.sleep(0.02)
            assert server.value(PROBE) == rows
            server.sql("INSERT INTO t VALUES (10)")
        finally:
            server.stop()


def test_a_new_timeline_is_followed_and_the_old_one_can_be_asked_for(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t (i int)")
    protected.sql("INSERT INTO t VALUES (1)")
    stored.take()
    stored.store_wal()
    standby = protected.standby(tmp_path / "standby")
    try:
        protected.sql("INSERT INTO t VALUES (2)")
        place = protected.value("SELECT pg_current_wal_flush_lsn()::text")
        while standby.value(f"SELECT pg_last_wal_replay_lsn() < '{place}'"):
            time.sleep(0.02)
        standby.promote()
        standby.sql("INSERT INTO t VALUES (3)")
        protected.sql("INSERT INTO t VALUES (33)")
        stored.store_wal()
        other = Restorable(standby, stored.regions)
        other.store_wal()
    finally:
        standby.remove()

    with _restored(stored, tmp_path / "newest") as restored:
        assert _value(restored.copy, PROBE) == "1 2 3"
    with _restored(stored, tmp_path / "old", Target(timeline=stored.backups[0].timeline)) as restored:
        assert _value(restored.copy, PROBE) == "1 2 33"


_KILLED = """
import os, signal, sys
from pathlib import Path
from holdfast.adapters.objectstore.regions import open_region
from tests.restorable import Noted, restorer_of, plan_of

def on_advance(count):
    if count > int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

region = open_region("eu", sys.argv[1], {})
restorer_of(region, Path(sys.argv[2]), Noted(on_advance)).lay_out(plan_of(region), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_killed_restore_goes_on_where_it_was(protected: Protected, tmp_path: Path, share: float) -> None:
    place = f"file://{tmp_path / 'store'}"
    (tmp_path / "store").mkdir()
    stored = Restorable(protected, [open_region("eu", place, {})])
    protected.sql("CREATE TABLE t AS SELECT i, repeat('x', 300) AS pad FROM generate_series(1, 20000) i")
    stored.take()
    protected.sql("UPDATE t SET pad = 'changed' WHERE i % 400 = 0")
    stored.take()
    stored.store_wal()
    plan, folder = stored.plan(), tmp_path / "copy"
    total = sum(each.raw_bytes for each in plan.chain)
    arguments = [place, str(protected.binaries.folder), str(folder), str(int(total * share))]

    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, *arguments], check=False, cwd=Path(__file__).parents[3]
    )

    assert ended.returncode == -signal.SIGKILL
    assert (folder / MARKER).exists()
    with pytest.raises(NotFit, match="holds a restore of shop already"):
        stored.restorer().restore(plan, folder)
    progress = Noted()
    restored = stored.restorer(progress=progress).restore(plan, folder, Way(resume=True))
    try:
        assert _value(restored.copy, "SELECT count(*) FROM t WHERE pad = 'changed'") == "50"
        assert _value(restored.copy, "SELECT sum(i) FROM t") == str(sum(range(1, 20001)))
    finally:
        restored.copy.stop()
    assert not (folder / JOURNAL).exists()
    fetched = next(size for phase, size in progress.phases if phase == "fetching")
    if share == 0.9:
        assert fetched is not None
        assert fetched < total * 0.8


def test_delta_writes_only_what_differs(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE big AS SELECT i, repeat('x', 300) AS pad FROM generate_series(1, 20000) i")
    protected.sql("CREATE TABLE t AS SELECT 1 AS i; CHECKPOINT")
    stored.take()
    stored.store_wal()
    folder = tmp_path / "copy"
    with _restored(stored, folder):
        pass
    protected.sql("INSERT INTO t VALUES (2)")
    stored.take()
    protected.sql("INSERT INTO t VALUES (3)")
    stored.store_wal()
    (folder / "base" / "not-ours").write_text("left over")
    victim = next(each for each in folder.rglob("pg_filenode.map"))
    victim.write_bytes(b"destroyed")
    big = folder / protected.value("SELECT pg_relation_filepath('big')")
    before = big.stat()

    progress = Noted()
    restored = stored.restorer(progress=progress).restore(stored.plan(), folder, Way(delta=True))

    try:
        assert _value(restored.copy, PROBE) == "1 2 3"
        assert _value(restored.copy, "SELECT count(*) FROM big") == "20000"
    finally:
        restored.copy.stop()
    assert not (folder / "base" / "not-ours").exists()
    assert big.stat().st_ino == before.st_ino
    assert big.stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_chunk_is_named_and_taken_from_another_region(protected: Protected, tmp_path: Path) -> None:
    regions = [MemoryRegion("eu"), MemoryRegion("us")]
    stored = Restorable(protected, regions)
    protected.sql("CREATE TABLE t AS SELECT 1 AS i")
    backup = stored.take()
    stored.store_wal()
    chunk = backup.archives[0].chunks[1]
    regions[0].replace(chunk.key, regions[0].get(chunk.key)[:-1] + b"!")

    with pytest.raises(Damaged, match=chunk.key):
        stored.restorer().restore(stored.plan(), tmp_path / "copy")

    progress = Noted()
    restorer = stored.restorer(progress=progress, others=regions[1:])
    restored = restorer.restore(stored.plan(), tmp_path / "copy", Way(resume=True))
    try:
        assert _value(restored.copy, PROBE) == "1"
    finally:
        restored.copy.stop()
    assert any(chunk.key in note and "us" in note for note in progress.notes)


def test_a_folder_that_is_not_ours_or_in_use_is_left_alone(
    shared_protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(shared_protected)
    stored.take()
    stored.store_wal()
    plan = stored.plan()
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "letter").write_text("dear")

    for folder, way, words in (
        (precious, Way(), "is not empty"),
        (precious, Way(delta=True), "no data directory"),
        (shared_protected.data, Way(delta=True), "a server runs on"),
    ):
        with pytest.raises(NotFit, match=words):
            stored.restorer().restore(plan, folder, way)

    assert [each.name for each in precious.iterdir()] == ["letter"]
    assert shared_protected.value("SELECT 1") == 1
    older = replace(plan, chain=(replace(plan.backup, server_version=140009),))
    with pytest.raises(NotFit, match="PostgreSQL 14"):
        stored.restorer().restore(older, tmp_path / "new")
    assert not (tmp_path / "new").exists()
