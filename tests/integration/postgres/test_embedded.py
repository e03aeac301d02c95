"""The embedded server in good order: who gets in, where it listens, how it starts and stops."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import DatabaseAway, DatabaseRefused
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.postgres.server.layout import Layout, fits_socket, socket_folder

if TYPE_CHECKING:
    from conftest import Make


async def value(conninfo: Conninfo, statement: str) -> object:
    async with connect(conninfo, "test") as connection:
        row = await (await connection.execute(statement.encode())).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", ""),
        ("wal_level", "replica"),
        ("logging_collector", "on"),
    ],
)
async def test_the_servers_settings(postgres_server: EmbeddedPostgres, setting: str, expected: str) -> None:
    assert await value(postgres_server.conninfo(Role.OWNER), f"SHOW {setting}") == expected


async def test_what_is_durable_by_default(make: Make) -> None:
    server = make()
    await server.start()
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        assert await value(server.conninfo(Role.OWNER), f"SHOW {setting}") == "on"
    await server.stop()


async def test_text_sorts_by_code_point(postgres_server: EmbeddedPostgres) -> None:
    """An order that depends on the system's locales would corrupt indexes when these are upgraded."""
    ordered = "SELECT string_agg(t, '' ORDER BY t) FROM (VALUES ('a'), ('B'), ('ä'), ('Z')) v (t)"
    assert await value(postgres_server.conninfo(Role.OWNER), ordered) == "BZaä"
    assert await value(postgres_server.conninfo(Role.OWNER), "SELECT upper('ä')") == "Ä"


async def test_of_all_roles_only_the_owner_is_mighty(postgres_server: EmbeddedPostgres) -> None:
    mighty = {
        role: await value(
            postgres_server.conninfo(role),
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
            " FROM pg_roles WHERE rolname = current_user",
        )
        for role in Role
    }
    assert mighty == {role: role is Role.OWNER for role in Role}


async def test_no_way_in_without_the_password(make: Make) -> None:
    server = make(port=0)
    await server.start()
    over_socket = server.conninfo(Role.SITE)
    for good in (over_socket, over_socket.with_settings(host="127.0.0.1")):
        assert await value(good, "SELECT current_user") == "holdfast_site"
        for password in (None, "", "wrong"):
            bad = Conninfo(good.role, {**good.settings, "passfile": "/dev/null"}, password=password)
            with pytest.raises(DatabaseRefused):
                await value(bad, "SELECT 1")
    await server.stop()


async def test_one_role_cannot_use_the_password_of_another(postgres_server: EmbeddedPostgres) -> None:
    site = postgres_server.conninfo(Role.SITE)
    with pytest.raises(DatabaseRefused):
        await value(site.with_settings(user="holdfast"), "SELECT 1")


def listening_sockets(pid: int) -> set[str]:
    """The addresses that TCP sockets of this process listen on, as /proc shows them (proc_pid_net(5))."""
    inodes = {
        target.removeprefix("socket:[").removesuffix("]")
        for entry in Path(f"/proc/{pid}/fd").iterdir()
        if (target := str(entry.readlink())).startswith("socket:[")
    }
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        if (path := Path(f"/proc/net/{table}")).exists()
        for line in path.read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and row[9] in inodes}


async def test_it_listens_on_its_socket_only(make: Make) -> None:
    server = make()
    await server.start()
    assert server.pid is not None
    assert server.port is None
    assert listening_sockets(server.pid) == set()
    await server.stop()


async def test_with_a_port_it_listens_on_loopback_too_and_keeps_the_port(make: Make) -> None:
    server = make(port=0)
    await server.start()
    assert server.pid is not None
    port = server.port
    assert port
    assert listening_sockets(server.pid) == {f"0100007F:{port:04X}"}
    await server.stop()
    again = make(port=0)
    await again.start()
    assert again.port == port
    await again.stop()


async def test_secrets_are_in_private_files_and_nowhere_else(make: Make) -> None:
    server = make()
    await server.start()
    proc, directory = Path(f"/proc/{server.pid}"), server.layout.directory
    passwords = [server.conninfo(role).password for role in Role]
    assert len({password for password in passwords if password and len(password) >= 32}) == len(Role)
    for folder in (
        directory,
        server.layout.secrets,
        server.layout.data,
        directory / "run",
        server.layout.log,
    ):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for file in server.layout.secrets.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    seen = [(proc / name).read_bytes() for name in ("cmdline", "environ")]
    seen += [file.read_bytes() for file in directory.rglob("*.log")]
    seen += [file.read_bytes() for file in directory.glob("*.conf")]
    seen += [repr(server.conninfo(role)).encode() for role in Role]
    for password in passwords:
        assert password is not None
        assert not [text for text in seen if password.encode() in text]
    assert passwords[0] in server.conninfo(Role.OWNER).dsn
    await server.stop()


async def test_a_replaced_password_file_takes_effect_at_the_next_start(make: Make) -> None:
    server = make()
    await server.start()
    before = server.conninfo(Role.SITE)
    (server.layout.secrets / "holdfast_site").unlink()
    await server.start()
    assert await value(server.conninfo(Role.SITE), "SELECT 1") == 1
    with pytest.raises(DatabaseRefused):
        await value(before, "SELECT 1")
    await server.stop()


async def test_start_and_stop_may_be_repeated_and_data_stays(make: Make) -> None:
    server = make()
    await server.stop()
    await server.start()
    first = server.pid
    assert not server.adopted
    async with connect(server.conninfo(Role.OWNER), "test") as connection:
        await connection.execute("CREATE TABLE public.kept AS SELECT 42 AS answer")
    await server.start()
    assert server.adopted
    assert server.pid == first
    await server.stop()
    assert server.pid is None
    assert process.processes_of(server.layout.data) == []
    with pytest.raises(DatabaseAway):
        server.conninfo(Role.OWNER)
    await server.stop()
    await server.start()
    assert await value(server.conninfo(Role.OWNER), "SELECT answer FROM public.kept") == 42
    await server.stop()


async def test_stop_does_not_wait_for_open_sessions(make: Make) -> None:
    server = make()
    await server.start()
    session = await psycopg.AsyncConnection.connect(**server.conninfo(Role.OWNER).parameters)
    await session.execute("CREATE TABLE public.unfinished ()")
    await server.stop()
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")
    await session.close()
    assert "database system is shut down" in server.layout.last_log_lines()


@pytest.mark.parametrize("name", ["x" * 120, "with, comma", 'it\'s a \\ "quoted" place'])
async def test_a_directory_that_is_no_socket_address_gets_its_socket_elsewhere(
    make: Make, tmp_path: Path, name: str
) -> None:
    server = make(tmp_path / name)
    await server.start()
    assert await value(server.conninfo(Role.CONTROLLER), "SELECT 1") == 1
    folder = socket_folder(server.layout, 5432)
    assert server.conninfo(Role.OWNER).settings["host"] == str(folder)
    assert not folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await server.stop()
    assert not folder.exists(), "nothing is left behind"
    await server.start()
    assert await value(server.conninfo(Role.CONTROLLER), "SELECT 1") == 1
    await server.stop()
    assert not folder.exists()


def test_the_longest_path_for_a_socket() -> None:
    name = len("/.s.PGSQL.5432")
    assert fits_socket(Path("/" + "x" * (106 - name)), 5432)
    assert not fits_socket(Path("/" + "x" * (107 - name)), 5432)
    assert not fits_socket(Path("/" + "ä" * 50), 5432)


def test_the_socket_folder_follows_from_the_directory(tmp_path: Path) -> None:
    deep = [Layout(tmp_path / (letter * 100)) for letter in "ab"]
    assert socket_folder(deep[0], 5432) == socket_folder(Layout(deep[0].directory), 5432)
    assert socket_folder(deep[0], 5432) != socket_folder(deep[1], 5432)


async def test_the_operators_own_settings_win_at_the_next_start(make: Make) -> None:
    server = make()
    await server.start()
    await server.stop()
    server.layout.extra.write_text("work_mem = '7MB'\n")
    await server.start()
    assert await value(server.conninfo(Role.OWNER), "SHOW work_mem") == "7MB"
    await server.stop()


async def test_old_logs_are_cleared_away(make: Make) -> None:
    server = make()
    await server.start()
    for number in range(20):
        old = server.layout.log / f"postgresql-20200101-0000{number:02d}.log"
        old.write_text("old")
        os.utime(old, (number, number))
    server.prune_logs()
    left = sorted(file.name for file in server.layout.log.glob("postgresql-*.log"))
    assert len(left) == 8
    assert left[0] == "postgresql-20200101-000013.log"
    await server.stop()


async def test_several_handles_starting_at_once_share_one_server(make: Make) -> None:
    servers = [make() for _ in range(3)]
    await asyncio.gather(*(server.start() for server in servers))
    assert len({server.pid for server in servers}) == 1
    assert sorted(server.adopted for server in servers) == [False, True, True]
    await servers[0].stop()
