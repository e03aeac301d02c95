"""WAL of one database on this machine's disk, until the regions have it.

    SPOOL/server.json                      which cluster it belongs to, and how long its segments are
    SPOOL/000000010000000000000003         a segment, and up to where it is good (spool_files.py)
    SPOOL/spare-1                          a file laid out for a segment to come
    SPOOL/00000002.history                 PostgreSQL's own
    SPOOL/lock                             held by the process that works here

1. What `flush` returned from is on the disk: the files, and their names in the folder. The rest can be read.
2. A segment never has a hole: what it has begins with its first byte. So after kill -9 the files themselves
   are the truth, and nothing beside them has to be kept in step.
3. Nothing is dropped for want of room: `append` raises SpoolFull, and keeps nothing of what it was given.
4. After a write or an fsync that failed, what is not known to be on the disk is forgotten: the kernel may
   have thrown the pages away, and a second fsync would say nothing of it.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from holdfast.backup.errors import Damaged, Diverged, SpoolFull, SpoolTaken
from holdfast.backup.lsn import Lsn, Segment, Timeline, format_lsn
from holdfast.backup.wal.recent import Recent
from holdfast.backup.wal.spool_files import MARKS_BYTES, SegmentFile, locked, made, sync_folder

HISTORY = ".history"
SPARE = "spare-"
MOST_SPARES = 2
SEGMENT_NAME = 24
"""Letters."""


class ServerFile(msgspec.Struct, frozen=True):
    """Whose WAL it is."""

    system_id: int
    segment_bytes: int


_SERVER = msgspec.json.Decoder(ServerFile)


@dataclass(frozen=True, slots=True)
class Spooled:
    """A segment in the spool: its bytes [0, flushed) are on the disk, those to `written` on their way."""

    segment: Segment
    flushed: int
    written: int = 0

    @property
    def end(self) -> Lsn:
        return Lsn(self.segment.start + self.flushed)

    @property
    def end_written(self) -> Lsn:
        return Lsn(self.segment.start + self.written)

    @property
    def is_whole(self) -> bool:
        return self.flushed == self.segment.size


class Spool:
    """The spool in `folder`. One thread appends and flushes; any thread reads and releases."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Takes up what an earlier process left. Raises SpoolTaken."""
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._turn = threading.Lock()
        self._files: dict[Segment, SegmentFile] = {}
        self._spares: list[Path] = []
        self._reading: Counter[Segment] = Counter()
        self._recent = Recent()
        self._seen: tuple[Spooled, ...] | None = None
        """What `segments` tells; None when that has changed. Changed within the turn."""
        self._histories: dict[Timeline, str] = {}
        self._names_unsynced = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = locked(folder / "lock")
            try:
                self.server = self._read_server()
                self._take_up()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise SpoolTaken(
                f"the spool in {folder} cannot be used: {error.strerror}",
                hint="is the disk there, and may Holdfast write to it?",
            ) from error
        except ValueError as error:
            raise SpoolTaken(
                f"the spool in {folder} holds what is none of it: {error}",
                hint="move that file away; its WAL comes from the server again, or from a region",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        with self._turn:
            for file in self._files.values():
                file.close()
            self._files.clear()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def adopt(self, system_id: int, segment_bytes: int) -> None:
        """Make it the spool of that cluster. Raises SpoolTaken when it is another's."""
        wanted = ServerFile(system_id, segment_bytes)
        if self.server == wanted:
            return
        if self.server is not None:
            raise SpoolTaken(
                f"the spool in {self.folder} holds WAL of cluster {self.server.system_id}, not {system_id}",
                hint="is the address in the estate that of the right server? A new cluster needs a new key",
            )
        self._write("server.json", msgspec.json.encode(wanted))
        self.server = wanted

    # --- what it holds

    @property
    def end(self) -> tuple[Timeline, Lsn] | None:
        """Where the next byte goes; None while there is nothing."""
        segments = self.segments()
        return (segments[-1].segment.timeline, segments[-1].end_written) if segments else None

    @property
    def flushed(self) -> tuple[Timeline, Lsn] | None:
        """Up to where everything is on the disk."""
        segments = self.segments()
        if not segments:
            return None
        first = next((each for each in segments if each.flushed < each.written), segments[-1])
        return first.segment.timeline, first.end

    @property
    def size(self) -> int:
        """Bytes of WAL."""
        with self._turn:
            return sum(file.written for file in self._files.values())

    def segments(self) -> tuple[Spooled, ...]:
        """What is there, oldest first. All but the last one get no more."""
        seen = self._seen
        if seen is None:
            with self._turn:
                files = [self._files[each] for each in sorted(self._files)]
                self._seen = seen = tuple(Spooled(each.segment, each.flushed, each.written) for each in files)
        return seen

    def read(self, segment: Segment, start: int, end: int) -> bytes:
        """The bytes [start, end) of a segment. KeyError when it was released, or cut back before that."""
        with self._turn:
            file = self._files[segment]
            if end > file.written:
                raise KeyError(f"{segment.name} is there up to {file.written}, not {end}")
            if (recent := self._recent.read(segment, start, end)) is not None:
                return recent
            descriptor = os.dup(file.descriptor)
            self._reading[segment] += 1
        try:
            content = os.pread(descriptor, end - start, start)
        finally:
            os.close(descriptor)
            with self._turn:
                self._reading.subtract([segment])
        if len(content) != end - start:
            raise Damaged(f"{segment.name} in {self.folder} was cut short by somebody")
        if file.written < end:
            raise KeyError(f"{segment.name} was cut back to {file.written}")
        return content

    def histories(self) -> Mapping[Timeline, str]:
        with self._turn:
            return dict(self._histories)

    # --- what comes

    def append(self, timeline: Timeline, start: Lsn, content: bytes) -> None:
        """Put bytes there: behind the last one, over what is there already, or at a segment's beginning.

        All of it, or nothing. Raises SpoolFull; Diverged for other bytes than those that are there.
        """
        if self.server is None:
            raise ValueError("adopt comes first")
        size = self.server.segment_bytes
        with self._turn:
            self._seen = None
            known = self._known(timeline, start, content, size)
            place, content = Lsn(start + known), content[known:]
            self._make_sure_of_room(len(content))
            before = {segment: file.written for segment, file in self._files.items()}
            try:
                while content:
                    segment = Segment.holding(timeline, place, size)
                    piece = content[: segment.end - place]
                    file = self._file_for(segment)
                    self._recent.append(segment, file.written, piece)
                    file.write(piece)
                    place, content = Lsn(place + len(piece)), content[len(piece) :]
            except OSError as error:
                self._cut_back(before)
                raise SpoolFull(
                    f"the spool in {self.folder} takes no more: {error.strerror}",
                    hint="make room on its disk; nothing is lost while the server keeps its WAL",
                ) from error

    def flush(self) -> None:
        """Everything that was appended is on the disk, or SpoolFull: then what is not is forgotten."""
        with self._turn:
            dirty = [file for file in self._files.values() if file.flushed < file.written]
            wanted = {file.segment: file.written for file in dirty}
            names, self._names_unsynced = self._names_unsynced, False
        try:
            for file in dirty:
                os.fdatasync(file.descriptor)
            if names:
                sync_folder(self.folder)
        except OSError as error:
            with self._turn:
                self._names_unsynced = True
                self._cut_back({segment: file.flushed for segment, file in self._files.items()})
            raise SpoolFull(f"the spool in {self.folder} cannot be flushed: {error.strerror}") from error
        with self._turn:
            self._seen = None
            for segment, written in wanted.items():
                self._files[segment].was_flushed(written)

    def keep_history(self, timeline: Timeline, text: str) -> None:
        """Durable when it returns. Raises SpoolFull."""
        if self._histories.get(timeline) == text:
            return
        try:
            self._write(f"{timeline:08X}{HISTORY}", text.encode())
        except OSError as error:
            raise SpoolFull(f"the spool in {self.folder} takes no more: {error.strerror}") from error
        with self._turn:
            self._histories[timeline] = text

    def release(self, spooled: Spooled) -> bool:
        """Forget a segment of which all that `spooled` tells is kept elsewhere. Whether it is gone.

        It stays when there is more of it by now, on the disk or on the way there: the log goes on in the next
        segment before the end of this one is flushed. The newest always stays: it tells where to go on.
        """
        with self._turn:
            newest, file = self._newest(), self._files.get(spooled.segment)
            if file is None or newest is None or newest is file:
                return False
            if file.written != spooled.flushed or file.flushed != spooled.flushed:
                return False
            self._let_go(file)
            return True

    # --- within the turn

    def _newest(self) -> SegmentFile | None:
        return self._files[max(self._files)] if self._files else None

    def _known(self, timeline: Timeline, start: Lsn, content: bytes, size: int) -> int:
        """How many of the bytes are there already. Raises Diverged; ValueError for a hole."""
        known = 0
        while known < len(content):
            place = Lsn(start + known)
            segment = Segment.holding(timeline, place, size)
            offset = place - segment.start
            file = self._files.get(segment)
            written = 0 if file is None else file.written
            if offset > written:
                raise ValueError(f"WAL from {format_lsn(place)} would leave a hole in {segment.name}")
            if file is None or offset == written:
                break
            there = os.pread(file.descriptor, min(written - offset, len(content) - known), offset)
            sent = content[known : known + len(there)]
            if there != sent:
                at = place + next(n for n, (a, b) in enumerate(zip(there, sent, strict=True)) if a != b)
                raise Diverged(
                    f"the server's WAL at {format_lsn(at)} of timeline {timeline} is not what it sent before",
                    at=at,
                    hint="it was set back to an older state without a new timeline: give it a new key",
                )
            known += len(there)
        return known

    def _make_sure_of_room(self, wanted: int) -> None:
        there = sum(file.written for file in self._files.values())
        if there + wanted > self.limit_bytes:
            raise SpoolFull(
                f"the spool in {self.folder} holds {there >> 20} MiB, its limit",
                hint="a region must take them, or raise backup.spool_limit",
            )

    def _file_for(self, segment: Segment) -> SegmentFile:
        file = self._files.get(segment)
        if file is None:
            if not self._spares:
                spare = self.folder / f"{SPARE}1"
                made(spare, segment.size)
                self._spares.append(spare)
            file = self._files[segment] = SegmentFile.claimed(segment, self.folder, self._spares.pop())
            self._names_unsynced = True
        return file

    def _let_go(self, file: SegmentFile) -> None:
        """Of a segment; its file is there for the next one, unless somebody still reads it."""
        self._seen = None
        del self._files[file.segment]
        file.close()
        free = [path for path in self._spare_names() if path not in self._spares]
        read_by = self._reading.pop(file.segment, 0)
        with contextlib.suppress(OSError):
            if free and not read_by:
                file.path.rename(free[0])
                self._spares.append(free[0])
            else:
                file.path.unlink()

    def _spare_names(self) -> list[Path]:
        return [self.folder / f"{SPARE}{number}" for number in range(1, MOST_SPARES + 1)]

    def _cut_back(self, lengths: Mapping[Segment, int]) -> None:
        self._seen = None
        self._recent.forget()
        for segment, file in list(self._files.items()):
            length = lengths.get(segment, 0)
            if length == 0:
                self._let_go(file)
            else:
                file.cut_back(length)

    # --- files

    def _take_up(self) -> None:
        for path in sorted(self.folder.iterdir()):
            if path.suffix == HISTORY:
                self._histories[Timeline(int(path.stem, 16))] = path.read_text("utf-8")
            elif self.server is not None and len(path.name) == SEGMENT_NAME:
                segment = Segment.named(path.name, self.server.segment_bytes)
                self._files[segment] = SegmentFile.found(segment, path)
            elif path.name.startswith(SPARE):
                whole = self.server and path.stat().st_size == self.server.segment_bytes + MARKS_BYTES
                if whole and path in self._spare_names():
                    self._spares.append(path)
                else:
                    path.unlink()
        for file in [file for file in self._files.values() if file.written == 0]:
            self._let_go(file)
        sync_folder(self.folder)

    def _read_server(self) -> ServerFile | None:
        try:
            return _SERVER.decode((self.folder / "server.json").read_bytes())
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise SpoolTaken(
                f"{self.folder / 'server.json'} cannot be read: {error}",
                hint="the folder is no spool, or was damaged; move it away: its WAL comes from the server",
            ) from error

    def _write(self, name: str, content: bytes) -> None:
        """A small file, whole or not at all, durably."""
        fresh = self.folder / f"{name}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(self.folder / name)
        sync_folder(self.folder)
