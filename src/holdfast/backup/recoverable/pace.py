"""How quickly restores went, and so how long the next one will take. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from holdfast.backup.model import Backup
from holdfast.backup.verify.verification import How, Standing, Verification

NEWEST = 10
"""So many verifications tell the pace: a region or a machine may have become another."""
FETCHING, REPLAYING = ("fetch", "unpack"), ("replay",)
AFTERWARDS = ("checks", "pages")
"""What comes behind the first answer is no part of a restore."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Bytes as they are stored, per second."""

    begin: timedelta
    """What a restore takes whatever its size."""
    fetch_per_s: float
    """Of backups: fetched and unpacked."""
    replay_per_s: float
    """Of WAL."""


def pace_of(verifications: Iterable[Verification]) -> Pace | None:
    """The median of the newest restores that laid out a copy from backups; None when there was none."""
    measured = [
        each
        for each in sorted(verifications, key=lambda each: each.id)
        if each.standing is Standing.PASSED and each.how is How.FRESH and _seconds(each, FETCHING) > 0
    ][-NEWEST:]
    if not measured:
        return None
    fetch = median((each.fetched_bytes - each.wal_bytes) / _seconds(each, FETCHING) for each in measured)
    replays = [
        each.wal_bytes / seconds
        for each in measured
        if each.wal_bytes > 0 and (seconds := _seconds(each, REPLAYING)) > 0
    ]
    begin = median(each.ready_s - _seconds(each, (*FETCHING, *REPLAYING)) for each in measured)
    # WAL that was never replayed is taken to be no quicker than what was fetched.
    return Pace(timedelta(seconds=max(0.0, begin)), fetch, median(replays) if replays else fetch)


def expected_restore(chain: Sequence[Backup], wal_bytes: int, pace: Pace | None) -> timedelta | None:
    """How long a restore of a chain with so many stored bytes of WAL takes; None while nobody knows."""
    if pace is None or pace.fetch_per_s <= 0 or pace.replay_per_s <= 0:
        return None
    fetching = sum(each.stored_bytes for each in chain) / pace.fetch_per_s
    return pace.begin + timedelta(seconds=fetching + wal_bytes / pace.replay_per_s)


def _seconds(verification: Verification, names: Sequence[str]) -> float:
    return sum(each.took_s for each in verification.phases if each.name in names)
