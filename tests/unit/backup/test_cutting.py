import random
import threading
from dataclasses import dataclass, field

import pytest
from tests.installation import eventually

from holdfast.adapters.memory.regions import Faults, MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.errors import RegionRefused
from holdfast.backup.ports import Region
from holdfast.backup.take.cutting import PACKERS, ChunkedStream, Cutter
from holdfast.backup.take.fanout import FanOut
from holdfast.kernel.clock import SystemClock

CHUNK = 64 * 1024


def fan_over(region: Region) -> FanOut:
    return FanOut([region], SystemClock(), limit_bytes=64 * CHUNK, workers=2, retry_after_s=())


def key_of(number: int, sha256: str) -> str:
    return f"db/{number:06d}-{sha256}"


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK, 10 * CHUNK + 12345])
def test_the_chunks_put_together_are_the_stream(size: int) -> None:
    content = random.Random(size).randbytes(size)
    region, packer = MemoryRegion("one"), ZstdPacker()
    with fan_over(region) as fan, Cutter(packer, fan, CHUNK) as cutter:
        stream = ChunkedStream(cutter, key_of)
        at, dice = 0, random.Random(1)
        while at < size:
            length = dice.choice([1, 512, 32768, 3 * CHUNK])
            stream.write(memoryview(content)[at : at + length])
            at += length
        chunks = stream.finish()
        fan.settle()
    assert [each.raw_bytes for each in chunks[:-1]] == [CHUNK] * (len(chunks) - 1)
    assert stream.size == size
    assert b"".join(packer.unpack(region.get(each.key), "") for each in chunks) == content
    assert [len(region.get(each.key)) for each in chunks] == [each.stored_bytes for each in chunks]


def test_what_goes_wrong_with_a_chunk_ends_the_writing() -> None:
    region = MemoryRegion("full", faults=Faults(full=True))

    def write(stream: ChunkedStream) -> None:
        for _ in range(1000):
            stream.write(bytes(CHUNK))

    with fan_over(region) as fan, Cutter(ZstdPacker(), fan, CHUNK) as cutter:
        stream = ChunkedStream(cutter, key_of)
        with pytest.raises(RegionRefused, match="no space left"):
            write(stream)


def test_no_more_chunks_are_held_than_are_packed_and_filled() -> None:
    @dataclass
    class Holding:
        sealed_with: str = ""
        go: threading.Event = field(default_factory=threading.Event)
        packing: list[int] = field(default_factory=list)

        def pack(self, raw: bytes | bytearray | memoryview) -> bytes:
            self.packing.append(len(raw))
            self.go.wait(60)
            return bytes(raw[:10])

        def unpack(self, stored: bytes, sealed_with: str, raw_bytes: int | None = None) -> bytes:
            raise NotImplementedError

        def unpack_into(self, stored: bytes, sealed_with: str, room: memoryview) -> int:
            raise NotImplementedError

    packer, region = Holding(), MemoryRegion("one")
    taken: list[int] = []
    with fan_over(region) as fan, Cutter(packer, fan, CHUNK) as cutter:

        def write() -> None:
            stream = ChunkedStream(cutter, key_of)
            for number in range(20):
                stream.write(bytes(CHUNK))
                taken.append(number)
            stream.finish()

        writer = threading.Thread(target=write)
        writer.start()
        eventually(lambda: len(taken) == PACKERS + 1 and len(packer.packing) == PACKERS, "all is full")
        writer.join(0.2)
        assert writer.is_alive()
        assert (len(taken), len(packer.packing)) == (PACKERS + 1, PACKERS)
        packer.go.set()
        writer.join(60)
        assert not writer.is_alive()
    assert len(packer.packing) == 20
