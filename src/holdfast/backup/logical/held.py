"""What a region holds of a database's dumps, and what becomes of it: swept, let go of, copied, locked.

A dump's record is written last, and let go of first, as a native backup's is. What has no record is no dump.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from holdfast.backup import layout
from holdfast.backup.copies.copying import is_proven
from holdfast.backup.copies.side_by_side import LIMIT_BYTES, THREADS, side_by_side
from holdfast.backup.errors import AlreadyThere, Damaged, RegionRefused
from holdfast.backup.logical.dumps import expiring_dumps
from holdfast.backup.model import Backup, Holdings
from holdfast.backup.ports import Progress, Region
from holdfast.backup.records import LONGEST_RECORD, decoded
from holdfast.backup.recoverable.holdings import suspicions_of
from holdfast.backup.retention.retention import suspect_since
from holdfast.backup.take.sweeping import LEFT_ALONE, Swept, sweep
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import Clock, SystemClock

AT_ONCE = 500
"""Objects in a request: S3 takes a thousand."""


def record_key(backup: Backup) -> str:
    return layout.logical_key(backup.database, backup.id, layout.RECORD)


def dumps_held(region: Region, database: str, clock: Clock) -> Holdings:
    """List a region, and read the records of its dumps. Raises RegionAway, RegionRefused.

    The same words as of native backups, without WAL: `missing` dumps are not whole, `unreadable` records
    and marks do not decode.
    """
    listed_at = clock.now()
    sizes = {each.key: each.size for each in region.listed(layout.logical_prefix(database))}
    found: list[Backup] = []
    unreadable: list[str] = []
    for key in (each for each in sizes if each.endswith(f"/{layout.RECORD}")):
        with suppress(FileNotFoundError):
            try:
                found.append(_dump_of(region, key, sizes[key]))
            except Damaged:
                unreadable.append(key)
    missing = [(each.id, gone) for each in found if (gone := _missing(region, each, sizes))]
    suspects = tuple(suspicions_of(region, database, unreadable))
    return Holdings(
        region.name,
        database,
        listed_at,
        tuple(sorted(found, key=lambda each: each.id)),
        (),
        (),
        tuple(missing),
        tuple(unreadable),
        suspects,
    )


def whole_dumps(held: Holdings) -> list[Backup]:
    """Those whose objects are all there, oldest first."""
    incomplete = {id_ for id_, _ in held.missing}
    return [each for each in held.backups if each.id not in incomplete]


def logical_backups(region: Region, database: str) -> list[Backup]:
    """The dumps of one region that restore, oldest first. Raises RegionError."""
    return whole_dumps(dumps_held(region, database, SystemClock()))


def dump_of(content: bytes, key: str) -> Backup:
    """The dump of a record. Raises Damaged for what is none, or another's."""
    backup = decoded(content, Backup, key)
    if backup.format != 1 or key != record_key(backup):
        raise Damaged(f"{key}: the record is that of {backup.database}/{backup.id}, format {backup.format}")
    return backup


def sweep_dumps(region: Region, database: str, clock: Clock, left_alone: timedelta = LEFT_ALONE) -> Swept:
    """Clear away what never became a dump, and was not written to for so long. Raises as `sweep`."""
    return sweep(region, database, clock, left_alone=left_alone, prefix=layout.logical_prefix(database))


def expired_dumps(region: Region, held: Holdings, keep: Keep, now: datetime) -> tuple[Backup, ...]:
    """What may go from a region now, locked ones left where they are. Raises RegionAway, RegionRefused."""
    if held.unreadable:
        # What does not decode may be a suspicion.
        return ()
    incomplete = {id_ for id_, _ in held.missing}
    locked: set[str] = set()
    while True:
        going = expiring_dumps(
            held.backups,
            keep,
            now,
            incomplete=incomplete,
            locked=locked,
            suspect_since=suspect_since(held),
        )
        more = {each.id for each in going if _is_locked(region, record_key(each), now)}
        if not more:
            return going
        locked |= more


def let_dumps_go(region: Region, dumps: Iterable[Backup]) -> int:
    """Let go of dumps, each one's record first, so that none is ever half there. How many objects went."""
    count = 0
    for backup in dumps:
        if not _deleted(region, [record_key(backup)]):
            continue
        keys = [each.key for each in region.listed(layout.logical_key(backup.database, backup.id))]
        count += 1 + _all_deleted(region, keys)
    return count


def lock_dumps(region: Region, held: Holdings, keep: Keep, now: datetime) -> int:
    """Nobody deletes what the window still needs, where the region has locks; how many dumps that is.

    The newest is needed for as long as it is the newest: its lock is made longer once a day.
    """
    whole = [each for each in whole_dumps(held) if each.finished_at <= now]
    going = {each.id for each in expired_dumps(region, held, keep, now)}
    count = 0
    for number, backup in enumerate(whole, 1):
        # The one before the window's beginning is needed until the next has left the window, too.
        until = _midnight((whole[number].finished_at if number < len(whole) else now) + keep.window)
        if until <= now or backup.id in going:
            continue
        # The record last: what it says is locked is.
        keys = [*(each.key for each in backup.objects), record_key(backup)]
        if _has_lock(region, keys[-1], until):
            continue
        try:
            if not all(region.lock(key, until) for key in keys):
                return 0
        except FileNotFoundError:
            continue  # it was let go meanwhile, or is not whole any more
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class LackingDumps:
    """What a region lacks beside another, oldest first."""

    source: str
    target: str
    dumps: tuple[Backup, ...]

    @property
    def stored_bytes(self) -> int:
        return sum(each.stored_bytes for each in self.dumps)


@dataclass(slots=True)
class CopiedDumps:
    """What came of it. `failed` tells why a dump was not copied, `damaged` what its source has harmed."""

    dumps: list[str] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    """How many bytes each object had that was copied. From several threads."""
    damaged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        return len(self.moved)

    @property
    def stored_bytes(self) -> int:
        return sum(self.moved)


def lacking_dumps(source: Holdings, target: Holdings, keep: Keep, now: datetime) -> LackingDumps:
    """What `target` lacks of what `source` has whole. What the target's `keep` lets go is left out."""
    there = {each.id for each in whole_dumps(target)}
    together = {each.id: each for each in (*target.backups, *whole_dumps(source))}
    incomplete = {id_ for id_, _ in target.missing} - {each.id for each in whole_dumps(source)}
    unwanted = {each.id for each in expiring_dumps(together.values(), keep, now, incomplete=incomplete)}
    lacks = [each for each in whole_dumps(source) if each.id not in there | unwanted]
    return LackingDumps(source.region, target.region, tuple(lacks))


def copy_dumps(source: Region, target: Region, plan: LackingDumps, progress: Progress) -> CopiedDumps:
    """Copy what is lacking, each object proven on the way, each record last. Done again, it goes on.

    Raises RegionAway, RegionRefused.
    """
    copied = CopiedDumps()
    progress.begin(f"copying to {plan.target}", plan.stored_bytes)
    for backup in plan.dumps:
        progress.note(f"copying {backup.id}")
        why = _copied(source, target, backup, copied, progress)
        if why:
            copied.failed[backup.id] = why
        else:
            copied.dumps.append(backup.id)
    return copied


def _copied(source: Region, target: Region, backup: Backup, copied: CopiedDumps, progress: Progress) -> str:
    """Copy one. Why not; empty when it was."""
    lacks = [each for each in backup.objects if each.key in _lacking_keys(target, backup)]

    def one(each: tuple[str, int]) -> None:
        key = each[0]
        try:
            content = source.get(key)
        except (FileNotFoundError, Damaged):
            content = b""
        if not is_proven(key, content):
            copied.damaged.append(key)
            return
        with suppress(AlreadyThere):
            target.put(key, content)
            copied.moved.append(len(content))
        progress.advance(each[1])

    moved = ((each.key, each.stored_bytes) for each in lacks)
    side_by_side(moved, one, lambda each: each[1], threads=THREADS, limit_bytes=LIMIT_BYTES)
    if missing := _lacking_keys(target, backup):
        return f"{len(missing)} of its objects could not be copied, such as {min(missing)}"
    try:
        content = source.get(record_key(backup))
        dump_of(content, record_key(backup))
    except FileNotFoundError:
        return "it was let go meanwhile"
    except Damaged as error:
        return str(error)
    with suppress(AlreadyThere):
        target.put(record_key(backup), content)
    return ""


def _lacking_keys(target: Region, backup: Backup) -> set[str]:
    prefix = layout.logical_key(backup.database, backup.id)
    there = {each.key: each.size for each in target.listed(prefix)}
    return {each.key for each in backup.objects if there.get(each.key) != each.stored_bytes}


def _dump_of(region: Region, key: str, size: int) -> Backup:
    if size > LONGEST_RECORD:
        raise Damaged(f"{key}: a record of {size} bytes is none")
    return dump_of(region.get(key), key)


def _missing(region: Region, backup: Backup, sizes: Mapping[str, int]) -> tuple[str, ...]:
    if all(sizes.get(each.key) == each.stored_bytes for each in backup.objects):
        return ()
    # It may have been finished while the listing went on.
    return tuple(sorted(_lacking_keys(region, backup)))


def _all_deleted(region: Region, keys: Sequence[str]) -> int:
    return sum(_deleted(region, keys[first : first + AT_ONCE]) for first in range(0, len(keys), AT_ONCE))


def _deleted(region: Region, keys: Sequence[str]) -> int:
    """How many of these are gone now; locked ones stay. Raises RegionRefused for any other reason."""
    try:
        region.delete(keys)
    except RegionRefused:
        kept = {key for key in keys if _is_locked(region, key, None)}
        if not kept:
            raise
        free = [key for key in keys if key not in kept]
        if free:
            region.delete(free)
        return len(free)
    return len(keys)


def _is_locked(region: Region, key: str, now: datetime | None) -> bool:
    try:
        until = region.locked_until(key)
    except FileNotFoundError:
        return False
    return until is not None and (now is None or until > now)


def _has_lock(region: Region, key: str, until: datetime) -> bool:
    try:
        locked = region.locked_until(key)
    except FileNotFoundError:
        return False
    return locked is not None and locked >= until


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
