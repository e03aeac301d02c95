"""Files to be read into the ledger: plain, packed with gzip, standard input, and those that others rotate."""

import gzip
import io
import os
import sys
from pathlib import Path
from typing import BinaryIO, Self

from holdfast.bootstrap.at_work import UsageError

STANDARD_INPUT = Path("-")
_GZIP = b"\x1f\x8b"


class LogFile:
    """One file, opened. Use it as a context."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when it cannot be read."""
        self.path = path
        self.plain = False
        self._raw: BinaryIO = _opened(path)
        self.content: BinaryIO = self._raw
        if path != STANDARD_INPUT:
            if self._raw.read(len(_GZIP)) == _GZIP:
                self.content = gzip.GzipFile(fileobj=self._raw)  # type: ignore[assignment]
            else:
                self.plain = True
            self._raw.seek(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.path != STANDARD_INPUT:
            self._raw.close()

    @property
    def size(self) -> int:
        """Bytes that are read sooner or later; 0 where that is not known."""
        return os.fstat(self._raw.fileno()).st_size if self.path != STANDARD_INPUT else 0

    @property
    def position(self) -> int:
        """Bytes of them that were read."""
        return self._raw.tell() if self.path != STANDARD_INPUT else 0

    def replaced(self) -> bool:
        """Whether another file has its name now: this one was rotated away."""
        try:
            named = self.path.stat()
        except OSError:
            return False  # the next one is about to be made
        mine = os.fstat(self._raw.fileno())
        return (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino)

    def begun_anew(self, head: bytes) -> bool:
        """Whether it was emptied and is written from its beginning again, however long it has become.

        `head` is what was read of its beginning: where files are only added to, that stays the same.
        """
        return self.size < self.position or os.pread(self._raw.fileno(), len(head), 0) != head


def _opened(path: Path) -> BinaryIO:
    if path == STANDARD_INPUT:
        return sys.stdin.buffer
    try:
        content = path.open("rb")
        if not os.path.isfile(path):  # noqa: PTH113  a pipe or a folder
            content.close()
            raise UsageError(f"{path} is no file")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    assert isinstance(content, io.BufferedReader)  # noqa: S101  "rb"
    return content
