"""A region's store in a folder of this machine, or one that is mounted: one file for each object.

An object is written under a name that no listing shows, flushed to the disk, and then linked to its key,
which fails when the key is taken. So two that put the same key do not harm each other, and one that is killed
leaves nothing but an unfinished file, which the next to come finds unlocked and removes.

Small objects that are soon replaced lie beside each other in one file (`parts`): to add one costs one flush.

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

from holdfast.adapters.objectstore.adding_parts import AddingParts
from holdfast.adapters.objectstore.parts import MOST_BYTES, PARTS, Parts
from holdfast.adapters.objectstore.store_folder import UNFINISHED, StoreFolder, flush_folder, write
from holdfast.backup.errors import AlreadyThere, Damaged, RegionAway, RegionRefused
from holdfast.backup.layout import wrong_key
from holdfast.backup.ports import Listed

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCK = ".parts-lock"
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
        self._store = StoreFolder(name, root, begun)
        self._mutex = threading.Lock()
        self._durable: set[Path] = set()
        """Folders of which this process knows that a power cut does not lose them."""
        self._parts = Parts()
        self._adding = AddingParts(
            self._parts, root / LOCK, self._make_durable, self._tidy, self._begin_writing
        )

    def put(self, key: str, content: bytes | memoryview) -> None:
        with self._asking(key), self._written(content) as unfinished:
            self._named(key, unfinished, taken=False)

    def put_part(self, key: str, content: bytes | memoryview) -> None:
        with self._asking(key):
            if wrong := wrong_key(key):
                raise RegionRefused(f"{self.name}: {key[:100]!r}: {wrong}")
            added = len(content) <= MOST_BYTES and self._adding.put(f"{self._root}/{key}", content)
        if not added:
            self.put(key, content)

    def lies_with(self, folder: Path) -> bool:
        root = self._root if self._root.exists() else self._root.parent
        try:
            return root.stat().st_dev == folder.stat().st_dev
        except OSError:
            return False

    def replace(self, key: str, content: bytes | memoryview) -> None:
        path = self._path(key)
        with self._asking(key):
            with self._written(content) as unfinished:
                self._named(key, unfinished, taken=True)
            if _has_parts(path.parent):
                self._parts.drop(path.parent, {path.name})

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        with self._asking(key):
            path = self._path(key)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return self._parts.get(path.parent, path.name)[start:end]
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
            self._store.must_be_there()
        folder = prefix.rpartition("/")[0]
        yield from self._below(f"{folder}/" if folder else "", prefix, after)

    def delete(self, keys: Sequence[str]) -> None:
        folders: set[Path] = set()
        inside: dict[Path, set[str]] = {}
        with self._asking(""):
            self._store.must_be_there()
        for key in keys:
            path = self._path(key)
            inside.setdefault(path.parent, set()).add(path.name)
            with self._asking(key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                folders.add(path.parent)
        for folder, names in inside.items():
            with self._asking(str(folder)):
                if _has_parts(folder) and self._parts.drop(folder, names):
                    folders.add(folder)
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
        return self._store.is_new

    # --- writing

    @contextmanager
    def _written(self, content: bytes | memoryview) -> Iterator[Path]:
        """A flushed file with that content, still without its key. It is held by a lock while we live."""
        path, descriptor = _begun(self._begin_writing())
        try:
            write(descriptor, content)
            os.fsync(descriptor)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            os.close(descriptor)

    def _begin_writing(self) -> Path:
        """Where objects are written before they have their key."""
        self._store.begin()
        place = self._root / UNFINISHED
        if self._make_durable(place):
            self._sweep(place)
        return place

    def _named(self, key: str, unfinished: Path, *, taken: bool) -> None:
        """Give what was written its key, for good."""
        path = self._path(key)
        for turn in range(_TRIES):
            try:
                self._make_durable(path.parent)
                if taken:
                    unfinished.replace(path)
                else:
                    with self._naming(path):
                        os.link(unfinished, path)
                flush_folder(path.parent)
            except FileExistsError:
                # Whoever put it may not have got further than that.
                self._parts.flush(path.parent)
                flush_folder(path.parent)
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

    @contextmanager
    def _naming(self, path: Path) -> Iterator[None]:
        """The name is no part's, and becomes none meanwhile."""
        folder, name = path.parent, path.name
        if not _has_parts(folder):
            yield
            return
        # Once more before anybody has to wait: what was seen by then is not looked at again.
        if not self._parts.has(folder, name):
            with self._adding.naming():
                if not self._parts.has(folder, name):
                    yield
                    return
        raise FileExistsError(name)

    def _make_durable(self, folder: Path) -> bool:
        """Make a folder and those above it, so that a power cut loses none. False when it was known to be."""
        with self._mutex:
            if folder in self._durable and folder.is_dir():
                return False
        if folder != self._root:
            self._make_durable(folder.parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            flush_folder(folder.parent)
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
                self._durable.discard(folder / PARTS)
            if _has_parts(folder):
                self._parts.tidy(folder)
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
            flush_folder(folder)

    # --- reading

    def _below(self, folder: str, prefix: str, after: str) -> Iterator[Listed]:
        """What lies below a folder, sorted by key. A folder sorts with its slash: `a-b/x` is before `a/x`."""
        with self._asking(folder):
            names = self._names(self._root / folder)
            parts = self._parts.listed(self._root / folder) if f"{PARTS}/" in names else {}
        for name in sorted({*names, *parts}) if parts else names:
            key = folder + name
            if name.startswith("."):
                continue
            if name in parts:
                if key.startswith(prefix) and key > after:
                    each = parts[name]
                    yield Listed(key, each.size, datetime.fromtimestamp(each.modified, UTC))
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

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        """Turns what goes wrong into our words."""
        try:
            yield
        except FileNotFoundError:
            self._store.must_be_there()
            raise
        except OSError as error:
            told = f"{self.name}: {key}: {error.strerror or error}"
            if error.errno in _FULL:
                hint = f"make room in {self._root}, or keep less"
                raise RegionRefused(f"{self.name}: there is no space left", hint=hint) from error
            if error.errno in _REFUSED:
                raise RegionRefused(told, hint=f"look at the rights of {self._root}") from error
            raise RegionAway(told) from error


def _has_parts(folder: Path) -> bool:
    return (folder / PARTS).is_dir()


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


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(descriptor, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
