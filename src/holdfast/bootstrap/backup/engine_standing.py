"""What the other engines' backups restore, region by region: asked now, and never raising for a region."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from holdfast.adapters.pgbackrest.engine import PgBackRest
from holdfast.backup.errors import BackupError, RegionError
from holdfast.backup.logical.held import dumps_held
from holdfast.backup.model import RecoveryWindow
from holdfast.backup.ports import Region
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.engine_points import Told, points_of_dumps, points_told, windows_of_dumps
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.verify.verification import Verification, verifications_in
from holdfast.bootstrap.backup.engines import pgbackrest_for
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.estate.backup import Database
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock

PROVEN = "archived"


def repos_of(database: Database) -> dict[str, str]:
    """By region, pgbackrest's name of the repository that is there."""
    return {region: f"repo{copy.repo or 1}" for region, copy in database.copies.items()}


def standing_of(estate: Estate, key: str, place: Place, clock: Clock) -> list[RegionPoints]:
    """What each region of a database of another engine restores. Raises what opening them raises."""
    database = estate.databases[key]
    regions = regions_of(estate, key, place.config, place.data_dir)
    if database.engine == "pgbackrest":
        return points_of_stanza(pgbackrest_for(database, key), database, key, regions, place, clock)
    return side_by_side(regions, lambda region: dump_points(region, key, clock))


def side_by_side(regions: Sequence[Region], ask: Callable[[Region], RegionPoints]) -> list[RegionPoints]:
    with ThreadPoolExecutor(max(len(regions), 1), "regions") as threads:
        return list(threads.map(ask, regions))


def dump_points(region: Region, database: str, clock: Clock) -> RegionPoints:
    """What one region's dumps restore; what it does not tell is unknown."""
    asked_at = clock.now()
    try:
        return points_of_dumps(dumps_held(region, database, clock), verifications_in(region, database))
    except RegionError as error:
        return RegionPoints(database, region.name, asked_at, str(error))


def points_of_stanza(
    engine: PgBackRest, database: Database, key: str, regions: Sequence[Region], place: Place, clock: Clock
) -> list[RegionPoints]:
    """What each of its repositories restores, as pgbackrest tells; all are unknown when it tells nothing."""
    asked_at = clock.now()
    try:
        kept, windows = engine.told()
        suspects = marks.suspicions_of(regions, key)
    except BackupError as error:
        return [RegionPoints(key, region, asked_at, str(error)) for region in database.copies]
    verifications = verifications_of(regions, key)
    proven_at = proven(place, key)
    return [
        points_told(
            key,
            Told(
                region,
                asked_at,
                [each for each in kept if each.region == repo],
                [each for each in windows if each.region == repo],
                suspects,
                proven_at,
            ),
            verifications,
        )
        for region, repo in repos_of(database).items()
    ]


def windows_in(estate: Estate, key: str, region: Region, clock: Clock) -> Sequence[RecoveryWindow]:
    """The moments of one region, to choose one from. Raises BackupErrors."""
    database = estate.databases[key]
    if database.engine == "pgbackrest":
        repo = repos_of(database)[region.name]
        return [each for each in pgbackrest_for(database, key).windows() if each.region == repo]
    return windows_of_dumps(dumps_held(region, key, clock))


def verifications_of(regions: Sequence[Region], database: str, newest: int = 100) -> list[Verification]:
    """Every region's records together, oldest first. Those of regions that are away may be missing."""
    found: dict[str, Verification] = {}
    for region in regions:
        with suppress(RegionError):
            found |= {each.id: each for each in verifications_in(region, database, newest)}
    return sorted(found.values(), key=lambda each: each.id)


def proven(place: Place, database: str) -> datetime | None:
    """When pgbackrest's own check saw last that everything written before is archived; None for unknown."""
    try:
        at = datetime.fromisoformat(json.loads(_proven_file(place, database).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def prove(place: Place, database: str, at: datetime) -> None:
    """Remember that. Raises OSError."""
    file = _proven_file(place, database)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps({"at": at.isoformat()}), encoding="ascii")
    beside.replace(file)


def _proven_file(place: Place, database: str) -> Path:
    return place.data_dir.absolute() / "backup" / f"{database}-{PROVEN}.json"
