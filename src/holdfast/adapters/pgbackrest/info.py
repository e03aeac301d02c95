"""What `pgbackrest info --output=json` tells, in the words of backup.

Read strictly where Holdfast relies on it, and tolerant of fields that other versions add. Seen: 2.45 to 2.60.
Source: pgBackRest's user guide, "info", and `src/command/info/info.c`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.backup.engines import Kept
from holdfast.backup.errors import BackupError, Damaged, NotRecoverable
from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, Segment, Timeline, parse_lsn
from holdfast.backup.model import BackupKind, RecoveryWindow

LONGEST_INFO = 256 * 1024 * 1024
"""Bytes. Ten thousand backups are told in some 10 MB."""
LABEL = "holdfast-label"
"""The annotation that keeps our label."""

_KINDS = {"full": BackupKind.FULL, "diff": BackupKind.INCREMENTAL, "incr": BackupKind.INCREMENTAL}
_MISSING_STANZA = 1
"""pgBackRest's own codes of a stanza's state: 0 is well, 2 has no backup yet."""
_WELL = (0, 2)


class Between(msgspec.Struct, frozen=True):
    start: str | None = None
    stop: str | None = None


class Moments(msgspec.Struct, frozen=True):
    start: int
    stop: int


class Repository(msgspec.Struct, frozen=True):
    """`size` is what all of it takes in the store, `delta` what this backup added."""

    delta: int | None = None
    size: int | None = None


class Sizes(msgspec.Struct, frozen=True):
    size: int
    delta: int = 0
    repository: Repository = Repository()


class Where(msgspec.Struct, frozen=True, rename="kebab"):
    """Which of the stanza's servers, in which repository."""

    id: int
    repo_key: int = 1


class ToldBackup(msgspec.Struct, frozen=True, rename="kebab"):
    label: str
    type: str
    timestamp: Moments
    info: Sizes
    database: Where
    archive: Between = Between()
    lsn: Between = Between()
    reference: list[str] | None = None
    annotation: dict[str, str] = {}
    error: bool | None = None


class ToldArchive(msgspec.Struct, frozen=True):
    database: Where
    min: str | None = None
    max: str | None = None


class ToldServer(msgspec.Struct, frozen=True, rename="kebab"):
    id: int
    system_id: int
    version: str
    repo_key: int = 1


class State(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class Stanza(msgspec.Struct, frozen=True):
    name: str
    status: State
    backup: list[ToldBackup] = []
    archive: list[ToldArchive] = []
    db: list[ToldServer] = []


_STANZAS = msgspec.json.Decoder(list[Stanza])


def stanza_of(content: bytes, name: str) -> Stanza:
    """The stanza of this name. Raises Damaged for what is not pgBackRest's, and NotRecoverable for none."""
    if len(content) > LONGEST_INFO:
        raise Damaged(f"pgbackrest told {len(content)} bytes of itself; that is no list of backups")
    try:
        stanzas = _STANZAS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"pgbackrest's list of backups cannot be read: {error}") from error
    found = next((each for each in stanzas if each.name == name), None)
    if found is None or found.status.code == _MISSING_STANZA:
        raise NotRecoverable(
            f"pgbackrest knows no stanza `{name}` here",
            hint=f"make it: pgbackrest --stanza={name} stanza-create",
        )
    return found


def state_trouble(stanza: Stanza) -> str:
    """What pgBackRest says is wrong with the stanza; empty when nothing is."""
    return "" if stanza.status.code in _WELL else stanza.status.message or f"status {stanza.status.code}"


def kept_backups(stanza: Stanza, database: str) -> list[Kept]:
    """Its backups, oldest first; one that is in several repositories is told once for each.

    Raises Damaged for what makes no sense.
    """
    versions = {(each.repo_key, each.id): each.version for each in stanza.db}
    kept = [_kept(each, database, versions) for each in stanza.backup]
    return sorted(kept, key=lambda each: (each.finished_at, each.id, each.region))


def windows_of(stanza: Stanza, kept: Sequence[Kept]) -> list[RecoveryWindow]:
    """A window for each timeline of each repository: from its first backup's end to its newest backup's end.

    pgBackRest keeps the WAL between backups and tells its ends, and not the times of what is in it. So what
    was archived after the newest backup can be restored, but nothing is proven of its time.
    """
    windows = []
    for region, timeline in sorted({(each.region, each.timeline) for each in kept if each.timeline}):
        own = [each for each in kept if (each.region, each.timeline) == (region, timeline)]
        last_archived = _archived_until(stanza, region, timeline)
        first, last = own[0], own[-1]
        if last_archived is None or first.stop_lsn is None or last.stop_lsn is None:
            continue
        if last_archived < last.stop_lsn:
            continue
        ids = tuple(each.id for each in own)
        end_lsn = max(last_archived, last.stop_lsn)
        windows.append(
            RecoveryWindow(
                region, ids, timeline, first.finished_at, first.stop_lsn, last.finished_at, end_lsn
            )
        )
    return windows


def wal_of(stanza: Stanza, backup: Kept) -> tuple[Segment, Segment]:
    """The segment that a backup's recovery begins with, and the last one that is archived behind it.

    Raises NotRecoverable when it is not told.
    """
    wanted = backup.id, backup.region
    told = next((each for each in stanza.backup if (each.label, _region(each.database)) == wanted), None)
    if told is None or told.archive.start is None or backup.start_lsn is None:
        raise NotRecoverable(f"pgbackrest does not tell where the WAL of {backup.id} begins")
    # A segment's size is not told: it is the one by which the place has this name.
    timeline = _segment(told.archive.start).timeline
    fitting = (Segment.holding(timeline, backup.start_lsn, 2**power) for power in range(20, 31))
    begins = next((each for each in fitting if each.name == told.archive.start), None)
    if begins is None:
        raise Damaged(f"pgbackrest's {backup.id} begins with WAL {told.archive.start!r}, and not there")
    last = [
        _segment(each.max, begins.size)
        for each in stanza.archive
        if each.max and each.database == told.database
    ]
    return begins, max([begins, *last])


def _archived_until(stanza: Stanza, region: str, timeline: Timeline) -> Lsn | None:
    ends = [
        segment.end
        for each in stanza.archive
        if each.max and _region(each.database) == region
        for segment in [_segment(each.max)]
        if segment.timeline >= timeline
    ]
    return max(ends, default=None)


def _kept(told: ToldBackup, database: str, versions: dict[tuple[int, int], str]) -> Kept:
    if told.type not in _KINDS:
        raise Damaged(f"pgbackrest's backup {told.label} is of a kind `{told.type}` that is not known")
    version = versions.get((told.database.repo_key, told.database.id), "0")
    try:
        return Kept(
            id=told.label,
            database=database,
            kind=_KINDS[told.type],
            depends_on=tuple(told.reference or ()),
            label=told.annotation.get(LABEL, ""),
            region=_region(told.database),
            server_version=_version_num(version),
            timeline=_segment(told.archive.start).timeline if told.archive.start else None,
            start_lsn=parse_lsn(told.lsn.start) if told.lsn.start else None,
            stop_lsn=parse_lsn(told.lsn.stop) if told.lsn.stop else None,
            started_at=datetime.fromtimestamp(told.timestamp.start, UTC),
            # It is told in whole seconds, cut off: only at the next one it had surely ended.
            finished_at=datetime.fromtimestamp(told.timestamp.stop + 1, UTC),
            raw_bytes=told.info.size,
            stored_bytes=told.info.repository.delta,
            trouble="pages whose checksum is not theirs" if told.error else "",
        )
    except BackupError:
        raise
    except (ValueError, OverflowError, OSError) as error:
        raise Damaged(f"pgbackrest's backup {told.label[:80]!r} cannot be understood: {error}") from error


def _region(where: Where) -> str:
    return f"repo{where.repo_key}"


def _segment(name: str, size: int = DEFAULT_SEGMENT_BYTES) -> Segment:
    try:
        # Its size is not told. 16 MiB is nearly always right, and a wrong one is only in what is shown.
        return Segment.named(name, size)
    except ValueError as error:
        raise Damaged(f"pgbackrest tells of WAL {name[:80]!r}: {error}") from error


def _version_num(version: str) -> int:
    """`15` as 150000, `9.6` as 90600."""
    major, _, minor = version.partition(".")
    return int(major) * 10000 + (int(minor or 0) * 100 if int(major) < 10 else 0)
