"""Cuts streams into chunks, packs them in threads, and hands them on: in memory that does not grow.

One thread writes. Packing and digesting let go of the interpreter's lock, so they run beside it.
"""

import hashlib
import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from holdfast.backup.model import StoredObject
from holdfast.backup.ports import Packer
from holdfast.backup.take.fanout import FanOut

PACKERS = 2
KeyOf = Callable[[str], str]
"""An object's key, by its SHA-256."""


class Cutter:
    """Packs pieces in `PACKERS` threads and puts them into the regions. Use it as a context manager.

    It holds `PACKERS` + 1 chunks at most; what was packed counts in the fan-out.
    """

    def __init__(self, packer: Packer, fan: FanOut, chunk_bytes: int) -> None:
        self.chunk_bytes = chunk_bytes
        self._packer = packer
        self._fan = fan
        self._threads = ThreadPoolExecutor(PACKERS, "packing")
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._made = 0
        self._underway: list[Future[StoredObject]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fan.close()
        self._threads.shutdown(cancel_futures=True)

    @property
    def sealed_with(self) -> str:
        """The key that objects are sealed with; empty for none."""
        return self._packer.sealed_with

    def buffer(self) -> bytearray:
        """An empty chunk, as soon as there is one. Raises what went wrong with earlier ones."""
        self._look()
        if self._made <= PACKERS and self._free.empty():
            self._made += 1
            return bytearray(self.chunk_bytes)
        buffer = self._free.get()
        self._look()
        return buffer

    def pack_chunk(self, buffer: bytearray, filled: int, key_of: KeyOf) -> Future[StoredObject]:
        """Pack the buffer's first bytes and put them into the regions; the buffer comes back by itself."""

        def work() -> StoredObject:
            try:
                return self._pack(memoryview(buffer)[:filled], key_of)
            finally:
                self._free.put(buffer)

        return self._submitted(work)

    def pack(self, content: bytes, key_of: KeyOf) -> StoredObject:
        """Pack something small and put it into the regions."""
        return self._pack(memoryview(content), key_of)

    def _pack(self, raw: memoryview, key_of: KeyOf) -> StoredObject:
        # What does not compress grows a little, and a seal adds to it.
        most = len(raw) + len(raw) // 128 + 4096
        self._fan.reserve(most)
        try:
            packed = self._packer.pack(raw)
        except BaseException:
            self._fan.release(most)
            raise
        self._fan.release(most - len(packed))
        sha256 = hashlib.sha256(packed).hexdigest()
        key = key_of(sha256)
        self._fan.put(key, packed)
        return StoredObject(key, len(raw), len(packed), sha256, self._packer.sealed_with)

    def _submitted(self, work: Callable[[], StoredObject]) -> Future[StoredObject]:
        future = self._threads.submit(work)
        self._underway.append(future)
        return future

    def _look(self) -> None:
        for future in [each for each in self._underway if each.done()]:
            self._underway.remove(future)
            future.result()


class ChunkedStream:
    """One stream, cut every `chunk_bytes`."""

    def __init__(self, cutter: Cutter, key_of: Callable[[int, str], str]) -> None:
        """`key_of` tells a chunk's key by its number and its SHA-256."""
        self.size = 0
        """Bytes that were written."""
        self._cutter = cutter
        self._key_of = key_of
        self._chunk_bytes = cutter.chunk_bytes
        self._buffer: bytearray | None = None
        self._view = memoryview(b"")
        self._filled = 0
        self._cut_so_far = 0
        self._packing: deque[Future[StoredObject]] = deque()
        self._packed: list[StoredObject] = []

    def write(self, piece: bytes | memoryview) -> None:
        """Take the piece's bytes. May wait until there is room."""
        count = len(piece)
        filled = self._filled
        if self._buffer is not None and filled + count < self._chunk_bytes:
            self._view[filled : filled + count] = piece
            self._filled = filled + count
            self.size += count
            return
        self._write_over(memoryview(piece))

    def finish(self) -> tuple[StoredObject, ...]:
        """The chunks, once all are packed. They may still travel."""
        self._cut()
        self._view = memoryview(b"")
        self._packed.extend(chunk.result() for chunk in self._packing)
        self._packing.clear()
        return tuple(self._packed)

    def _write_over(self, piece: memoryview) -> None:
        """Where a chunk begins or ends in the piece."""
        while piece:
            if self._buffer is None:
                self._buffer = self._cutter.buffer()
                self._view = memoryview(self._buffer)
            part = piece[: self._chunk_bytes - self._filled]
            self._view[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            self.size += len(part)
            piece = piece[len(part) :]
            if self._filled == self._chunk_bytes:
                self._cut()

    def _cut(self) -> None:
        if self._buffer is None:
            return
        number, key_of = self._cut_so_far, self._key_of
        self._cut_so_far += 1
        # What waits for a thread is several times as large as what it comes to, and there may be a million.
        while self._packing and self._packing[0].done():
            self._packed.append(self._packing.popleft().result())
        self._packing.append(
            self._cutter.pack_chunk(self._buffer, self._filled, lambda sha256: key_of(number, sha256))
        )
        self._buffer, self._filled = None, 0
