"""What the embedded server will not touch, and that it says why and what to do."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import (
    DatabaseError,
    DatabaseNotStarting,
    DatabaseTaken,
    DatabaseUnsuitable,
)
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.binaries import find_binaries, packaged_folder
from holdfast.adapters.postgres.server.confinement import candidates
from holdfast.kernel.errors import Remedy

if TYPE_CHECKING:
    from conftest import Make
    from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres

# The same wheel carries an older major version too.
OLDER = packaged_folder().parent.parent / "pginstall" / "bin"


async def refusal(server: EmbeddedPostgres, kind: type[DatabaseError], match: str) -> DatabaseError:
    with pytest.raises(kind, match=match) as refused:
        await server.start()
    assert refused.value.hint
    assert refused.value.remedy is Remedy.NEEDS_OPERATOR
    return refused.value


async def test_data_of_another_major_version(make: Make) -> None:
    older = make(bin_dir=OLDER)
    await older.start()
    await older.stop()
    major = find_binaries(OLDER).major
    error = await refusal(make(), DatabaseUnsuitable, f"belongs to PostgreSQL {major}, and the programs in")
    assert f"bin_dir to the programs of PostgreSQL {major}" in error.hint
    await older.start()
    await older.stop()


async def test_moving_to_another_major_version_as_the_handbook_says(make: Make, tmp_path: Path) -> None:
    older, dump = make(bin_dir=OLDER), tmp_path / "holdfast.dump"
    await older.start()
    await migrate(older.conninfo(Role.OWNER))
    with psycopg.connect(older.conninfo(Role.OWNER).dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO holdfast.journal (actor, event) VALUES ('us', 'test.written')")
        # As a running Holdfast makes them.
        connection.execute(
            "SELECT availability.make_partition('rollup_minute', '2026-11-01T00:00Z', '2026-12-01T00:00Z')"
        )
    await ours(older, "pg_dump", "-Fc", "-f", str(dump), "holdfast")
    await older.stop()
    older.layout.directory.rename(tmp_path / "postgres-older")

    newer = make()
    await newer.start()
    await migrate(newer.conninfo(Role.OWNER))
    await ours(newer, "dropdb", "--force", "holdfast")
    await ours(newer, "createdb", "--template=template0", "holdfast")
    await ours(newer, "pg_restore", "--dbname=holdfast", "--single-transaction", str(dump))
    assert await migrate(newer.conninfo(Role.OWNER)) == []
    with psycopg.connect(newer.conninfo(Role.OWNER).dsn) as connection:
        assert connection.execute("SELECT actor, event FROM holdfast.journal").fetchall() == [
            ("us", "test.written")
        ]
    await newer.stop()


async def ours(server: EmbeddedPostgres, program: str, *arguments: str) -> None:
    """Run one of the packaged programs as the owner of `server`."""
    owner = server.conninfo(Role.OWNER)
    run = await asyncio.create_subprocess_exec(
        packaged_folder() / program,
        *("-h", owner.settings["host"], "-U", "holdfast"),
        *arguments,
        env={"PGPASSWORD": owner.password or "", "LC_ALL": "C"},
    )
    assert await run.wait() == 0


async def test_a_running_server_that_does_not_know_our_password(make: Make) -> None:
    server = make()
    await server.start()
    main = server.pid
    (server.layout.secrets / "holdfast").write_text("somebody-else\n")
    await refusal(make(), DatabaseTaken, f"process {main}.*refuses us")
    assert server.pid == main


async def test_the_owners_password_is_gone(make: Make) -> None:
    server = make()
    await server.start()
    await server.stop()
    (server.layout.secrets / "holdfast").unlink()
    await refusal(server, DatabaseUnsuitable, "password of the database's owner, is gone")
    assert not (server.layout.secrets / "holdfast").exists()


async def test_a_directory_full_of_something_else(make: Make) -> None:
    server = make()
    server.layout.data.mkdir(parents=True)
    (server.layout.data / "thesis.txt").write_text("years of work")
    await refusal(server, DatabaseUnsuitable, "not empty and is not a PostgreSQL data directory")
    assert (server.layout.data / "thesis.txt").read_text() == "years of work"


async def test_an_empty_directory_is_welcome(make: Make) -> None:
    server = make()
    server.layout.data.mkdir(parents=True)
    await server.start()
    await server.stop()


async def test_a_file_where_the_directory_should_be(make: Make) -> None:
    server = make()
    server.layout.directory.mkdir()
    server.layout.data.write_text("")
    await refusal(server, DatabaseUnsuitable, "is not a directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_another_user(make: Make) -> None:
    server = make()
    server.layout.directory.mkdir()
    os.chown(server.layout.directory, 1, 1)
    await refusal(
        server, DatabaseUnsuitable, f"{server.layout.directory} belongs to daemon, and this is root"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_data_of_another_user(make: Make) -> None:
    server = make()
    await server.start()
    await server.stop()
    os.chown(server.layout.data, 1, 1)
    error = await refusal(
        server, DatabaseUnsuitable, "belongs to daemon, and PostgreSQL would run here as root"
    )
    assert "run Holdfast as daemon" in error.hint
    os.chown(server.layout.data, 0, 0)


async def test_a_bin_dir_without_programs(make: Make, tmp_path: Path) -> None:
    await refusal(make(bin_dir=tmp_path), DatabaseUnsuitable, "no postgres and no initdb to run in")


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        (
            "echo 'postgres (PostgreSQL) 13.22 (Debian 13.22-1)'",
            "holds PostgreSQL 13; Holdfast needs 14 or later",
        ),
        ("echo 'postgres (PostgreSQL) 9.6.24'", "holds PostgreSQL 9"),
        ("echo 'something else'", "does not say which PostgreSQL it is"),
        ("exit 3", "does not run"),
    ],
)
async def test_a_bin_dir_with_unsuitable_programs(tmp_path: Path, says: str, complaint: str) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(DatabaseUnsuitable, match=complaint):
        await asyncio.to_thread(find_binaries, tmp_path)


async def test_a_server_that_cannot_start_shows_its_last_words(make: Make) -> None:
    server = make(settings={"shared_buffers": "nonsense"})
    error = await refusal(
        server, DatabaseNotStarting, 'invalid value for parameter "shared_buffers": "nonsense"'
    )
    assert isinstance(error, DatabaseNotStarting)
    assert "shared_buffers" in error.log
    mended = make()
    await mended.start()
    await mended.stop()


async def test_a_socket_folder_laid_out_by_somebody_else(make: Make, tmp_path: Path) -> None:
    server = make()
    server.layout.directory.mkdir()
    (server.layout.directory / "run").symlink_to(tmp_path)
    await refusal(server, DatabaseTaken, "the folder for the database's socket")


async def test_a_server_started_by_hand_on_our_data_is_adopted(make: Make) -> None:
    """It is our data and it knows our password; only a second server beside it would do harm."""
    server = make()
    await server.start()
    await server.stop()
    by_hand = await asyncio.create_subprocess_exec(
        *candidates()[0].prefix,
        find_binaries().postgres,
        *("-D", str(server.layout.data), "-c", f"config_file={server.layout.settings}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    while server.pid is None:  # noqa: ASYNC110  another process makes it happen
        await asyncio.sleep(0.01)
    await server.start()
    assert server.adopted
    assert server.pid == by_hand.pid
    await server.stop()
    assert await by_hand.wait() == 0
