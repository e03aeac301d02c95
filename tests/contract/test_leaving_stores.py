"""What every store of those who leave promises: in memory, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.memory.ledger.persons import MemoryLeavings, MemoryPersons
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.leaving import PostgresLeavings
from holdfast.adapters.postgres.ledger.persons import PostgresPersons
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.persons.leaving import Candidates, Leavings, let_go
from holdfast.ledger.persons.persons import PersonRow, PersonRows, RowKey

if TYPE_CHECKING:
    from conftest import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEPT = timedelta(days=30)
"""Entries of the last thirty days are kept."""


@dataclass
class World:
    """Persons beside the log of acme, of which entries were pruned, and time that can pass."""

    rows: PersonRows
    leavings: Leavings
    database: "Database | None"
    clock: ManualClock

    def __post_init__(self) -> None:
        self.kept: set[str] = set()
        """Whose entries are kept."""

    def prune(self) -> None:
        """Entries from before KEPT ago are gone."""
        if isinstance(self.leavings, MemoryLeavings):
            self.leavings.pruned["acme"] = (1, 256, self.clock.now() - KEPT)
            return
        self.owner(
            "INSERT INTO ledger.log (id, tenant, origin) OVERRIDING SYSTEM VALUE"
            " VALUES (1, 'acme', 'ledger.example/acme') ON CONFLICT DO NOTHING",
            "INSERT INTO ledger.pruned (log_id, up_to, older_than)"
            " SELECT 1, coalesce(max(up_to), 0) + 256, now() - interval '30 days' FROM ledger.pruned",
        )

    def passes(self, days: float) -> None:
        self.clock.advance(days * 86_400)
        if isinstance(self.leavings, MemoryLeavings):
            if "acme" in self.leavings.pruned:
                self.prune()
            return
        self.owner(
            "ALTER TABLE ledger.person DISABLE TRIGGER append_only",
            f"UPDATE ledger.person SET at = at - interval '{days} days'",
            "ALTER TABLE ledger.person ENABLE TRIGGER append_only",
            f"UPDATE ledger.leaving SET since = since - interval '{days} days'",
        )

    def hold(self) -> None:
        if isinstance(self.leavings, MemoryLeavings):
            self.leavings.held["acme"] = "court"
        else:
            self.owner("INSERT INTO ledger.hold (tenant, reason, actor) VALUES ('acme', 'court', 'o')")

    def owner(self, *statements: str) -> None:
        assert self.database is not None
        with self.database.connect() as connection:
            for each in statements:
                connection.execute(each.encode())

    async def told(self, pseudonym: str, what: int = 0, tenant: str = "acme") -> None:
        """As who posts does: look, keep what is not there, look again."""
        key = RowKey(pseudonym, bytes([what]) * 32)
        if not await self.rows.digests(tenant, [key]):
            await self.rows.keep([PersonRow(tenant, key, f"sealed {tenant} {pseudonym} {what}".encode())])
            assert await self.rows.digests(tenant, [key])

    async def known(self, pseudonym: str, tenant: str = "acme") -> int:
        return len(await self.rows.of(tenant, pseudonym))

    async def round(self) -> int:
        async def has_entries(whose: Candidates, person: str) -> bool:
            assert (whose.tenant, whose.log_id) == ("acme", 1)
            return person in self.kept

        return await let_go(self.leavings, has_entries, actor="ledger")


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def pool(database: "Database | None") -> AsyncIterator[Pool | None]:
    if database is None:
        yield None
        return
    async with open_pool(database.conninfo(Role.LEDGER), "test", max_size=4) as pool:
        yield pool


@pytest.fixture
def world(database: "Database | None", pool: Pool | None) -> World:
    clock = ManualClock(NOON)
    if pool is None:
        persons = MemoryPersons(clock)
        return World(persons, MemoryLeavings(persons, clock), None, clock)
    return World(PostgresPersons(pool), PostgresLeavings(pool), database, clock)


async def test_who_has_no_entries_left_is_forgotten_a_day_later(world: World) -> None:
    await world.told("p-ada")
    await world.told("p-ada", 1)
    await world.told("p-alan", tenant="other")
    world.passes(40)
    assert await world.leavings.candidates() == []  # nothing of anybody's entries is gone
    world.prune()
    assert await world.round() == 0
    world.passes(0.9)
    assert await world.round() == 0
    assert await world.known("p-ada") == 2
    world.passes(0.2)
    assert await world.round() == 1
    assert await world.known("p-ada") == 0
    assert await world.known("p-alan", "other") == 1
    assert await world.round() == 0
    # Who comes back is told of anew.
    await world.told("p-ada")
    assert await world.known("p-ada") == 1


async def test_who_has_an_entry_or_was_told_of_lately_stays(world: World) -> None:
    await world.told("p-old")
    await world.told("p-moved")
    world.passes(40)
    world.prune()
    await world.told("p-moved", 1)  # a new name: the old row is still theirs
    await world.told("p-new")
    world.kept = {"p-old"}
    [found] = await world.leavings.candidates()
    assert found.pseudonyms == ("p-old",)
    for _ in range(3):
        assert await world.round() == 0
        world.passes(2)
    assert [await world.known(each) for each in ("p-old", "p-moved", "p-new")] == [1, 2, 1]


async def test_who_is_told_of_in_between_begins_to_leave_anew(world: World) -> None:
    await world.told("p-ada")
    world.passes(40)
    world.prune()
    assert await world.round() == 0
    world.passes(2)
    await world.told("p-ada")  # the record is on its way, and not in the log yet
    assert await world.round() == 0
    assert await world.known("p-ada") == 1
    world.kept = {"p-ada"}  # now it is
    world.passes(2)
    assert await world.round() == 0
    world.kept = set()
    assert await world.round() == 0  # from now on, and not from then
    world.passes(2)
    assert await world.round() == 1


async def test_a_hold_keeps_them_also_when_it_comes_last(world: World) -> None:
    await world.told("p-ada")
    world.passes(40)
    world.prune()
    assert await world.round() == 0
    world.passes(2)
    world.hold()
    assert await world.leavings.candidates() == []
    assert await world.leavings.forget("acme", ["p-ada"], actor="ledger") == 0
    assert await world.known("p-ada") == 1


async def test_nobody_is_forgotten_who_does_not_leave(world: World) -> None:
    await world.told("p-ada")
    world.passes(40)
    assert await world.leavings.forget("acme", ["p-ada"], actor="ledger") == 0
    world.prune()
    assert await world.leavings.forget("acme", ["p-ada", "p-nobody"], actor="ledger") == 0
    assert await world.known("p-ada") == 1


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_the_login_that_serves_cannot_hurry_it(world: World) -> None:
    await world.told("p-ada")
    assert world.database is not None
    with (
        world.database.connect(Role.LEDGER) as serving,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        serving.execute("INSERT INTO ledger.leaving VALUES ('acme', 'p-ada', '2020-01-01Z')")
    with world.database.connect() as owner, pytest.raises(psycopg.Error, match="person"):
        owner.execute("DELETE FROM ledger.person")


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_who_looks_a_row_up_while_it_goes_sees_it_gone_or_keeps_it(world: World) -> None:
    await world.told("p-ada")
    world.passes(40)
    world.prune()
    await world.round()
    world.passes(2)
    assert world.database is not None
    key = RowKey("p-ada", bytes(32))
    with world.database.connect(Role.LEDGER) as going:
        going.autocommit = False
        assert going.execute("SELECT ledger.forget('acme', ARRAY['p-ada'])").fetchone() == (1,)
        looking = asyncio.create_task(world.rows.digests("acme", [key]))
        await asyncio.sleep(0.3)
        assert not looking.done()  # it waits, and does not hand out a row that goes
        going.commit()
    assert await looking == {}
