"""When the other engines take a backup, and when one is overdue. Pure.

A dump is always whole, so `incremental_every` is how often one is taken. Whatever took a backup, it counts:
pgbackrest's own schedule, where there is one, and this one do not take the same twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.backup.engines import Depth, Kept
from holdfast.backup.model import BackupKind
from holdfast.estate.backup import Schedule

SOONEST = timedelta(minutes=5)
"""After the last one finished, none is begun: a schedule that no machine keeps up with."""
OVERDUE_AFTER = 2
"""Intervals. One may be taking long, or have been tried again."""


@dataclass(frozen=True, slots=True)
class EngineDue:
    """A backup is to be taken now, and why."""

    depth: Depth
    why: str


def engine_due(
    kept: Sequence[Kept], schedule: Schedule, now: datetime, *, increments: bool
) -> EngineDue | None:
    """What is to be taken beside what is `kept`, or None. `increments`: the engine knows them.

    Full ones every `full_every`; between them differential ones every `differential_every`, where the estate
    says so, and incremental ones every `incremental_every`.
    """
    # Counted from the future, of a clock that was set back, nothing would ever be due.
    sound = [each for each in kept if not each.trouble and each.started_at <= now + SOONEST]
    newest = max(sound, key=lambda each: (each.started_at, each.id), default=None)
    if newest is None:
        there = any(not each.trouble for each in kept)
        why = (
            "those that are there are from the future"
            if there
            else "there is no backup that could be restored"
        )
        return EngineDue(Depth.FULL, why)
    depth = Depth.INCREMENTAL if increments else Depth.FULL
    if now - newest.finished_at < SOONEST:
        return None
    if increments:
        fulls = [each.started_at for each in sound if each.kind is BackupKind.FULL]
        full = max(fulls, default=None)
        if full is None or now - full >= schedule.full_every:
            why = (
                "there is no full one" if full is None else f"the last full one began {full:%Y-%m-%d %H:%M}Z"
            )
            return EngineDue(Depth.FULL, why)
        whole = [each.started_at for each in sound if _is_differential(each)]
        last = max([full, *whole])
        if schedule.differential_every is not None and now - last >= schedule.differential_every:
            return EngineDue(Depth.DIFFERENTIAL, f"what it would build on began {last:%Y-%m-%d %H:%M}Z")
    if now - newest.started_at >= schedule.incremental_every:
        return EngineDue(depth, f"the last one began {newest.started_at:%Y-%m-%d %H:%M}Z")
    return None


def overdue_since(newest: datetime, schedule: Schedule, now: datetime) -> datetime | None:
    """Since when a region should have had a newer backup; None when it is not overdue.

    `newest` is when the newest that restores there was taken. One from the future says nothing of now.
    """
    due = newest + schedule.incremental_every * OVERDUE_AFTER
    return due if due <= now else None


def _is_differential(kept: Kept) -> bool:
    """It needs a full one and nothing else."""
    return kept.kind is BackupKind.INCREMENTAL and len(kept.depends_on) == 1
