"""Processes that are stopped (SIGSTOP) in the middle of a change: others go on, who wakes changes nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.protected import Protected
from tests.recorded import SIGNER, an_evidence

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.damaged import DamagedDatabase, Wanted
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.postgres.restored.extracting_databases import replace_database
from holdfast.bootstrap.recovery.sealing import seal_with
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import ComesLate
from holdfast.recovery.ports import Fence

if TYPE_CHECKING:
    from conftest import Database

NUMBERS = count(1)
PASSWORD = "of-an-owner"
PATIENCE_S = 60.0

SALVAGING = """
import json, os, signal, sys
from psycopg import Copy
from holdfast.adapters.postgres.recovery import damaged
from holdfast.recovery.ports import Fence

given = json.loads(sys.stdin.readline())
stops = [given["stops"]]

def stopping(where, was):
    def stop(*args, **kwargs):
        done = was(*args, **kwargs)
        if where in stops:
            stops.remove(where)
            os.kill(os.getpid(), signal.SIGSTOP)
        return done
    return stop

damaged.put_back = stopping("behind the fence", damaged.put_back)
Copy.write = stopping("while rows are sent", Copy.write)
wanted = damaged.Wanted(given["copy"], ["public.orders"], replace=True, again=False)
for _ in range(2):  # as a step is tried again
    try:
        damaged.DamagedDatabase(given["params"]).salvage("run1", wanted, Fence("run1", 1, 1))
    except Exception as error:
        print(type(error).__name__, flush=True)
    else:
        print("done", flush=True)
"""

RECORDING = """
import asyncio, json, os, signal, sys
from tests.recorded import SIGNER, an_evidence
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.sealing import seal_with

given = json.loads(sys.stdin.readline())

def seal(hashes):
    os.kill(os.getpid(), signal.SIGSTOP)
    return seal_with(SIGNER)(hashes)

async def record():
    async with open_pool(Conninfo(Role.RECOVERY, given), "evidence") as pool:
        try:
            await PostgresEvidence(pool).append(an_evidence("late"), seal)
        except Exception as error:
            print(type(error).__name__, flush=True)
        else:
            print("done", flush=True)

asyncio.run(record())
"""


class Stopped:
    """A process of its own that has stopped itself where it was told to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def wake(self) -> list[str]:
        """What it says until it ends by itself."""
        self._process.send_signal(signal.SIGCONT)
        said, _ = self._process.communicate(timeout=PATIENCE_S)
        return said.split()


@contextmanager
def stopped(script: str, given: dict[str, Any]) -> Iterator[Stopped]:
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(given)}\n")
        process.stdin.flush()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                break
            assert not pid, f"it ended with {status}"
            assert time.monotonic() < deadline, "it does not stop itself"
            time.sleep(0.02)
        yield Stopped(process)
    finally:
        process.kill()
        process.wait()
        for each in (process.stdin, process.stdout):
            if each is not None and not each.closed:
                each.close()


class Stand:
    """A shop with wrong orders, and the good ones in a database beside it."""

    def __init__(self, server: Protected, name: str) -> None:
        self.server, self.name = server, name
        self.params = {
            **server.owner_params,
            "user": f"owner_{name}",
            "password": PASSWORD,
            "dbname": name,
        }
        self.copy = make_conninfo(**{**self.params, "dbname": f"{name}_then"})
        self.damaged = DamagedDatabase(self.params)
        self.wanted = Wanted(self.copy, ["public.orders"], replace=True, again=False)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Nobody is waited for longer than a patient user would."""
        with psycopg.connect(**self.params, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("SET lock_timeout = '60s'")
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    def stopped(self, where: str) -> Any:
        return stopped(SALVAGING, {"stops": where, "params": self.params, "copy": self.copy})


@pytest.fixture
def stand(shared_protected: Protected) -> Iterator[Stand]:
    name = f"stand{next(NUMBERS)}"
    server = shared_protected
    server.sql(f"CREATE ROLE owner_{name} LOGIN PASSWORD '{PASSWORD}'")
    server.sql(f"CREATE DATABASE {name} OWNER owner_{name}")
    made = Stand(server, name)
    made.sql("CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL)")
    made.sql("INSERT INTO orders SELECT n, n FROM generate_series(1, 20) n")
    server.sql(f"CREATE DATABASE {name}_then TEMPLATE {name} OWNER owner_{name}")
    made.sql("UPDATE orders SET total = 0")
    yield made
    for (each,) in server.sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'"):
        server.sql(f'DROP DATABASE "{each}" WITH (FORCE)')
    server.sql(f"DROP ROLE owner_{name}")


def test_another_puts_it_back_while_one_stands_still_behind_the_fence(stand: Stand) -> None:
    with stand.stopped("behind the fence") as late:
        stand.damaged.salvage("run1", stand.wanted, Fence("run1", 2, 2))
        stand.sql("UPDATE orders SET total = 500 WHERE id = 5")
        stand.sql("INSERT INTO orders VALUES (21, 21)")
        assert late.wake() == ["StepFailed", "ComesLate"]
    assert stand.sql("SELECT count(*), sum(total) FROM orders") == [(21, 210 - 5 + 500 + 21)]


def test_users_go_on_while_one_stands_still_and_nobody_takes_it_over(stand: Stand) -> None:
    with stand.stopped("behind the fence") as late:
        stand.sql("UPDATE orders SET total = 7 WHERE id = 7")
        assert stand.sql("SELECT sum(total) FROM orders") == [(7,)], "nothing of it has come to be"
        # It is the newest attempt yet: what it tries again counts.
        assert late.wake() == ["StepFailed", "done"]
    assert stand.sql("SELECT sum(total) FROM orders") == [(210,)]


def test_who_stands_still_while_rows_are_sent_holds_nothing(stand: Stand) -> None:
    with stand.stopped("while rows are sent") as late:
        stand.sql("ALTER TABLE orders ADD COLUMN note text; ALTER TABLE orders DROP COLUMN note")
        stand.damaged.keep("run1", ["public.orders"], Fence("run1", 1, 2))
        ours = stand.server.sql(
            f"SELECT 1 FROM pg_stat_activity WHERE datname = '{stand.name}' AND application_name LIKE 'hold%'"
        )
        assert ours == [], "the session of the earlier turn has ended"
        assert late.wake() == ["StepFailed", "ComesLate"]
    assert stand.sql("SELECT sum(total) FROM orders") == [(0,)]


def test_an_earlier_attempt_ends_no_later_ones_session(stand: Stand) -> None:
    stand.damaged.keep("run1", [], Fence("run1", 3, 1))
    with psycopg.connect(**stand.params, autocommit=True) as later:  # type: ignore[arg-type]
        with stand.stopped("while rows are sent"):
            [(name,)] = later.execute(
                "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'holdfast% 1 1'"
            ).fetchall()
        later.execute("SELECT set_config('application_name', %s, false)", [name.replace(" 1 1", " 3 1")])
        with pytest.raises(ComesLate):
            stand.damaged.keep("run1", [], Fence("run1", 2, 9))
        assert later.execute("SELECT 1").fetchone() == (1,)


def test_names_change_only_while_the_database_is_the_one_that_was_announced(stand: Stand) -> None:
    server, name = stand.server, stand.name
    late = stand.damaged.announce(Fence("run1", 1, 1))
    quick = stand.damaged.announce(Fence("run1", 2, 2))

    hours = count()

    def swap(last: Any) -> str:
        target = {**server.owner_params, "dbname": name}
        copy = make_conninfo(**target)
        # Not within one second: what is kept is named after it.
        now = SystemClock().now() + timedelta(hours=next(hours))
        return replace_database(copy, name, server.binaries.folder, target, now, last).kept_as

    kept = swap(quick.see_that_it_is_the_same)
    stand.sql("UPDATE orders SET total = 3 WHERE id = 3")
    with pytest.raises(ComesLate):
        swap(late.see_that_it_is_the_same)
    assert stand.sql("SELECT sum(total) FROM orders") == [(3,)]
    there = server.sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%' ORDER BY 1")
    assert sorted(each for (each,) in there) == sorted([name, kept, f"{name}_then"])


def test_a_database_that_was_frozen_meanwhile_does_not_change_places(stand: Stand) -> None:
    announced = stand.damaged.announce(Fence("run1", 1, 1))
    stand.damaged.freeze("run1", Fence("run1", 1, 2))
    with (
        psycopg.connect(**stand.params) as session,  # type: ignore[arg-type]
        pytest.raises(ComesLate),
    ):
        announced.see_that_it_is_the_same(session, stand.name)


def test_evidence_is_recorded_while_another_stands_still_in_its_turn(migrated_database: "Database") -> None:
    conninfo = migrated_database.conninfo(Role.RECOVERY)

    async def record() -> list[int]:
        async with open_pool(conninfo, "evidence") as pool:
            log = PostgresEvidence(pool)
            async with asyncio.timeout(PATIENCE_S):
                await log.append(an_evidence("quick"), seal_with(SIGNER))
            return [each.leaf for each in await log.entries()]

    with stopped(RECORDING, dict(conninfo.parameters)) as late:
        assert asyncio.run(record()) == [0]
        said = late.wake()
    assert said != ["done"], said
    assert asyncio.run(_size(migrated_database)) == 1


async def _size(database: "Database") -> int:
    async with open_pool(database.conninfo(Role.RECOVERY), "evidence") as pool:
        return len(await PostgresEvidence(pool).entries())
