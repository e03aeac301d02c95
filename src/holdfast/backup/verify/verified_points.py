"""Which points a verification restores: the newest, and a random older one. Pure, and it can be replayed."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from holdfast.backup.model import RecoveryWindow, Target, TargetKind

_LEAST_WEIGHT = timedelta(seconds=1)


class Which(StrEnum):
    """Why this point was verified."""

    NEWEST = "newest"
    OLDER = "older"
    ASKED = "asked"
    """A person named it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point to verify. `seed` is what chose it; None where nothing was left to chance."""

    which: Which
    target: Target
    seed: int | None = None


NEWEST = Point(Which.NEWEST, Target())


def seed_of(database: str, day: date) -> int:
    """The seed of a day: another each day and for each database, and known afterwards."""
    digest = hashlib.sha256(f"{database} {day.isoformat()}".encode()).digest()
    return int.from_bytes(digest[:6])


def older(windows: Sequence[RecoveryWindow], seed: int) -> Point | None:
    """A moment of the recovery windows, each as likely as any other; None when there is no window.

    A window that is only a moment long counts as a second, so that single points that are kept for months
    are restored now and then too.
    """
    if not windows:
        return None
    chance = random.Random(seed)  # noqa: S311  chosen so that it can be chosen again
    ordered = sorted(windows, key=lambda each: (each.start, each.timeline, each.backups))
    weights = [max(each.end - each.start, _LEAST_WEIGHT).total_seconds() for each in ordered]
    window = chance.choices(ordered, weights)[0]
    share = chance.random()
    if window.end <= window.start:
        target = Target(TargetKind.LABEL, label=chance.choice(window.backups))
    else:
        moment = window.start + share * (window.end - window.start)
        target = Target(TargetKind.TIME, time=moment, timeline=window.timeline)
    return Point(Which.OLDER, target, seed)
