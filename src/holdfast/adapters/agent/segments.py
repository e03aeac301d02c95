"""Files that results are appended to, a line each, with a checksum that shows a line which was cut short."""

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.availability.exchange import MessageError, decode_result, encode_result
from holdfast.availability.model import Result

SUFFIX = ".spool"


@dataclass(slots=True)
class Segment:
    """One file. `done` of its `count` results were delivered since this process began."""

    number: int
    path: Path
    count: int = 0
    size: int = 0
    done: int = 0

    @property
    def left(self) -> int:
        return self.count - self.done


class Writer:
    """A segment that is open for appending. Raises OSError, and then holds what it held before."""

    def __init__(self, folder: Path, number: int) -> None:
        self.segment = Segment(number, folder / f"{number:012d}{SUFFIX}")
        self._descriptor = os.open(self.segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            sync_folder(folder)
        except OSError:
            os.close(self._descriptor)
            self.segment.path.unlink(missing_ok=True)
            raise

    def append(self, lines: Sequence[bytes]) -> None:
        """All of `lines`, or none. They are on the disk when it returns."""
        before = self.segment.size
        body = memoryview(b"".join(lines))
        try:
            while body:
                body = body[os.write(self._descriptor, body) :]
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
                os.lseek(self._descriptor, before, os.SEEK_SET)
            raise
        self.segment.count += len(lines)
        self.segment.size = before + sum(map(len, lines))

    def close(self) -> None:
        os.close(self._descriptor)


def line_of(result: Result) -> bytes:
    body = encode_result(result)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def results_in(path: Path) -> Iterator[Result | None]:
    """What the lines of a file hold; None for one that was cut short or damaged. Raises OSError."""
    with path.open("rb") as file:
        for line in file:
            yield _read(line)


def _read(line: bytes) -> Result | None:
    checksum, _, body = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return decode_result(body)
    except MessageError:
        return None


def segments_in(folder: Path) -> list[tuple[Segment, int]]:
    """Every segment that an earlier process left, oldest first, with how many of its lines are damaged."""
    found: list[tuple[Segment, int]] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.stem.isdigit():
            readable = [result is not None for result in results_in(path)]
            segment = Segment(int(path.stem), path, sum(readable), path.stat().st_size)
            found.append((segment, len(readable) - segment.count))
    return found


def replace_file(path: Path, body: bytes) -> None:
    """Put `body` there as a whole, durably: the old or the new is there, whatever happens. Raises OSError."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_pieces(lines: Iterable[bytes], most_lines: int, most_bytes: int) -> Iterator[list[bytes]]:
    """`lines` in order, in pieces of that size; a longer line is a piece by itself."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and (len(piece) >= most_lines or size + len(line) > most_bytes):
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece
