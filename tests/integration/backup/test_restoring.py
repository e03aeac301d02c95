"""Restores of real servers: to a moment, through chains of increments, and after trouble on the way."""

from pathlib import Path

import pytest
from tests.protected import Protected
from tests.restorable import Noted, Restorable

from holdfast.backup.ports import Copy


def _value(copy: Copy, sql: str, dbname: str = "postgres") -> str | None:
    asked = copy.ask(dbname, sql, 60.0)
    assert not asked.error, asked.error
    return asked.rows[0][0]


def test_a_full_backup_and_its_wal_answer_a_query(protected: Protected, tmp_path: Path) -> None:
    stored = Restorable(protected)
    protected.sql("CREATE TABLE t AS SELECT i, repeat('x', 100) AS pad FROM generate_series(1, 5000) i")
    stored.take()
    protected.sql("INSERT INTO t SELECT i, 'later' FROM generate_series(5001, 6000) i")
    stored.store_wal()
    progress = Noted()

    restored = stored.restorer(progress=progress).restore(stored.plan(), tmp_path / "copy")

    try:
        assert _value(restored.copy, "SELECT count(*) FROM t") == "6000"
        assert _value(restored.copy, "SELECT pg_is_in_recovery()") == "True"
        assert not restored.at_target
        assert [phase for phase, _ in progress.phases] == ["fetching", "syncing", "replaying"]
    finally:
        restored.copy.stop()
