"""Memory that large objects are unpacked into, one after the other.

A new piece of memory costs a page fault for each 4 KiB when it is first touched, and a virtual machine may
have to ask its host for each of those pages: more than unpacking and writing them. So what one object has
left serves the next one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Rooms:
    """Rooms for objects. What is free is kept while everything together stays within `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._free: list[bytearray] = []
        self._lock = threading.Lock()

    @contextmanager
    def of(self, size: int) -> Iterator[memoryview]:
        """Room for `size` bytes, with anything in it. It is another's when the block is left."""
        room = self._taken(size)
        whole = memoryview(room)
        view = whole[:size]
        try:
            yield view
        finally:
            view.release()
            whole.release()
            with self._lock:
                self._free.append(room)
                self._shrink(0)

    def _taken(self, size: int) -> bytearray:
        with self._lock:
            fitting = [each for each in self._free if len(each) >= size]
            if fitting:
                smallest = min(fitting, key=len)
                self._free = [each for each in self._free if each is not smallest]
                return smallest
            self._shrink(size)
            self._total += size
        return bytearray(size)

    def _shrink(self, wanted: int) -> None:
        """Let go of free ones, the smallest first, until `wanted` more bytes fit."""
        self._free.sort(key=len, reverse=True)
        while self._free and self._total + wanted > self._limit:
            self._total -= len(self._free.pop())
