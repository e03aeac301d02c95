"""What every store of persons, their keys and erasures promises: in memory, in folders, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.ledger.persons import MemoryErasures, MemoryKeys, MemoryPersons
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.persons import PostgresErasures, PostgresPersons
from holdfast.adapters.vault.aes import AesVault
from holdfast.adapters.vault.person_keys import FolderKeys
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.errors import KeysAway, OnHold
from holdfast.ledger.persons.erasure import Eraser, Erasures
from holdfast.ledger.persons.keys import Held, KeyRing, KeyStore, person_id
from holdfast.ledger.persons.persons import Person, PersonBook, PersonRow, PersonRows, Pseudonyms, RowKey

if TYPE_CHECKING:
    from conftest import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA = Person(login="ada", name="Ada Lovelace", mail="ada@example.com")


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
def rows(pool: Pool | None) -> PersonRows:
    return MemoryPersons() if pool is None else PostgresPersons(pool)


@pytest.fixture
def erasures(pool: Pool | None) -> Erasures:
    return MemoryErasures() if pool is None else PostgresErasures(pool)


@pytest.fixture(params=["memory", "folder"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> list[KeyStore]:
    """Two of them, as in two regions."""
    if request.param == "memory":
        return [MemoryKeys("here"), MemoryKeys("there")]
    return [FolderKeys(tmp_path / name / "keys", make=True) for name in ("here", "there")]


@pytest.fixture
def store(stores: list[KeyStore]) -> KeyStore:
    return stores[0]


def book(rows: PersonRows, *stores: KeyStore) -> PersonBook:
    return PersonBook(Pseudonyms(AesVault(bytes(32))), rows, KeyRing(stores), vault_of=AesVault)


async def test_a_key_is_kept_once_and_gone_for_ever_when_it_is_destroyed(store: KeyStore) -> None:
    one, two = person_id("acme", "p-1"), person_id("acme", "p-2")
    await store.keep([(one, b"1" * 32), (two, b"2" * 32), (one, b"1" * 32)])
    await store.keep([(one, b"1" * 32), (one, b"3" * 32)])
    assert await store.held([one, two, person_id("acme", "p-3")]) == {
        one: Held((b"1" * 32, b"3" * 32)),
        two: Held((b"2" * 32,)),
    }
    for at in (NOON, LATER):  # the first time counts
        await store.destroy({one: at})
        assert (await store.held([one]))[one] == Held((), NOON)
    await store.keep([(one, b"4" * 32)])  # by whom has not heard of it
    assert await store.everything() == {one: Held((), NOON), two: Held((b"2" * 32,))}
    census = await store.census()
    assert (census.persons, census.erased, census.damaged) == (1, 1, 0)


async def test_whom_a_store_never_knew_is_marked_as_erased_too(store: KeyStore) -> None:
    gone = person_id("acme", "p-1")
    await store.destroy({gone: NOON})
    await store.keep([(gone, b"1" * 32)])
    assert await store.held([gone]) == {gone: Held((), NOON)}


async def test_what_one_store_lacks_it_gets_from_the_others(stores: list[KeyStore]) -> None:
    here, there = stores
    kept, lost, erased = (person_id("acme", f"p-{n}") for n in range(3))
    await here.keep([(kept, b"1" * 32), (erased, b"3" * 32)])
    await there.keep([(lost, b"2" * 32), (erased, b"3" * 32)])
    await there.destroy({erased: NOON})
    found = await KeyRing(stores).reconciled()
    assert (found.copied, found.erased, found.away) == (2, 1, {})
    assert await here.everything() == await there.everything()
    assert (await here.held([erased]))[erased] == Held((), NOON)
    assert (await KeyRing(stores).reconciled()).copied == 0


async def test_two_who_make_a_key_at_once_can_both_be_read(rows: PersonRows, stores: list[KeyStore]) -> None:
    one, other = (book(rows, store) for store in stores)  # each sees its own store only
    await asyncio.gather(
        one.sealed("acme", [ADA]), other.sealed("acme", [Person(login="ADA", name="Ada King")])
    )
    both = book(rows, *stores)
    shown = await both.shown("acme", both.pseudonyms.of("acme", "ada"))
    assert {person.name for person in shown.persons} == {"Ada Lovelace", "Ada King"}


async def test_the_same_told_again_is_the_same_row(rows: PersonRows, store: KeyStore) -> None:
    persons = [ADA, Person(login="bob")]
    first = await book(rows, store).sealed("acme", persons)
    again = await asyncio.gather(*(book(rows, store).sealed("acme", persons) for _ in range(4)))
    assert all(each == first for each in again)
    assert (
        first[ADA].user
        == (await book(rows, store).sealed("acme", [Person(login=" Ada ")]))[Person(login=" Ada ")].user
    )
    assert first[ADA].user != (await book(rows, store).sealed("other", [ADA]))[ADA].user
    shown = await book(rows, store).shown("acme", first[ADA].user)
    assert (shown.persons[0], shown.rows, shown.erased_at) == (ADA, 2, None)
    kept = await rows.of("acme", first[ADA].user)
    assert first[ADA].digest in {row.digest.hex() for row in kept}
    assert all(b"Lovelace" not in row.sealed for row in kept)


async def test_who_tells_the_same_at_once_makes_one_row(rows: PersonRows, store: KeyStore) -> None:
    told = await asyncio.gather(*(book(rows, store).sealed("acme", [ADA]) for _ in range(8)))
    assert len({each[ADA] for each in told}) == 1
    assert len(await rows.of("acme", told[0][ADA].user)) == 1


async def test_an_erased_person_stays_erased_and_their_records_stay_the_same(
    rows: PersonRows, erasures: Erasures, stores: list[KeyStore]
) -> None:
    ours = book(rows, *stores)
    before = (await ours.sealed("acme", [ADA]))[ADA]
    eraser = Eraser(erasures, KeyRing(stores), ManualClock(NOON))
    erased = await eraser.erase("acme", before.user, actor="olga", reason="asked for it")
    assert (erased.erasure.done_at, erased.destroyed.done) == (NOON, True)

    assert (await ours.sealed("acme", [ADA]))[ADA] == before  # a repeated record is the same bytes
    married = Person(login="ada", name="Ada King")
    first = (await ours.sealed("acme", [married]))[married]
    assert (await ours.sealed("acme", [married]))[married] == first
    assert first.user == before.user
    shown = await ours.shown("acme", before.user)
    assert (shown.rows, shown.persons, shown.erased_at) == (2, (), NOON)


async def test_an_erasure_is_done_when_every_store_has_done_it(
    rows: PersonRows, erasures: Erasures, tmp_path: Path
) -> None:
    here, there = MemoryKeys("here"), MemoryKeys("there")
    ours = book(rows, here, there)
    user = (await ours.sealed("acme", [ADA]))[ADA].user
    there.away = True
    eraser = Eraser(erasures, KeyRing([here, there]), ManualClock(NOON))
    erased = await eraser.erase("acme", user, actor="olga", reason="asked for it")
    assert erased.erasure.done_at is None
    assert list(erased.destroyed.away) == ["there"]
    assert (await ours.shown("acme", user)).persons == ()
    assert [each.destroyed.done for each in await eraser.retried()] == [False]
    there.away = False
    assert [each.destroyed.done for each in await eraser.retried()] == [True]
    assert await erasures.open() == []
    again = await eraser.erase("acme", user, actor="otto", reason="once more")
    assert (again.erasure.actor, again.erasure.done_at) == ("olga", NOON)


async def test_a_process_that_died_in_between_leaves_an_erasure_that_is_carried_out(
    rows: PersonRows, erasures: Erasures, stores: list[KeyStore]
) -> None:
    user = (await book(rows, *stores).sealed("acme", [ADA]))[ADA].user

    class Dies(KeyRing):
        async def destroy(self, tenant: str, pseudonym: str, at: datetime) -> object:  # type: ignore[override]
            await self.stores[0].destroy({person_id(tenant, pseudonym): at})
            raise SystemError("killed")

    with pytest.raises(SystemError):
        await Eraser(erasures, Dies(stores), ManualClock(NOON)).erase("acme", user, actor="o", reason="r")
    done = await Eraser(erasures, KeyRing(stores), ManualClock(LATER)).retried()
    assert [each.erasure.done_at for each in done] == [LATER]
    for store in stores:
        assert {held.keys for held in (await store.everything()).values()} == {()}


async def test_without_any_store_nobody_is_taken_in(rows: PersonRows) -> None:
    here, there = MemoryKeys("here"), MemoryKeys("there")
    here.away = there.away = True
    with pytest.raises(KeysAway):
        await book(rows, here, there).sealed("acme", [ADA])
    here.away = False
    told = await book(rows, here, there).sealed("acme", [ADA])  # one is enough
    there.away = False
    await KeyRing([here, there]).reconciled()
    here.away = True
    assert (await book(rows, here, there).shown("acme", told[ADA].user)).persons == (ADA,)


async def test_a_row_stays_what_it_was_first(rows: PersonRows) -> None:
    key = RowKey("p-1", b"1" * 32)
    await rows.keep([PersonRow("acme", key, b"first")])
    await rows.keep([PersonRow("acme", key, b"second"), PersonRow("other", key, b"theirs")])
    assert [row.sealed for row in await rows.of("acme", "p-1")] == [b"first"]
    assert await rows.digests("acme", []) == {}


@pytest.mark.parametrize("pool", [None], indirect=True)
async def test_a_hold_stands_in_the_way_of_an_erasure(pool: None) -> None:
    erasures, store = MemoryErasures(), MemoryKeys()
    user = (await book(MemoryPersons(), store).sealed("acme", [ADA]))[ADA].user
    erasures.held["acme"] = "court order"
    eraser = Eraser(erasures, KeyRing([store]), ManualClock(NOON))
    with pytest.raises(OnHold, match="court order"):
        await eraser.erase("acme", user, actor="olga", reason="asked for it")
    assert await erasures.open() == []
