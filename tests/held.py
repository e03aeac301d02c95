"""Repositories made up for tests: backups and WAL at places and moments that a test says in small numbers.

An hour of the database's life is one segment of WAL, so that place and moment are easy to compare.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from holdfast.backup import layout
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.model import (
    Archive,
    Backup,
    BackupKind,
    Holdings,
    StoredObject,
    Suspicion,
    TimelineHistory,
    WalPiece,
)

DB = "shop"
DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = 2**20
SHA = "ab" * 32
HOUR = timedelta(hours=1)


def at(hours: float, begun: datetime = DAY_0) -> datetime:
    return begun + timedelta(hours=hours)


def lsn(hours: float) -> Lsn:
    """Where the log was at that hour. It began at segment 1, as PostgreSQL's does."""
    return Lsn(int((hours + 1) * SIZE))


def backup(
    hours: float,
    parent: Backup | None = None,
    *,
    timeline: int = 1,
    label: str = "",
    lasting: float = 0.25,
    begun: datetime = DAY_0,
) -> Backup:
    """A backup that was started at that hour and took a quarter of one."""
    id_ = layout.backup_id(at(hours, begun), "aaaaaa")
    stored = StoredObject(layout.part_key(DB, id_, "index", SHA), 10, 10, SHA)
    chunk = StoredObject(layout.chunk_key(DB, id_, 0, 0, SHA), 1000, 100, SHA)
    manifest = StoredObject(layout.part_key(DB, id_, "backup_manifest", SHA), 20, 20, SHA)
    return Backup(
        id_,
        DB,
        BackupKind.INCREMENTAL if parent else BackupKind.FULL,
        parent.id if parent else "",
        label,
        7,
        180001,
        Timeline(timeline),
        Lsn(lsn(hours) + 40),
        Lsn(lsn(hours + lasting)),
        at(hours, begun),
        at(hours + lasting, begun),
        (Archive("base.tar", 0, "", 1000, (chunk,)),),
        manifest,
        stored,
        segment_bytes=SIZE,
    )


def piece(
    hour: int,
    start: float = 0.0,
    end: float = 1.0,
    *,
    timeline: int = 1,
    commit: float | None = None,
    covered: float | None = None,
    begun: datetime = DAY_0,
) -> WalPiece:
    """The WAL of an hour, or of a part of it. Its newest commit is a minute before its end."""
    segment = Segment(Timeline(timeline), hour + 1, SIZE)
    bounds = int(start * SIZE), int(end * SIZE)
    stored = StoredObject("", bounds[1] - bounds[0], 50, SHA)
    commit_at = at(hour + end, begun) - timedelta(minutes=1) if commit is None else at(commit, begun)
    covered_at = None if covered is None else at(covered, begun)
    key = layout.piece_key(DB, segment, *bounds, stored, commit_at, covered_at)
    return WalPiece(segment, *bounds, key, 50, SHA, "", commit_at, covered_at)


def wal(first: int, behind: int, *, timeline: int = 1, begun: datetime = DAY_0) -> list[WalPiece]:
    """Whole segments from an hour up to another."""
    return [piece(hour, timeline=timeline, begun=begun) for hour in range(first, behind)]


def history(timeline: int, *left: tuple[int, float]) -> TimelineHistory:
    """`left`: which timelines were left, and at which hour."""
    lines = [
        f"{before}\t{place >> 32:X}/{place & 0xFFFFFFFF:X}\tno recovery target specified\n"
        for before, hours in left
        for place in [lsn(hours)]
    ]
    return TimelineHistory(Timeline(timeline), "".join(lines))


def holdings(
    backups: Iterable[Backup],
    pieces: Iterable[WalPiece],
    *,
    now: float = 1000,
    histories: Iterable[TimelineHistory] = (),
    missing: Iterable[Backup] = (),
    suspects: Iterable[Suspicion] = (),
    region: str = "eu",
) -> Holdings:
    return Holdings(
        region,
        DB,
        at(now),
        tuple(sorted(backups, key=lambda each: each.id)),
        tuple(pieces),
        tuple(histories),
        tuple((each.id, (each.index.key,)) for each in missing),
        (),
        tuple(suspects),
    )


def without(held: Holdings, backups: Iterable[Backup], pieces: Iterable[WalPiece]) -> Holdings:
    """What is left when these are gone."""
    gone, keys = {each.id for each in backups}, {each.key for each in pieces}
    return replace(
        held,
        backups=tuple(each for each in held.backups if each.id not in gone),
        wal=tuple(each for each in held.wal if each.key not in keys),
    )
