"""What the database itself sees to: epochs, what is over, who may change what, the fence, word of it."""

import asyncio
import contextlib
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg
import pytest
from msgspec.structs import replace
from tests.kept_runs import LEASE, begins, new, note, playbook

from holdfast.adapters.postgres.connect import borrowed, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.recovery.fencing import pass_fence
from holdfast.adapters.postgres.recovery.marks import PostgresMarks
from holdfast.adapters.postgres.recovery.news import heard_on
from holdfast.adapters.postgres.recovery.playbooks import PostgresPlaybooks
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.adapters.postgres.recovery.standing import Standing, standing_of
from holdfast.recovery import transitions
from holdfast.recovery.errors import ComesLate
from holdfast.recovery.model import Run, RunState
from holdfast.recovery.ports import Fence

if TYPE_CHECKING:
    from conftest import Database


async def test_a_database_refuses_an_older_epoch_and_a_change_of_what_is_over(
    migrated_database: "Database",
) -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        store = PostgresRuns(pool)
        await store.start(new("a"), note("run.started"))
        held = await store.claim("r1", LEASE)
        assert held is not None
        with migrated_database.connect() as connection:
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute("UPDATE recovery.run SET epoch = epoch - 1")
            connection.execute("UPDATE recovery.run SET state = 'done'")
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute("UPDATE recovery.run SET state = 'running'")
            with pytest.raises(psycopg.errors.RestrictViolation, match="needed still"):
                connection.execute("DELETE FROM recovery.run")
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute("TRUNCATE recovery.run")


async def test_epochs_go_on_after_the_database_was_restored_from_a_backup(
    migrated_database: "Database",
) -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        store = PostgresRuns(pool)
        await store.start(new("a"), note("run.started"))
        held = await store.claim("r1", LEASE)
        assert held is not None
        with migrated_database.connect() as connection:
            connection.execute("UPDATE recovery.epoch SET last = 3")  # as it was long ago
        await store.start(new("b"), note("run.started", "b"))
        again = await store.claim("r1", LEASE)
        assert again is not None
        assert again.epoch >= held.epoch
        assert again.epoch > 1_790_000_000


async def test_a_run_of_another_version_is_left_to_who_can_read_it(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        store = PostgresRuns(pool)
        for each in ("a", "b"):
            await store.start(new(each), note("run.started", each))
        with migrated_database.connect() as connection:
            connection.execute(
                "UPDATE recovery.run SET run = jsonb_set(run, '{playbook,magic}', '1') WHERE id = 'a'"
            )
        held = await store.claim("r1", LEASE)
        assert held is not None
        assert held.run.id == "b"
        assert await store.claim("r1", LEASE) is None
        assert [run.id for run in await store.newest(10)] == ["b"]


async def test_people_at_the_console_hold_no_lease(migrated_database: "Database") -> None:
    async with (
        open_pool(migrated_database.conninfo(Role.CONSOLE), "test") as pool,
        open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as own,
    ):
        console = PostgresRuns(pool)
        revised = await PostgresPlaybooks(pool).revised(playbook())
        await console.start(replace(new("a"), playbook=revised), note("run.started"))
        held = await PostgresRuns(own).claim("r1", LEASE)
        assert held is not None
        await console.change("a", lambda run, _: transitions.cancelled(run, "ada"), note("run.cancel_asked"))
        assert (await console.get("a")).run.state is RunState.CANCELLING
        with migrated_database.connect(Role.CONSOLE) as connection:
            for column in ("epoch = epoch + 1", "leased_until = NULL", "owner = 'me'"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"UPDATE recovery.run SET {column}")


async def test_word_is_heard_again_after_the_connection_was_lost(migrated_database: "Database") -> None:
    conninfo = migrated_database.conninfo(Role.RECOVERY)
    async with open_pool(conninfo, "test") as pool, heard_on(conninfo) as heard:
        store = PostgresRuns(pool, heard)
        await store.start(new("a"), note("run.started"))
        async with asyncio.timeout(60):
            await heard.woken(0, 60)
            before = heard.heard
            with migrated_database.connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'holdfast changes'"
                )
            # What was said meanwhile may have been missed: that counts as a word.
            await heard.woken(before, 60)
            assert heard.heard > before
            before = heard.heard
            waiting = asyncio.create_task(heard.woken(before, 60))
            await store.change("a", begins, note("run.step_begun"))
            await waiting
        assert heard.heard > before


async def test_a_fence_lets_nobody_pass_who_is_older_than_the_newest(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        marks = PostgresMarks(pool)
        assert await marks.get("m") == ""
        await marks.put("m", "one", Fence("a", 7, 3))
        await marks.put("m", "one again", Fence("a", 7, 3))
        for late in (Fence("a", 7, 2), Fence("a", 6, 9), Fence("earlier", 6, 99)):
            with pytest.raises(ComesLate):
                await marks.put("m", "late", late)
        assert await marks.get("m") == "one again"
        await marks.put("m", "two", Fence("b", 8, 1))
        await marks.put("other", "old", Fence("a", 1, 1))
        assert [await marks.get(name) for name in ("m", "other")] == ["two", "old"]


async def test_who_waits_at_a_fence_is_judged_by_what_the_one_before_left(
    migrated_database: "Database",
) -> None:
    """And nothing is left by one whose transaction failed."""
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        marks = PostgresMarks(pool)
        await marks.put("m", "one", Fence("a", 1, 1))
        for commits in (False, True):
            async with borrowed(pool) as connection:
                with contextlib.suppress(ZeroDivisionError):
                    async with connection.transaction():
                        await pass_fence(connection, "mark m", Fence("a", 5, 1))
                        behind = asyncio.create_task(marks.put("m", "two", Fence("a", 4, 1)))
                        await asyncio.sleep(0.2)
                        assert not behind.done()
                        if not commits:
                            raise ZeroDivisionError
            if commits:
                with pytest.raises(ComesLate):
                    await behind
            else:
                await behind
                assert await marks.get("m") == "two"


async def test_it_is_known_how_runs_stand(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as pool:
        store = PostgresRuns(pool)
        assert await standing_of(pool) == Standing({}, 0.0)
        for each in ("a", "b", "c"):
            await store.start(new(each), note("run.started", each))
        await store.change("b", lambda run, _: transitions.stood_still(run, "look"), note("x", "b"))
        held = await store.claim("r1", LEASE)
        assert held is not None
        with migrated_database.connect() as connection:
            connection.execute("UPDATE recovery.run SET changed_at = changed_at - interval '1 hour'")
        found = await standing_of(pool)
        assert found.runs == {RunState.RUNNING: 2, RunState.NEEDS_OPERATOR: 1}
        # Of the one that waits to be taken on; the one that stands still waits for a person.
        assert 3600 <= found.unattended_s < 3700
        await store.claim("r1", LEASE)
        assert (await standing_of(pool)).unattended_s == 0


async def test_a_replica_that_stands_still_in_the_middle_of_a_change_holds_nobody_up(
    migrated_database: "Database",
) -> None:
    """It holds the row of the run; the server ends its transaction, and nothing of it is left."""
    conninfo = migrated_database.conninfo(Role.RECOVERY)
    locked, woken = threading.Event(), threading.Event()

    def stands_still(run: Run, at: datetime) -> Run:
        locked.set()
        assert woken.wait(60)
        return transitions.stood_still(run, f"too late: {at}")

    async def stopped() -> None:
        async with open_pool(conninfo, "stopped") as pool:
            await PostgresRuns(pool).change("a", stands_still, note("run.x"))

    async with open_pool(conninfo, "test") as pool:
        store = PostgresRuns(pool)
        await store.start(new("a"), note("run.started"))
        stopping = asyncio.create_task(asyncio.to_thread(asyncio.run, stopped()))
        assert await asyncio.to_thread(locked.wait, 60)
        # A statement that waits for longer than its limit is given up by the server, which fails this.
        async with asyncio.timeout(60):
            changed = await store.change("a", begins, note("run.step_begun"))
        woken.set()
        with pytest.raises(DatabaseError):
            await stopping
        assert (await store.get("a")).run == changed.run
