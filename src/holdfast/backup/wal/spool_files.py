"""The files of a spool: a segment each, laid out before its first byte comes, used again when it is released.

    [0, size)            the segment's bytes
    size, size + 4096    two marks: up to where the bytes are good, and their checksum

A commit in sync waits for one flush of such a file. Where a file grows, or its blocks were never written,
each flush also waits for the file system's journal; where bytes are overwritten, only for the bytes. So a
file is written with zeros once, and then never changes its length.

The length cannot tell then where WAL ends: a mark does. Of the two, one is on the disk, and describes bytes
that are there as well; the other describes what came since, and its checksum proves after a power cut whether
all of that reached the disk. A mark names its segment, for the file may have been another one's.
"""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

import google_crc32c

from holdfast.backup.errors import SpoolTaken
from holdfast.backup.lsn import Segment

_MARK = struct.Struct("<8sIQQQI")
"""Magic, timeline, number of the segment, [start, end) of the bytes, their CRC-32C; then its own CRC-32C."""
_MAGIC = b"holdfast"
_CRC = struct.Struct("<I")
_APART = 4096
"""Two marks never share a sector: the one that is good is not written over with the other."""
MARKS_BYTES = 2 * _APART
_STEP = 1 << 20


class SegmentFile:
    """A segment in the spool. One thread writes and flushes; `written` counts what can be read."""

    __slots__ = ("_crc", "_good", "descriptor", "flushed", "path", "segment", "written")

    def __init__(self, segment: Segment, path: Path, descriptor: int, kept: int = 0, good: int = 0) -> None:
        self.segment = segment
        self.path = path
        self.descriptor = descriptor
        self.written = self.flushed = kept
        self._crc = 0
        self._good = good

    @classmethod
    def claimed(cls, segment: Segment, folder: Path, spare: Path) -> "SegmentFile":
        """Of a spare file. Its name is durable when the folder is flushed."""
        descriptor = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        try:
            path = folder / segment.name
            os.pwrite(descriptor, bytes(MARKS_BYTES), segment.size)
            spare.rename(path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(segment, path, descriptor)

    @classmethod
    def found(cls, segment: Segment, path: Path) -> "SegmentFile":
        """What an earlier process left, up to where it is good, and all of that on the disk.

        Raises ValueError for a file that is none of a spool.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _refuse_others(descriptor, segment, path)
            kept, slot = _newest_good(descriptor, segment)
            file = cls(segment, path, descriptor, kept, slot)
            # The process before may have died between writing and flushing.
            os.fdatasync(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return file

    def write(self, piece: bytes) -> None:
        """Behind what is there. Raises OSError; `cut_back` then says what counts."""
        rest, place = memoryview(piece), self.written
        while rest:
            done = os.pwrite(self.descriptor, rest, place)
            place, rest = place + done, rest[done:]
        self._crc = google_crc32c.extend(self._crc, piece)
        self.written = place
        self._mark()

    def was_flushed(self, written: int) -> None:
        """All up to there is on the disk, and so is the mark that says so."""
        if written == self.flushed:  # and then no mark was written since
            return
        self.flushed = written
        self._crc = 0
        self._good = 1 - self._good

    def cut_back(self, length: int) -> None:
        """Forget what is behind `length`, which is not before `flushed`."""
        self.written = length
        content = os.pread(self.descriptor, length - self.flushed, self.flushed)
        self._crc = google_crc32c.value(content)
        with suppress(
            OSError
        ):  # the bytes behind it do not fit the mark that is there, which then says nothing
            self._mark()

    def close(self) -> None:
        os.close(self.descriptor)

    def _mark(self) -> None:
        content = _mark(self.segment, self.flushed, self.written, self._crc)
        os.pwrite(self.descriptor, content, self.segment.size + (1 - self._good) * _APART)


def made(path: Path, size: int) -> None:
    """A spare file for segments of that size, on the disk. Raises OSError, and leaves nothing then."""
    fresh = path.with_suffix(".new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            zeros = memoryview(bytes(min(_STEP, size + MARKS_BYTES)))
            left = size + MARKS_BYTES
            while left:
                left -= os.write(descriptor, zeros[:left])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.rename(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def kept_in(path: Path, segment: Segment) -> int:
    """How many of the segment's bytes a file has. For whoever looks from outside."""
    with path.open("rb") as file:
        return _newest_good(file.fileno(), segment)[0]


def _refuse_others(descriptor: int, segment: Segment, path: Path) -> None:
    if os.fstat(descriptor).st_size != segment.size + MARKS_BYTES:
        raise ValueError(f"{path} has not the length of a segment of the spool")


def _mark(segment: Segment, start: int, end: int, crc: int) -> bytes:
    told = _MARK.pack(_MAGIC, segment.timeline, segment.number, start, end, crc)
    return told + _CRC.pack(google_crc32c.value(told))


def _newest_good(descriptor: int, segment: Segment) -> tuple[int, int]:
    """Up to where the bytes are good, and the slot of the mark that tells it."""
    told = [
        (end, slot, start, crc)
        for slot in (0, 1)
        for start, end, crc in _read(descriptor, segment, segment.size + slot * _APART)
    ]
    for end, slot, start, crc in sorted(told, reverse=True):
        if google_crc32c.value(os.pread(descriptor, end - start, start)) == crc:
            return end, slot
    return 0, 0


def _read(descriptor: int, segment: Segment, place: int) -> list[tuple[int, int, int]]:
    content = os.pread(descriptor, _MARK.size + _CRC.size, place)
    told, own = content[: _MARK.size], content[_MARK.size :]
    if len(own) != _CRC.size or _CRC.unpack(own)[0] != google_crc32c.value(told):
        return []
    magic, timeline, number, start, end, crc = _MARK.unpack(told)
    fits = (magic, timeline, number) == (_MAGIC, segment.timeline, segment.number)
    return [(start, end, crc)] if fits and start <= end <= segment.size else []


def locked(path: Path) -> int:
    """Held until it is closed, or the process ends. Raises SpoolTaken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolTaken(
            f"another process works in {path.parent}", hint="one receiver for each database is enough"
        ) from error
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
