"""Whole blocks of WAL into one region, beside the parts that commits wait for: a thread of its own.

A block is packed and stored for longer than a commit may wait. So where commits wait for a region it is put
in parts up to its end, and then once more whole, which lets the parts go.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from holdfast.backup.errors import BackupError
from holdfast.backup.lsn import Segment

Block = tuple[Segment, tuple[int, int]]


class WholeBlocks:
    """Blocks that are there in parts. Their thread runs from the first one on. From any thread."""

    def __init__(
        self,
        name: str,
        put: Callable[[Segment, tuple[int, int]], None],
        failed: Callable[[str], None],
        again_s: Sequence[float],
    ) -> None:
        """`put` stores one and tells `done`: raises BackupError; KeyError when its bytes are gone from here.

        `failed` is told why it has to be tried again, which is after `again_s`, by the number of failures.
        """
        self._put = put
        self._failed = failed
        self._again_s = again_s
        self._changed = threading.Condition()
        self._wanted: OrderedDict[Block, None] = OrderedDict()
        self._done: set[Block] = set()
        self.failing = False
        """The last one could not be put."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def want(self, segment: Segment, span: tuple[int, int]) -> None:
        """Also when it is wanted, or was done, already."""
        with self._changed:
            if (segment, span) in self._done:
                return
            self._wanted[segment, span] = None
            if not self._stopping and self._thread.ident is None:
                self._thread.start()
            self._changed.notify_all()

    def lacks(self, segment: Segment) -> bool:
        """Whether a block of that segment is there only in parts."""
        with self._changed:
            return any(each == segment for each, _ in self._wanted)

    def done(self, segment: Segment, span: tuple[int, int]) -> None:
        """It is there whole."""
        with self._changed:
            self._wanted.pop((segment, span), None)
            self._done.add((segment, span))

    def forget(self, segment: Segment) -> None:
        """It is gone from here."""
        with self._changed:
            for block in [each for each in self._wanted if each[0] == segment]:
                del self._wanted[block]
            self._done = {each for each in self._done if each[0] != segment}

    def stop(self, patience_s: float) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        failures = 0
        while (block := self._next()) is not None:
            try:
                self._put(*block)
            except KeyError:
                self._gone(block)
                continue
            except BackupError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001  a thread that died would keep the spool for ever
                self._failed(f"{type(error).__name__}: {error}")
            else:
                failures, self.failing = 0, False
                continue
            self.failing = True
            with self._changed:
                if not self._stopping:
                    self._changed.wait(self._again_s[min(failures, len(self._again_s) - 1)])
            failures += 1

    def _gone(self, block: Block) -> None:
        with self._changed:
            self._wanted.pop(block, None)

    def _next(self) -> Block | None:
        with self._changed:
            while not self._wanted and not self._stopping:
                self._changed.wait()
            return None if self._stopping else next(iter(self._wanted))
