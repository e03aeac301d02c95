"""Which moments can be restored, from which region, and how long it will take.

It is told by a region's own objects: its listing, its records, and digests of a few objects taken at random.
A region that does not answer is unknown, never fine.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from holdfast.backup.errors import NotRecoverable, RegionError
from holdfast.backup.model import Gap, Holdings, RecoveryWindow, RestorePlan, Suspicion, Target
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.chain import (
    Reach,
    chain_of,
    covered_until,
    gaps_of,
    plan_for,
    reaches_of,
    whole_chains,
    windows_of,
)
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.pace import Pace, expected_restore, pace_of
from holdfast.backup.retention.retention import suspect_since
from holdfast.backup.verify.verification import Standing, Verification, verifications_in
from holdfast.kernel.clock import Clock

AHEAD = timedelta(minutes=5)
"""Clocks differ a little. A database whose clock is further ahead than this has an RPO that nobody knows."""
LARGEST_SAMPLE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Point:
    """A backup that can be restored. `expected`: how long to the moment at which it is consistent."""

    id: str
    kind: str
    label: str
    at: datetime
    stored_bytes: int
    links: int
    """Of its chain: 1 for a full one."""
    suspect: bool
    expected: timedelta | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The newest verification of a region, and when one passed last."""

    at: datetime
    standing: str
    problems: tuple[str, ...]
    passed_at: datetime | None
    ready_s: float | None
    """What the restore took that passed last, up to its first answer."""
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class RegionPoints:
    """All that is known of what one region restores, at `asked_at`. With an `error`, nothing is."""

    database: str
    region: str
    asked_at: datetime
    error: str = ""
    covered_until: datetime | None = None
    """What was committed until then is restorable; None when nothing is, or nobody knows."""
    windows: tuple[RecoveryWindow, ...] = ()
    gaps: tuple[Gap, ...] = ()
    points: tuple[Point, ...] = ()
    unrestorable: tuple[tuple[str, str], ...] = ()
    """Backups that are there and do not restore, each with the reason; records that do not decode too."""
    suspects: tuple[Suspicion, ...] = ()
    """Those that stand."""
    stored_bytes: int = 0
    expected: timedelta | None = None
    """How long the newest moment takes; None while nothing was restored from here."""
    verified: Verified | None = None
    sampled: int = 0
    """Objects whose digest was taken now."""
    damaged: tuple[str, ...] = ()
    """Of these, the keys of those that are not what was stored."""

    @property
    def last_backup_at(self) -> datetime | None:
        return max((each.at for each in self.points), default=None)

    def rpo(self, now: datetime) -> timedelta | None:
        """What would be lost if this region were all that is left; None for unknown, never 0 for that."""
        if self.covered_until is None or self.covered_until > now + AHEAD:
            return None
        return max(timedelta(), now - self.covered_until)


def points_of(
    region: Region, database: str, clock: Clock, *, samples: int = 0, seed: int = 0
) -> RegionPoints:
    """Ask a region. Never raises for the region: what it does not tell is unknown.

    `samples` objects are read whole and their digests compared.
    """
    asked_at = clock.now()
    try:
        held = holdings_of(region, database, clock)
        verifications = verifications_in(region, database)
        sampled = list(_sampled(region, held, samples, Random(seed)))  # noqa: S311  no secret
    except RegionError as error:
        return RegionPoints(database, region.name, asked_at, str(error))
    damaged = tuple(key for key, fits in sampled if not fits)
    return known_of(held, verifications, sampled=len(sampled), damaged=damaged)


def known_of(
    held: Holdings,
    verifications: Sequence[Verification],
    *,
    sampled: int = 0,
    damaged: Sequence[str] = (),
) -> RegionPoints:
    """What holdings and verifications tell. Pure."""
    pace = pace_of(each for each in verifications if each.region == held.region)
    reaches = reaches_of(held)
    return RegionPoints(
        held.database,
        held.region,
        held.listed_at,
        "",
        covered_until(held, reaches),
        tuple(windows_of(held, reaches)),
        tuple(gaps_of(held)),
        tuple(_points(held, reaches, pace)),
        tuple(_unrestorable(held, reaches)),
        tuple(each for each in held.suspects if each.lifted_at is None),
        sum(each.stored_bytes for each in held.backups) + sum(each.stored_bytes for each in held.wal),
        _expected_newest(held, reaches, pace),
        verified_in(held.region, held.listed_at, verifications),
        sampled,
        tuple(damaged),
    )


def expected_of(plan: RestorePlan, pace: Pace | None) -> timedelta | None:
    """How long a planned restore takes; None while nothing was restored from that region."""
    return expected_restore(plan.chain, sum(each.stored_bytes for each in plan.wal), pace)


def _points(held: Holdings, reaches: Sequence[Reach], pace: Pace | None) -> Iterator[Point]:
    since = suspect_since(held)
    restorable = {each.id: each for reach in reaches for each in reach.backups}
    for backup in sorted(restorable.values(), key=lambda each: (each.finished_at, each.id)):
        chain = chain_of(held.backups, backup.id)
        yield Point(
            backup.id,
            backup.kind.value,
            backup.label,
            backup.finished_at,
            backup.stored_bytes,
            len(chain),
            since is not None and backup.finished_at >= since,
            expected_restore(chain, 0, pace),
        )


def _unrestorable(held: Holdings, reaches: Sequence[Reach]) -> Iterator[tuple[str, str]]:
    restorable = {each.id for reach in reaches for each in reach.backups}
    missing = dict(held.missing)
    chains = whole_chains(held)
    for backup in held.backups:
        if backup.id in restorable:
            continue
        if backup.id in missing:
            yield backup.id, f"{len(missing[backup.id])} of its objects are gone"
        elif backup.id in chains:
            yield backup.id, "the WAL that makes it consistent is not there"
        else:
            try:
                chain_of(held.backups, backup.id)
                yield backup.id, "what it is an increment of is not whole"
            except NotRecoverable as error:
                yield backup.id, str(error)
    yield from ((key, "it does not decode") for key in held.unreadable)


def _expected_newest(held: Holdings, reaches: Sequence[Reach], pace: Pace | None) -> timedelta | None:
    try:
        return expected_of(plan_for(held, Target(), reaches), pace)
    except NotRecoverable:
        return None


def verified_in(region: str, asked_at: datetime, verifications: Iterable[Verification]) -> Verified | None:
    """What verifications of a region say, as of a moment; None when there was none."""
    # One from the future, of a clock that was wrong, would stand for the newest until then.
    told = (each for each in verifications if each.started_at <= asked_at + AHEAD)
    own = sorted((each for each in told if each.region == region), key=lambda each: each.id)
    if not own:
        return None
    newest = own[-1]
    passed = next((each for each in reversed(own) if each.standing is Standing.PASSED), None)
    return Verified(
        newest.finished_at,
        newest.standing.value,
        tuple(each.text for each in newest.problems),
        passed.finished_at if passed else None,
        passed.ready_s if passed else None,
        newest.size_bytes,
    )


def _sampled(region: Region, held: Holdings, count: int, chance: Random) -> Iterator[tuple[str, bool]]:
    """Objects taken at random, each with whether it is what was stored."""
    stored = [
        (each.key, each.stored_bytes, each.sha256) for backup in held.backups for each in backup.objects
    ]
    stored += [(each.key, each.stored_bytes, each.sha256) for each in held.wal]
    readable = [each for each in stored if each[1] <= LARGEST_SAMPLE]
    for key, size, sha256 in chance.sample(readable, min(count, len(readable))):
        try:
            content = region.get(key)
        except FileNotFoundError:
            # It expired since it was listed. What is missing is told by the next listing.
            continue
        yield key, len(content) == size and hashlib.sha256(content).hexdigest() == sha256
