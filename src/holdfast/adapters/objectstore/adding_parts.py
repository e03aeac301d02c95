"""Adds to the files of `parts`: one for each folder at a time, made and laid out before it is needed."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from holdfast.adapters.objectstore.parts import (
    FILE_BYTES,
    PARTS,
    Parts,
    member,
    name_of_file,
)
from holdfast.adapters.objectstore.store_folder import flush_folder
from holdfast.backup.errors import AlreadyThere, BackupError

_STEP = 1 << 20
_TRIES = 8
_MOST_FOLDERS = 32
SOONEST_S = 0.2
"""Who goes from folder to folder more quickly puts objects of their own: a file costs more than they do."""


class AddingParts:
    """What one process adds to a store. From any thread; those that add to one folder wait for each other.

    `begin` tells where files are laid out, or why the store cannot be written to. `make_durable` makes a
    folder, and those above it, so that a power cut loses none; `tidy` removes one that is empty. `lock`: the
    file that whoever gives a name in a folder with parts holds the lock of meanwhile.
    """

    def __init__(
        self,
        parts: Parts,
        lock: Path,
        make_durable: Callable[[Path], object],
        tidy: Callable[[Path], None],
        begin: Callable[[], Path],
    ) -> None:
        self._parts = parts
        self._lock = lock
        self._make_durable = make_durable
        self._tidy = tidy
        self._begin = begin
        self._turn = threading.Lock()
        self._naming = threading.Lock()
        self._locked = -1
        self._files: dict[str, _File] = {}
        """One below each folder's parent: who adds to the next folder is done with the one before."""
        self._spare: tuple[Path, int] | None = None
        self._laying_out = False

    def put(self, place: str, content: bytes | memoryview) -> bool:
        """Add an object under a name that nobody has. Durable when it returns.

        False: it is not worth a file, or somebody else adds to that folder. Raises AlreadyThere, OSError;
        FileNotFoundError when the store is not what it was.
        """
        folder, name = os.path.split(place)
        for turn in range(_TRIES):
            file = self._file_for(folder)
            if file is None:
                return False
            with file.turn:
                if file.closed:
                    continue
                try:
                    with self.naming():
                        self._must_be_free(file, place)
                        written = file.write(name, content)
                    if written:
                        file.flush()
                        return True
                except FileNotFoundError:
                    # Somebody removed it, or its disk is not there any more.
                    self._leave(file)
                    if turn == _TRIES - 1:
                        raise
                except FileExistsError:
                    # Whoever put it may not have got further than that.
                    self._parts.flush(Path(folder))
                    flush_folder(Path(folder))
                    raise AlreadyThere(f"{name} is there already") from None
                except OSError:
                    # What the kernel could not write it may have thrown away: nothing more comes behind it.
                    self._leave(file)
                    with suppress(OSError):
                        self._parts.drop(Path(folder), {name})
                    raise
                else:
                    self._leave(file)
        return False  # several add to many folders at once

    def _must_be_free(self, file: "_File", place: str) -> None:
        folder, name = os.path.split(place)
        if os.path.lexists(place) or (name in file.names and self._parts.has(Path(folder), name)):
            raise FileExistsError(name)

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Nobody else gives a name in a folder with parts, in this process or in another one."""
        with self._naming:
            if self._locked < 0:
                self._locked = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._locked, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._locked, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of all files. It goes on with others when there is something to add."""
        with self._turn:
            files, self._files = list(self._files.values()), {}
            spare, self._spare = self._spare, None
        for file in files:
            with file.turn:
                file.close()
        if spare is not None:
            os.close(spare[1])
            with suppress(OSError):
                spare[0].unlink()

    def _file_for(self, folder: str) -> "_File | None":
        parent, _ = os.path.split(folder)
        with self._turn:
            file = self._files.get(parent)
            if file is not None and file.folder == folder:
                return file
            if file is not None and time.monotonic() - file.begun_at < SOONEST_S:
                return None
            fresh = self._begun(Path(folder))
            if fresh is None:
                return None
            if file is None and len(self._files) >= _MOST_FOLDERS:
                file = self._files.pop(next(iter(self._files)))
            self._files[parent] = fresh
        if file is not None:
            with file.turn:
                file.close()
        self._prepare(file)
        return fresh

    def _leave(self, file: "_File") -> None:
        with self._turn:
            parent, _ = os.path.split(file.folder)
            if self._files.get(parent) is file:
                del self._files[parent]
        file.close()

    # --- files

    def _begun(self, folder: Path) -> "_File | None":
        """A file in that folder, which is there after a power cut as well. None: another one adds to it."""
        spare, self._spare = self._spare, None
        path, descriptor = spare or self._laid_out()
        place = folder / PARTS
        try:
            for turn in range(_TRIES):
                self._make_durable(place)
                try:
                    with self.naming():
                        if self._parts.is_added_to(folder):
                            self._spare = path, descriptor
                            return None
                        path = path.rename(place / name_of_file())
                    flush_folder(place)
                except FileNotFoundError:
                    # Somebody who tidied up removed the folder under our feet.
                    if turn == _TRIES - 1 or not path.exists():
                        raise
                else:
                    break
            return _File(folder, path, descriptor, set(self._parts.listed(folder)))
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise

    def _laid_out(self) -> tuple[Path, int]:
        """A file of zeros on the disk, with its lock held by us: who sweeps leaves it alone."""
        path = self._begin() / f"{os.getpid()}-{uuid4().hex}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            zeros = memoryview(bytes(_STEP))
            left = FILE_BYTES
            while left:
                left -= os.write(descriptor, zeros[:left])
            os.fsync(descriptor)
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        return path, descriptor

    def _prepare(self, left: "_File | None") -> None:
        """Beside the adding: lay out the next file, and look after the one that was left."""
        with self._turn:
            if self._laying_out:
                return
            self._laying_out = True
        threading.Thread(target=self._prepared, args=(left,), name="parts", daemon=True).start()

    def _prepared(self, left: "_File | None") -> None:
        try:
            # Whoever adds next makes one itself, and is told why it cannot.
            with suppress(OSError, BackupError):
                spare = self._laid_out()
                with self._turn:
                    unused, self._spare = self._spare, spare
                if unused is not None:
                    os.close(unused[1])
                    unused[0].unlink()
                if left is not None:
                    self._tidy(Path(left.folder))
        finally:
            self._laying_out = False


class _File:
    """A file that is added to. Under its turn."""

    __slots__ = ("_descriptor", "_end", "_inode", "_path", "begun_at", "closed", "folder", "names", "turn")

    def __init__(self, folder: Path, path: Path, descriptor: int, names: set[str]) -> None:
        self.folder = str(folder)
        self.names = names
        """Of all that may be in the folder's files: some may be gone."""
        self.turn = threading.Lock()
        self.begun_at = time.monotonic()
        self.closed = False
        self._path = str(path)
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._end = 0

    def write(self, name: str, content: bytes | memoryview) -> bool:
        """False: there is no room."""
        written = member(name, content, int(time.time()))
        # A block of zeros behind the last one, and tar knows that it was the last.
        if self._end + len(written) + 1024 > FILE_BYTES:
            return False
        done = os.pwrite(self._descriptor, written, self._end)
        while done < len(written):
            done += os.pwrite(self._descriptor, written[done:], self._end + done)
        self._end += len(written)
        self.names.add(name)
        return True

    def flush(self) -> None:
        """Raises FileNotFoundError when the file is not in the store any more."""
        os.fdatasync(self._descriptor)
        if os.stat(self._path).st_ino != self._inode:  # noqa: PTH116  it is done for each commit
            raise FileNotFoundError(self._path)

    def close(self) -> None:
        """Idempotent."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)
