"""A folder of persons' keys: what is on the disk, what a crash leaves, and several who use it at once."""

import asyncio
import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.adapters.memory.ledger.persons import MemoryPersons
from holdfast.adapters.vault.aes import AesVault
from holdfast.adapters.vault.person_keys import FILE, SLOT_BYTES, FolderKeys
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.keys import Held, KeyRing, person_id
from holdfast.ledger.persons.persons import Person, PersonBook, Pseudonyms

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ONE, TWO = person_id("acme", "p-1"), person_id("acme", "p-2")
KEY = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "person-keys"


def make(folder: Path) -> None:
    folder.mkdir()


def modes(folder: Path) -> dict[str, int]:
    """Of the folder, and of every file in it."""
    return {
        "" if each == folder else each.name: stat.S_IMODE(each.stat().st_mode)
        for each in (folder, *folder.iterdir())
    }


async def test_a_destroyed_key_stands_nowhere_in_the_file(folder: Path) -> None:
    keys = FolderKeys(folder, make=True)
    await keys.keep([(ONE, KEY), (TWO, b"2" * 32), (ONE, KEY[::-1])])
    before = (folder / FILE).read_bytes()
    assert KEY in before
    await FolderKeys(folder).destroy({ONE: NOON})  # as another process does
    after = (folder / FILE).read_bytes()
    assert KEY not in after
    assert KEY[::-1] not in after
    assert len(after) == len(before)  # overwritten where it stood, in a file that is the same one
    assert await keys.held([ONE, TWO]) == {ONE: Held((), NOON), TWO: Held((b"2" * 32,))}


async def test_nobody_else_reads_the_files(folder: Path) -> None:
    await FolderKeys(folder, make=True).keep([(ONE, KEY)])
    assert modes(folder) == {"": 0o700, FILE: 0o600}


async def test_a_store_that_is_not_there_is_not_taken_for_an_empty_one(folder: Path) -> None:
    keys = FolderKeys(folder)
    with pytest.raises(KeysAway) as caught:
        await keys.held([ONE])
    assert "--make" in caught.value.hint
    make(folder)  # a mount point without what belongs there
    for asked in (keys.keep([(ONE, KEY)]), keys.destroy({ONE: NOON}), keys.everything(), keys.census()):
        with pytest.raises(KeysAway):
            await asked
    assert list(modes(folder)) == [""]
    (folder / FILE).write_bytes(b"something else\n" * 20)
    with pytest.raises(KeysAway, match="no store"):
        await keys.held([ONE])


@pytest.mark.parametrize("left", [1, SLOT_BYTES - 1])
async def test_a_slot_that_a_crash_broke_off_is_written_over(folder: Path, left: int) -> None:
    await FolderKeys(folder, make=True).keep([(ONE, KEY)])
    with (folder / FILE).open("ab") as file:
        file.write(b"\x07" * left)
    keys = FolderKeys(folder)
    assert await keys.held([ONE]) == {ONE: Held((KEY,))}
    await keys.keep([(TWO, b"2" * 32)])
    for each in (keys, FolderKeys(folder)):
        assert await each.everything() == {ONE: Held((KEY,)), TWO: Held((b"2" * 32,))}
        assert (await each.census()).damaged == 0


async def test_a_file_that_a_crash_made_longer_without_filling_it(folder: Path) -> None:
    await FolderKeys(folder, make=True).keep([(ONE, KEY)])
    with (folder / FILE).open("ab") as file:
        file.write(bytes(3 * SLOT_BYTES))
    keys = FolderKeys(folder)
    await keys.keep([(TWO, b"2" * 32)])
    assert await FolderKeys(folder).everything() == {ONE: Held((KEY,)), TWO: Held((b"2" * 32,))}


@pytest.mark.parametrize("at", [0, 33, 41, 63, 90])
async def test_a_flipped_bit_is_told_and_the_key_is_overwritten_all_the_same(folder: Path, at: int) -> None:
    await FolderKeys(folder, make=True).keep([(TWO, b"2" * 32), (ONE, KEY)])
    content = bytearray((folder / FILE).read_bytes())
    content[2 * SLOT_BYTES + at] ^= 1
    (folder / FILE).write_bytes(content)
    keys = FolderKeys(folder)
    assert await keys.everything() == {TWO: Held((b"2" * 32,))}
    assert (await keys.census()).damaged == 1
    await keys.destroy({ONE: NOON})
    assert (await keys.held([ONE]))[ONE] == Held((), NOON)
    left = (folder / FILE).read_bytes()
    assert KEY[:14] not in left
    assert KEY[16:] not in left
    assert await FolderKeys(folder).everything() == {ONE: Held((), NOON), TWO: Held((b"2" * 32,))}


async def test_another_file_in_its_place_is_read_anew(folder: Path) -> None:
    keys = FolderKeys(folder, make=True)
    await keys.keep([(ONE, KEY)])
    old = (folder / FILE).read_bytes()
    await keys.keep([(TWO, b"2" * 32)])
    (folder / "back").write_bytes(old)
    (folder / "back").rename(folder / FILE)
    assert await keys.everything() == {ONE: Held((KEY,))}
    await keys.keep([(TWO, b"3" * 32)])
    assert await FolderKeys(folder).everything() == {ONE: Held((KEY,)), TWO: Held((b"3" * 32,))}


async def test_an_old_copy_that_is_put_back_is_erased_again(tmp_path: Path) -> None:
    ring = KeyRing([FolderKeys(tmp_path / name, make=True) for name in ("west", "east")])
    assert (await ring.keys("acme", ["p-1"], make=True))["p-1"].keys
    copy = (tmp_path / "west" / FILE).read_bytes()
    assert (await ring.destroy("acme", "p-1", NOON)).done
    (tmp_path / "west" / FILE).write_bytes(copy)
    assert (await ring.keys("acme", ["p-1"], make=True))["p-1"] == Held((), NOON)  # the other one says so
    assert (await ring.reconciled()).erased == 1
    assert (await KeyRing(ring.stores[:1]).keys("acme", ["p-1"], make=True))["p-1"] == Held((), NOON)
    assert (tmp_path / "west" / FILE).read_bytes() != copy


async def test_whoever_has_no_key_reads_nobody(tmp_path: Path) -> None:
    rows, ada = MemoryPersons(), Person(login="ada", name="Ada Lovelace")
    names = ("ours", "theirs")
    ours, theirs = (
        PersonBook(
            Pseudonyms(AesVault(bytes(32))),
            rows,
            KeyRing([FolderKeys(tmp_path / name, make=True)]),
            vault_of=AesVault,
        )
        for name in names
    )
    user = (await ours.sealed("acme", [ada]))[ada].user
    assert (await ours.shown("acme", user)).persons == (ada,)
    # They have the database and even the pseudonym key, and make up a key.
    await theirs.sealed("acme", [Person(login="ada")])
    assert (await theirs.shown("acme", user)).persons == (Person(login="ada"),)


def _adds(folder: Path, who: int) -> None:
    async def add() -> None:
        keys = FolderKeys(folder, make=True)
        for n in range(40):
            await keys.keep([(person_id("acme", f"{who}-{n}"), bytes([who]) * 32)])
            if n % 4 == 0:
                await keys.destroy({person_id("acme", f"{who}-{n}"): NOON})

    asyncio.run(add())


def test_several_processes_use_a_folder_at_once(folder: Path) -> None:
    started = multiprocessing.get_context("spawn")
    others = [started.Process(target=_adds, args=(folder, who)) for who in (1, 2, 3)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert [each.exitcode for each in others] == [0, 0, 0]
    found = asyncio.run(FolderKeys(folder).everything())
    assert len(found) == 120
    for who in (1, 2, 3):
        for n in range(40):
            held = found[person_id("acme", f"{who}-{n}")]
            assert held == (Held((), NOON) if n % 4 == 0 else Held((bytes([who]) * 32,)))
    assert os.path.getsize(folder / FILE) == 121 * SLOT_BYTES  # noqa: PTH202
