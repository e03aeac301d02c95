"""Migrations on a real server: from everywhere, by many at once, killed midway, and refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseNewer,
    MigrationChanged,
    MigrationsWrong,
)
from holdfast.adapters.postgres.migrate import (
    LOCK_KEY,
    Migration,
    applied,
    migrate,
    packaged,
    read_migrations,
)

if TYPE_CHECKING:
    from tests.conftest import Database

STEPS = (
    Migration(1, "letters", "CREATE TABLE letter (id int PRIMARY KEY); INSERT INTO letter VALUES (1);"),
    Migration(2, "more", "INSERT INTO letter VALUES (2); -- 100% plain\n"),
    Migration(3, "most", "INSERT INTO letter SELECT max(id) + 1 FROM letter;"),
)


def letters(database: Database) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM holdfast.letter ORDER BY id")]


async def versions(database: Database) -> list[int]:
    return [row.version for row in await applied(database.conninfo())]


async def test_from_empty(database: Database) -> None:
    assert await applied(database.conninfo()) == []
    done = await migrate(database.conninfo(), STEPS)
    assert [(row.version, row.name, row.sha256) for row in done] == [
        (s.version, s.name, s.sha256) for s in STEPS
    ]
    assert letters(database) == [1, 2, 3]
    assert await applied(database.conninfo()) == done
    assert await migrate(database.conninfo(), STEPS) == []


@pytest.mark.parametrize("start", [0, 1, 2])
async def test_from_each_earlier_version(database: Database, start: int) -> None:
    await migrate(database.conninfo(), STEPS, until=start)
    assert await versions(database) == list(range(1, start + 1))
    done = await migrate(database.conninfo(), STEPS)
    assert [row.version for row in done] == list(range(start + 1, 4))
    assert letters(database) == [1, 2, 3]


async def test_the_packaged_ones_from_empty_and_from_each_earlier_version(database: Database) -> None:
    known = packaged()
    for version in range(len(known) + 1):
        await migrate(database.conninfo(), until=version)
        assert await versions(database) == list(range(1, version + 1))


async def test_many_at_once_apply_each_migration_once(database: Database) -> None:
    slow = (*STEPS, Migration(4, "slow", "SELECT pg_sleep(0.3); INSERT INTO letter VALUES (9);"))
    done = await asyncio.gather(*(migrate(database.conninfo(), slow) for _ in range(6)))
    assert sorted(row.version for rows in done for row in rows) == [1, 2, 3, 4]
    assert letters(database) == [1, 2, 3, 9]


async def test_killed_midway_leaves_the_migrations_before_it_and_frees_the_lock(database: Database) -> None:
    hanging = Migration(4, "hanging", "INSERT INTO letter VALUES (9); SELECT pg_sleep(600);")
    running = asyncio.create_task(migrate(database.conninfo(), (*STEPS, hanging)))
    await asyncio.to_thread(terminate_sleeper, database)
    with pytest.raises(DatabaseAway):
        await running
    assert letters(database) == [1, 2, 3]
    mended = Migration(4, "hanging", "INSERT INTO letter VALUES (4);")
    assert [row.version for row in await migrate(database.conninfo(), (*STEPS, mended))] == [4]
    assert letters(database) == [1, 2, 3, 4]


def terminate_sleeper(database: Database) -> None:
    """Wait until a session of this database sleeps inside a migration, and end it."""
    with database.connect() as connection:
        while not connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event = 'PgSleep'"
        ).fetchall():
            time.sleep(0.02)


async def test_one_that_fails_leaves_nothing_of_itself_and_names_its_line(database: Database) -> None:
    broken = Migration(4, "broken", "INSERT INTO letter VALUES (9);\n\nSELECT nonsense FROM letter;\n")
    with pytest.raises(
        MigrationsWrong, match=r"0004_broken\.sql, line 3 failed: column .nonsense. does not exist"
    ):
        await migrate(database.conninfo(), (*STEPS, broken))
    assert letters(database) == [1, 2, 3]
    assert await versions(database) == [1, 2, 3]


@pytest.mark.parametrize("text", ["COMMIT;", "COMMIT; BEGIN;", "ROLLBACK;"])
async def test_one_that_ends_its_transaction_is_refused(database: Database, text: str) -> None:
    with pytest.raises(MigrationsWrong, match="ends its own transaction"):
        await migrate(database.conninfo(), [Migration(1, "cheat", text)])
    assert await versions(database) == []


@pytest.mark.parametrize(
    "history",
    [
        [STEPS[0], Migration(2, "more", "INSERT INTO letter VALUES (22);"), STEPS[2]],
        [STEPS[0], Migration(2, "renamed", STEPS[1].text), STEPS[2]],
    ],
    ids=["text", "name"],
)
async def test_a_changed_file_is_refused(database: Database, history: Sequence[Migration]) -> None:
    await migrate(database.conninfo(), STEPS, until=2)
    with pytest.raises(MigrationChanged, match="0002_"):
        await migrate(database.conninfo(), history)
    assert letters(database) == [1, 2]


async def test_a_newer_database_is_refused(database: Database) -> None:
    await migrate(database.conninfo(), STEPS)
    with pytest.raises(DatabaseNewer, match="migrated by a newer Holdfast: it has 0003_most"):
        await migrate(database.conninfo(), STEPS[:2])


async def test_a_lock_that_is_held_too_long_names_its_holder(database: Database) -> None:
    async with connect(database.conninfo(), "rival") as rival:
        await rival.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        with pytest.raises(DatabaseBusy, match=r"another Holdfast \(session \d+ of holdfast rival\)"):
            await migrate(database.conninfo(), STEPS, patience=timedelta(milliseconds=50))
    assert len(await migrate(database.conninfo(), STEPS)) == 3


def test_files_are_read_in_order_and_line_ends_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "0002_second.sql").write_bytes(b"SELECT 2;\r\n")
    (tmp_path / "0001_first.sql").write_bytes(b"SELECT 1;\n")
    (tmp_path / "README.md").write_text("not one")
    first, second = read_migrations(tmp_path)
    assert (first.file, second.file) == ("0001_first.sql", "0002_second.sql")
    assert second.sha256 == Migration(2, "second", "SELECT 2;\n").sha256


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_a.sql", "0003_c.sql"], "0002 was expected, and 0003_c.sql found"),
        (["0001_a.sql", "0001_b.sql"], "0002 was expected, and 0001_b.sql found"),
        (["0002_b.sql"], "0001 was expected"),
        (["1_a.sql"], "1_a.sql is no name"),
    ],
)
def test_gaps_and_odd_names_are_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationsWrong, match=complaint):
        read_migrations(tmp_path)


def test_a_fresh_copy_of_the_migrated_template(migrated_database: Database) -> None:
    with migrated_database.connect() as connection:
        found = connection.execute("SELECT count(*) FROM holdfast.migration").fetchone()
        assert found == (len(packaged()),)
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO holdfast.migration (version, name, sha256) VALUES (1, 'x', 'x')")
