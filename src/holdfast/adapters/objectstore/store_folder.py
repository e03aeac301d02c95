"""Whether a store's folder is there: new, begun by us, or the empty place where a disk is missing."""

import contextlib
import os
from pathlib import Path
from uuid import uuid4

from holdfast.backup.errors import RegionAway

UNFINISHED = ".unfinished"
"""Where objects are written before they have their key. No key begins with a dot."""
MARKER = ".holdfast-store"
"""Tells that this is the store, and not the empty place where its disk belongs."""
_MARKED = b"Holdfast keeps copies of databases in this folder.\n"


class StoreFolder:
    """The folder of the region `name`, and `begun`, the file that remembers that it was begun."""

    def __init__(self, name: str, root: Path, begun: Path | None) -> None:
        self.name = name
        self.root = root
        self._begun = begun
        self._was_seen = False

    @property
    def is_new(self) -> bool:
        """Whether there is no folder yet, and what is put first will make it."""
        known = self._was_seen if self._begun is None else self._was_begun()
        try:
            return not (known or self.root.exists()) and self.root.parent.is_dir()
        except OSError:
            # Who may not look makes nothing.
            return False

    def begin(self) -> None:
        """See that the store is there; make it when it never was."""
        if self.is_new:
            with contextlib.suppress(FileExistsError):
                self.root.mkdir(mode=0o700)
            flush_folder(self.root.parent)
        self.must_be_there()
        if self._begun is None or ((self.root / MARKER).exists() and self._was_begun()):
            return
        with contextlib.suppress(FileExistsError):
            _flushed_file(self.root / MARKER, _MARKED, os.O_EXCL)
        flush_folder(self.root)
        # Where it cannot be remembered it is kept all the same: copies matter more than their place's safety.
        with contextlib.suppress(OSError):
            self._remember(self._begun)

    def _remember(self, begun: Path) -> None:
        if self._was_begun():
            return
        begun.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = begun.with_name(f"{UNFINISHED}-{uuid4().hex}")
        _flushed_file(unfinished, os.fsencode(self.root), os.O_EXCL)
        unfinished.replace(begun)
        flush_folder(begun.parent)

    def _was_begun(self) -> bool:
        """Whether it is remembered that there was a store in this folder."""
        try:
            return self._begun is not None and self._begun.read_bytes() == os.fsencode(self.root)
        except OSError:
            return False

    def must_be_there(self) -> None:
        if self.is_new:
            return
        if not self.root.is_dir():
            hint = "is its disk there, and have we the rights?"
            if not (self._was_seen or self._was_begun()):
                hint += " what is stored first makes it, in a folder that is there"
            raise RegionAway(f"{self.name}: there is no folder {self.root}", hint=hint)
        self._was_seen = True
        if (self.root / MARKER).exists() or not self._was_begun() or self._holds_any():
            return
        told = f"{self.name}: {self.root} is empty, and copies were kept there"
        hint = f"is its disk there? to begin anew in an empty folder, remove {self._begun}"
        raise RegionAway(told, hint=hint)

    def _holds_any(self) -> bool:
        with os.scandir(self.root) as entries:
            return any(not each.name.startswith(".") for each in entries)


def _flushed_file(path: Path, content: bytes, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    try:
        write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(descriptor: int, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
