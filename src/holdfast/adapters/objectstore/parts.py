"""Small objects that lie beside each other in one file of a folder's store: a tar archive, laid out ahead.

    FOLDER/.parts/ID.tar     objects of FOLDER, one behind the other, and zeros up to the file's end

An object is a member as GNU tar writes them: `././@LongLink` and its name where that is long, a header, the
bytes, zeros up to the next multiple of 512. So `tar -x` has them without us. Its owner is `holdfast`; its
group tells the CRC-32 of name and bytes, and `-gone` behind it when the object was deleted.

The file keeps its length: to add an object overwrites zeros, and flushing that waits for no journal. Whoever
adds is the file's only writer, and holds its lock; anybody may read, and mark as gone. A member counts when
another one is behind it, for they are flushed one after the other, or when its CRC fits: a power cut, or a
kill in the middle of writing, leaves a last one that does not. What is damaged in the middle takes no other
member with it: the next one is found by its magic. A name that was left without its bytes is no member.
"""

import errno
import fcntl
import os
import struct
import time
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

from holdfast.backup.errors import Damaged

PARTS = ".parts"
ENDING = ".tar"
FILE_BYTES = 4 << 20
MOST_BYTES = 512 * 1024
"""What is larger is an object of its own."""
_BLOCK = 512
_HEAD = struct.Struct("100s8s8s8s12s12s8sc100s16s24s32s183s")
"""Name, mode, uid, gid, size, mtime, checksum, type, link, magic and owner (16 + 24), group, nothing."""
_OURS = b"ustar  \0holdfast"
_AT_OURS, _AT_SUM, _AT_GROUP = 257, 148, 297
_LONG_NAME = 100
_LONGEST_NAME = 256
_LINK = b"././@LongLink"
_GONE = b"-gone"
_SECTOR = 4096
_MOST_DURABLE = 10_000
_SETTLED_NS = 10**9
_KNOWN = 32
"""Files whose members are remembered."""


@dataclass(frozen=True, slots=True)
class Member:
    """An object in a file. Places are bytes from the file's beginning."""

    name: str
    at: int
    head: int
    size: int
    modified: int
    """Seconds since 1970, UTC."""
    crc: bytes
    gone: bool

    @property
    def end(self) -> int:
        return self.head + _BLOCK + _padded(self.size)


def member(name: str, content: bytes | memoryview, modified: int) -> bytes:
    """An object as it is written."""
    told = name.encode()
    group = b"%08x" % zlib.crc32(content, zlib.crc32(told))
    head = _header(told, len(content), modified, b"0", group)
    rest = bytes(_padded(len(content)) - len(content))
    if len(told) < _LONG_NAME:
        return b"".join((head, content, rest))
    link = _link(len(told) + 1)
    return b"".join((link, told, bytes(_padded(len(told) + 1) - len(told)), head, content, rest))


def members(content: bytes, start: int = 0) -> Iterator[Member]:
    """The members from a place on, where one begins or none is. `content` is the file from its beginning.

    Only the last one may be half there: see `whole`.
    """
    at = start
    while (found := content.find(_OURS, at + _AT_OURS)) >= 0:
        # The usual one begins right here; behind damage it is the next that is left.
        at = found - _AT_OURS
        each = None if at % _BLOCK else _member_at(content, at)
        if each is None:
            at += 1
        else:
            yield each
            at = each.end


def whole(content: bytes, each: Member) -> bool:
    """Whether its bytes are what was written."""
    start = each.head + _BLOCK
    if start + each.size > len(content):
        return False
    there = zlib.crc32(memoryview(content)[start : start + each.size], zlib.crc32(each.name.encode()))
    return b"%08x" % there == each.crc


def _member_at(content: bytes, at: int) -> Member | None:
    block = content[at : at + _BLOCK]
    if not _is_header(block):
        return None
    kind, head = block[156:157], at
    if kind == b"L":
        length = _octal(block[124:136])
        if not 1 < length <= _LONGEST_NAME:
            return None
        head = at + _BLOCK + _padded(length)
        told = content[at + _BLOCK : at + _BLOCK + length - 1]
        block = content[head : head + _BLOCK]
        if not _is_header(block) or block[156:157] != b"0" or not told.startswith(block[:_LONG_NAME]):
            return None
    else:
        told = block[:_LONG_NAME].rstrip(b"\0")
        if kind != b"0" or len(told) == _LONG_NAME:
            return None  # the rest of one whose name is lost
    group = block[_AT_GROUP : _AT_GROUP + 32].rstrip(b"\0")
    try:
        name = told.decode()
    except UnicodeDecodeError:
        return None
    size = _octal(block[124:136])
    if size < 0:
        return None
    return Member(name, at, head, size, _octal(block[136:148]), group[:8], group.endswith(_GONE))


def _header(name: bytes, size: int, modified: int, kind: bytes, group: bytes) -> bytes:
    head = _HEAD.pack(
        name,
        b"0000600",
        b"0000000",
        b"0000000",
        b"%011o" % size,
        b"%011o" % modified,
        b"        ",
        kind,
        b"",
        _OURS,
        b"",
        group,
        b"",
    )
    return _summed(head)


@lru_cache
def _link(length: int) -> bytes:
    """What stands before a name of that length, the zero behind it counted."""
    return _header(_LINK, length, 0, b"L", b"")


def _summed(head: bytes) -> bytes:
    return b"%b%06o\0 %b" % (head[:_AT_SUM], sum(head), head[_AT_SUM + 8 :])


def _is_header(block: bytes) -> bool:
    if len(block) != _BLOCK or block[_AT_OURS : _AT_OURS + len(_OURS)] != _OURS:
        return False
    told = block[_AT_SUM : _AT_SUM + 8]
    return _octal(told) == sum(block) - sum(told) + 8 * ord(" ")


def _octal(digits: bytes) -> int:
    try:
        return int(digits.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        return -1


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


@dataclass(slots=True)
class _Known:
    """What was seen of a file: its members by name, and from where on there may be more."""

    members: dict[str, Member] = field(default_factory=dict)
    end: int = 0
    settled_at: int = -1
    """The file's time of change when it was looked at, if that was long before: it tells of a later one."""


class Parts:
    """Reads, and lets go of, what lies in the files of a store's folders. From any thread."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()
        self._durable: set[tuple[str, int]] = set()
        """Files of which what an earlier process may have left on its way to the disk is there."""

    def listed(self, folder: Path) -> dict[str, Member]:
        """What is there now, by name."""
        found: dict[str, Member] = {}
        for path in files_of(folder):
            with _opened(path, os.O_RDONLY) as descriptor:
                if descriptor >= 0:
                    self._make_durable(path, descriptor)
                    there = self._seen(path, descriptor, anew=True)
                    found.update((name, each) for name, each in there.items() if not each.gone)
        return found

    def get(self, folder: Path, name: str) -> bytes:
        """An object's bytes. Raises FileNotFoundError; Damaged when the disk cannot read them."""
        for path in files_of(folder):
            with _opened(path, os.O_RDONLY) as descriptor:
                if descriptor < 0:
                    continue
                # What was deleted, as far as is remembered, may have come again behind.
                for anew in (False, True):
                    each = self._seen(path, descriptor, wanted=name, anew=anew).get(name)
                    content = None if each is None else _read(path, descriptor, each)
                    if content is not None:
                        return content
                    if each is None:
                        break
        raise FileNotFoundError(name)

    def has(self, folder: Path, name: str) -> bool:
        try:
            self.get(folder, name)
        except FileNotFoundError:
            return False
        except Damaged:
            return True
        return True

    def is_added_to(self, folder: Path) -> bool:
        """Whether somebody holds the lock of a file there."""
        for path in files_of(folder):
            with _opened(path, os.O_RDWR) as descriptor:
                if descriptor < 0:
                    continue
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    def drop(self, folder: Path, names: Collection[str]) -> bool:
        """Let go of objects, for good when it returns. Whether there were any."""
        dropped = False
        for path in files_of(folder):
            with _opened(path, os.O_RDWR) as descriptor:
                if descriptor < 0:
                    continue
                content = _content(descriptor)
                gone = [each for each in _certain(content) if each.name in names and not each.gone]
                for each in gone:
                    _mark_gone(descriptor, content[each.head : each.head + _BLOCK], each.head)
                if gone:
                    os.fdatasync(descriptor)
                    dropped = True
        return dropped

    def tidy(self, folder: Path) -> None:
        """Remove the files in which nothing is left, and that nobody adds to."""
        for path in files_of(folder):
            with _opened(path, os.O_RDWR) as descriptor, suppress(BlockingIOError, FileNotFoundError):
                if descriptor < 0:
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if all(each.gone for each in _certain(_content(descriptor))):
                    path.unlink()
        with suppress(OSError):
            (folder / PARTS).rmdir()

    def flush(self, folder: Path) -> None:
        """What is there is on the disk."""
        for path in files_of(folder):
            with _opened(path, os.O_RDONLY) as descriptor:
                if descriptor >= 0:
                    os.fdatasync(descriptor)

    def _make_durable(self, path: Path, descriptor: int) -> None:
        key = (path.name, os.fstat(descriptor).st_ino)
        with self._turn:
            if key in self._durable:
                return
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EINVAL):  # nobody writes there
                raise
        with self._turn:
            if len(self._durable) >= _MOST_DURABLE:
                self._durable.clear()
            self._durable.add(key)

    def _seen(
        self, path: Path, descriptor: int, *, wanted: str = "", anew: bool = False
    ) -> dict[str, Member]:
        """A file's members: as remembered when that tells of the one that is wanted."""
        key = (path.name, os.fstat(descriptor).st_ino)
        with self._turn:
            known = None if anew else self._known.get(key)
        changed_at = os.fstat(descriptor).st_mtime_ns
        if known is not None and (wanted in known.members or known.settled_at == changed_at):
            return known.members
        fresh = _Known() if known is None else _Known(dict(known.members), known.end)
        if time.time_ns() - changed_at > _SETTLED_NS:
            fresh.settled_at = changed_at
        content = _content(descriptor, fresh.end)
        for each in _certain(content, fresh.end):
            fresh.members[each.name] = each
            fresh.end = each.end
        with self._turn:
            self._known[key] = fresh
            self._known.move_to_end(key)
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return fresh.members


def files_of(folder: Path) -> list[Path]:
    """The files of parts in a folder, oldest first; none in most folders."""
    place = folder / PARTS
    try:
        with os.scandir(place) as entries:
            names = sorted(each.name for each in entries if each.name.endswith(ENDING))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [place / name for name in names]


def name_of_file() -> str:
    """Of a new one: it sorts by time, and no two processes have the same."""
    return f"{time.time_ns():020d}-{os.urandom(4).hex()}{ENDING}"


def _certain(content: bytes, start: int = 0) -> list[Member]:
    """The members that count."""
    found = list(members(content, start))
    if found and not whole(content, found[-1]):
        found.pop()
    return found


def _read(path: Path, descriptor: int, each: Member) -> bytes | None:
    """Its bytes; None when it is gone."""
    try:
        content = os.pread(descriptor, _BLOCK + each.size, each.head)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Damaged(f"{each.name} in {path} cannot be read from its disk") from error
    return None if content[_AT_GROUP + 8 :].startswith(_GONE) else content[_BLOCK:]


def _mark_gone(descriptor: int, head: bytes, at: int) -> None:
    """In one sector: the header is the old one or the new one."""
    group = head[_AT_GROUP : _AT_GROUP + 8] + _GONE
    blank = head[:_AT_SUM] + b"        " + head[_AT_SUM + 8 : _AT_GROUP] + group.ljust(32, b"\0")
    os.pwrite(descriptor, _summed(blank + head[_AT_GROUP + 32 :]), at)


def _content(descriptor: int, start: int = 0) -> bytes:
    """A file from its beginning, with zeros before `start`, and where the disk cannot read it."""
    size = os.fstat(descriptor).st_size
    try:
        return bytes(start) + os.pread(descriptor, size - start, start)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    found = bytearray(size)
    for at in range(start - start % _SECTOR, size, _SECTOR):
        with suppress(OSError):
            there = os.pread(descriptor, _SECTOR, at)
            found[at : at + len(there)] = there
    return bytes(found)


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    """Its descriptor; -1 when it is gone by now."""
    try:
        descriptor = os.open(path, how | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
