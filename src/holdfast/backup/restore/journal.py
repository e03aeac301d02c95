"""What a restore writes down in its folder, so that another process can go on after a kill, or refuse to.

`holdfast-restore.json` says whose folder it is and how far it is; `holdfast-restore.journal` names the chunks
that are written. What a killed process wrote is there as long as the machine lives: after a restart of the
machine it may not be, and the journal of another boot counts for nothing.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import msgspec

from holdfast.backup.errors import NotFit

MARKER, JOURNAL = "holdfast-restore.json", "holdfast-restore.journal"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Step(StrEnum):
    """How far a restore is."""

    WRITING = "writing"
    """Files are being written: no server has run on them."""
    WRITTEN = "written"
    """All is there and on the disk; a server may have begun to recover it."""
    READY = "ready"
    """A query has answered."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose folder it is. `chain` are ids of backups, the full one first; `system_id` is the cluster's."""

    database: str
    chain: tuple[str, ...]
    system_id: int
    step: Step = Step.WRITING
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    """oid to the folder it was mapped to; those inside the folder are not named."""
    boot: str = ""
    part: str = ""
    """Of one with some of the files alone, their choice's name: it is no copy of the server."""


_MARKER = msgspec.json.Decoder(Marker)


def this_boot() -> str:
    """What tells this start of the machine from others; empty where that cannot be known."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def read_marker(folder: Path) -> Marker | None:
    """The folder's marker; None when it has none. Raises NotFit for one that cannot be read."""
    try:
        content = (folder / MARKER).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _MARKER.decode(content)
    except msgspec.MsgspecError as error:
        raise NotFit(
            f"{folder / MARKER} cannot be read: {error}", hint="restore into another folder"
        ) from error


def write_marker(folder: Path, marker: Marker) -> None:
    """Write it whole or not at all, and durably."""
    unfinished = folder / f"{MARKER}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(marker))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / MARKER)


def advance(folder: Path, marker: Marker, step: Step) -> Marker:
    """Note that the restore is so far."""
    further = replace(marker, step=step)
    write_marker(folder, further)
    return further


class Journal:
    """The names of the chunks that are written into `folder`. One append each, so that none is half there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL

    def read(self) -> frozenset[str]:
        """The names that stand in it; a last line that was cut off is none."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return frozenset()
        return frozenset(lines[:-1])

    def clear(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()

    def open(self) -> "OpenJournal":
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return OpenJournal(os.open(self._path, flags, 0o600))


class OpenJournal:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def add(self, name: str) -> None:
        """Another chunk is written."""
        os.write(self._descriptor, f"{name}\n".encode())

    def close(self) -> None:
        os.close(self._descriptor)
