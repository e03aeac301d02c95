"""The follower's process, killed again and again while records come in: every entry counts exactly once."""

import asyncio
import multiprocessing
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import pytest
from tests.ledger_records import BEGAN, KeptLedger, correction, jobs_of_a_year, kept_ledger

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.books import PostgresBooks
from holdfast.bootstrap.database import packed
from holdfast.bootstrap.ledger.following import _child
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.ledger.reports.rebuilding import compared
from holdfast.ledger.reports.reporting import Asked, Per

if TYPE_CHECKING:
    from conftest import Database

ALL_DAYS = Asked(date(2025, 1, 1), date(2028, 1, 1), tenant="acme")
DECLARED = DeclaredLedger.model_validate({"name": "ledger.example", "signing_key": "env:NO_SUCH_KEY"})
FOLDS = {"rollups", "finding", "completeness", "meters"}


@pytest.fixture
async def ledger(migrated_database: "Database") -> AsyncIterator[KeptLedger]:
    async with kept_ledger(migrated_database, Role.LEDGER) as kept:
        yield kept


@contextmanager
def follower_of(ledger: KeptLedger) -> Iterator[BaseProcess]:
    assert ledger.database is not None
    login = packed(ledger.database.conninfo(Role.LEDGER))
    child = multiprocessing.get_context("spawn").Process(target=_child, args=(os.getpid(), login, DECLARED))
    child.start()
    try:
        yield child
    finally:
        child.kill()
        child.join()


def leaders(ledger: KeptLedger) -> list[int]:
    assert ledger.database is not None
    with ledger.database.connect() as connection:
        return [
            pid
            for (pid,) in connection.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7015 AND objid = 50"
                " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        ]


async def has_led(ledger: KeptLedger, but: int = 0) -> int:
    while not (found := [pid for pid in leaders(ledger) if pid != but]):  # noqa: ASYNC110  it is another process
        await asyncio.sleep(0.05)
    return found[0]


async def caught_up(ledger: KeptLedger) -> None:
    [log] = await ledger.following.logs()
    for fold in FOLDS:
        while (await ledger.following.positions(fold)).get(log.id, 0) < log.size:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_killed_at_any_moment_it_counts_every_entry_once(ledger: KeptLedger) -> None:
    records = jobs_of_a_year(3000)
    chance = random.Random(3)
    for seq in range(3000, 3400):
        records.append(correction(seq, chance.randrange(seq), occurred_at=BEGAN, sheets={"A4": 2}))
    posting = asyncio.create_task(ledger.post(*records, at_once=20))
    for _ in range(5):
        with follower_of(ledger):
            await has_led(ledger)
            await asyncio.sleep(chance.random())
    await posting
    with follower_of(ledger):
        await caught_up(ledger)
    assert ledger.pool is not None
    [log] = await ledger.following.logs()
    found = await compared(PostgresBooks(ledger.pool), ledger.following, ledger.logs, log)
    assert (found.size, found.count) == (3400, 0)
    report = await ledger.reports.report(ALL_DAYS)
    assert report.total.sums.jobs == 3000, "a correction takes the place of a job, or is void"
    assert report.standing[0].void > 0


async def test_of_two_one_follows_and_the_other_takes_over(ledger: KeptLedger) -> None:
    await ledger.post(*jobs_of_a_year(100))
    with follower_of(ledger) as first:
        leader = await has_led(ledger)
        with follower_of(ledger):
            await caught_up(ledger)
            assert leaders(ledger) == [leader]
            first.kill()
            await has_led(ledger, but=leader)
            await ledger.post(*jobs_of_a_year(150)[100:])
            await caught_up(ledger)
    assert (await ledger.reports.report(ALL_DAYS)).total.sums.jobs == 150


async def test_it_makes_sums_anew_when_the_tenants_time_zone_changes(ledger: KeptLedger) -> None:
    assert ledger.database is not None
    with ledger.database.connect() as connection:
        connection.execute("INSERT INTO ledger.tenant (key, name, time_zone) VALUES ('acme', 'Acme', 'UTC')")
        await ledger.post(*jobs_of_a_year(200))
        await ledger.follow()
        connection.execute("UPDATE ledger.tenant SET time_zone = 'Pacific/Auckland'")
    asked = replace(ALL_DAYS, per=Per.DAY)
    before = await ledger.reports.report(asked)
    with follower_of(ledger):
        after = before
        while after.standing[0].time_zone != "Pacific/Auckland":
            after = await ledger.reports.report(asked)
        events = list[object]()
        with ledger.database.connect() as connection:
            while not events:
                events += connection.execute(
                    "SELECT facts FROM holdfast.journal WHERE event = 'ledger.rollups_rebuilt'"
                ).fetchall()
    assert after.total == before.total
    assert after.rows != before.rows
    assert events == [({"tenant": "acme", "time_zone": "Pacific/Auckland"},)]


async def test_it_ends_with_the_process_that_started_it(ledger: KeptLedger) -> None:
    assert ledger.database is not None
    login = packed(ledger.database.conninfo(Role.LEDGER))
    nobody = 1 if os.getppid() != 1 else 2
    child = multiprocessing.get_context("spawn").Process(target=_child, args=(nobody, login, DECLARED))
    child.start()
    await asyncio.to_thread(child.join)
    assert child.exitcode == 0
