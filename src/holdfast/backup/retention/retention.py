"""What a region may let go of. Pure.

Kept are: every moment of the window, with the newest backup before it; then the newest restorable backup
of each of so many days, weeks and months (UTC, ISO weeks), with the WAL from its start to the place where
it is consistent; at least `minimum` restorable backups; and what all of these are increments of.

The window ends with the newest moment that is restorable, and days, weeks and months are counted where there
are points: so an outage of backups lets nothing expire, nor does a clock that runs ahead. What was not
finished, or is newer than the window's beginning, is left alone: a backup may be under way, a region may be
catching up. So is what would be a point of a period if it were whole: it may be healed. While there is a
suspicion, nothing expires that is older than the suspicion, nor any WAL.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Backup, BackupKind, Holdings, WalPiece
from holdfast.backup.recoverable.chain import (
    Reach,
    covered_until,
    needed_from,
    reached_at,
    reaches_of,
    runs_of,
)
from holdfast.backup.recoverable.lines import Line, line_of, lines_of
from holdfast.estate.backup import Keep


@dataclass(frozen=True, slots=True)
class Expiry:
    """What may go, oldest first, and what stays: `reasons` tells of each backup why."""

    backups: tuple[Backup, ...]
    wal: tuple[WalPiece, ...]
    reasons: Mapping[str, tuple[str, ...]]

    @property
    def stored_bytes(self) -> int:
        backups = sum(each.stored_bytes for each in self.backups)
        return backups + sum(each.stored_bytes for each in self.wal)


class _Needed:
    """The bytes of each line that are needed."""

    def __init__(self) -> None:
        self._spans: dict[Line, list[tuple[Lsn, Lsn]]] = {}

    def add(self, line: Line, start: Lsn, end: Lsn) -> None:
        self._spans.setdefault(line, []).append((start, end))

    def joined(self) -> None:
        """Put together what touches, so that looking up is quick. Call it when all is added."""
        for line, spans in self._spans.items():
            joined: list[tuple[Lsn, Lsn]] = []
            for start, end in sorted(spans):
                if joined and start <= joined[-1][1]:
                    joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
                else:
                    joined.append((start, end))
            self._spans[line] = joined

    def holds(self, piece: WalPiece) -> bool:
        """Whether any byte of a piece is needed."""
        for line, spans in self._spans.items():
            within = line.within(piece)
            if within is None:
                continue
            place = bisect_left(spans, within[1], key=lambda span: span[0])
            if place and spans[place - 1][1] > within[0]:
                return True
        return False


def expiring(holdings: Holdings, keep: Keep, now: datetime, locked: Collection[str] = ()) -> Expiry:
    """What may go from a region at `now`. `locked` are ids of backups that nobody can delete: they stay."""
    reaches = reaches_of(holdings)
    newest = covered_until(holdings, reaches)
    if newest is None or holdings.unreadable:
        # What a record said that does not decode may be a suspicion, or what others are increments of.
        why = "nothing here can be restored" if newest is None else f"{holdings.unreadable[0]} is unreadable"
        return Expiry((), (), {each.id: (why,) for each in holdings.backups})
    edge = min(now, newest) - keep.window
    reasons, needed = _kept(holdings, reaches, keep, edge, now, locked)
    going = tuple(each for each in holdings.backups if each.id not in reasons)
    expired = set(_superseded(holdings.wal))
    if suspect_since(holdings) is None:
        expired |= set(_expired_wal(holdings, reaches, needed, edge))
    wal = tuple(each for each in holdings.wal if each in expired)
    return Expiry(going, wal, {id_: tuple(why) for id_, why in reasons.items()})


def _kept(
    holdings: Holdings,
    reaches: Sequence[Reach],
    keep: Keep,
    edge: datetime,
    now: datetime,
    locked: Collection[str],
) -> tuple[dict[str, list[str]], _Needed]:
    """By id, why a backup stays; and the WAL that is needed."""
    reasons: dict[str, list[str]] = {}
    needed = _Needed()
    places = {backup.id: reach.line for reach in reaches for backup in reach.backups}

    def stays(backup: Backup, why: str) -> None:
        reasons.setdefault(backup.id, []).append(why)
        line = places.get(backup.id) or line_of(backup.timeline, holdings.histories)
        needed.add(line, needed_from(backup), backup.stop_lsn)

    for reach in reaches:
        base = _window_base(reach, edge)
        if base is None:
            continue
        needed.add(reach.line, needed_from(base), reach.run.end)
        for backup in reach.backups:
            if backup.stop_lsn >= base.stop_lsn:
                stays(backup, "window" if backup.finished_at >= edge else "before the window")
    # What says that it is from later stays, and counts for nothing: it would stand in an honest one's place.
    told = (each for each in holdings.backups if each.finished_at <= now)
    newest_first = sorted(told, key=lambda each: (each.finished_at, each.id), reverse=True)
    restorable = [each for each in newest_first if each.id in places]
    for backup, why in _points(restorable, keep):
        stays(backup, why)
    for backup, why in _points(newest_first, keep):
        if backup.id not in places:
            # What it lacks may be healed from another region, or was not listed just now.
            stays(backup, f"{why}, should it be healed")
    for backup in _left_alone(holdings, edge, locked):
        stays(backup, "locked" if backup.id in locked else "newer than the window")
    for backup in restorable:
        if sum(1 for each in restorable if each.id in reasons) >= keep.minimum:
            break
        if backup.id not in reasons:
            stays(backup, "minimum")
    _with_their_chains(holdings.backups, reasons)
    needed.joined()
    return reasons, needed


def _window_base(reach: Reach, edge: datetime) -> Backup | None:
    """The backup that the window of a reach begins with, or None when all of the reach is before the edge."""
    ends = max(reached_at(reach.run) or reach.backups[-1].finished_at, reach.backups[-1].finished_at)
    if ends < edge:
        return None
    before = [each for each in reach.backups if each.finished_at <= edge]
    return before[-1] if before else reach.backups[0]


def _points(newest_first: Sequence[Backup], keep: Keep) -> Iterator[tuple[Backup, str]]:
    """The newest of each period, for so many periods."""
    periods: tuple[tuple[str, int, Callable[[datetime], object]], ...] = (
        ("daily", keep.daily, lambda at: at.date()),
        ("weekly", keep.weekly, lambda at: at.isocalendar()[:2]),
        ("monthly", keep.monthly, lambda at: (at.year, at.month)),
    )
    for why, count, period_of in periods:
        seen: set[object] = set()
        for backup in newest_first:
            period = period_of(backup.finished_at)
            if period not in seen and len(seen) < count:
                seen.add(period)
                yield backup, why


def _left_alone(holdings: Holdings, edge: datetime, locked: Collection[str]) -> Iterator[Backup]:
    since = suspect_since(holdings)
    for backup in holdings.backups:
        clean = since is not None and backup.started_at < since
        if backup.finished_at >= edge or backup.id in locked or clean:
            yield backup


def suspect_since(holdings: Holdings) -> datetime | None:
    """From when on the region's points may hold damage, by marks that nobody lifted; None without one."""
    return min((each.since for each in holdings.suspects if each.lifted_at is None), default=None)


def _with_their_chains(backups: Iterable[Backup], reasons: dict[str, list[str]]) -> None:
    """Keep what is needed by what is kept."""
    by_id = {each.id: each for each in backups}
    for kept in [by_id[id_] for id_ in reasons]:
        link = kept
        while link.kind is BackupKind.INCREMENTAL and link.parent in by_id:
            link = by_id[link.parent]
            why = reasons.setdefault(link.id, [])
            if f"chain of {kept.id}" in why:
                break
            why.append(f"chain of {kept.id}")


def _expired_wal(
    holdings: Holdings, reaches: Sequence[Reach], needed: _Needed, edge: datetime
) -> Iterator[WalPiece]:
    """WAL that nothing needs, and that is before a backup at the edge, or of a history left before it."""
    timelines = {each.segment.timeline for each in holdings.wal}
    lines = lines_of(timelines | {each.line.timeline for each in reaches}, holdings.histories)
    floors = {line.timeline: _floor(line, reaches, edge) for line in lines.values()}
    left = _left_timelines(holdings, reaches[-1].line, floors, edge)
    for piece in holdings.wal:
        if needed.holds(piece):
            continue
        timeline = piece.segment.timeline
        for line in lines.values():
            within = line.within(piece)
            # What was written behind a switch may be newer than the window.
            if within is None or (within[1] < piece.end_lsn and timeline not in left):
                continue
            if within[1] <= floors[line.timeline] or piece.start_lsn >= left.get(timeline, piece.end_lsn):
                yield piece
                break


def _floor(line: Line, reaches: Sequence[Reach], edge: datetime) -> Lsn:
    """The place on a line before which nothing is of the window."""
    return max(
        (
            needed_from(backup)
            for reach in reaches
            for backup in reach.backups
            if line.holds(backup) and backup.finished_at <= edge
        ),
        default=Lsn(0),
    )


def _left_timelines(
    holdings: Holdings, newest: Line, floors: Mapping[Timeline, Lsn], edge: datetime
) -> Mapping[Timeline, Lsn]:
    """Where the newest timeline's history left others, whose last moment is before the window."""
    ends = {run.timeline: reached_at(run) for run in runs_of(holdings)}
    return {
        stretch.timeline: stretch.end
        for stretch in newest.stretches[:-1]
        if (end := ends.get(stretch.timeline)) is not None
        and end < edge
        and floors.get(newest.timeline, Lsn(0)) >= stretch.end
    }


def _superseded(wal: Iterable[WalPiece]) -> Iterator[WalPiece]:
    """Parts of segments that are there as a whole, once the next one tells no earlier time than they."""
    pieces = tuple(wal)
    whole = {each.segment: each for each in pieces if each.is_whole}
    for piece in pieces:
        following = whole.get(piece.segment.following)
        if piece.is_whole or piece.segment not in whole or following is None:
            continue
        told = max(filter(None, (following.commit_at, following.covered_at)), default=None)
        own = max(filter(None, (piece.commit_at, piece.covered_at)), default=told)
        if told is not None and own is not None and own <= told:
            yield piece
