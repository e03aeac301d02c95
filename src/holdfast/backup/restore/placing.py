"""Puts what a chain of backups holds into a folder: each byte once, whichever backup it comes from.

The newest backup's index is the list of what exists. A file that it has whole is taken from it alone; one
that it has as an increment is put together from the increments, the newest first, and the last whole one.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.backup.errors import Damaged
from holdfast.backup.index import chunks_of
from holdfast.backup.model import Backup, Member, StoredObject
from holdfast.backup.restore.fetching import GivenUp
from holdfast.backup.restore.flushing import begin_flush
from holdfast.backup.restore.increments import (
    BLOCK,
    PREFIX,
    Increment,
    Overlay,
    Run,
    header_wanted,
    is_increment,
    plain_path,
    read_header,
)
from holdfast.backup.restore.journal import JOURNAL, MARKER

FILE_MODE, FOLDER_MODE = 0o600, 0o700
LEFT_OUT = ("tablespace_map", MARKER, JOURNAL)
"""The first would lead the restored server to the places where the tablespaces of the protected one lie; the
others are those of the restore that the protected one came from, and this one's are there.
"""

_AT_ONCE = 128 * 1024
"""Bytes of a write. For a larger one Linux sets aside memory in large pieces, of which a virtual machine may
have to ask its host for every page: twice the time of the whole restore.
"""
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Assembled:
    """A file of the result, and where its bytes come from: the newest source first, the whole one last."""

    path: str
    sources: list[Member]
    overlay: Overlay | None = None
    untouched: bool = False
    """There is one already, and so far nothing says that it is another."""
    header: bytearray = field(default_factory=bytearray)
    headers: list[Increment] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return len(self.sources) == 1

    @property
    def length(self) -> int | None:
        """Bytes of the result; None while no header of its increments was read."""
        if self.is_whole:
            return self.sources[0].size
        return None if self.overlay is None else self.overlay.length * BLOCK


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a backup that has bytes in a chunk: source number `source` of a file."""

    file: Assembled
    source: int

    @property
    def member(self) -> Member:
        return self.file.sources[self.source]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a backup's archive, and the members in it that are wanted. Level 0 is the newest backup."""

    level: int
    archive: int
    number: int
    stored: StoredObject
    parts: tuple[Part, ...]
    start: int
    """Where the chunk begins in the archive's stream."""

    @property
    def name(self) -> str:
        """What it is called in the journal of finished ones."""
        return self.stored.key


def assembled(indexes: Sequence[Sequence[Member]]) -> list[Assembled]:
    """The files of the result. `indexes` are the chain's, the newest first.

    Raises Damaged when a file has increments, and no backup has it whole.
    """
    by_path = [{each.path: each for each in index if each.kind == "file"} for index in indexes]
    return [
        Assembled(plain_path(member.path), _sources(member, by_path[1:]))
        for member in by_path[0].values()
        if member.path not in LEFT_OUT
    ]


def _sources(newest: Member, older: Sequence[dict[str, Member]]) -> list[Member]:
    sources = [newest]
    path = plain_path(newest.path)
    folder, slash, name = path.rpartition("/")
    for backup in older:
        if not is_increment(sources[-1].path):
            break
        found = backup.get(path) or backup.get(f"{folder}{slash}{PREFIX}{name}")
        if found is None:
            break
        sources.append(found)
    if is_increment(sources[-1].path):
        raise Damaged(f"{path} is there in increments only: no backup of the chain has it whole")
    return sources


def chunks_to_fetch(chain: Sequence[Backup], files: Sequence[Assembled]) -> Iterator[Chunk]:
    """The chunks that hold something wanted, in the order to fetch them. `chain` is the newest first."""
    wanted: dict[tuple[int, int, int], list[Part]] = {}
    for file in files:
        for level, member in enumerate(file.sources):
            for number in _numbers(member, chain[level]):
                wanted.setdefault((level, member.archive, number), []).append(Part(file, level))
    for level, archive, number in sorted(wanted):
        backup = chain[level]
        stored = backup.archives[archive].chunks[number]
        parts = tuple(wanted[level, archive, number])
        yield Chunk(level, archive, number, stored, parts, number * backup.chunk_bytes)


def _numbers(member: Member, backup: Backup) -> range:
    """The numbers of a member's chunks, all there: an index may tell of more than memory has room for."""
    numbers = chunks_of(member, backup.chunk_bytes)
    if numbers and not (
        0 <= member.archive < len(backup.archives)
        and numbers[-1] < len(backup.archives[member.archive].chunks)
    ):
        raise Damaged(f"{backup.id}: its index leads behind the end of archive {member.archive}")
    return numbers


class Placer:
    """Writes chunks into `folder`. Threads may place several at once, those of newer backups begun first.

    What is there under a file's name already is written over in place, so that the same may be placed again;
    with `replacing` it is removed first, or kept where it may be as it should.
    """

    def __init__(self, folder: Path, *, replacing: bool = False) -> None:
        self._root = os.fspath(folder)
        self._replacing = replacing
        self._known = threading.Condition()
        self._given_up = False

    def give_up(self) -> None:
        """Let those go that wait for what will not come."""
        with self._known:
            self._given_up = True
            self._known.notify_all()

    def make(self, folders: Sequence[str], files: Sequence[Assembled]) -> None:
        """Make the folders, those above first, and the files that are empty."""
        for path in folders:
            # A link that leads to a tablespace's own place is a folder, too.
            Path(self._place(path)).mkdir(FOLDER_MODE, exist_ok=True)
        for file in files:
            if file.is_whole and file.sources[0].size == 0:
                if self._replacing:
                    _remove(self._place(file.path))
                os.close(os.open(self._place(file.path), _OPEN, FILE_MODE))

    def hollow(self, files: Iterable[Assembled]) -> None:
        """Make files that hold zeros, and take no room: as long as their oldest source."""
        for file in files:
            _remove(self._place(file.path))
            descriptor = os.open(self._place(file.path), _OPEN, FILE_MODE)
            try:
                os.ftruncate(descriptor, file.sources[-1].size)
            finally:
                os.close(descriptor)

    def size(self, path: str) -> int:
        """How long a file is; -1 when there is none."""
        return _size(self._place(path))

    def place(self, chunk: Chunk, content: memoryview) -> None:
        """Write what is wanted of a chunk."""
        for part in chunk.parts:
            member = part.member
            low = max(member.offset, chunk.start)
            high = min(member.offset + member.size, chunk.start + len(content))
            if low >= high:
                raise Damaged(f"{chunk.stored.key} ends before {member.path}")
            piece = content[low - chunk.start : high - chunk.start]
            self._place_part(part, low - member.offset, piece)

    def begin_anew(self, file: Assembled) -> None:
        """Make the file empty, of its final length: whatever was there was not it."""
        place = self._place(file.path)
        if self._replacing:
            _remove(place)
        descriptor = os.open(place, _OPEN, FILE_MODE)
        try:
            if file.overlay is not None:
                os.ftruncate(descriptor, file.overlay.length * BLOCK)
        finally:
            os.close(descriptor)
        file.untouched = False

    def _place_part(self, part: Part, at: int, piece: memoryview) -> None:
        file, member = part.file, part.member
        if file.is_whole:
            self._write(file, piece, (Run(0, at, len(piece)),))
        elif is_increment(member.path):
            data = piece[self._read_header(part, at, piece) :]
            if data:
                start = at + len(piece) - len(data) - file.headers[part.source].header_bytes
                runs = self._overlay(file).from_increment(part.source, start, start + len(data))
                self._write(file, data, runs)
        else:
            self._wait(lambda: len(file.headers) == len(file.sources) - 1)
            self._write(file, piece, self._overlay(file).from_whole(member.size, at, at + len(piece)))

    def _overlay(self, file: Assembled) -> Overlay:
        if file.overlay is None:
            raise Damaged(f"{file.path}: the newest increment of it has no header")
        return file.overlay

    def _read_header(self, part: Part, at: int, piece: memoryview) -> int:
        """How many bytes of this piece belong to the header, which is known now, or after the next pieces."""
        file, source, member = part.file, part.source, part.member
        with self._known:
            self._wait(
                lambda: len(file.headers) > source or (len(file.headers), len(file.header)) == (source, at)
            )
            if len(file.headers) > source:
                return min(len(piece), max(0, file.headers[source].header_bytes - at))
            used = 0
            while used < len(piece):
                missing = header_wanted(file.header, member.path) - len(file.header)
                if missing == 0:
                    break
                file.header += piece[used : used + missing]
                used = min(len(piece), used + missing)
            # Whoever has the header's next piece waits for this one, and nobody else may come to wake it.
            self._known.notify_all()
            if len(file.header) >= 12 and header_wanted(file.header, member.path) == len(file.header):
                self._learn(file, read_header(file.header, member.path, member.size))
            return used

    def _learn(self, file: Assembled, header: Increment) -> None:
        """The next source's header is whole."""
        if file.overlay is None:
            file.overlay = Overlay(header)
            length = header.length * BLOCK
            if self._replacing and not header.blocks and _size(self._place(file.path)) == length:
                file.untouched = True
            else:
                self.begin_anew(file)
        else:
            file.overlay.add(header)
            if file.untouched and not file.overlay.is_unchanged:
                self.begin_anew(file)
        file.headers.append(header)
        file.header = bytearray()
        self._known.notify_all()

    def _wait(self, known: Callable[[], bool]) -> None:
        with self._known:
            self._known.wait_for(lambda: self._given_up or known())
            if self._given_up:
                raise GivenUp

    def _write(self, file: Assembled, piece: memoryview, runs: Iterator[Run] | Sequence[Run]) -> None:
        descriptor = -1
        try:
            for run in runs:
                if descriptor < 0:
                    descriptor = os.open(self._place(file.path), _OPEN, FILE_MODE)
                write_all(descriptor, piece[run.start : run.start + run.size], run.to)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"


def write_all(descriptor: int, content: memoryview, to: int) -> None:
    """Write it there, and have it go to the disk. Raises OSError."""
    begun, size = to, len(content)
    while content:
        written = os.pwrite(descriptor, content[:_AT_ONCE], to)
        content, to = content[written:], to + written
    begin_flush(descriptor, begun, size)


def _remove(place: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place)  # noqa: PTH108  thousands of files: Path costs more than the call


def _size(place: str) -> int:
    """Of a plain file; -1 when there is none."""
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1
