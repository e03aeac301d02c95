"""Objects fetched in parallel: in order of their memory, and from another region when one fails."""

import hashlib
import threading

import pytest

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import Damaged, RegionAway
from holdfast.backup.model import StoredObject
from holdfast.backup.restore.fetching import Fetcher, GivenUp, Wanted

PACKER = ZstdPacker()


def _stored(regions: list[MemoryRegion], number: int, raw: bytes) -> StoredObject:
    packed = PACKER.pack(raw)
    stored = StoredObject(f"k/{number}", len(raw), len(packed), hashlib.sha256(packed).hexdigest())
    for region in regions:
        region.put(stored.key, packed)
    return stored


def test_each_is_used_once_and_a_later_one_may_wait_for_an_earlier_one() -> None:
    region = MemoryRegion("eu")
    seen: list[int] = []
    turn = threading.Condition()

    def use(number: int, content: memoryview) -> None:
        with turn:
            assert turn.wait_for(lambda: len(seen) == number, 60)
            assert bytes(content) == b"%d" % number
            seen.append(number)
            turn.notify_all()

    wanted = [
        Wanted(_stored([region], each, b"%d" % each), lambda content, each=each: use(each, content))  # type: ignore[misc]
        for each in range(50)
    ]
    Fetcher([region], PACKER).run(wanted)

    assert seen == list(range(50))


def test_the_first_error_ends_it_and_wakes_those_that_wait() -> None:
    region = MemoryRegion("eu")
    given_up = threading.Event()

    def wait(_: memoryview) -> None:
        given_up.wait(60)
        raise GivenUp

    good = [_stored([region], each, b"x" * 1000) for each in range(3)]
    bad = StoredObject("k/gone", 1, 1, "0" * 64)
    with pytest.raises(Damaged, match="k/gone is gone"):
        Fetcher([region], PACKER).run(
            [Wanted(good[0], wait), Wanted(bad, wait), Wanted(good[1], wait), Wanted(good[2], wait)],
            give_up=given_up.set,
        )
    assert given_up.is_set()


def test_another_region_gives_what_one_has_damaged_lost_or_does_not_answer() -> None:
    regions = [MemoryRegion("eu"), MemoryRegion("us")]
    stored = _stored(regions, 1, b"content")
    notes: list[str] = []
    fetcher = Fetcher(regions, PACKER, noted=notes.append)

    assert fetcher.content(stored) == b"content"
    assert not notes
    regions[0].replace(stored.key, b"other")
    assert fetcher.content(stored) == b"content"
    regions[0].delete([stored.key])
    assert fetcher.content(stored) == b"content"
    regions[0].faults.away = True
    assert fetcher.content(stored) == b"content"
    assert [("not what was stored" in each, "gone" in each) for each in notes] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert all("taken from us" in each for each in notes)
    regions[1].faults.corrupting = True
    regions[1].replace(stored.key, regions[1].get(stored.key))
    with pytest.raises(RegionAway):
        fetcher.content(stored)


def test_an_object_of_another_size_than_recorded_is_damaged() -> None:
    region = MemoryRegion("eu")
    stored = _stored([region], 1, b"content")
    longer = StoredObject(stored.key, 8, stored.stored_bytes, stored.sha256)
    with pytest.raises(Damaged):
        Fetcher([region], PACKER).run([Wanted(longer, lambda _: None)])
