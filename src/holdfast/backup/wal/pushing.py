"""WAL that the server hands over itself, a file at a time: `archive_command = 'holdfast wal push DB %p'`.

The server deletes a file after this has succeeded. So it succeeds only when

- every region has the file, or
- at least one has it, and for the others it waits in a folder on this machine, on the disk.

A file that is there already with the same bytes is a success, as PostgreSQL asks for; with other bytes it is
a failure, and nothing is overwritten. Source: PostgreSQL "Setting Up WAL Archiving".

    000000010000000000000003            a segment
    000000010000000000000003.partial    the last one of a timeline that was left: kept as far as it is WAL
    00000002.history                    kept as it is
    000000010000000000000003.00000028.backup    only notes of a backup: nothing to keep
"""

import hashlib
import os
import re
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.backup import layout
from holdfast.backup.errors import AlreadyThere, BackupError, Damaged, KeyMissing, SpoolFull
from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.ports import Packer, Region
from holdfast.backup.wal.pieces import BLOCK_BYTES, piece_from
from holdfast.backup.wal.spool_files import sync_folder
from holdfast.kernel.errors import Remedy

PAGE_BYTES = 8192
MOST_DRAINED = 8
"""Files that waited, stored along with a new one: the server waits meanwhile."""
LARGEST_HISTORY = 1024 * 1024
_SEGMENT = re.compile(r"([0-9A-F]{24})(\.partial)?")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_NOTES = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_PAGE = struct.Struct("<HHIQ")
_LONG_PAGE = struct.Struct("<HHIQI4xQII")
_IS_LONG = 0x2


class NotWal(BackupError):  # noqa: N818
    """The file is not what its name says."""

    remedy = Remedy.NEEDS_OPERATOR


class NotKept(BackupError):  # noqa: N818
    """Too few regions have it: the server must keep it, and offer it again."""

    remedy = Remedy.TRANSIENT


class OtherBytes(BackupError):  # noqa: N818
    """A region has other bytes under that name."""

    remedy = Remedy.NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a file. `waiting` tells of each region that will get it later, why it has it not."""

    name: str
    stored: tuple[str, ...] = ()
    waiting: Mapping[str, str] | None = None
    nothing_to_keep: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """A segment's bytes from its beginning, or a history."""

    name: str
    content: bytes
    segment: Segment | None = None
    timeline: Timeline | None = None


class Pusher:
    """Stores files of one database. `folder` is where they wait for regions that are away."""

    def __init__(
        self, database: str, regions: Sequence[Region], packer: Packer, folder: Path, limit_bytes: int
    ) -> None:
        self._database = database
        self._regions = regions
        self._packer = packer
        self._folder = folder
        self._limit_bytes = limit_bytes

    def push(self, path: Path) -> Pushed:
        """Keep that file. When it returns, the server may delete it.

        Raises NotWal, NotKept, OtherBytes, SpoolFull, and OSError's own for a file that cannot be read.
        """
        if _NOTES.fullmatch(path.name):
            return Pushed(path.name, nothing_to_keep=True)
        file = _read(path)
        troubles = self._store(file, self._regions)
        stored = tuple(each.name for each in self._regions if each.name not in troubles)
        if not stored:
            told = "; ".join(f"{name}: {why}" for name, why in troubles.items())
            raise NotKept(f"no region has {path.name}: {told}", hint="the server keeps it and tries again")
        if troubles:
            self._let_wait(path)
        else:
            with suppress(BackupError):
                self.drain(MOST_DRAINED)
        return Pushed(path.name, stored, troubles)

    def drain(self, most: int | None = None) -> int:
        """Store what waits, oldest first; how many files still wait. Raises OtherBytes."""
        waiting = self._waiting()
        for path in waiting[:most]:
            try:
                file = _read(path)
            except FileNotFoundError:
                continue  # another process was quicker
            if not self._store(file, self._regions):
                path.unlink(missing_ok=True)
        return len(self._waiting())

    def _store(self, file: _File, regions: Sequence[Region]) -> Mapping[str, str]:
        """Into each region; of those that have it not, why. Raises OtherBytes."""
        with ThreadPoolExecutor(max(len(regions), 1)) as pool:
            outcomes = list(pool.map(lambda region: self._store_in(file, region), regions))
        return {region.name: why for region, why in zip(regions, outcomes, strict=True) if why}

    def _store_in(self, file: _File, region: Region) -> str:
        try:
            if file.segment is None:
                self._store_history(file, region)
            else:
                self._store_segment(file, file.segment, region)
        except OtherBytes:
            raise
        except BackupError as error:
            return str(error)
        return ""

    def _store_history(self, file: _File, region: Region) -> None:
        digest = hashlib.sha256(file.content).hexdigest()
        for each in region.listed(layout.timelines_prefix(self._database)):
            known = layout.history_of(each.key)
            if known is not None and known[0] == file.timeline and known[1] != digest:
                raise OtherBytes(
                    f"{region.name} has another history of timeline {file.timeline}",
                    hint="two servers were promoted apart: each needs a key of its own in the estate",
                )
        with suppress(AlreadyThere):
            region.put(layout.history_key(self._database, file.timeline or Timeline(0), digest), file.content)

    def _store_segment(self, file: _File, segment: Segment, region: Region) -> None:
        there = self._compare(file, segment, region)
        for start in range(0, len(file.content), BLOCK_BYTES):
            raw = file.content[start : start + BLOCK_BYTES]
            if (start, start + len(raw)) in there:
                continue
            piece = piece_from(self._database, self._packer, segment, start, raw, None)
            try:
                region.put(piece.key, piece.content)
            except AlreadyThere:
                # Not among those that could be read: what is there was damaged.
                region.replace(piece.key, piece.content)

    def _compare(self, file: _File, segment: Segment, region: Region) -> set[tuple[int, int]]:
        """Which parts the region has, with the same bytes. Raises OtherBytes."""
        same: set[tuple[int, int]] = set()
        for each in region.listed(layout.segment_prefix(self._database, segment)):
            piece = layout.piece_of(each.key, each.size)
            if piece is None:
                continue
            try:
                content = region.get(piece.key)
                if hashlib.sha256(content).hexdigest() != piece.sha256:
                    continue
                raw = self._packer.unpack(content, piece.sealed_with, piece.end - piece.start)
            except (FileNotFoundError, Damaged, KeyMissing):
                continue  # as good as not there
            common = min(piece.end, len(file.content)) - piece.start
            if common > 0 and raw[:common] != file.content[piece.start : piece.start + common]:
                raise OtherBytes(
                    f"{region.name} has other bytes of {segment.name}",
                    hint="is this the server that was backed up before? A new cluster needs a new key",
                )
            same.add((piece.start, piece.end))
        return same

    # --- waiting

    def _waiting(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(each for each in self._folder.iterdir() if not each.name.startswith("."))

    def _let_wait(self, path: Path) -> None:
        """A copy in the folder, on the disk. Raises SpoolFull."""
        if (self._folder / path.name).exists():
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = path.read_bytes()
            there = sum(each.stat().st_size for each in self._waiting())
            if there + len(content) > self._limit_bytes:
                raise SpoolFull(
                    f"{there >> 20} MiB of WAL wait in {self._folder}, the limit",
                    hint="a region must come back, or raise backup.spool_limit; the server keeps its WAL",
                )
            fresh = self._folder / f".{path.name}.{os.getpid()}"
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.replace(self._folder / path.name)
            sync_folder(self._folder)
        except OSError as error:
            raise SpoolFull(
                f"{path.name} cannot wait in {self._folder}: {error.strerror}",
                hint="the server keeps it and tries again",
            ) from error


def _read(path: Path) -> _File:
    """What a file that the server hands over is. Raises NotWal."""
    history = _HISTORY.fullmatch(path.name)
    if history:
        content = path.read_bytes()
        if len(content) > LARGEST_HISTORY:
            raise NotWal(f"{path.name} has {len(content)} bytes, which no history has")
        return _File(path.name, content, timeline=Timeline(int(history[1], 16)))
    match = _SEGMENT.fullmatch(path.name)
    if not match:
        raise NotWal(f"{path.name} is not a name that PostgreSQL archives", hint="pass %p, not %f")
    content = path.read_bytes()
    size = len(content)
    if size & (size - 1) or not 1 << 20 <= size <= 1 << 30:
        raise NotWal(f"{path.name} has {size} bytes, which no segment has")
    segment = Segment.named(match[1], size)
    _, info, _, address, _, _, segment_bytes, page_bytes = _LONG_PAGE.unpack_from(content)
    if not info & _IS_LONG or address != segment.start or segment_bytes != size or page_bytes != PAGE_BYTES:
        raise NotWal(f"{path.name} does not begin as that segment of the log does")
    if match[2]:
        content = content[: _wal_in(content, segment)]
    return _File(path.name, content, segment)


def _wal_in(content: bytes, segment: Segment) -> int:
    """How far pages say that they belong here. Behind them are those of an older, recycled segment."""
    for offset in range(0, len(content), PAGE_BYTES):
        _, _, _, address = _PAGE.unpack_from(content, offset)
        if address != segment.start + offset:
            return offset
    return len(content)
