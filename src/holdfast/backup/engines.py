"""Whatever takes the backups of a database: the native engine, pgBackRest, or the logical tier. One port.

Each engine stores in its own form, and tells of it in the same words. What another program keeps is told as
that program tells it: Holdfast adopts it, and does not own it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Backup, BackupKind, RecoveryWindow, Target


class Depth(StrEnum):
    """How much a backup takes anew."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    """What changed since the newest full one. An engine that knows none takes an incremental one."""
    INCREMENTAL = "incremental"
    """What changed since the newest one. Without one before it, it is a full one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished backup as its engine tells of it. Times in UTC.

    `depends_on` names every other backup that it cannot be restored without. `trouble` is what its engine
    found wrong in it, such as pages whose checksum is not theirs; empty for none.
    """

    id: str
    database: str
    kind: BackupKind
    depends_on: tuple[str, ...]
    label: str
    region: str
    """Where it is: a region's key, or an engine's own name of a repository."""
    server_version: int
    """As `server_version_num`; engines that know only the major version tell 150000."""
    timeline: Timeline | None
    start_lsn: Lsn | None
    stop_lsn: Lsn | None
    started_at: datetime
    finished_at: datetime
    raw_bytes: int
    stored_bytes: int | None
    """What it added to the store; None when its engine does not tell."""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that keeps an engine from its work, and what to do about it."""

    text: str
    hint: str = ""


class Engine(Protocol):
    """Takes backups of one database and restores them. All of it blocks, for hours where a database is large.

    Raises BackupErrors: SourceAway and SourceRefused (the database), RegionAway and RegionRefused (the
    store), Damaged, KeyMissing, NotRecoverable, NotFit, RestoreFailed.
    """

    @property
    def database(self) -> str:
        """The database's key in the estate."""
        ...

    def take(self, kind: Depth, *, label: str = "") -> Kept:
        """Take a backup now. It is complete when this returns; when it raises there is none."""
        ...

    def backups(self) -> Sequence[Kept]:
        """The backups that can be restored from, oldest first."""
        ...

    def windows(self) -> Sequence[RecoveryWindow]:
        """Every moment that can be restored to, as far as it is proven. An engine without WAL has none."""
        ...

    def restore(self, target: Target, folder: Path) -> Kept:
        """Lay a data directory out: the server started in it recovers to `target`, and takes writes.

        The folder must be empty or not exist. No archiving goes on in it, and it has no upstream. The backup
        that it began with is returned.
        """
        ...

    def check(self) -> Sequence[Finding]:
        """What keeps it from its work now; empty when all is well. Writes at most a WAL segment."""
        ...


def kept_of(backup: Backup, chain: Sequence[Backup], region: str) -> Kept:
    """The native engine's backup in the words of the port. `chain` ends with it."""
    return Kept(
        id=backup.id,
        database=backup.database,
        kind=backup.kind,
        depends_on=tuple(each.id for each in chain if each.id != backup.id),
        label=backup.label,
        region=region,
        server_version=backup.server_version,
        timeline=backup.timeline,
        start_lsn=backup.start_lsn,
        stop_lsn=backup.stop_lsn,
        started_at=backup.started_at,
        finished_at=backup.finished_at,
        raw_bytes=backup.raw_bytes,
        stored_bytes=backup.stored_bytes,
    )
