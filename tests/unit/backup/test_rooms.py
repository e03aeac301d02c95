"""Memory that is used again, within its limit; and what is unpacked into it."""

import os
import threading

import pytest
import zstandard

from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import Damaged, KeyMissing
from holdfast.backup.restore.rooms import Rooms

KEY = bytes(range(32))


def test_what_one_object_leaves_serves_the_next_one() -> None:
    rooms = Rooms(1000)
    with rooms.of(400) as first:
        assert len(first) == 400
        kept = first.obj
    with rooms.of(300) as second:
        assert second.obj is kept
        assert len(second) == 300


def test_two_at_once_never_share() -> None:
    rooms = Rooms(1000)
    with rooms.of(400) as first, rooms.of(400) as second:
        assert first.obj is not second.obj


def test_small_ones_make_way_for_a_large_one() -> None:
    rooms = Rooms(1000)
    with rooms.of(300), rooms.of(300):
        pass
    with rooms.of(900):
        assert rooms._total == 900
    with rooms.of(2000):  # one object is always let through
        pass
    assert rooms._total == 0


def test_many_threads_keep_to_the_limit_and_to_their_own() -> None:
    rooms, wrong = Rooms(4096), list[str]()

    def work(number: int) -> None:
        for turn in range(300):
            size = 1 + (turn * 37 + number * 11) % 1024
            with rooms.of(size) as room:
                room[:] = bytes([number]) * size
                if bytes(room) != bytes([number]) * size:
                    wrong.append("shared")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert rooms._total <= 4096


@pytest.mark.parametrize("size", [0, 1, 1000, 128 * 1024, 5 * 1024 * 1024 + 3])
@pytest.mark.parametrize("key", ["", "one"])
def test_unpacked_into_a_room_it_is_what_was_packed(size: int, key: str) -> None:
    packer = ZstdPacker(keys={"one": KEY}, key=key)
    raw = os.urandom(size // 2) + bytes(size - size // 2)
    room = bytearray(b"x" * (size + 10))
    assert packer.unpack_into(packer.pack(raw), key, memoryview(room)) == size
    assert room[:size] == raw
    assert room[size:] == b"x" * 10


def test_a_frame_without_its_size_unpacks_into_a_room_too() -> None:
    maker = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    packed = maker.compress(b"content") + maker.flush()
    room = bytearray(7)
    assert ZstdPacker().unpack_into(packed, "", memoryview(room)) == 7
    assert room == b"content"
    with pytest.raises(Damaged):
        ZstdPacker().unpack_into(packed, "", memoryview(bytearray(6)))


@pytest.mark.parametrize("raw", [os.urandom(300_000), bytes(300_000), b"short"])
def test_what_is_cut_off_longer_changed_or_too_large_is_damaged(raw: bytes) -> None:
    packer = ZstdPacker()
    packed, room = packer.pack(raw), memoryview(bytearray(len(raw)))
    for wrong in (
        packed[:-1],
        packed[:-4],
        packed[: len(packed) // 2],
        packed[:3],
        b"",
        packed + b"x",
        packed * 2,
    ):
        with pytest.raises(Damaged):
            packer.unpack_into(wrong, "", room)
    for place in {5, len(packed) // 2, len(packed) - 1}:
        changed = bytearray(packed)
        changed[place] ^= 1
        with pytest.raises(Damaged):
            packer.unpack_into(bytes(changed), "", room)
    with pytest.raises(Damaged):
        packer.unpack_into(packed, "", room[:-1])


def test_a_missing_key_is_told_before_anything_is_opened() -> None:
    packed = ZstdPacker(keys={"one": KEY}, key="one").pack(b"content")
    with pytest.raises(KeyMissing):
        ZstdPacker().unpack_into(packed, "one", memoryview(bytearray(7)))
