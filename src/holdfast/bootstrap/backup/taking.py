"""What `holdfast backup now`, `list` and `sweep` do."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from holdfast.backup import layout
from holdfast.backup.errors import BackupError, RegionError, SourceRefused
from holdfast.backup.model import Backup, BackupKind, Holdings
from holdfast.backup.ports import Packer, Region
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.take.parents import Choice, parent_for
from holdfast.backup.take.sweeping import sweep
from holdfast.backup.take.taking import Taken, Taker
from holdfast.backup.verify.judging import judge_backup
from holdfast.backup.verify.watching import Told
from holdfast.bootstrap.backup.engines import engine_for, listed_by, taken_by
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.sources import source_for
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.backup import Database
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.backup import (
    BackupOutcome,
    BackupRequest,
    BackupShown,
    BackupsListed,
    LeftoverShown,
)
from holdfast.interfaces.cli.ports import Place, Report
from holdfast.kernel.clock import Clock, SystemClock

T = TypeVar("T")


class LocalBackups:
    """Backups, from this machine, without a running Holdfast. `told` gets the events."""

    def __init__(self, clock: Clock | None = None, told: Told = lambda _: None) -> None:
        self._clock = clock or SystemClock()
        self._told = told

    def now(self, place: Place, request: BackupRequest, report: Report) -> BackupOutcome:
        estate = read_estate(place.config)
        database = declared(estate, request.database)
        if database.engine != "native":
            progress = Reported(report)
            engine = engine_for(estate, request.database, place.config, self._clock, progress, place.data_dir)
            return taken_by(engine, request, self._clock)
        source = source_for(database, place.config)
        regions = regions_of(estate, request.database, place.config, place.data_dir)
        packer = packer_for(estate, place.config)
        progress = Reported(report)
        choice = Choice(None, why="it was asked for")
        if not request.full:
            progress.note("looking for the newest backup")
            held, away = self._held(regions, request.database)
            choice = parent_for(held, source.identify())
            if choice.parent is None and away:
                choice = Choice(None, why=f"{choice.why}; not looked at: {', '.join(away)}")
        if request.dry_run:
            return _would_take(choice)
        began = self._clock.monotonic()
        taker = Taker(source, regions, packer, self._clock, progress)
        parent, manifest, why = _opened(choice, regions, packer)
        try:
            taken = taker.take(request.database, label=request.label, parent=parent, parent_manifest=manifest)
        finally:
            give_back()
        outcome = _outcome(taken, why, timedelta(seconds=self._clock.monotonic() - began))
        return replace(outcome, notes=(*outcome.notes, *self._judged(taken.backup, regions)))

    def _judged(self, backup: Backup, regions: Sequence[Region]) -> Sequence[str]:
        """What in it is not as it always was. The backup is there, whatever comes of looking at it."""
        try:
            return [f"suspicious: {each}" for each in judge_backup(backup, regions, self._clock, self._told)]
        except BackupError as error:
            return [f"it was not compared with those before it: {error}"]

    def listed(self, place: Place, database: str, region: str | None) -> BackupsListed:
        estate = read_estate(place.config)
        if declared(estate, database).engine != "native":
            engine = engine_for(estate, database, place.config, self._clock, None, place.data_dir)
            return listed_by(engine, region)
        regions = self._regions(place, database, region)
        held, away = self._held(regions, database)
        if not held:
            raise _none_answers(away)
        by_id = {backup.id: backup for each in held for backup in each.backups}
        # By its id alone, two of the same second stand in any order.
        oldest_first = sorted(by_id.values(), key=lambda each: (each.started_at, each.id))
        unreadable = [f"{each.region}: {key}" for each in held for key in each.unreadable]
        return BackupsListed([_shown(each, held) for each in oldest_first], away, unreadable)

    def sweep(
        self, place: Place, database: str, *, dry_run: bool
    ) -> tuple[Sequence[LeftoverShown], Mapping[str, str]]:
        regions = self._regions(place, database, None)
        is_logical = declared(read_estate(place.config), database).engine == "logical"
        prefix = layout.logical_prefix(database) if is_logical else layout.backups_prefix(database)
        swept, away = _of_each(
            regions, lambda region: sweep(region, database, self._clock, dry_run=dry_run, prefix=prefix)
        )
        if not swept:
            raise _none_answers(away)
        shown = [
            LeftoverShown(
                one.region,
                each.backup,
                len(each.keys),
                each.stored_bytes,
                each.written_at,
                dict(one.kept).get(each.backup, ""),
            )
            for one in swept
            for each in one.leftovers
        ]
        return shown, away

    def _regions(self, place: Place, database: str, only: str | None) -> Sequence[Region]:
        estate = read_estate(place.config)
        declared(estate, database)
        regions = regions_of(estate, database, place.config, place.data_dir)
        if only is None:
            return regions
        found = [each for each in regions if each.name == only]
        if not found:
            names = {each.name: each for each in regions}
            hint = did_you_mean(only, names) or f"there are: {', '.join(names)}"
            raise SourceRefused(f"{database} has no copy in a region {only!r}", hint=hint)
        return found

    def _held(self, regions: Sequence[Region], database: str) -> tuple[list[Holdings], dict[str, str]]:
        return _of_each(regions, lambda region: holdings_of(region, database, self._clock))


def declared(estate: Estate, key: str) -> Database:
    """The database of that key. Raises SourceRefused."""
    database = estate.databases.get(key)
    if database is None:
        hint = did_you_mean(key, estate.databases) or "see `databases` in the estate file"
        raise SourceRefused(f"no database is called {key!r}", hint=hint)
    return database


def _of_each(regions: Sequence[Region], ask: Callable[[Region], T]) -> tuple[list[T], dict[str, str]]:
    """What every region answers, asked at the same time; and of those that do not, why."""
    answers: list[T] = []
    away: dict[str, str] = {}
    with ThreadPoolExecutor(max(len(regions), 1), "regions") as threads:
        asked = [(region, threads.submit(ask, region)) for region in regions]
        for region, answer in asked:
            try:
                answers.append(answer.result())
            except RegionError as error:
                away[region.name] = str(error)
    return answers, away


def _none_answers(away: Mapping[str, str]) -> RegionError:
    told = "; ".join(f"{region}: {why}" for region, why in away.items())
    return RegionError(f"no region answers: {told}", hint="are the stores there, and their options right?")


def _opened(
    choice: Choice, regions: Sequence[Region], packer: Packer
) -> tuple[Backup | None, bytes | None, str]:
    """The chosen parent with its manifest, from whichever region has it unharmed; None and why otherwise."""
    if choice.parent is None:
        return None, None, choice.why
    why = ""
    for region in sorted(regions, key=lambda each: each.name != choice.region):
        try:
            return choice.parent, raw_object(region, choice.parent.manifest, packer), ""
        except BackupError as error:
            why = f"the manifest of {choice.parent.id} cannot be read: {error}"
    return None, None, why


def _would_take(choice: Choice) -> BackupOutcome:
    kind = BackupKind.FULL if choice.parent is None else BackupKind.INCREMENTAL
    parent = "" if choice.parent is None else choice.parent.id
    return BackupOutcome(kind.value, parent, choice.why, None, {}, (), timedelta())


def _outcome(taken: Taken, why: str, took: timedelta) -> BackupOutcome:
    backup = taken.backup
    shown = _as_shown(backup, taken.complete, {})
    return BackupOutcome(
        backup.kind.value, backup.parent, why, shown, taken.behind, taken.notes, took, taken.unlogged
    )


def _shown(backup: Backup, held: Sequence[Holdings]) -> BackupShown:
    there = [each for each in held if any(one.id == backup.id for one in each.backups)]
    incomplete = {
        each.region: f"{len(keys)} objects are missing, such as {keys[0]}"
        for each in there
        for id_, keys in each.missing
        if id_ == backup.id
    }
    whole = tuple(each.region for each in there if each.region not in incomplete)
    return _as_shown(backup, whole, incomplete)


def _as_shown(backup: Backup, whole: Sequence[str], incomplete: Mapping[str, str]) -> BackupShown:
    return BackupShown(
        backup.id,
        backup.kind.value,
        backup.label,
        backup.parent,
        backup.started_at,
        backup.finished_at,
        backup.raw_bytes,
        backup.stored_bytes,
        backup.server_version,
        backup.timeline,
        tuple(whole),
        incomplete,
    )
