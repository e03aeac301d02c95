"""What the other engines' backups restore, in the same words as native ones. Pure.

Dumps restore to their own moments and to nothing between: each is a window that is a moment long. What
another program keeps is known by what that program tells: moments that it does not tell are unknown.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from holdfast.backup.engines import Kept
from holdfast.backup.logical.dumps import kept_dumps
from holdfast.backup.logical.held import whole_dumps
from holdfast.backup.lsn import FIRST_TIMELINE
from holdfast.backup.model import Holdings, RecoveryWindow, Suspicion
from holdfast.backup.recoverable.pace import NEWEST, expected_restore, pace_of
from holdfast.backup.recoverable.points import Point, RegionPoints, verified_in
from holdfast.backup.verify.verification import Standing, Verification


@dataclass(frozen=True, slots=True)
class Told:
    """What an engine tells of one region, at `asked_at`."""

    region: str
    asked_at: datetime
    kept: Sequence[Kept]
    """Oldest first."""
    windows: Sequence[RecoveryWindow]
    suspects: Sequence[Suspicion] = ()
    proven_at: datetime | None = None
    """A moment at which everything committed before was seen to be stored; None when there is none."""


def points_of_dumps(held: Holdings, verifications: Sequence[Verification]) -> RegionPoints:
    """What a region's dumps restore."""
    whole = whole_dumps(held)
    own = [each for each in verifications if each.region == held.region]
    pace = pace_of(own)
    since = _suspect_since(held.suspects)
    points = tuple(
        Point(
            each.id,
            each.kind.value,
            each.label,
            each.started_at,
            each.stored_bytes,
            1,
            since is not None and each.finished_at >= since,
            expected_restore([each], 0, pace),
        )
        for each in whole
    )
    unrestorable = [(id_, f"{len(keys)} of its objects are gone") for id_, keys in held.missing]
    unrestorable += [(key, "it does not decode") for key in held.unreadable]
    return RegionPoints(
        held.database,
        held.region,
        held.listed_at,
        covered_until=max((each.started_at for each in whole), default=None),
        windows=windows_of_dumps(held),
        points=points,
        unrestorable=tuple(unrestorable),
        suspects=tuple(each for each in held.suspects if each.lifted_at is None),
        stored_bytes=sum(each.stored_bytes for each in held.backups),
        expected=points[-1].expected if points else None,
        verified=verified_in(held.region, held.listed_at, verifications),
    )


def windows_of_dumps(held: Holdings) -> tuple[RecoveryWindow, ...]:
    """A window for each dump, as long as the moment that it saw."""
    return tuple(
        RecoveryWindow(
            held.region,
            (each.id,),
            FIRST_TIMELINE,
            each.started_at,
            each.start_lsn,
            each.started_at,
            each.stop_lsn,
        )
        for each in whole_dumps(held)
    )


def kept_in(held: Holdings) -> list[Kept]:
    """A region's dumps in the words of all engines, oldest first."""
    return [kept_dumps(each, held.region) for each in whole_dumps(held)]


def points_told(database: str, told: Told, verifications: Sequence[Verification]) -> RegionPoints:
    """What another program's backups in one region restore.

    A backup has what was committed before it began; that later WAL is there is proven by `proven_at` alone,
    and by it only behind a backup that restores.
    """
    restorable = {id_ for each in told.windows for id_ in each.backups}
    own = [each for each in verifications if each.region == told.region]
    since = _suspect_since(told.suspects)
    points = tuple(
        Point(
            each.id,
            each.kind.value,
            each.label,
            each.finished_at,
            each.stored_bytes or 0,
            len(each.depends_on) + 1,
            since is not None and each.finished_at >= since,
            _as_before(own),
        )
        for each in told.kept
        if each.id in restorable and not each.trouble
    )
    return RegionPoints(
        database,
        told.region,
        told.asked_at,
        covered_until=_covered(told, restorable),
        windows=tuple(_proven(told)),
        points=points,
        unrestorable=tuple(_unrestorable(told.kept, restorable)),
        suspects=tuple(each for each in told.suspects if each.lifted_at is None),
        stored_bytes=sum(each.stored_bytes or 0 for each in told.kept),
        expected=points[-1].expected if points else None,
        verified=verified_in(told.region, told.asked_at, verifications),
    )


def _covered(told: Told, restorable: Iterable[str]) -> datetime | None:
    ids = set(restorable)
    begun = [each.started_at for each in told.kept if each.id in ids and not each.trouble]
    if not begun:
        return None
    return max([*begun, *([told.proven_at] if told.proven_at is not None else [])])


def _proven(told: Told) -> Iterator[RecoveryWindow]:
    """The windows, the newest of them up to the moment that was proven."""
    newest = max(told.windows, key=lambda each: (each.timeline, each.end), default=None)
    for each in told.windows:
        if each is newest and told.proven_at is not None and told.proven_at > each.end:
            yield RecoveryWindow(
                each.region,
                each.backups,
                each.timeline,
                each.start,
                each.start_lsn,
                told.proven_at,
                each.end_lsn,
            )
        else:
            yield each


def _unrestorable(kept: Sequence[Kept], restorable: Iterable[str]) -> Iterator[tuple[str, str]]:
    ids = set(restorable)
    for each in kept:
        if each.trouble:
            yield each.id, each.trouble
        elif each.id not in ids:
            yield each.id, "the WAL that makes it consistent is not there"


def _as_before(verifications: Iterable[Verification]) -> timedelta | None:
    """What restores took: another program does not tell what it had to fetch for them."""
    passed = [
        each
        for each in sorted(verifications, key=lambda each: each.id)
        if each.standing is Standing.PASSED and each.ready_s > 0
    ][-NEWEST:]
    return timedelta(seconds=median(each.ready_s for each in passed)) if passed else None


def _suspect_since(suspects: Iterable[Suspicion]) -> datetime | None:
    return min((each.since for each in suspects if each.lifted_at is None), default=None)
