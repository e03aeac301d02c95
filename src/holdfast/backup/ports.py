"""What backup needs from outside. All of it blocks: the engine moves bytes in threads, not on an event loop.

Every method may raise what its port says, and nothing else on purpose. Implementations are safe to use from
several threads, unless a port says otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import StoredObject


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a region, as a listing tells."""

    key: str
    size: int
    modified_at: datetime


class Region(Protocol):
    """One region's store of objects. Raises RegionAway, RegionRefused."""

    @property
    def name(self) -> str:
        """The region's key in the estate."""
        ...

    def put(self, key: str, content: bytes | memoryview) -> None:
        """Store an object under a new key, whole or not at all. Durable when it returns.

        Raises AlreadyThere when the key is taken, also when two try at once: then one of them wins.
        """
        ...

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """An object's bytes [start, end). Raises FileNotFoundError when there is none.

        Damaged when the store itself knows that it cannot read it, as of a disk's bad sector.
        """
        ...

    def replace(self, key: str, content: bytes | memoryview) -> None:
        """Store an object under a key that may be taken. For healing only, and whole or not at all.

        What is put here must be what the key, or its record, has named all along: where versions are kept or
        objects are locked, the damaged bytes stay below as an older version.
        """
        ...

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Objects whose key begins with `prefix`, sorted by key, those behind the key `after`."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Let go of objects; those that are gone already are no error. RegionRefused for locked ones."""
        ...

    def lock(self, key: str, until: datetime) -> bool:
        """Let nobody delete the object before `until`; only ever longer. False where there are no locks."""
        ...

    def locked_until(self, key: str) -> datetime | None:
        """Until when an object is locked; None when it is not."""
        ...


@runtime_checkable
class TakesParts(Protocol):
    """A region that keeps many small objects at less than an object's usual cost. Others `put` them."""

    def put_part(self, key: str, content: bytes | memoryview) -> None:
        """As `put`, of one of many that a whole one soon replaces."""
        ...

    def lies_with(self, folder: Path) -> bool:
        """Whether it is on the same file system as that folder: where one hangs the other does too."""
        ...


@runtime_checkable
class Versioned(Protocol):
    """A region that may keep what somebody deleted or overwrote. Raises RegionAway, RegionRefused."""

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys of objects that a plain delete hid, and that are still there below it. We delete otherwise."""
        ...

    def unhide(self, keys: Sequence[str]) -> None:
        """Bring such objects back."""
        ...

    def earlier(self, key: str) -> Iterator[bytes]:
        """What was stored under a key before what is there now, the newest first."""
        ...

    def kept_until(self, key: str) -> datetime | None:
        """Until when any of it is locked, what is there now or what was before; None when nothing is."""
        ...


class Packer(Protocol):
    """Compresses, and seals when it has a key. Objects tell which key: old ones open after a rotation."""

    @property
    def sealed_with(self) -> str:
        """The name of the key that new objects are sealed with; empty for none."""
        ...

    def pack(self, raw: bytes | bytearray | memoryview) -> bytes:
        """What is to be stored. Another result each time when it is sealed. Releases the GIL where it can."""
        ...

    def unpack(self, stored: bytes, sealed_with: str, raw_bytes: int | None = None) -> bytes:
        """What was packed. Raises Damaged for anything else, and for more than `raw_bytes`; KeyMissing."""
        ...

    def unpack_into(self, stored: bytes, sealed_with: str, room: memoryview) -> int:
        """The same into `room`, where it may be shorter than that. Returns how many bytes it is."""
        ...


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """IDENTIFY_SYSTEM, and what else is told of a server. `at` is the server's own clock."""

    system_id: int
    timeline: Timeline
    flushed: Lsn
    server_version: int
    segment_bytes: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ArchiveBegins:
    """A tar stream begins. `location` is empty for the data directory."""

    name: str
    location: str


@dataclass(frozen=True, slots=True)
class ManifestBegins:
    """From here on PostgreSQL's `backup_manifest` comes."""


@dataclass(frozen=True, slots=True)
class BackupBegins:
    """The first thing: where recovery of it begins."""

    start_lsn: Lsn
    timeline: Timeline
    tablespaces: Mapping[int, str]
    """oid to location."""
    estimated_bytes: int | None


@dataclass(frozen=True, slots=True)
class BackupEnds:
    """The last thing: where it is consistent."""

    stop_lsn: Lsn
    timeline: Timeline


BackupEvent = BackupBegins | ArchiveBegins | ManifestBegins | BackupEnds | bytes | memoryview
"""Bytes are of the archive, or the manifest, that began last. A view is valid until the next event."""


@dataclass(frozen=True, slots=True)
class WalData:
    """Bytes of the log from `start`. `server_end` is the end of what the server had written at `sent_at`."""

    start: Lsn
    content: bytes
    server_end: Lsn
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class WalAlive:
    """The server lives; it had written up to `server_end` at `sent_at`."""

    server_end: Lsn
    sent_at: datetime
    reply_wanted: bool


@dataclass(frozen=True, slots=True)
class TimelineEnds:
    """The timeline that was followed ended at `switch_at`; the history goes on with `following`."""

    following: Timeline
    switch_at: Lsn


WalEvent = WalData | WalAlive | TimelineEnds


class WalStream(Protocol):
    """WAL as it is written. One thread receives, any acknowledges and wakes, none once it is closed."""

    def receive(self, timeout_s: float) -> WalEvent | None:
        """The next event, or None when nothing came in that time. Raises SourceAway, WalGone."""
        ...

    def acknowledge(self, written: Lsn, flushed: Lsn, *, reply_wanted: bool = False) -> None:
        """Tell the server what is kept. In sync mode a commit waits for `flushed`."""
        ...

    def wake(self) -> None:
        """Let `receive` return now. From any thread, unlike the rest; closing may come before it."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot. `restart` is where its WAL begins; None for one that reserved none, or lost it."""

    name: str
    restart: Lsn | None
    timeline: Timeline | None


class Source(Protocol):
    """A protected database's replication protocol. Each call opens a connection of its own, and closes it.

    Raises SourceAway, SourceRefused, WalGone.
    """

    def identify(self) -> SourceIdentity: ...

    def base_backup(
        self, *, label: str, parent_manifest: bytes | None = None, fast_checkpoint: bool = True
    ) -> AbstractContextManager[Iterator[BackupEvent]]:
        """BASE_BACKUP, incremental to the backup with that manifest if one is given. One thread at a time.

        Raises IncrementRefused, before anything was sent, when the server cannot tell what changed since.
        """
        ...

    def stream(
        self, start: Lsn, timeline: Timeline, *, slot: str | None, application_name: str
    ) -> AbstractContextManager[WalStream]:
        """START_REPLICATION, physical. Raises WalGone when the server has it no longer."""
        ...

    def timeline_history(self, timeline: Timeline) -> str:
        """PostgreSQL's own `.history` file of a timeline above 1."""
        ...

    def slot(self, name: str) -> Slot | None:
        """READ_REPLICATION_SLOT, or of PostgreSQL 14 the same by SQL; None when there is none."""
        ...

    def make_slot(self, name: str) -> Slot:
        """CREATE_REPLICATION_SLOT ... PHYSICAL RESERVE_WAL; one that is there already is returned."""
        ...

    def drop_slot(self, name: str) -> None: ...

    def beat(self) -> None:
        """Commit something tiny, so that an idle database shows that nothing is missing."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """How a query ended: its rows as text, or an error's text."""

    rows: tuple[tuple[str | None, ...], ...]
    error: str = ""


class Copy(Protocol):
    """A restored PostgreSQL that runs, on a socket in a private folder: no archiving, no upstream."""

    @property
    def folder(self) -> Path: ...

    @property
    def conninfo(self) -> str:
        """libpq's, without a password."""
        ...

    def ask(self, database: str, sql: str, timeout_s: float) -> Asked:
        """Run SQL in a read-only transaction and roll it back."""
        ...

    def replayed(self) -> tuple[Lsn | None, datetime | None]:
        """What was replayed last: the place, and the commit time of the last transaction."""
        ...

    def promote(self) -> None:
        """Let it accept writes, on a timeline of its own."""
        ...

    def stop(self) -> None: ...


class Progress(Protocol):
    """Who wants to know how far long work is. Called from any thread, often: it must be quick."""

    def begin(self, phase: str, total_bytes: int | None) -> None: ...

    def advance(self, count: int) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Put:
    """What became of putting an object into a region."""

    region: str
    stored: StoredObject
    error: str = ""
