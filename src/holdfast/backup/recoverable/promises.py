"""What the public may know of backups: a cluster's promised window beside what was measured. Pure.

Only of databases that the operator made public, of clusters that are not private. RPO and RTO of agreements
are the customers' business: they are not here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.backup.recoverable.standing import Reported
from holdfast.backup.retention.keeping import declared_keep
from holdfast.estate.backup import Database
from holdfast.estate.model import Estate

VALID_FOR = 2
"""A measurement is valid for so many rounds of verification: one may fail to be tried."""


@dataclass(frozen=True, slots=True)
class RegionPromise:
    """What one region's copy was measured to hold. What nobody knows is None."""

    region: str
    window: timedelta
    """Promised: any moment of it can be restored."""
    reaches_back: timedelta | None
    """Measured: from the newest moment back to the oldest, without a gap."""
    rpo: timedelta | None
    restore: timedelta | None
    """How long the last verified restore took, to its first answer."""
    size_bytes: int | None
    verified_at: datetime | None
    """When a verification passed last."""
    expired: bool
    """That is too long ago, or it never passed."""
    suspect: bool


@dataclass(frozen=True, slots=True)
class ClusterPromise:
    """A database of a cluster, region by region, as of a moment."""

    cluster: str
    database: str
    at: datetime
    regions: tuple[RegionPromise, ...]


def public_promises(estate: Estate, reported: Sequence[Reported], now: datetime) -> Sequence[ClusterPromise]:
    """What the site shows, in the estate's order."""
    known = {(each.points.database, each.points.region): each for each in reported}
    return [
        ClusterPromise(
            estate.clusters[database.cluster].name,
            database.name,
            now,
            tuple(
                _region(estate, key, database, region, known.get((key, region)), now)
                for region in database.copies
            ),
        )
        for key, database in _public(estate)
    ]


def _public(estate: Estate) -> Iterable[tuple[str, Database]]:
    for key, database in estate.databases.items():
        cluster = estate.clusters.get(database.cluster)
        if database.public and cluster is not None and not cluster.private:
            yield key, database


def _region(
    estate: Estate, key: str, database: Database, region: str, known: Reported | None, now: datetime
) -> RegionPromise:
    points = known.points if known else None
    verified = points.verified if points else None
    window = max(points.windows, key=lambda each: each.end) if points and points.windows else None
    passed_at = verified.passed_at if verified else None
    return RegionPromise(
        estate.regions[region].name,
        declared_keep(estate, key, region).window,
        window.end - window.start if window else None,
        points.rpo(now) if points else None,
        timedelta(seconds=verified.ready_s) if verified and verified.ready_s is not None else None,
        verified.size_bytes if verified else None,
        passed_at,
        passed_at is None or now - passed_at > database.verification.every * VALID_FOR,
        bool(points and points.suspects),
    )
