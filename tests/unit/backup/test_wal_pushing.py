"""WAL that the server hands over: success only for what is kept, and never over other bytes."""

import os
import struct
from pathlib import Path

import pytest
from tests.receiving_parts import DATABASE, PACKER, pieces_in, wal_in

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import SpoolFull
from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.wal.pushing import NotKept, NotWal, OtherBytes, Pusher

MIB = 1 << 20
SEGMENT = Segment(Timeline(1), 7, MIB)
HISTORY = b"1\t0/700000\tno recovery target specified\n"


def wal(segment: Segment = SEGMENT, pages: int | None = None, seed: bytes = b"r") -> bytes:
    """A segment with page headers as they must be; behind `pages` those of an older one."""
    content = bytearray((seed * segment.size)[: segment.size])
    for number, offset in enumerate(range(0, segment.size, 8192)):
        address = segment.start + offset
        if pages is not None and number >= pages:
            address -= 5 * segment.size
        struct.pack_into("<HHIQ", content, offset, 0xD118, 0x2 if number == 0 else 0, 1, address)
    struct.pack_into("<HHIQI4xQII", content, 0, 0xD118, 0x2, 1, segment.start, 0, 42, segment.size, 8192)
    return bytes(content)


class Here:
    """Two regions, a folder of the server's, and a pusher."""

    def __init__(self, folder: Path, limit: int = 64 * MIB) -> None:
        self.eu, self.us = MemoryRegion("eu"), MemoryRegion("us")
        self.folder, self.waiting = folder, folder / "pushed"
        self.pusher = Pusher(DATABASE, [self.eu, self.us], PACKER, self.waiting, limit)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def segment(self, segment: Segment = SEGMENT, seed: bytes = b"r") -> Path:
        return self.file(segment.name, wal(segment, seed=seed))


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_a_segment_is_in_every_region(here: Here) -> None:
    pushed = here.pusher.push(here.segment())
    assert pushed.stored == ("eu", "us")
    assert not pushed.waiting
    assert wal_in(here.eu) == wal_in(here.us) == {SEGMENT: wal()}
    assert pieces_in(here.eu)[0].is_whole


def test_the_same_again_is_a_success_and_stores_nothing(here: Here) -> None:
    here.pusher.push(here.segment())
    stored = here.eu.keys
    assert here.pusher.push(here.segment()).stored == ("eu", "us")
    assert here.eu.keys == stored


def test_other_bytes_under_the_same_name_are_a_failure(here: Here) -> None:
    here.pusher.push(here.segment())
    stored = here.eu.keys
    with pytest.raises(OtherBytes):
        here.pusher.push(here.segment(seed=b"other"))
    assert here.eu.keys == stored
    assert wal_in(here.eu) == {SEGMENT: wal()}


def test_with_one_region_away_it_waits_on_the_disk_and_goes_there_later(here: Here) -> None:
    here.us.faults.away = True
    pushed = here.pusher.push(here.segment())
    assert pushed.stored == ("eu",)
    assert set(pushed.waiting or {}) == {"us"}
    assert (here.waiting / SEGMENT.name).read_bytes() == wal()
    assert here.pusher.drain() == 1
    here.us.faults.away = False
    following = SEGMENT.following
    here.pusher.push(here.segment(following))
    assert set(wal_in(here.us)) == {SEGMENT, following}
    assert not list(here.waiting.iterdir())


def test_with_no_region_there_it_fails(here: Here) -> None:
    here.eu.faults.refusing = here.us.faults.away = True
    with pytest.raises(NotKept, match="no region"):
        here.pusher.push(here.segment())
    assert not here.waiting.exists()


def test_when_no_more_may_wait_it_fails_and_drops_nothing(tmp_path: Path) -> None:
    here = Here(tmp_path, limit=MIB)
    here.us.faults.away = True
    here.pusher.push(here.segment())
    with pytest.raises(SpoolFull):
        here.pusher.push(here.segment(SEGMENT.following))
    assert [each.name for each in here.waiting.iterdir()] == [SEGMENT.name]


def test_what_was_damaged_in_a_region_is_put_right(here: Here) -> None:
    here.eu.faults.corrupting = True
    here.pusher.push(here.segment())
    here.eu.faults.corrupting = False
    here.pusher.push(here.segment())
    assert wal_in(here.eu) == {SEGMENT: wal()}


def test_a_history_is_kept_as_it_is_and_never_another(here: Here) -> None:
    path = here.file("00000002.history", HISTORY)
    here.pusher.push(path)
    here.pusher.push(path)
    (key,) = here.eu.keys
    assert "/timelines/00000002-" in key
    assert here.eu.get(key) == HISTORY
    with pytest.raises(OtherBytes):
        here.pusher.push(here.file("00000002.history", HISTORY.replace(b"7", b"8")))


def test_of_a_partial_segment_only_its_own_pages_are_kept(here: Here) -> None:
    here.pusher.push(here.file(f"{SEGMENT.name}.partial", wal(pages=3)))
    (piece,) = pieces_in(here.eu)
    assert (piece.start, piece.end) == (0, 3 * 8192)


def test_notes_of_a_backup_are_nothing_to_keep(here: Here) -> None:
    assert here.pusher.push(here.file(f"{SEGMENT.name}.00000028.backup", b"START WAL")).nothing_to_keep
    assert not here.eu.keys


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SEGMENT.following.name, wal()),
        (SEGMENT.name, wal()[:-1]),
        (SEGMENT.name, b""),
        (SEGMENT.name, bytes(MIB)),
        (SEGMENT.name, os.urandom(MIB)),
        ("passwd", b"root"),
        ("00000002.history", b"x" * (MIB + 1)),
    ],
)
def test_what_is_not_what_its_name_says_is_refused(here: Here, name: str, content: bytes) -> None:
    with pytest.raises(NotWal):
        here.pusher.push(here.file(name, content))
    assert not here.eu.keys
