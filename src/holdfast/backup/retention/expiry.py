"""Letting go of what expired in one region. Cut off at any moment, nothing wrong is listed as good.

Records go first, an increment's before its parent's: what has no record is no backup. Then their objects,
and then WAL. What a kill leaves of a backup without a record is swept like any half-finished one.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.backup import layout
from holdfast.backup.errors import RegionRefused
from holdfast.backup.model import Backup, Holdings
from holdfast.backup.ports import Progress, Region
from holdfast.backup.retention.retention import Expiry, expiring
from holdfast.estate.backup import Keep

AT_ONCE = 500
"""Objects in a request: S3 takes a thousand."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """What went. `locked` are keys that nobody can delete yet: they go another time."""

    backups: int
    objects: int
    stored_bytes: int
    locked: tuple[str, ...] = ()


def what_expires(
    region: Region, held: Holdings, keep: Keep, now: datetime, in_use: Collection[str] = ()
) -> Expiry:
    """What may go from a region now, locked backups left where they are, and those that are in use, by id.

    Raises RegionAway, RegionRefused.
    """
    locked = set(in_use)
    while True:
        expiry = expiring(held, keep, now, locked)
        more = {each.id for each in expiry.backups if _is_locked(region, each, now)}
        if not more:
            return expiry
        # They stay, and so does what they are increments of.
        locked |= more


def let_go(
    region: Region, database: str, expiry: Expiry, now: datetime, progress: Progress | None = None
) -> LetGo:
    """Delete what expired. Done again after it was cut off, it does the rest.

    Raises RegionAway, RegionRefused.
    """
    if progress is not None:
        progress.begin("expire", None)
    locked: list[str] = []
    gone: list[Backup] = []
    for backup in sorted(expiry.backups, key=lambda each: (each.start_lsn, each.id), reverse=True):
        # One by one, so that never an increment is listed whose parent is not.
        if not _deleted(region, [layout.record_key(database, backup.id)], locked, now):
            break
        gone.append(backup)
    keys = [*_objects_of(region, gone)]
    stored = sum(each.stored_bytes for each in gone)
    if len(gone) == len(expiry.backups):
        keys += [each.key for each in expiry.wal]
        stored += sum(each.stored_bytes for each in expiry.wal)
    objects = len(gone)
    for first in range(0, len(keys), AT_ONCE):
        objects += _deleted(region, keys[first : first + AT_ONCE], locked, now)
        if progress is not None:
            progress.note(f"{objects} objects deleted")
    return LetGo(len(gone), objects, stored, tuple(locked))


def _objects_of(region: Region, backups: Iterable[Backup]) -> Iterator[str]:
    for backup in backups:
        yield from (each.key for each in region.listed(layout.backup_prefix(backup.database, backup.id)))


def _is_locked(region: Region, backup: Backup, now: datetime) -> bool:
    return _locks(region, layout.record_key(backup.database, backup.id), now)


def _deleted(region: Region, keys: Sequence[str], locked: list[str], now: datetime) -> int:
    """How many of these are gone now; the others are locked. Raises RegionRefused for any other reason."""
    try:
        region.delete(keys)
    except RegionRefused:
        kept = {key for key in keys if _locks(region, key, now)}
        if not kept:
            raise
        locked += sorted(kept)
        free = [key for key in keys if key not in kept]
        if free:
            region.delete(free)
        return len(free)
    return len(keys)


def _locks(region: Region, key: str, now: datetime) -> bool:
    try:
        until = region.locked_until(key)
    except FileNotFoundError:
        return False
    return until is not None and until > now
