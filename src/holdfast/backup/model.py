"""The words of backup, as frozen values. What is stored stays PostgreSQL's own: tar streams, manifest, WAL.

A **backup** is what one BASE_BACKUP sent: a tar stream per tablespace, cut into chunks, and PostgreSQL's
own `backup_manifest`. An incremental one needs its parent, back to a full one: its **chain**. A backup's
record is written last, and only then there is a backup.

**WAL** is stored in pieces: whole segments, and parts of the newest one. A piece's name tells what it holds.

A **recovery point** is a moment that a region's objects alone restore to: a backup's chain, and WAL without
a gap from where the backup began.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, Segment, Timeline

CHUNK_BYTES = 64 * 1024 * 1024
"""How much of a tar stream one object holds at most, before it is compressed."""


class BackupKind(StrEnum):
    """Whole, or what changed since its parent."""

    FULL = "full"
    INCREMENTAL = "incremental"


class Mode(StrEnum):
    """How WAL leaves the database."""

    STREAM = "stream"
    """By a replication slot, within seconds."""
    SYNC = "sync"
    """The same, and a commit waits for it."""
    ARCHIVE = "archive"
    """By the server's own `archive_command`, a segment at a time."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A part of a backup, in a region's store.

    `key` is relative to the database's own prefix. `sha256` (hexadecimal) is that of the bytes as they are
    stored: compressed, and sealed when `sealed_with` names a key.
    """

    key: str
    raw_bytes: int
    stored_bytes: int
    sha256: str
    sealed_with: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """One tar stream of a backup: the data directory's (`oid` 0) or a tablespace's.

    Chunk n holds the stream's bytes [n * chunk_bytes, (n + 1) * chunk_bytes), and nothing else. So all
    chunks, decompressed and put one behind the other, are the tar file.
    """

    name: str
    """`base.tar`, or `16384.tar` after the tablespace's oid."""
    oid: int
    location: str
    """Where the tablespace lay on the server; empty for the data directory."""
    raw_bytes: int
    chunks: tuple[StoredObject, ...]


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup, as its record in each region tells. Times in UTC, by the server's clock."""

    id: str
    """Sorts by time: `20261122T201500Z-` and letters."""
    database: str
    kind: BackupKind
    parent: str
    """The backup that this one is an increment of; empty for a full one."""
    label: str
    system_id: int
    """PostgreSQL's own number of the cluster."""
    server_version: int
    """As `server_version_num`: 180001."""
    timeline: Timeline
    start_lsn: Lsn
    """Recovery begins here."""
    stop_lsn: Lsn
    """Recovery must reach this place before the copy is consistent."""
    started_at: datetime
    finished_at: datetime
    archives: tuple[Archive, ...]
    manifest: StoredObject
    """PostgreSQL's `backup_manifest`, byte for byte."""
    index: StoredObject
    """Which file lies where: see `holdfast.backup.index`."""
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    chunk_bytes: int = CHUNK_BYTES
    format: int = 1

    @property
    def raw_bytes(self) -> int:
        return sum(archive.raw_bytes for archive in self.archives)

    @property
    def stored_bytes(self) -> int:
        return sum(each.stored_bytes for each in self.objects)

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """Everything that it consists of, but its record."""
        chunks = tuple(chunk for archive in self.archives for chunk in archive.chunks)
        return (*chunks, self.manifest, self.index)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a backup's tar streams: `size` bytes of content from `offset` of the archive's stream.

    `path` is relative to the data directory, tablespaces by `pg_tblspc/OID/...`, increments by their own
    names (`base/5/INCREMENTAL.1259`). A folder and a link have no content.
    """

    path: str
    archive: int
    """Which of the backup's archives, by its place."""
    offset: int
    size: int
    mode: int
    kind: str = "file"
    """file, folder or link."""
    target: str = ""
    """Of a link."""


@dataclass(frozen=True, slots=True)
class WalPiece:
    """An object with the bytes [start, end) of one segment, where both are offsets in the segment.

    `commit_at` is the newest commit found in it, by the server's clock, or None when none was found.
    `covered_at` is a moment of the server's clock at which it had written nothing behind the piece's end, or
    None when unknown: the server was ahead.
    """

    segment: Segment
    start: int
    end: int
    key: str
    stored_bytes: int
    sha256: str
    sealed_with: str = ""
    commit_at: datetime | None = None
    covered_at: datetime | None = None

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == self.segment.size

    @property
    def start_lsn(self) -> Lsn:
        return Lsn(self.segment.start + self.start)

    @property
    def end_lsn(self) -> Lsn:
        return Lsn(self.segment.start + self.end)


@dataclass(frozen=True, slots=True)
class TimelineHistory:
    """A `.history` file: where a timeline left the ones before it. `text` is PostgreSQL's own."""

    timeline: Timeline
    text: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one region holds of one database, as it was listed at `listed_at`.

    `backups` are those whose record could be read, oldest first; `missing` maps a backup's id to the keys of
    its objects that were not in the listing (or had another size); `unreadable` are records that do
    not decode.
    """

    region: str
    database: str
    listed_at: datetime
    backups: tuple[Backup, ...]
    wal: tuple[WalPiece, ...]
    histories: tuple[TimelineHistory, ...] = ()
    missing: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unreadable: tuple[str, ...] = ()
    suspects: tuple["Suspicion", ...] = ()


@dataclass(frozen=True, slots=True)
class WalRun:
    """WAL without a gap, on one timeline: the bytes [start, end).

    `commit_at` is its newest commit, `covered_at` the newest moment at which nothing behind it was written.
    """

    timeline: Timeline
    start: Lsn
    end: Lsn
    commit_at: datetime | None = None
    covered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecoveryWindow:
    """Every moment from `start` to `end` can be restored, beginning with the newest backup before it.

    `start` is when the first backup in it had finished. `end` is the newest moment that is proven: nothing
    that was committed until then is missing. A backup whose WAL is not there is no window.
    """

    region: str
    backups: tuple[str, ...]
    """Ids of the backups inside, oldest first, each with its whole chain."""
    timeline: Timeline
    start: datetime
    start_lsn: Lsn
    """The first consistent place: the first backup's stop."""
    end: datetime
    end_lsn: Lsn


@dataclass(frozen=True, slots=True)
class Gap:
    """WAL that is missing between two pieces that are there: nothing in it can be restored."""

    region: str
    timeline: Timeline
    start: Lsn
    end: Lsn
    after: datetime | None
    """The newest commit known before it."""
    before: datetime | None
    """The first backup behind it had finished then; None when there is none: it needs one."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A mark on a region's points: from `since` on they may hold damage. It is lifted by a person."""

    id: str
    since: datetime
    raised_at: datetime
    reason: str
    lifted_at: datetime | None = None
    lifted_by: str = ""


class TargetKind(StrEnum):
    """What a restore aims at."""

    LATEST = "latest"
    TIME = "time"
    LSN = "lsn"
    XID = "xid"
    LABEL = "label"
    """The moment that a backup of this label, or this id, became consistent."""


@dataclass(frozen=True, slots=True)
class Target:
    """The moment to restore to. `inclusive`: what was committed exactly there is in it."""

    kind: TargetKind = TargetKind.LATEST
    time: datetime | None = None
    lsn: Lsn | None = None
    xid: int | None = None
    label: str = ""
    timeline: Timeline | None = None
    """None follows the newest timeline that the backup leads to."""
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do: these backups (a full one first), then this WAL, from this region."""

    database: str
    region: str
    target: Target
    chain: tuple[Backup, ...]
    wal: tuple[WalPiece, ...]
    histories: tuple[TimelineHistory, ...]
    timeline: Timeline
    expected: timedelta | None
    """None while nothing was ever restored from here."""

    @property
    def backup(self) -> Backup:
        """The one that it begins with: the newest of the chain."""
        return self.chain[-1]
