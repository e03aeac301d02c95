"""Clears away what half-finished backups left: objects without a record, which nobody writes any more.

A record is written last, and let go of first. So a backup's folder without one is a taking that ended in the
middle, or one that goes on now, or a backup that was expired only in part. What tells them apart is when
something was last written there. Should a taking be swept after all, because a clock was set far ahead, it
finds its objects gone before it writes its record, and there is no backup.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from holdfast.backup import layout
from holdfast.backup.errors import RegionRefused
from holdfast.backup.ports import Listed, Region
from holdfast.kernel.clock import Clock

LEFT_ALONE = timedelta(hours=24)
"""A taking that goes on has written something within this time."""
_DELETED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Leftover:
    """A backup that is none: its objects in a region, and when the last of them was written there."""

    backup: str
    keys: tuple[str, ...]
    stored_bytes: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found in a region. `kept` tells, by backup, why its objects are still there."""

    region: str
    leftovers: tuple[Leftover, ...]
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def freed_bytes(self) -> int:
        kept = {backup for backup, _ in self.kept}
        return sum(each.stored_bytes for each in self.leftovers if each.backup not in kept)


def leftovers_in(
    listed: Iterable[Listed], prefix: str, now: datetime, left_alone: timedelta = LEFT_ALONE
) -> Iterator[Leftover]:
    """The backups without a record where nothing was written for so long. Pure.

    `listed` are a region's objects below `prefix`, sorted by key. What is no backup's is left alone.
    """
    ours = (each for each in listed if each.key.startswith(prefix))
    for backup, group in groupby(ours, lambda each: each.key.removeprefix(prefix).partition("/")[0]):
        objects = tuple(group)
        keys = tuple(each.key for each in objects)
        if not layout.is_backup_id(backup) or f"{prefix}{backup}/{layout.RECORD}" in keys:
            continue
        written_at = max(each.modified_at for each in objects)
        if now - written_at >= left_alone:
            yield Leftover(backup, keys, sum(each.size for each in objects), written_at)


def sweep(
    region: Region,
    database: str,
    clock: Clock,
    *,
    dry_run: bool = False,
    left_alone: timedelta = LEFT_ALONE,
    prefix: str = "",
) -> Swept:
    """Delete a region's leftovers of one database. Safe to repeat, and to do while backups are taken.

    `prefix`: where they lie, when it is not where native backups do. Raises RegionAway, and RegionRefused
    when nothing can be listed.
    """
    prefix = prefix or layout.backups_prefix(database)
    found = tuple(leftovers_in(region.listed(prefix), prefix, clock.now(), left_alone))
    if dry_run:
        return Swept(region.name, found, tuple((each.backup, "this is a dry run") for each in found))
    kept = [(each.backup, why) for each in found if (why := _cleared(region, prefix, each))]
    return Swept(region.name, found, tuple(kept))


def _cleared(region: Region, prefix: str, leftover: Leftover) -> str:
    """Delete it. Why not, if it is still there."""
    now_there = list(region.listed(f"{prefix}{leftover.backup}/"))
    if any(each.modified_at > leftover.written_at for each in now_there):
        return "something was written there just now"
    keys = [each.key for each in now_there]
    if f"{prefix}{leftover.backup}/{layout.RECORD}" in keys:
        return "it has a record now"
    try:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            region.delete(keys[start : start + _DELETED_AT_ONCE])
    except RegionRefused as error:
        return str(error)
    return ""
