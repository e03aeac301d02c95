"""What the recovery window still needs is locked, so that nobody deletes it, whoever they are.

A backup is needed until the window has left the next one behind: as long as it is the newest, its lock is
made longer day by day, and that of all it is an increment of. The same is true of WAL, from which the moments
up to the next backup are restored. So an intruder who has every right leaves the whole window as it is.

Locks are irrevocable. So what is due to go is never locked anew, and a clock that runs ahead locks nothing
for longer than the database's own times bear out.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from holdfast.backup import layout
from holdfast.backup.copies.side_by_side import side_by_side
from holdfast.backup.model import Backup, Holdings, WalPiece
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.chain import chain_of, needed_from, whole_chains
from holdfast.backup.retention.retention import expiring
from holdfast.estate.backup import Keep

AHEAD = timedelta(days=8)
"""So far may our clock be before the newest that the database told: a region's last backup may be old."""
PART_AFTER = timedelta(hours=1)
"""A part of a segment that is still alone then is locked too."""
MOST_AT_ONCE = 5000
"""Objects that are locked in one go, the newest first. After a start all are looked at once."""
THREADS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that must not be deleted before `until`."""

    key: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Locked:
    """What came of it: so many objects were locked, and so many are left for the next time."""

    objects: int
    left: int


def wanted_locks(holdings: Holdings, keep: Keep, now: datetime) -> Iterator[Wanted]:
    """Every lock that the window needs, the newest objects first. `until` is a midnight, UTC."""
    let_go = expiring(holdings, keep, now)
    newest = _newest(holdings)
    if newest is None:
        return
    now = min(now, newest + AHEAD)
    whole = whole_chains(holdings)
    usable = sorted((each for each in holdings.backups if each.id in whole), key=lambda each: each.stop_lsn)
    needed = _backups_until(usable, now)
    gone_wal = set(let_go.wal)
    lines = {
        timeline: _Line([each for each in usable if each.timeline >= timeline], needed, now)
        for timeline in {each.segment.timeline for each in holdings.wal}
    }
    for piece in _lasting(holdings.wal, now):
        until = _midnight(lines[piece.segment.timeline].until(piece) + keep.window)
        if piece not in gone_wal and until > now:
            yield Wanted(piece.key, until)
    gone = {each.id for each in let_go.backups}
    for backup in reversed(usable):
        until = _midnight(needed[backup.id] + keep.window)
        if backup.id not in gone and until > now:
            yield Wanted(layout.record_key(backup.database, backup.id), until)
            for each in backup.objects:
                yield Wanted(each.key, until)


def _lasting(wal: Sequence[WalPiece], now: datetime) -> Iterator[WalPiece]:
    """Newest first, without parts that whole segments replace, or soon will: locked they would stay."""
    whole = {each.segment for each in wal if each.is_whole}
    for piece in reversed(wal):
        told = piece.covered_at or piece.commit_at or now
        if piece.is_whole or (piece.segment not in whole and told <= now - PART_AFTER):
            yield piece


def _backups_until(usable: Sequence[Backup], now: datetime) -> Mapping[str, datetime]:
    """The last moment that is restored from each backup: for its own sake, or for its increments'."""
    until: dict[str, datetime] = {}
    for number, backup in enumerate(usable):
        following = (each.finished_at for each in usable[number + 1 :] if each.timeline >= backup.timeline)
        last = next(following, now)
        for link in chain_of(usable, backup.id):
            until[link.id] = max(until.get(link.id, last), last)
    return until


class _Line:
    """The backups that the WAL of a timeline may lead to, in the order of their places."""

    def __init__(self, backups: Sequence[Backup], needed: Mapping[str, datetime], now: datetime) -> None:
        self._backups = backups
        self._stops = [each.stop_lsn for each in backups]
        self._needed = needed
        self._now = now

    def until(self, piece: WalPiece) -> datetime:
        """The last moment that is restored with this piece: when the next backup finished, or later."""
        behind = bisect_left(self._stops, piece.end_lsn)
        last = self._backups[behind].finished_at if behind < len(self._backups) else self._now
        for backup in self._backups[bisect_right(self._stops, piece.start_lsn) :]:
            if needed_from(backup) >= piece.end_lsn:
                break
            # It becomes consistent with it only.
            last = max(last, self._needed[backup.id])
        return last


def _newest(holdings: Holdings) -> datetime | None:
    """The newest moment that the database itself told."""
    moments: Iterable[datetime | None] = (
        *(each.finished_at for each in holdings.backups),
        *(each.commit_at for each in holdings.wal),
        *(each.covered_at for each in holdings.wal),
    )
    return max((each for each in moments if each is not None), default=None)


def _midnight(moment: datetime) -> datetime:
    """The end of its day. So a lock is made longer once a day, and not with every look."""
    day = moment.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(day, time(), UTC)


class Locker:
    """Locks what one region holds, and remembers what is locked. One thread at a time."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._known: dict[str, datetime] = {}
        self._has_locks = True

    def lock(self, holdings: Holdings, keep: Keep, now: datetime, most: int = MOST_AT_ONCE) -> Locked:
        """Lock what is not yet locked for long enough. Raises RegionAway, RegionRefused; safe to repeat.

        Does nothing at all in a region that has no locks.
        """
        if not self._has_locks:
            return Locked(0, 0)
        wanted = list(wanted_locks(holdings, keep, now))
        due = [each for each in wanted if self._known.get(each.key, each.until) < each.until]
        due = [each for each in wanted if each.key not in self._known] + due
        there = {each.key for each in wanted}
        self._known = {key: until for key, until in self._known.items() if key in there}
        side_by_side(due[:most], self._one, lambda _: 1, threads=THREADS, limit_bytes=THREADS)
        return Locked(len(due[:most]) if self._has_locks else 0, len(due[most:]) if self._has_locks else 0)

    def _one(self, wanted: Wanted) -> None:
        if not self._has_locks:
            return
        try:
            self._has_locks = self._region.lock(wanted.key, wanted.until)
        except FileNotFoundError:
            return  # it was let go meanwhile
        self._known[wanted.key] = wanted.until
