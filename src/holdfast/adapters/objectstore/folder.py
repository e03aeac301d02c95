"""A region's store in a folder of this machine, or one that is mounted: one file for each object.

An object is written under a name that no listing shows, flushed to the disk, and then linked to its key,
which fails when the key is taken. So two that put the same key do not harm each other, and one that is killed
leaves nothing but an unfinished file, which the next to come finds unlocked and removes.

An empty folder may be a new store, or the place where a disk is missing. So the first to put something leaves
a marker in the folder, and remembers elsewhere that it did: an empty one without its marker is away then.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from holdfast.backup.errors import AlreadyThere, Damaged, RegionAway, RegionRefused
from holdfast.backup.layout import wrong_key
from holdfast.backup.ports import Listed

UNFINISHED = ".unfinished"
"""Where objects are written before they have their key. No key begins with a dot."""
MARKER = ".holdfast-store"
"""Tells that this is the store, and not the empty place where its disk belongs."""
_MARKED = b"Holdfast keeps copies of databases in this folder.\n"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_TRIES = 8
"""Another process may remove an empty folder between our making it and our using it."""
_MOST_REMEMBERED = 10_000


class FolderRegion:
    """A `Region`. Files are for their owner alone. Without its folder, as of a disk unplugged, it is away.

    A store that was never begun is empty, and what is put first makes its folder, when there is the one that
    it is to be in. `begun`: a file on this machine that remembers that it was; None: only this object does.
    """

    def __init__(self, name: str, root: Path, begun: Path | None = None) -> None:
        self.name = name
        self._root = root
        self._begun = begun
        self._was_seen = False
        self._mutex = threading.Lock()
        self._durable: set[Path] = set()
        """Folders of which this process knows that a power cut does not lose them."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        with self._asking(key), self._written(content) as unfinished:
            self._named(key, unfinished, taken=False)

    def replace(self, key: str, content: bytes | memoryview) -> None:
        with self._asking(key), self._written(content) as unfinished:
            self._named(key, unfinished, taken=True)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        with self._asking(key):
            try:
                descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except NotADirectoryError:
                raise FileNotFoundError(key) from None
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise FileNotFoundError(key)
                size = found.st_size
                return _read(descriptor, start, size if end is None else min(end, size))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                # A bad sector takes one object from us, not the region.
                raise Damaged(f"{self.name}: {key} cannot be read from its disk") from error
            finally:
                os.close(descriptor)

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        with self._asking(prefix):
            self._must_be_there()
        folder = prefix.rpartition("/")[0]
        yield from self._below(f"{folder}/" if folder else "", prefix, after)

    def delete(self, keys: Sequence[str]) -> None:
        folders: set[Path] = set()
        with self._asking(""):
            self._must_be_there()
        for key in keys:
            path = self._path(key)
            with self._asking(key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                folders.add(path.parent)
        for folder in sorted(folders, reverse=True):
            with self._asking(str(folder)):
                self._tidy(folder)

    def lock(self, key: str, until: datetime) -> bool:
        """False: whoever may write into a folder may delete from it."""
        del key, until
        return False

    def locked_until(self, key: str) -> datetime | None:
        del key
        return None

    @property
    def root(self) -> Path:
        return self._root

    @property
    def is_new(self) -> bool:
        """Whether there is no folder yet, and what is put first will make it."""
        known = self._was_seen if self._begun is None else self._was_begun()
        try:
            return not (known or self._root.exists()) and self._root.parent.is_dir()
        except OSError:
            # Who may not look makes nothing.
            return False

    # --- writing

    def _begin(self) -> None:
        """See that the store is there; make it when it never was."""
        if self.is_new:
            with contextlib.suppress(FileExistsError):
                self._root.mkdir(mode=0o700)
            _flush_folder(self._root.parent)
        self._must_be_there()
        if self._begun is None or ((self._root / MARKER).exists() and self._was_begun()):
            return
        with contextlib.suppress(FileExistsError):
            _flushed_file(self._root / MARKER, _MARKED, os.O_EXCL)
        _flush_folder(self._root)
        # Where it cannot be remembered it is kept all the same: copies matter more than their place's safety.
        with contextlib.suppress(OSError):
            self._remember(self._begun)

    def _remember(self, begun: Path) -> None:
        if self._was_begun():
            return
        begun.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = begun.with_name(f"{UNFINISHED}-{uuid4().hex}")
        _flushed_file(unfinished, os.fsencode(self._root), os.O_EXCL)
        unfinished.replace(begun)
        _flush_folder(begun.parent)

    def _was_begun(self) -> bool:
        """Whether it is remembered that there was a store in this folder."""
        try:
            return self._begun is not None and self._begun.read_bytes() == os.fsencode(self._root)
        except OSError:
            return False

    @contextmanager
    def _written(self, content: bytes | memoryview) -> Iterator[Path]:
        """A flushed file with that content, still without its key. It is held by a lock while we live."""
        self._begin()
        place = self._root / UNFINISHED
        if self._make_durable(place):
            self._sweep(place)
        path, descriptor = _begun(place)
        try:
            _write(descriptor, content)
            os.fsync(descriptor)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            os.close(descriptor)

    def _named(self, key: str, unfinished: Path, *, taken: bool) -> None:
        """Give what was written its key, for good."""
        path = self._path(key)
        for turn in range(_TRIES):
            try:
                self._make_durable(path.parent)
                if taken:
                    unfinished.replace(path)
                else:
                    os.link(unfinished, path)
                _flush_folder(path.parent)
            except FileExistsError:
                # Whoever put it may not have got further than that.
                _flush_folder(path.parent)
                raise AlreadyThere(f"{self.name}: {key} is there already") from None
            except FileNotFoundError:
                # An emptied folder was removed under our feet. What was written is still there.
                with self._mutex:
                    self._durable.discard(path.parent)
                if turn == _TRIES - 1 or not unfinished.exists():
                    raise
            except OSError as error:
                if not taken and error.errno in _NO_LINKS and os.access(path.parent, os.W_OK):
                    hint = "keep copies on a file system with hard links, or in an object store"
                    raise RegionRefused(
                        f"{self.name}: {self._root} knows no hard links", hint=hint
                    ) from error
                raise
            else:
                return

    def _make_durable(self, folder: Path) -> bool:
        """Make a folder and those above it, so that a power cut loses none. False when it was known to be."""
        with self._mutex:
            if folder in self._durable and folder.is_dir():
                return False
        if folder != self._root:
            self._make_durable(folder.parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _flush_folder(folder.parent)
        with self._mutex:
            if len(self._durable) > _MOST_REMEMBERED:
                self._durable.clear()
            self._durable.add(folder)
        return True

    def _sweep(self, place: Path) -> None:
        """Remove what killed processes left: a file that nobody holds a lock on."""
        for entry in os.scandir(place):
            with contextlib.suppress(OSError):
                descriptor = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()
                finally:
                    os.close(descriptor)

    def _tidy(self, folder: Path) -> None:
        """Remove folders that have become empty, up to the root; else each segment of WAL would leave one."""
        while folder != self._root:
            with self._mutex:
                self._durable.discard(folder)
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    break
                if error.errno != errno.ENOENT:
                    raise
            folder = folder.parent
        # What was deleted first must not come back alone after a power cut: a record without its objects.
        # Another may have removed the folder meanwhile; then that is flushed by it.
        with contextlib.suppress(FileNotFoundError):
            _flush_folder(folder)

    # --- reading

    def _below(self, folder: str, prefix: str, after: str) -> Iterator[Listed]:
        """What lies below a folder, sorted by key. A folder sorts with its slash: `a-b/x` is before `a/x`."""
        with self._asking(folder):
            names = self._names(self._root / folder)
        for name in names:
            key = folder + name
            if name.startswith("."):
                continue
            if name.endswith("/"):
                # Of the keys in it all are behind `after`, or none is, or `after` is among them.
                fits = key.startswith(prefix) or prefix.startswith(key)
                if fits and (key > after or after.startswith(key)):
                    yield from self._below(key, prefix, after)
            elif key.startswith(prefix) and key > after:
                with contextlib.suppress(FileNotFoundError), self._asking(key):
                    found = (self._root / key).lstat()
                    if not stat.S_ISREG(found.st_mode):
                        continue
                    yield Listed(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _names(self, folder: Path) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                return sorted(
                    each.name + "/" if each.is_dir(follow_symlinks=False) else each.name for each in entries
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _path(self, key: str) -> Path:
        if wrong := wrong_key(key):
            raise RegionRefused(f"{self.name}: {key[:100]!r}: {wrong}")
        return self._root / key

    def _must_be_there(self) -> None:
        if self.is_new:
            return
        if not self._root.is_dir():
            hint = "is its disk there, and have we the rights?"
            if not (self._was_seen or self._was_begun()):
                hint += " what is stored first makes it, in a folder that is there"
            raise RegionAway(f"{self.name}: there is no folder {self._root}", hint=hint)
        self._was_seen = True
        if (self._root / MARKER).exists() or not self._was_begun() or self._holds_any():
            return
        told = f"{self.name}: {self._root} is empty, and copies were kept there"
        hint = f"is its disk there? to begin anew in an empty folder, remove {self._begun}"
        raise RegionAway(told, hint=hint)

    def _holds_any(self) -> bool:
        with os.scandir(self._root) as entries:
            return any(not each.name.startswith(".") for each in entries)

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Turns what goes wrong into our words."""
        try:
            yield
        except FileNotFoundError:
            self._must_be_there()
            raise
        except OSError as error:
            told = f"{self.name}: {key}: {error.strerror or error}"
            if error.errno in _FULL:
                hint = f"make room in {self._root}, or keep less"
                raise RegionRefused(f"{self.name}: there is no space left", hint=hint) from error
            if error.errno in _REFUSED:
                raise RegionRefused(told, hint=f"look at the rights of {self._root}") from error
            raise RegionAway(told) from error


def _begun(place: Path) -> tuple[Path, int]:
    """A new file that we hold the lock of."""
    while True:
        path = place / f"{os.getpid()}-{uuid4().hex}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        # Somebody who sweeps came between the two.
        os.close(descriptor)


def _flushed_file(path: Path, content: bytes, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    try:
        _write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(descriptor, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
