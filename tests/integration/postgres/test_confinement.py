"""As whom PostgreSQL runs: proven by the kernel's own account of the process."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseUnsuitable
from holdfast.adapters.postgres.server.binaries import Binaries, find_binaries
from holdfast.adapters.postgres.server.confinement import (
    Confinement,
    Kind,
    candidates,
    find_confinement,
    first_unreachable,
    owner_name,
)

if TYPE_CHECKING:
    from conftest import Make
    from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


@pytest.fixture
def binaries() -> Binaries:
    return find_binaries()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every account can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def namespaces_work() -> bool:
    """Asked of the system itself: some containers forbid them, even to root."""
    return subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode == 0


def ids_of(pid: int | None) -> list[int]:
    """The id inside its namespace, the one outside, and for how many ids that holds (user_namespaces(7))."""
    return [int(number) for number in Path(f"/proc/{pid}/uid_map").read_text().split()]


def uid_of(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])


async def goes_through_its_life(server: EmbeddedPostgres) -> None:
    """Start, write, stop, start again, read, be adopted."""
    await server.start()
    async with connect(server.conninfo(Role.OWNER), "test") as connection:
        await connection.execute("CREATE TABLE public.kept AS SELECT 42 AS answer")
    await server.stop()
    await server.start()
    async with connect(server.conninfo(Role.OWNER), "test") as connection:
        cursor = await connection.execute("SELECT answer FROM public.kept")
        assert await cursor.fetchone() == (42,)
    await server.start()
    assert server.adopted


@needs_root
def test_root_prefers_the_namespace_and_falls_back_to_an_account(binaries: Binaries, open_path: Path) -> None:
    expected = Kind.NAMESPACE if namespaces_work() else Kind.ACCOUNT
    try:
        assert find_confinement(binaries, open_path).kind is expected
    except DatabaseUnsuitable:
        assert not namespaces_work()


@needs_root
async def test_in_a_user_namespace(make: Make) -> None:
    if not namespaces_work():
        with pytest.raises(DatabaseUnsuitable, match="in a user namespace"):
            await make(confine=Kind.NAMESPACE).start()
        return
    server = make(confine=Kind.NAMESPACE)
    await goes_through_its_life(server)
    inside, outside, length = ids_of(server.pid)
    assert (outside, length) == (0, 1)
    assert inside != 0
    assert server.layout.data_owner() == 0
    await server.stop()


@needs_root
async def test_as_an_account(make: Make, binaries: Binaries, open_path: Path) -> None:
    accounts = candidates(Kind.ACCOUNT)
    assert accounts
    server = make(open_path / "postgres", confine=Kind.ACCOUNT)
    if all(first_unreachable(way, binaries.folder) for way in accounts):
        with pytest.raises(DatabaseUnsuitable, match="cannot enter"):
            await server.start()
        return
    await goes_through_its_life(server)
    owner = server.layout.data_owner()
    assert owner in {way.uid for way in accounts}
    assert uid_of(server.pid) == owner
    assert server.layout.secrets.stat().st_uid == 0
    assert stat.S_IMODE(server.layout.secrets.stat().st_mode) == 0o700
    await server.stop()
    # Whoever could use a namespace now still runs it as the account that the data belongs to.
    again = make(open_path / "postgres")
    await again.start()
    assert uid_of(again.pid) == owner
    await again.stop()


@needs_root
def test_an_account_that_cannot_get_there_is_said_so_and_may_be_let_through(
    binaries: Binaries, open_path: Path
) -> None:
    ours = open_path / ".holdfast"
    directory = ours / "postgres"
    directory.mkdir(parents=True)
    ours.chmod(0o700)
    with pytest.raises(DatabaseUnsuitable) as refused:
        find_confinement(binaries, directory, only=Kind.ACCOUNT)
    blocked = {first_unreachable(way, binaries.folder) or ours for way in candidates(Kind.ACCOUNT)}
    for folder in blocked:
        assert f"cannot enter {folder}" in str(refused.value)
    assert "chmod g+x" in refused.value.hint
    if blocked == {ours}:
        way = find_confinement(binaries, directory, only=Kind.ACCOUNT, ours=[ours, directory])
        assert way.kind is Kind.ACCOUNT
        assert stat.S_IMODE(ours.stat().st_mode) == 0o710
        assert (ours.stat().st_uid, ours.stat().st_gid) == (0, way.gid)


def test_where_nothing_works_it_says_what_was_tried(binaries: Binaries, tmp_path: Path) -> None:
    impossible = Kind.DIRECT if os.geteuid() == 0 else Kind.NAMESPACE
    with pytest.raises(DatabaseUnsuitable, match="neither unshare nor setpriv"):
        find_confinement(binaries, tmp_path, only=impossible)


def test_the_first_folder_that_bars_the_way(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    me = Confinement(Kind.DIRECT, (), os.geteuid(), os.getegid())
    assert first_unreachable(me, tmp_path / "a" / "b") is None
    assert first_unreachable(me, tmp_path / "a" / "missing" / "b") == tmp_path / "a" / "missing"


def test_an_id_without_an_account_is_named_by_its_number() -> None:
    assert owner_name(os.geteuid())
    assert owner_name(3_999_999_999) == "uid 3999999999"


AS_PLAIN_USER = """
import asyncio, os, sys
from pathlib import Path
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print(os.geteuid(), os.stat(f"/proc/{server.pid}").st_uid, server.adopted)
    await server.stop()

asyncio.run(main())
"""


async def test_a_plain_user_runs_it_directly(make: Make) -> None:
    """Root becomes a plain user by a namespace, for its Python may lie where no account may look."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        if not namespaces_work():
            assert candidates(Kind.DIRECT) == []
            return
        prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    server = make()
    run = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-c",
        AS_PLAIN_USER,
        str(server.layout.directory),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await run.communicate()
    me, its, adopted = output.split()
    assert int(me) == int(its) != 0
    assert adopted == b"False"
