"""What every store of Keeps in force and of regions' status promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg.errors as pg
import pytest
from tests.held import at, backup, holdings, piece, wal

from holdfast.adapters.memory.backup import MemoryBackupStatus, MemoryKeeping
from holdfast.adapters.postgres.backup import PostgresBackupStatus, PostgresKeeping
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.backup.recoverable.points import known_of
from holdfast.backup.recoverable.standing import StatusStore
from holdfast.backup.retention.approvals import DELAY, Approval, KeepingStore, NotApproved, RetentionDesk
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

if TYPE_CHECKING:
    from conftest import Database

WIDE = Keep(window=timedelta(days=14), weekly=8)
NARROW = Keep(window=timedelta(days=1), weekly=8)
OTHER = Keep(window=timedelta(days=14), weekly=1)
WIDER = Keep(window=timedelta(days=30), weekly=8)


@dataclass
class Stored:
    """The store as the backup's process has it, as the console has it, and a way to let time pass."""

    process: KeepingStore
    console: KeepingStore
    status: StatusStore
    pass_time: Callable[[timedelta], None]

    @property
    def desk(self) -> RetentionDesk:
        return RetentionDesk(self.process)

    @property
    def people(self) -> RetentionDesk:
        return RetentionDesk(self.console)


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    if database is None:
        clock = ManualClock(datetime.now(UTC))
        memory = MemoryKeeping(clock)
        yield Stored(
            memory, memory, MemoryBackupStatus(clock), lambda time: clock.advance(time.total_seconds())
        )
        return
    async with AsyncExitStack() as stack:
        process, console = [
            await stack.enter_async_context(open_pool(database.conninfo(role), "test"))
            for role in (Role.BACKUP, Role.CONSOLE)
        ]

        def moved_back(by: timedelta) -> None:
            with database.connect() as owner:
                # Approvals are not changed by anybody: what they are compared with cannot be moved either.
                owner.execute("ALTER TABLE backup.retention_approval DISABLE TRIGGER append_only")
                owner.execute("UPDATE backup.retention_approval SET at = at - %s", (by,))
                owner.execute("ALTER TABLE backup.retention_approval ENABLE TRIGGER append_only")

        yield Stored(
            PostgresKeeping(process), PostgresKeeping(console), PostgresBackupStatus(process), moved_back
        )


async def test_what_is_declared_first_is_in_force_and_widening_is_at_once(stored: Stored) -> None:
    assert await stored.desk.in_force("shop", "eu", WIDE) == WIDE
    assert await stored.desk.in_force("shop", "eu", WIDER) == WIDER
    (known,) = await stored.console.in_force("shop")
    assert (known.region, known.keep, known.change) == ("eu", WIDER, None)
    assert await stored.console.in_force("another") == []


async def test_narrowing_takes_two_people_and_a_delay(stored: Stored) -> None:
    await stored.desk.in_force("shop", "eu", WIDE)
    assert await stored.desk.in_force("shop", "eu", NARROW) == WIDE
    await stored.people.approve("shop", "eu", "ada")
    with pytest.raises(NotApproved, match="another person"):
        await stored.people.approve("shop", "eu", "command line (Ada)")
    stored.pass_time(DELAY * 3)
    assert await stored.desk.in_force("shop", "eu", NARROW) == WIDE, "one person is not enough, ever"
    known = await stored.people.approve("shop", "eu", "command line (grace)")
    assert known.change is not None
    assert [each.who for each in known.change.approvals] == ["ada", "command line (grace)"]
    assert await stored.desk.in_force("shop", "eu", NARROW) == WIDE, "the delay begins with the second"
    stored.pass_time(DELAY - timedelta(hours=1))
    assert await stored.desk.in_force("shop", "eu", NARROW) == WIDE
    stored.pass_time(timedelta(hours=2))
    assert await stored.desk.in_force("shop", "eu", NARROW) == NARROW
    assert await stored.desk.in_force("shop", "eu", NARROW) == NARROW
    (done,) = await stored.console.in_force("shop")
    assert done.change is None


async def test_a_store_under_a_new_regions_name_is_cut_by_two_people_too(stored: Stored) -> None:
    both = {"eu": WIDE, "usa": NARROW}
    assert await stored.desk.keeps("shop", both) == both, "what is declared first is in force, each its own"
    renamed = {"europe": NARROW, "usa": NARROW}
    for _ in range(2):
        assert await stored.desk.keeps("shop", renamed) == {"europe": WIDE, "usa": NARROW}
    await stored.people.approve("shop", "europe", "ada")
    await stored.people.approve("shop", "europe", "grace")
    stored.pass_time(DELAY)
    assert await stored.desk.keeps("shop", renamed) == renamed


async def test_approvals_are_of_what_was_asked_then_and_of_one_region(stored: Stored) -> None:
    for region in ("eu", "usa"):
        await stored.desk.in_force("shop", region, WIDE)
        await stored.desk.in_force("shop", region, NARROW)
    first = await stored.people.approve("shop", "eu", "ada")
    assert first.change is not None
    await stored.people.approve("shop", "eu", "grace")
    assert await stored.desk.in_force("shop", "eu", OTHER) == WIDE, "something else is asked for now"
    with pytest.raises(NotApproved, match="not open"):
        await stored.people.approve("shop", "eu", "linus", shown=first.change.id)
    stored.pass_time(DELAY * 2)
    assert await stored.desk.in_force("shop", "eu", OTHER) == WIDE
    assert await stored.desk.in_force("shop", "usa", NARROW) == WIDE
    # Asked for again, it begins anew.
    assert await stored.desk.in_force("shop", "eu", NARROW) == WIDE
    known = {each.region: each.change for each in await stored.console.in_force("shop")}
    assert known["eu"] is not None
    assert known["eu"].approvals == ()


async def test_what_the_estate_takes_back_is_withdrawn(stored: Stored) -> None:
    await stored.desk.in_force("shop", "eu", WIDE)
    await stored.desk.in_force("shop", "eu", NARROW)
    assert await stored.desk.in_force("shop", "eu", WIDE) == WIDE
    with pytest.raises(NotApproved, match="nothing is asked"):
        await stored.people.approve("shop", "eu", "ada")


async def test_one_part_wider_and_another_narrower_gives_the_wider_of_each_until_approved(
    stored: Stored,
) -> None:
    await stored.desk.in_force("shop", "eu", WIDE)
    mixed = Keep(window=timedelta(days=20), weekly=1)
    kept = Keep(window=timedelta(days=20), weekly=8)
    assert await stored.desk.in_force("shop", "eu", mixed) == kept
    assert await stored.desk.in_force("shop", "eu", mixed) == kept
    await stored.people.approve("shop", "eu", "ada")
    await stored.people.approve("shop", "eu", "grace")
    stored.pass_time(DELAY)
    assert await stored.desk.in_force("shop", "eu", mixed) == mixed


async def test_two_that_settle_at_once_ask_once(stored: Stored) -> None:
    await stored.desk.in_force("shop", "eu", WIDE)
    await asyncio.gather(*(stored.desk.in_force("shop", "eu", NARROW) for _ in range(6)))
    (known,) = await stored.console.in_force("shop")
    assert known.change is not None
    first = known.change.id
    approvals = [stored.people.approve("shop", "eu", "ada") for _ in range(4)]
    outcomes = await asyncio.gather(*approvals, return_exceptions=True)
    assert sum(1 for each in outcomes if not isinstance(each, NotApproved)) == 1
    (known,) = await stored.console.in_force("shop")
    assert known.change is not None
    assert (known.change.id, len(known.change.approvals)) == (first, 1)
    assert isinstance(known.change.approvals[0], Approval)


async def test_people_see_what_is_in_force_and_what_is_declared(stored: Stored) -> None:
    await stored.desk.in_force("shop", "usa", WIDE)
    shown = await stored.desk.standing("shop", {"eu": NARROW})
    assert [(each.region, each.in_force, each.declared) for each in shown] == [
        ("eu", WIDE, NARROW),
        ("usa", WIDE, None),
    ], "usa may have been renamed"


async def test_the_newest_status_of_each_region_is_kept_whole(stored: Stored) -> None:
    full = backup(0)
    held = holdings(
        [full, backup(3, full, label="\0 and \U0001f6d1")],
        [*wal(0, 5), piece(5, 0, 0.5, covered=5.5), *wal(8, 9)],
        missing=[full],
    )
    known = known_of(held, [])
    await stored.status.report(replace(known, error="away"))
    await stored.status.report(known)
    await stored.status.report(replace(known, region="usa", covered_until=None))
    eu, usa = await stored.status.statuses()
    assert eu.points == known
    assert usa.points.rpo(at(9)) is None
    assert eu.at <= eu.now
    assert await stored.status.forget([("shop", "usa")]) == 1
    assert [each.points.region for each in await stored.status.statuses()] == ["usa"]
    assert await stored.status.forget([]) == 1


async def test_a_status_of_another_version_is_not_known(database: "Database | None", stored: Stored) -> None:
    if database is None:
        return
    with database.connect() as owner:
        owner.execute(
            "INSERT INTO backup.status (database_key, region_key, document) VALUES ('a', 'b', '{}')"
        )
    assert await stored.status.statuses() == []


def test_each_login_may_do_its_part_and_no_other(migrated_database: "Database") -> None:
    with migrated_database.connect(Role.BACKUP) as process:
        process.execute(
            "INSERT INTO backup.retention_change (database_key, region_key, from_keep, to_keep) "
            "VALUES ('a', 'b', '{}', '{}')"
        )
        for refused in (
            "INSERT INTO backup.retention_approval (change_id, person, actor) VALUES (1, 'x', 'x')",
            "UPDATE backup.retention_change SET to_keep = '{}'",
            "DELETE FROM backup.keeping",
            "SELECT * FROM identity.account",
            "SELECT * FROM communication.subscription",
        ):
            with pytest.raises(pg.InsufficientPrivilege):
                process.execute(refused.encode())
    with migrated_database.connect(Role.CONSOLE) as console:
        for refused in (
            "INSERT INTO backup.keeping (database_key, region_key, keep) VALUES ('a', 'b', '{}')",
            "INSERT INTO backup.retention_approval (change_id, person, actor, at) VALUES (1, 'x', '', now())",
            "UPDATE backup.retention_change SET effective_at = now()",
            "DELETE FROM backup.retention_approval",
        ):
            with pytest.raises(pg.InsufficientPrivilege):
                console.execute(refused.encode())
    for role in (Role.SITE, Role.CONTROLLER, Role.SENDER):
        with migrated_database.connect(role) as other, pytest.raises(pg.InsufficientPrivilege):
            other.execute("SELECT * FROM backup.keeping")
    with migrated_database.connect() as owner, pytest.raises(pg.RestrictViolation):
        owner.execute("DELETE FROM backup.retention_approval")
