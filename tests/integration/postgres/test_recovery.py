"""After the worst: Holdfast killed, the server killed, initdb killed, several starting at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseTaken
from holdfast.adapters.postgres.server import process

if TYPE_CHECKING:
    from conftest import Make

START = """
import asyncio, sys, time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]))
asyncio.run(server.start())
print(server.pid, server.adopted, flush=True)
time.sleep(600)
"""


async def another_holdfast(*arguments: object) -> asyncio.subprocess.Process:
    """Another process, in a session of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110  other processes make it happen
        await asyncio.sleep(0.01)


async def started(directory: Path) -> tuple[asyncio.subprocess.Process, int, bool]:
    """Another Holdfast that has started the server in `directory`: its process, the server's pid, and whether
    it was adopted."""
    holdfast = await another_holdfast(directory)
    assert holdfast.stdout is not None
    pid, adopted = (await holdfast.stdout.readline()).split()
    return holdfast, int(pid), adopted == b"True"


async def kill(holdfast: asyncio.subprocess.Process) -> None:
    """As `kill -9` to its whole process group, which a closing terminal does too."""
    os.killpg(holdfast.pid, signal.SIGKILL)
    await holdfast.communicate()


async def test_the_server_outlives_its_holdfast_and_the_next_one_adopts_it(
    make: Make, tmp_path: Path
) -> None:
    server = make()
    holdfast, pid, _ = await started(server.layout.directory)
    await kill(holdfast)
    await server.start()
    assert server.adopted
    assert server.pid == pid
    await server.stop()
    assert not process.lives(pid)


async def test_two_processes_starting_at_once_share_one_server(make: Make) -> None:
    server = make()
    both = await asyncio.gather(*(started(server.layout.directory) for _ in range(2)))
    for holdfast, _, _ in both:
        await kill(holdfast)
    assert len({pid for _, pid, _ in both}) == 1
    assert sorted(adopted for _, _, adopted in both) == [False, True]
    await server.start()
    await server.stop()


def write_until_it_fails(conninfo: str, acknowledged: list[int]) -> None:
    """Commit one row after the other and note each that the server acknowledged."""
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            while True:
                number = len(acknowledged)
                connection.execute("INSERT INTO public.written VALUES (%s)", [number])
                acknowledged.append(number)
    except psycopg.OperationalError:
        return


def has(items: list[int], at_least: int) -> bool:
    return len(items) >= at_least


async def test_kill_9_of_the_server_loses_nothing_that_was_committed(make: Make) -> None:
    server = make()
    await server.start()
    dsn = server.conninfo(Role.OWNER).dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.written (number int PRIMARY KEY)")
    for _ in range(3):
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SELECT count(*) FROM public.written").fetchone()
        assert row is not None
        acknowledged = list(range(row[0]))
        writer = asyncio.create_task(asyncio.to_thread(write_until_it_fails, dsn, acknowledged))
        await until(partial(has, acknowledged, row[0] + 200))
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await writer
        await server.start()
        assert not server.adopted
        assert server.pid not in (None, killed)
        with psycopg.connect(dsn) as connection:
            kept = {row[0] for row in connection.execute("SELECT number FROM public.written")}
        # One more may be there: committed, and the server killed before it could say so.
        assert set(acknowledged) <= kept <= {*acknowledged, len(acknowledged)}
    await server.stop()


async def test_sessions_that_outlive_a_killed_server_are_ended_first(make: Make) -> None:
    """A stuck backend keeps the dead server's memory; a second server beside it would destroy the data."""
    server = make(patience=timedelta(seconds=24))
    await server.start()
    session = psycopg.connect(server.conninfo(Role.OWNER).dsn, autocommit=True)
    main, stuck = server.pid, session.info.backend_pid
    assert main is not None
    assert process.serves(stuck, server.layout.data)
    os.kill(stuck, signal.SIGSTOP)
    os.kill(main, signal.SIGKILL)
    await server.start()
    assert not process.serves(stuck, server.layout.data)
    assert server.pid is not None
    session.close()
    await server.stop()


async def test_stop_ends_a_server_that_a_stuck_session_holds_up(make: Make) -> None:
    server = make(patience=timedelta(seconds=8))
    await server.start()
    session = psycopg.connect(server.conninfo(Role.OWNER).dsn, autocommit=True)
    session.execute("CREATE TABLE public.kept AS SELECT 42 AS answer")
    os.kill(session.info.backend_pid, signal.SIGSTOP)
    await server.stop()
    assert process.processes_of(server.layout.data) == []
    session.close()
    await server.start()
    with psycopg.connect(server.conninfo(Role.OWNER).dsn) as connection:
        assert connection.execute("SELECT answer FROM public.kept").fetchone() == (42,)
    await server.stop()


async def test_a_second_server_waits_for_the_lock_and_not_only_for_pids(make: Make) -> None:
    server = make(patience=timedelta(seconds=12))
    await server.start()
    held = process.FileLock(server.layout.server_lock)
    assert not held.try_acquire(), "the running server holds its lock"
    await server.stop()
    assert held.try_acquire()
    with pytest.raises(DatabaseTaken, match="a process that cannot be seen from here"):
        await server.start()
    held.close()
    await server.start()
    await server.stop()


@pytest.mark.parametrize("content", ["", "{alive}\n/elsewhere\n1\n5432\n/elsewhere\n\n", "{alive}"])
async def test_a_stale_pid_file_is_not_in_the_way(make: Make, content: str) -> None:
    """Empty, or with the number of a process that lives and is not PostgreSQL: this one."""
    server = make()
    await server.start()
    os.kill(server.pid or 0, signal.SIGKILL)
    await until(lambda: server.pid is None)
    server.layout.pid_file.write_text(content.format(alive=os.getpid()))
    await server.start()
    assert not server.adopted
    assert server.pid != os.getpid()
    await server.stop()


async def test_a_start_that_was_killed_in_initdb_is_made_good(make: Make, tmp_path: Path) -> None:
    server = make()
    holdfast = await another_holdfast(server.layout.directory)
    await until(lambda: list(server.layout.directory.glob("initdb-*/data/PG_VERSION")))
    await kill(holdfast)
    assert not server.layout.data.exists()
    await server.start()
    assert not server.adopted
    assert list(server.layout.directory.glob("initdb-*")) == []
    await server.stop()


async def test_a_start_that_was_cancelled_in_initdb_leaves_nothing_running(make: Make) -> None:
    server = make()
    starting = asyncio.create_task(server.start())
    await until(lambda: list(server.layout.directory.glob("initdb-*/data")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert list(server.layout.directory.glob("initdb-*")) == []
    await server.start()
    assert not server.adopted
    await server.stop()
