"""What `holdfast backup points`, `expire` and `retention` do; the process of backups does the same."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Protocol, TypeVar

from holdfast.adapters.postgres.backup import PostgresKeeping
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.inventory import Inventory
from holdfast.backup.errors import RegionError
from holdfast.backup.ports import Progress, Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.points import RegionPoints, points_of
from holdfast.backup.retention.approvals import NotApproved, RetentionDesk, Standing
from holdfast.backup.retention.expiry import let_go, what_expires
from holdfast.backup.retention.keeping import declared_keep
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.backup.engine_commands import expired_by
from holdfast.bootstrap.backup.engine_standing import standing_of
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.backup import Keep
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place, Report
from holdfast.interfaces.cli.recoverable import RegionExpiry
from holdfast.kernel.clock import Clock, SystemClock

T = TypeVar("T")


class Working(Protocol):
    """Works on the database of a running Holdfast, as a role."""

    def __call__(
        self, place: Place, role: Role, work: Callable[[Pool, Inventory], Awaitable[T]]
    ) -> Coroutine[Any, Any, T]: ...


class LocalRecoverable:
    """These commands, on this machine."""

    def __init__(self, working: Working, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._working = working
        self._run = run
        self._clock: Clock = SystemClock()

    def points(
        self, place: Place, database: str | None, region: str | None, samples: int
    ) -> tuple[datetime, Sequence[RegionPoints]]:
        estate = read_estate(place.config)
        keys = [database] if database is not None else list(estate.databases)
        native = [key for key in keys if key not in others_of(estate)]
        asked = [
            (key, each)
            for key in native
            for each in regions_of(estate, key, place.config, place.data_dir)
            if region in (None, each.name)
        ]
        found = list(all_points(asked, self._clock, samples=samples))
        for key in others_of(estate):
            if key in keys:
                told = standing_of(estate, key, place, self._clock)
                found += [each for each in told if region in (None, each.region)]
        return self._clock.now(), sorted(found, key=lambda each: keys.index(each.database))

    def expire(self, place: Place, database: str, *, dry_run: bool, report: Report) -> Sequence[RegionExpiry]:
        estate = read_estate(place.config)
        declared(estate, database)
        keeps = self._run(self._working(place, Role.BACKUP, lambda pool, _: in_force(pool, estate, database)))
        progress = Reported(report)
        if database in others_of(estate):
            regions = regions_of(estate, database, place.config, place.data_dir)
            return expired_by(estate, database, regions, keeps, self._clock, dry_run=dry_run)
        return [
            expired_in(region, database, keeps[region.name], self._clock, dry_run=dry_run, progress=progress)
            for region in regions_of(estate, database, place.config, place.data_dir)
        ]

    def retention(self, place: Place, database: str) -> Sequence[Standing]:
        estate = read_estate(place.config)
        keeps = declared_keeps(estate, database)

        async def look(pool: Pool, _: Inventory) -> Sequence[Standing]:
            return await RetentionDesk(PostgresKeeping(pool)).standing(database, keeps)

        found: Sequence[Standing] = self._run(self._working(place, Role.BACKUP, look))
        return found

    def approve(self, place: Place, database: str, region: str | None) -> Sequence[Standing]:
        asked = [
            each
            for each in self.retention(place, database)
            if each.change is not None and region in (None, each.region)
        ]
        if not asked:
            where = f"{database} in {region}" if region else database
            raise NotApproved(
                f"nothing is asked for {where}",
                hint="a change is asked for by narrowing `keep` in the estate file",
            )

        async def approve(pool: Pool, _: Inventory) -> None:
            desk = RetentionDesk(PostgresKeeping(pool))
            for each in asked:
                shown = each.change.id if each.change else None
                await desk.approve(database, each.region, command_line(), shown=shown)

        self._run(self._working(place, Role.CONSOLE, approve))
        return self.retention(place, database)


def others_of(estate: Estate) -> Sequence[str]:
    """The databases that the native engine does not keep."""
    return [key for key, database in estate.databases.items() if database.engine != "native"]


def all_points(
    asked: Sequence[tuple[str, Region]], clock: Clock, *, samples: int = 0
) -> Sequence[RegionPoints]:
    """What every region tells, all asked at the same time, in the order of asking."""
    if not asked:
        return []
    seed = int(clock.now().timestamp())
    with ThreadPoolExecutor(min(len(asked), 16), "points") as threads:
        return list(
            threads.map(lambda each: points_of(each[1], each[0], clock, samples=samples, seed=seed), asked)
        )


def declared_keeps(estate: Estate, database: str) -> dict[str, Keep]:
    """By region, for how long the estate wants a database's copies kept. Raises SourceRefused."""
    return {region: declared_keep(estate, database, region) for region in declared(estate, database).copies}


async def in_force(pool: Pool, estate: Estate, database: str) -> Mapping[str, Keep]:
    """By region, the Keep to expire by."""
    return await RetentionDesk(PostgresKeeping(pool)).keeps(database, declared_keeps(estate, database))


def expired_in(
    region: Region,
    database: str,
    keep: Keep,
    clock: Clock,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> RegionExpiry:
    """Let go of what expired in a region, and tell it. A region that does not answer is told, too."""
    now = clock.now()
    try:
        expiry = what_expires(region, holdings_of(region, database, clock), keep, now)
        gone = None if dry_run else let_go(region, database, expiry, now, progress)
    except RegionError as error:
        return RegionExpiry(region.name, keep, error=str(error))
    return RegionExpiry(
        region.name,
        keep,
        tuple(each.id for each in expiry.backups),
        len(expiry.wal),
        expiry.stored_bytes,
        expiry.reasons,
        gone.locked if gone else (),
    )
