"""What can be restored from what a region holds: chains, runs of WAL, windows, gaps, and a plan. Pure.

Recovery begins in the segment in which the newest backup of a chain began, and reads that segment's first
page before anything else. So WAL counts for a backup only from that segment's beginning.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.backup.errors import NotRecoverable
from holdfast.backup.lsn import Lsn, Timeline, format_lsn
from holdfast.backup.model import (
    Backup,
    BackupKind,
    Gap,
    Holdings,
    RecoveryWindow,
    RestorePlan,
    Target,
    TargetKind,
    WalPiece,
    WalRun,
)
from holdfast.backup.recoverable.lines import Line, lines_of

_EARLIEST = datetime.min.replace(tzinfo=UTC)

LONGEST_CHAIN = 1000
"""Increments. More is a circle, or a repository that nobody can restore in time."""

READ_BEYOND = 64 * 1024 * 1024
"""Bytes behind an LSN in which a record begins, so that PostgreSQL sees that it is past the LSN."""


def chain_of(backups: Iterable[Backup], newest: str) -> tuple[Backup, ...]:
    """The backup with the id `newest` with all that it is an increment of, the full one first.

    Raises NotRecoverable when a link is not there, or is of another cluster.
    """
    by_id = {each.id: each for each in backups}
    links: list[Backup] = []
    wanted = newest
    while len(links) < LONGEST_CHAIN:
        backup = by_id.get(wanted)
        if backup is None:
            what = "there is no backup" if not links else f"{links[-1].id} is an increment of what is gone:"
            raise NotRecoverable(f"{what} {wanted}")
        if links and backup.system_id != links[-1].system_id:
            raise NotRecoverable(f"{links[-1].id} and its parent {wanted} are of different clusters")
        links.append(backup)
        if backup.kind is BackupKind.FULL:
            return tuple(reversed(links))
        wanted = backup.parent
    raise NotRecoverable(f"the chain of {newest} has no end")


def whole_chains(holdings: Holdings) -> Mapping[str, tuple[Backup, ...]]:
    """By their id, the backups that are there with their whole chain and every object of it."""
    incomplete = {each for each, _ in holdings.missing}
    chains: dict[str, tuple[Backup, ...]] = {}
    for backup in holdings.backups:
        try:
            chain = chain_of(holdings.backups, backup.id)
        except NotRecoverable:
            continue
        if not any(link.id in incomplete for link in chain):
            chains[backup.id] = chain
    return chains


def runs_of(holdings: Holdings) -> list[WalRun]:
    """WAL without a gap, each timeline for itself, sorted by timeline and place."""
    runs: list[WalRun] = []
    for timeline in sorted({piece.segment.timeline for piece in holdings.wal}):
        own = (piece for piece in holdings.wal if piece.segment.timeline == timeline)
        runs += _joined(timeline, ((each.start_lsn, each.end_lsn, each) for each in own))
    return runs


def reached_at(run: WalRun) -> datetime | None:
    """The newest moment that a run proves: nothing that was committed until then is missing in it."""
    moments = [each for each in (run.commit_at, run.covered_at) if each is not None]
    return max(moments, default=None)


@dataclass(frozen=True, slots=True)
class Reach:
    """A run on a line of timelines, with the restorable backups in it, oldest first; at least one."""

    line: Line
    run: WalRun
    backups: tuple[Backup, ...]

    @property
    def covered_until(self) -> datetime:
        """What was committed until then is restorable. What a backup's start had committed is in it."""
        return max(self.backups[-1].started_at, reached_at(self.run) or self.backups[-1].started_at)

    def window(self, region: str) -> RecoveryWindow:
        first = self.backups[0]
        return RecoveryWindow(
            region,
            tuple(each.id for each in self.backups),
            self._timeline,
            first.finished_at,
            first.stop_lsn,
            # At the least it restores to the moment at which its newest backup is consistent.
            max(self.backups[-1].finished_at, reached_at(self.run) or self.backups[-1].finished_at),
            self.run.end,
        )

    @property
    def _timeline(self) -> Timeline:
        """The one that the run's end lies on."""
        return next(each for each in self.line.stretches if self.run.end <= each.end).timeline


def reaches_of(holdings: Holdings) -> list[Reach]:
    """All that can be restored, each history once, sorted by where it ends; the newest timeline's last."""
    timelines = {each.segment.timeline for each in holdings.wal}
    timelines |= {each.timeline for each in holdings.backups}
    timelines |= {each.timeline for each in holdings.histories}
    chains = whole_chains(holdings)
    whole = [each for each in holdings.backups if each.id in chains]
    found: list[Reach] = []
    for line in lines_of(timelines, holdings.histories).values():
        for reach in _on(line, whole, holdings.wal):
            if not any(_goes_on(reach, other) for other in found):
                found.append(reach)
    return sorted(found, key=lambda each: (each.line.timeline, each.run.end))


def windows_of(holdings: Holdings, reaches: Sequence[Reach] | None = None) -> list[RecoveryWindow]:
    """Every span of time that this region alone restores, sorted by its start.

    Two overlap when a timeline was written on after another had left it: each has its own history.
    """
    found = reaches_of(holdings) if reaches is None else reaches
    windows = [each.window(holdings.region) for each in found]
    return sorted(windows, key=lambda each: (each.start, each.timeline))


def covered_until(holdings: Holdings, reaches: Sequence[Reach] | None = None) -> datetime | None:
    """The moment until which nothing that was committed is missing here; None when nothing is restorable.

    It is that of the newest timeline's history: what another one wrote on is not the database any more.
    """
    if reaches is None:
        reaches = reaches_of(holdings)
    if not reaches:
        return None
    return max(each.covered_until for each in reaches if each.line.timeline == reaches[-1].line.timeline)


def gaps_of(holdings: Holdings) -> list[Gap]:
    """WAL that is missing between what is there, sorted by timeline and place.

    Also before a timeline's end where the next began, and between a backup's start and its stop.
    """
    timelines = {each.segment.timeline for each in holdings.wal}
    lines = lines_of(timelines | {each.timeline for each in holdings.histories}, holdings.histories)
    gaps: dict[tuple[Timeline, Lsn], Gap] = {}
    for line in lines.values():
        runs = _runs_on(line, holdings.wal)
        for before, after in itertools.pairwise(runs):
            stretch = next(each for each in line.stretches if before.end < each.end)
            gap = Gap(
                holdings.region,
                stretch.timeline,
                before.end,
                after.start,
                reached_at(before),
                _next_backup(holdings.backups, line, after.start),
            )
            gaps.setdefault((gap.timeline, gap.start), gap)
    return sorted(gaps.values(), key=lambda each: (each.timeline, each.start))


def needed_from(backup: Backup) -> Lsn:
    """Where WAL must begin for it: at the beginning of the segment in which recovery begins."""
    return Lsn(backup.start_lsn - backup.start_lsn % backup.segment_bytes)


def pieces_on(line: Line, wal: Iterable[WalPiece]) -> list[tuple[Lsn, Lsn, WalPiece]]:
    """The pieces with bytes of a line, with which they are, sorted by where these begin."""
    placed = [(*within, piece) for piece in wal if (within := line.within(piece)) is not None]
    return sorted(placed, key=lambda each: (each[0], -each[1], each[2].segment.timeline))


def _on(line: Line, backups: Sequence[Backup], wal: Sequence[WalPiece]) -> list[Reach]:
    reaches = []
    for run in _runs_on(line, wal):
        inside = [
            each
            for each in backups
            if line.holds(each) and run.start <= needed_from(each) and each.stop_lsn <= run.end
        ]
        if inside:
            reaches.append(Reach(line, run, tuple(sorted(inside, key=lambda each: each.stop_lsn))))
    return reaches


def _runs_on(line: Line, wal: Iterable[WalPiece]) -> list[WalRun]:
    return _joined(line.timeline, pieces_on(line, wal))


def _goes_on(reach: Reach, other: Reach) -> bool:
    """Whether `other` holds the same history, and perhaps more of it."""
    stretch = other.line.stretch_of(reach.line.timeline)
    return (
        stretch is not None
        and reach.run.end <= min(stretch.end, other.run.end)
        and set(reach.backups) <= set(other.backups)
    )


def _joined(timeline: Timeline, placed: Iterable[tuple[Lsn, Lsn, WalPiece]]) -> list[WalRun]:
    """Runs of WAL without a gap. A piece that is cut at a switch proves no moment: what it tells of may be
    behind the cut.
    """
    runs: list[list[tuple[Lsn, Lsn, WalPiece]]] = []
    end = -1
    for each in sorted(placed, key=lambda each: (each[0], each[1])):
        if each[0] > end:
            runs.append([])
        runs[-1].append(each)
        end = max(end, each[1]) if each[0] <= end else each[1]
    return [_run(timeline, pieces) for pieces in runs]


def _run(timeline: Timeline, placed: Sequence[tuple[Lsn, Lsn, WalPiece]]) -> WalRun:
    commit_at: datetime | None = None
    covered_at: datetime | None = None
    for _, end, piece in sorted(placed, key=lambda each: (each[1], each[2].covered_at or _EARLIEST)):
        if end != piece.end_lsn:
            continue
        if piece.commit_at is not None:
            commit_at = max(commit_at or piece.commit_at, piece.commit_at)
        if piece.covered_at is not None:
            # The later piece is right, also when it tells an earlier time: the server's clock was set back.
            if covered_at is not None and piece.covered_at < covered_at:
                commit_at = min(commit_at, piece.covered_at) if commit_at else None
            covered_at = piece.covered_at
    start = min(each[0] for each in placed)
    return WalRun(timeline, start, max(each[1] for each in placed), commit_at, covered_at)


def _next_backup(backups: Iterable[Backup], line: Line, place: Lsn) -> datetime | None:
    behind = [each.finished_at for each in backups if line.holds(each) and needed_from(each) >= place]
    return min(behind, default=None)


def plan_for(holdings: Holdings, target: Target, known: Sequence[Reach] | None = None) -> RestorePlan:
    """What to restore, and with which WAL, to come to the target; from the newest backup before it.

    Without a timeline it looks on the newest one first. Raises NotRecoverable, which says what there is.
    """
    reaches = [
        each
        for each in reversed(reaches_of(holdings) if known is None else known)
        if target.timeline is None or each.line.stretch_of(target.timeline) is not None
    ]
    if target.timeline is not None:
        # The timeline that was asked for goes before those that left it.
        reaches.sort(key=lambda each: each.line.timeline != target.timeline)
    for reach in reaches:
        backup = _begins_with(reach, target)
        if backup is not None:
            return _plan(holdings, target, reach, backup)
    raise _not_recoverable(holdings, target, reaches)


def _begins_with(reach: Reach, target: Target) -> Backup | None:
    """The newest backup of a reach that leads to the target, or None when it does not hold it."""
    backups = reach.backups
    match target.kind:
        case TargetKind.LATEST:
            return backups[-1]
        case TargetKind.LABEL:
            fitting = [each for each in backups if target.label in (each.id, each.label)]
        case TargetKind.TIME if target.time is not None:
            until = max(backups[-1].finished_at, reached_at(reach.run) or backups[-1].finished_at)
            fitting = [each for each in backups if each.finished_at <= target.time <= until]
        case TargetKind.LSN if target.lsn is not None:
            lsn = target.lsn
            fitting = [each for each in backups if each.stop_lsn <= lsn <= reach.run.end]
        case TargetKind.XID if target.xid is not None:
            # Where a transaction stands is known only by reading WAL: the oldest backup is before it if any
            # is, unless a time says which one is.
            known = [each for each in backups if target.time and each.finished_at <= target.time]
            fitting = known or [backups[0]]
        case _:
            fitting = []
    return fitting[-1] if fitting else None


def _plan(holdings: Holdings, target: Target, reach: Reach, backup: Backup) -> RestorePlan:
    first = needed_from(backup)
    placed = [each for each in pieces_on(reach.line, holdings.wal) if first < each[1] <= reach.run.end]
    wal = _cover(placed, first, _until(placed, target, reach, backup))
    timeline = max((each.segment.timeline for each in wal), default=backup.timeline)
    followed = {each.timeline for each in reach.line.stretches if each.timeline <= timeline}
    return RestorePlan(
        holdings.database,
        holdings.region,
        target,
        chain_of(holdings.backups, backup.id),
        wal,
        tuple(each for each in holdings.histories if each.timeline in followed),
        timeline,
        None,
    )


def _until(placed: Sequence[tuple[Lsn, Lsn, WalPiece]], target: Target, reach: Reach, backup: Backup) -> Lsn:
    """How far WAL is needed. PostgreSQL stops only when it has read something behind the target."""
    if target.kind is TargetKind.LABEL:
        return backup.stop_lsn
    if target.kind is TargetKind.LSN and target.lsn is not None:
        return min(reach.run.end, Lsn(target.lsn + READ_BEYOND))
    if target.kind is TargetKind.TIME and target.time is not None:
        beyond = (
            end
            for start, end, piece in placed
            if start >= backup.start_lsn
            and end == piece.end_lsn
            and piece.commit_at is not None
            and piece.commit_at > target.time
        )
        return max(backup.stop_lsn, min(beyond, default=reach.run.end))
    return reach.run.end


def _cover(placed: Sequence[tuple[Lsn, Lsn, WalPiece]], start: Lsn, end: Lsn) -> tuple[WalPiece, ...]:
    """The fewest pieces that hold the bytes [start, end) of a line, sorted by timeline and place."""
    chosen: list[WalPiece] = []
    reached, waiting = start, 0
    while reached < end:
        best: tuple[Lsn, Lsn, WalPiece] | None = None
        while waiting < len(placed) and placed[waiting][0] <= reached:
            # Of those that reach equally far, the newer timeline's: it is whole where the other is cut.
            if best is None or placed[waiting][1] >= best[1]:
                best = placed[waiting]
            waiting += 1
        if best is None or best[1] <= reached:
            raise NotRecoverable(f"WAL is missing at {format_lsn(reached)}")
        chosen.append(best[2])
        reached = best[1]
    return tuple(sorted(chosen, key=lambda each: (each.segment.timeline, each.start_lsn)))


def _not_recoverable(holdings: Holdings, target: Target, reaches: Sequence[Reach]) -> NotRecoverable:
    windows = sorted((each.window(holdings.region) for each in reaches), key=lambda each: each.end)
    where = f"{holdings.database} in {holdings.region}"
    if not windows:
        return NotRecoverable(
            f"{where}: there is nothing to restore",
            hint="holdfast backup points tells what is missing",
        )
    newest = f"the newest moment is {windows[-1].end.isoformat()} ({format_lsn(windows[-1].end_lsn)})"
    if target.kind is TargetKind.LABEL:
        return NotRecoverable(f"{where}: no restorable backup is called {target.label!r}", hint=newest)
    if target.kind is not TargetKind.TIME or target.time is None:
        return NotRecoverable(f"{where}: what was asked for is not there", hint=newest)
    time = target.time
    earlier = max((each.end for each in windows if each.end < time), default=None)
    later = min((each.start for each in windows if each.start > time), default=None)
    near = [f"the newest moment before it is {earlier.isoformat()}"] if earlier else []
    near += [f"the first one behind it is {later.isoformat()}"] if later else []
    hint = "; ".join(near) or newest
    return NotRecoverable(f"{where}: {time.isoformat()} cannot be restored", hint=hint)
