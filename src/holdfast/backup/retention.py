"""What a region may let go of. Pure.

Kept are: every moment of the window, with the newest backup before it; then the newest restorable backup
of each of so many days, weeks and months (UTC, ISO weeks), with the WAL from its start to the place where
it is consistent; at least `minimum` restorable backups; and what all of these are increments of.

Days, weeks and months are counted where there are points: an outage of backups lets nothing expire.
What was not finished, cannot be restored just now, or is newer than the window's beginning is left alone: a
backup may be under way, a region may be catching up, a gap may be healed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.backup.chain import Reach, needed_from, reached_at, reaches_of, runs_of
from holdfast.backup.lines import Line, lines_of
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Backup, BackupKind, Holdings, WalPiece
from holdfast.estate.backup import Keep


@dataclass(frozen=True, slots=True)
class Expiry:
    """What may go, oldest first, and what stays: `reasons` tells of each backup why."""

    backups: tuple[Backup, ...]
    wal: tuple[WalPiece, ...]
    reasons: Mapping[str, tuple[str, ...]]

    @property
    def stored_bytes(self) -> int:
        return sum(each.stored_bytes for each in (*self.backups, *self.wal))


@dataclass(frozen=True, slots=True)
class _Needed:
    """The bytes [start, end) of a line are needed."""

    line: Line
    start: Lsn
    end: Lsn

    def holds(self, piece: WalPiece) -> bool:
        within = self.line.within(piece)
        return within is not None and within[0] < self.end and self.start < within[1]


def expiring(holdings: Holdings, keep: Keep, now: datetime, locked: Collection[str] = ()) -> Expiry:
    """What may go from a region at `now`. `locked` are ids of backups that nobody can delete: they stay."""
    edge = now - keep.window
    reaches = reaches_of(holdings)
    reasons: dict[str, list[str]] = {}
    needed: list[_Needed] = []

    def point(reach: Reach, backup: Backup, why: str) -> None:
        reasons.setdefault(backup.id, []).append(why)
        needed.append(_Needed(reach.line, needed_from(backup), backup.stop_lsn))

    for reach in reaches:
        base = _window_base(reach, edge)
        if base is None:
            continue
        inside = [each for each in reach.backups if each.stop_lsn >= base.stop_lsn]
        for backup in inside:
            point(reach, backup, "window" if backup.finished_at >= edge else "before the window")
        needed.append(_Needed(reach.line, needed_from(base), reach.run.end))
    places = {backup.id: (reach, backup) for reach in reaches for backup in reach.backups}
    restorable = sorted(places.values(), key=lambda each: (each[1].finished_at, each[1].id), reverse=True)
    for reach, backup, why in _points(restorable, keep):
        point(reach, backup, why)
    for backup in _left_alone(holdings, edge, locked):
        reasons.setdefault(backup.id, []).append("locked" if backup.id in locked else "newer than the window")
        if backup.id in places:
            needed.append(_Needed(places[backup.id][0].line, needed_from(backup), backup.stop_lsn))
    for reach, backup in restorable:
        if sum(1 for id_ in reasons if id_ in places) >= keep.minimum:
            break
        if backup.id not in reasons:
            point(reach, backup, "minimum")
    _with_their_chains(holdings.backups, reasons)
    going = tuple(each for each in holdings.backups if each.id not in reasons)
    wal = tuple(_expired_wal(holdings, reaches, needed, edge))
    return Expiry(going, wal, {id_: tuple(why) for id_, why in reasons.items()})


def _window_base(reach: Reach, edge: datetime) -> Backup | None:
    """The backup that the window of a reach begins with, or None when all of the reach is before the edge."""
    ends = max(reached_at(reach.run) or reach.backups[-1].finished_at, reach.backups[-1].finished_at)
    if ends < edge:
        return None
    before = [each for each in reach.backups if each.finished_at <= edge]
    return before[-1] if before else reach.backups[0]


def _points(restorable: Sequence[tuple[Reach, Backup]], keep: Keep) -> Iterator[tuple[Reach, Backup, str]]:
    """The newest of each period, for so many periods. `restorable` is sorted with the newest first."""
    periods: tuple[tuple[str, int, Callable[[datetime], object]], ...] = (
        ("daily", keep.daily, lambda at: at.date()),
        ("weekly", keep.weekly, lambda at: at.isocalendar()[:2]),
        ("monthly", keep.monthly, lambda at: (at.year, at.month)),
    )
    for why, count, period_of in periods:
        seen: set[object] = set()
        for reach, backup in restorable:
            period = period_of(backup.finished_at)
            if period not in seen and len(seen) < count:
                seen.add(period)
                yield reach, backup, why


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
    holdings: Holdings, reaches: Sequence[Reach], needed: Sequence[_Needed], edge: datetime
) -> Iterator[WalPiece]:
    """WAL that nothing needs, and that lies before a restorable backup at the edge or is a left history."""
    timelines = {each.segment.timeline for each in holdings.wal}
    lines = lines_of(timelines | {each.line.timeline for each in reaches}, holdings.histories)
    floors = {line.timeline: _floor(line, reaches, holdings, edge) for line in lines.values()}
    left = _left_timelines(holdings, reaches, floors, edge)
    for piece in holdings.wal:
        if any(each.holds(piece) for each in needed):
            continue
        before = any(
            within is not None and within[1] <= floors[line.timeline] and within[1] == piece.end_lsn
            for line in lines.values()
            for within in [line.within(piece)]
        )
        if before or piece.start_lsn >= left.get(piece.segment.timeline, piece.end_lsn):
            yield piece


def _floor(line: Line, reaches: Sequence[Reach], holdings: Holdings, edge: datetime) -> Lsn:
    """The place on a line before which nothing is of the window."""
    since = suspect_since(holdings)
    until = edge if since is None else min(edge, since)
    bases = [
        needed_from(backup)
        for reach in reaches
        for backup in reach.backups
        if line.holds(backup) and backup.finished_at <= until
    ]
    return max(bases, default=Lsn(0))


def _left_timelines(
    holdings: Holdings, reaches: Sequence[Reach], floors: Mapping[Timeline, Lsn], edge: datetime
) -> Mapping[Timeline, Lsn]:
    """Where the newest timeline's history left others, whose last moment is before the window."""
    if not reaches or suspect_since(holdings) is not None:
        return {}
    newest = reaches[-1].line
    ends: dict[Timeline, datetime | None] = {}
    for run in runs_of(holdings):
        ends[run.timeline] = reached_at(run)
    return {
        stretch.timeline: stretch.end
        for stretch in newest.stretches[:-1]
        if (end := ends.get(stretch.timeline)) is not None
        and end < edge
        and floors.get(newest.timeline, Lsn(0)) >= stretch.end
    }
