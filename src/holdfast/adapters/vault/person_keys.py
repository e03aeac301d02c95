"""A store of persons' keys: a file of slots in a folder of its own, and never in a copy of the database.

A slot is 128 bytes, so that none lies across two sectors of a disk. A new key is appended; a key that is
destroyed is overwritten where it stands, so that it stands nowhere. What is written is on the disk before a
call returns. Several processes may use a folder at once.

    id 32 | made at 8 | erased at 8 | key 32 | SHA-256 over these 32 | zeros 16     times: µs since 1970, UTC

The file begins with a slot that says what it is. What overwriting cannot reach: copies that were made of the
folder, file systems that write to another place, and flash. Copy it to no backup; encrypt the disk.
"""

import asyncio
import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.keys import KEY_BYTES, Census, Held

FILE = "person.keys"
SLOT_BYTES = 128
_TITLE = b"holdfast person keys 1\n".ljust(SLOT_BYTES, b"\0")
_SLOT = struct.Struct(">32sqq32s")
_NOTHING = bytes(SLOT_BYTES)
_NO_KEY = bytes(KEY_BYTES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ_BYTES = 1 << 20


@dataclass
class _Index:
    """Where the slots of each id are, as far as the file was read."""

    file: tuple[int, int] = (0, 0)
    """Device and inode."""
    slots: dict[bytes, list[int]] = field(default_factory=dict)
    read_to: int = SLOT_BYTES
    damaged: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Slot:
    id: bytes
    made_us: int
    erased_us: int
    key: bytes

    @property
    def packed(self) -> bytes:
        head = _SLOT.pack(self.id, self.made_us, self.erased_us, self.key)
        return (head + hashlib.sha256(head).digest()).ljust(SLOT_BYTES, b"\0")

    @classmethod
    def unpacked(cls, content: bytes) -> "_Slot | None":
        """None for what is no slot."""
        head = content[: _SLOT.size]
        if hashlib.sha256(head).digest() != content[_SLOT.size : _SLOT.size + 32]:
            return None
        return cls(*_SLOT.unpack(head))


class FolderKeys:
    """KeyStore over a folder. Its `repr` shows nothing."""

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        """With `make` an empty store is made where there is none: not what one that is not mounted needs."""
        self._folder = folder
        self._make = make
        self._index = _Index()
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        return str(self._folder)

    async def held(self, ids: Sequence[bytes]) -> Mapping[bytes, Held]:
        return await asyncio.to_thread(self._held, ids)

    async def keep(self, keys: Sequence[tuple[bytes, bytes]]) -> None:
        await asyncio.to_thread(self._keep, keys)

    async def destroy(self, erased: Mapping[bytes, datetime]) -> None:
        await asyncio.to_thread(self._destroy, erased)

    async def everything(self) -> Mapping[bytes, Held]:
        return await asyncio.to_thread(self._held, None)

    async def census(self) -> Census:
        return await asyncio.to_thread(self._census)

    def _held(self, ids: Sequence[bytes] | None) -> Mapping[bytes, Held]:
        with self._opened(fcntl.LOCK_SH) as file:
            wanted = self._index.slots.keys() if ids is None else ids
            found = {id_: self._of(file, id_) for id_ in wanted if id_ in self._index.slots}
            return {id_: held for id_, held in found.items() if held != Held()}

    def _of(self, file: int, id_: bytes) -> Held:
        slots = [_Slot.unpacked(os.pread(file, SLOT_BYTES, at)) for at in self._index.slots[id_]]
        mine = [slot for slot in slots if slot is not None and slot.id == id_]
        if erased := [slot.erased_us for slot in mine if slot.erased_us]:
            return Held((), _EPOCH + timedelta(microseconds=min(erased)))
        return Held(tuple(slot.key for slot in mine))

    def _keep(self, keys: Sequence[tuple[bytes, bytes]]) -> None:
        with self._opened(fcntl.LOCK_EX) as file:
            fresh = list[_Slot]()
            for id_, key in dict.fromkeys(keys):
                there = self._of(file, id_) if id_ in self._index.slots else Held()
                if there.erased_at is None and key not in there.keys:
                    fresh.append(_Slot(id_, _us(datetime.now(UTC)), 0, key))
            self._append(file, fresh)

    def _destroy(self, erased: Mapping[bytes, datetime]) -> None:
        with self._opened(fcntl.LOCK_EX) as file:
            unknown = list[_Slot]()
            for id_, at in erased.items():
                if id_ not in self._index.slots:
                    unknown.append(_Slot(id_, 0, _us(at), _NO_KEY))
                    continue
                since = self._of(file, id_).erased_at or at
                for place in self._index.slots[id_]:
                    was = _Slot.unpacked(os.pread(file, SLOT_BYTES, place))
                    made_us = was.made_us if was else 0  # damaged since it was read
                    _write(file, _Slot(id_, made_us, _us(since), _NO_KEY).packed, place)
            # Whose these are cannot be told, and nobody can use them: they may be the ones that are to go.
            for place in self._index.damaged:
                _write(file, _NOTHING, place)
            self._index.damaged.clear()
            self._append(file, unknown)

    def _append(self, file: int, slots: Sequence[_Slot]) -> None:
        """And flushes all that was written."""
        end = self._index.read_to
        if slots:
            _write(file, b"".join([slot.packed for slot in slots]), end)
        os.fsync(file)
        for number, slot in enumerate(slots):
            self._index.slots.setdefault(slot.id, []).append(end + number * SLOT_BYTES)
        self._index.read_to = end + len(slots) * SLOT_BYTES

    def _census(self) -> Census:
        with self._opened(fcntl.LOCK_SH) as file:
            held = [self._of(file, id_) for id_ in self._index.slots]
            erased = sum(1 for each in held if each.erased_at)
            return Census(sum(1 for each in held if each.keys), erased, len(self._index.damaged))

    @contextmanager
    def _opened(self, lock: int) -> Iterator[int]:
        """The file, locked, and all its slots in the index."""
        try:
            with self._turn:
                file = self._file()
                try:
                    fcntl.flock(file, lock)
                    self._look(file)
                    yield file
                finally:
                    os.close(file)
        except OSError as error:
            raise KeysAway(
                f"the store of persons' keys {self._folder} cannot be used: {error.strerror or error}",
                hint="is the folder there, mounted and writable?",
            ) from error

    def _file(self) -> int:
        path = self._folder / FILE
        try:
            return os.open(path, os.O_RDWR)
        except FileNotFoundError:
            if not self._make:
                raise KeysAway(
                    f"there is no store of persons' keys in {self._folder}",
                    hint="mount it; a new one is made by: holdfast ledger person stores --make",
                ) from None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _begin(path)
        return os.open(path, os.O_RDWR)

    def _look(self, file: int) -> None:
        """Reads what was appended since. Another file in its place is read from its beginning."""
        status = os.fstat(file)
        index = self._index
        if index.file != (status.st_dev, status.st_ino) or status.st_size < index.read_to:
            if os.pread(file, SLOT_BYTES, 0) != _TITLE:
                raise KeysAway(
                    f"{self._folder / FILE} is no store of persons' keys of this version",
                    hint="put back what was there; the other stores have the same keys",
                )
            index = self._index = _Index((status.st_dev, status.st_ino))
        # The beginning of a slot at the end is what a crash left of one that nobody relies on.
        whole = status.st_size - status.st_size % SLOT_BYTES
        while index.read_to < whole:
            content = os.pread(file, min(_READ_BYTES, whole - index.read_to), index.read_to)
            if not content:
                break
            for at in range(0, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
                self._note(content[at : at + SLOT_BYTES], index.read_to + at)
            index.read_to += len(content) - len(content) % SLOT_BYTES

    def _note(self, content: bytes, place: int) -> None:
        if content == _NOTHING:  # a crash made the file longer, and did not fill it
            return
        slot = _Slot.unpacked(content)
        if slot is None:
            self._index.damaged.append(place)
        else:
            self._index.slots.setdefault(slot.id, []).append(place)


def _begin(path: Path) -> None:
    """Makes an empty store. It appears whole or not at all, whoever makes it at the same time."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(file, _TITLE, 0)
        os.fsync(file)
        os.link(fresh, path)
    except FileExistsError:
        pass  # somebody else was faster: theirs counts
    finally:
        os.close(file)
        fresh.unlink()
    for folder in (path.parent, path.parent.parent):
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write(file: int, content: bytes, at: int) -> None:
    while content:
        written = os.pwrite(file, content, at)
        content, at = content[written:], at + written


def _us(moment: datetime) -> int:
    return round((moment - _EPOCH) / timedelta(microseconds=1))
