"""Objects that are moved several at once, in bounded memory, from a list that need never be whole."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 4
LIMIT_BYTES = 128 * 1024 * 1024
"""At most so much is held at once. One that is larger goes alone."""


def side_by_side(
    work: Iterable[T],
    do: Callable[[T], None],
    size_of: Callable[[T], int],
    *,
    threads: int = THREADS,
    limit_bytes: int = LIMIT_BYTES,
) -> None:
    """`do` each piece of work, `limit_bytes` of them at once at most.

    After the first that fails none is begun any more; when those under way have ended its error is raised.
    """
    changed = threading.Condition()
    held = 0
    failed: list[BaseException] = []

    def one(each: T, size: int) -> None:
        nonlocal held
        try:
            do(each)
        except BaseException as error:  # noqa: BLE001  it is raised below, by whoever waits
            failed.append(error)
        finally:
            with changed:
                held -= size
                changed.notify_all()

    with ThreadPoolExecutor(threads, "moving") as pool:
        for each in work:
            # At least a byte: an endless row of empty ones must wait too.
            size = min(max(size_of(each), limit_bytes // (threads * 16), 1), limit_bytes)
            with changed:
                while not failed and held + size > limit_bytes:
                    changed.wait()
                if failed:
                    break
                held += size
            pool.submit(one, each, size)
    if failed:
        raise failed[0]
