"""A copy on disk: written beside the old one and exchanged with it, so that a reader sees one or the other.

A file that did not change is the same file as before (a hard link), with its old time. What somebody else put
into the folder is carried over. A note in the folder tells which files are ours: without it, a folder that is
not empty is refused, as everything in it would be at the mercy of a wrong argument.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.interfaces.staticsite.copying import File
from holdfast.kernel.errors import HoldfastError, Remedy

NOTE = ".holdfast-copy.json"
_EXCHANGE = 2
_AT_FDCWD = -100


Exchange = Callable[[Path, Path], bool]


class FolderRefused(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The folder cannot take a copy."""

    remedy = Remedy.NEEDS_OPERATOR


class _Note(msgspec.Struct):
    """What of a folder is ours."""

    files: list[str]
    format: int = 1


_NOTE = msgspec.json.Decoder(_Note)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a folder."""

    files: int
    changed: int
    removed: int
    size: int


class CopyFolder:
    """One folder that holds a copy. Raises FolderRefused, and OSError when the disk refuses.

    A folder that cannot be exchanged whole, such as a mounted volume, is renewed file by file: what pages
    need first, entrances last, and what is gone only then.
    """

    def __init__(self, path: Path, exchange: Exchange | None = None) -> None:
        self._path = path.resolve()
        self._fresh = self._path.with_name(f".{self._path.name}.fresh")
        self._exchange = exchange or exchanged

    def check(self) -> None:
        """Refuse now what would be refused later."""
        if self._path.exists() and not self._path.is_dir():
            raise FolderRefused(f"{self._path} is no folder", hint="name a folder that is empty or not there")
        if self._path.is_dir() and any(self._path.iterdir()) and self._note() is None:
            raise FolderRefused(
                f"{self._path} is not empty, and no copy of the site",
                hint="name a folder that is empty or not there: what is in this one could be lost",
            )

    def try_out(self) -> None:
        """Write where `replace` would, and leave nothing behind: a disk that refuses does so now."""
        self.check()
        parent = self._path.parent
        while not parent.exists() and parent != parent.parent:
            parent = parent.parent
        # A mounted volume is written itself, too: it cannot be exchanged.
        for folder in (parent, self._path) if self._path.is_mount() else (parent,):
            with tempfile.TemporaryDirectory(prefix=f".{self._path.name}.", dir=folder):
                pass

    def replace(self, files: Iterable[File]) -> Written:
        """Make the folder hold exactly these files of ours. Dying before the end leaves the old copy."""
        self.check()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.check()
            shutil.rmtree(self._fresh, ignore_errors=True)
            try:
                return self._replace(files)
            finally:
                shutil.rmtree(self._fresh, ignore_errors=True)

    def _replace(self, files: Iterable[File]) -> Written:
        self._fresh.mkdir()
        before = set(self._note() or ())
        known: list[str] = []
        changed = size = 0
        for file in files:
            known.append(file.path)
            changed += self._put(file)
            size += len(file.content)
        (self._fresh / NOTE).write_bytes(msgspec.json.encode(_Note(sorted(known))))
        gone = before - set(known)
        if not self._path.exists():
            self._fresh.rename(self._path)
        else:
            shutil.copymode(self._path, self._fresh)
            self._carry_over(before)
            if not self._exchange(self._fresh, self._path):
                self._renew([*known, NOTE], gone)
        return Written(len(known), changed, len(gone), size)

    def _renew(self, paths: Iterable[str], gone: Iterable[str]) -> None:
        """File by file, each whole."""
        for each in paths:
            target, fresh = self._path / each, self._fresh / each
            if _holds(target, fresh.read_bytes()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.fresh")
            shutil.copy2(fresh, beside)
            beside.replace(target)
        for each in gone:
            target = self._path / each
            target.unlink(missing_ok=True)
            for folder in target.parents:
                if folder == self._path or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _note(self) -> list[str] | None:
        """The files that are ours; None when this is no copy."""
        try:
            return _NOTE.decode((self._path / NOTE).read_bytes()).files
        except (OSError, ValueError):
            return None

    def _put(self, file: File) -> bool:
        """Write one file, or link the old one where it is the same; returns whether it changed."""
        target, old = self._fresh / file.path, self._path / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if _holds(old, file.content):
            _link(old, target)
            return False
        target.write_bytes(file.content)
        return True

    def _carry_over(self, ours: set[str]) -> None:
        """What is not ours: linked, not copied, and never over a file of ours."""
        for folder, folders, names in os.walk(self._path):
            linked = [each for each in folders if (Path(folder) / each).is_symlink()]
            for name in (*names, *linked):
                old = Path(folder) / name
                inside = old.relative_to(self._path)
                target = self._fresh / inside
                if inside.as_posix() in ours or target.exists() or inside == Path(NOTE):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                if old.is_symlink():
                    target.symlink_to(old.readlink())
                else:
                    _link(old, target)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time."""
        path = self._path.with_name(f".{self._path.name}.lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise FolderRefused(f"somebody else is writing {self._path}", hint="wait for its end") from error
        finally:
            os.close(handle)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _link(old: Path, target: Path) -> None:
    try:
        os.link(old, target)
    except OSError:
        shutil.copy2(old, target)  # a file system without links, or another one


def exchanged(fresh: Path, path: Path) -> bool:
    """Exchange two folders in one step (renameat2); False where the system, or this folder, cannot."""
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange is None:
        return False
    done = exchange(_AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(path), _EXCHANGE)
    if done == 0:
        return True
    if ctypes.get_errno() in {errno.ENOSYS, errno.EINVAL, errno.EBUSY, errno.EXDEV}:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
