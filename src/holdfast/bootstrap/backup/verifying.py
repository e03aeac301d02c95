"""What `holdfast backup verify` and `backup suspect` do, and what the schedule calls."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.backup.errors import NotRecoverable, RegionError, SourceRefused
from holdfast.backup.model import Backup, Suspicion, Target, TargetKind
from holdfast.backup.ports import Progress, Region
from holdfast.backup.records import utc
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.verify.verification import Verification
from holdfast.backup.verify.verified_points import NEWEST, Point, Which, older, seed_of
from holdfast.backup.verify.verifying import Verifier
from holdfast.backup.verify.watching import Raised, Told, Watch, new_id
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.backup.engine_commands import verified_by
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import Place, Report
from holdfast.interfaces.cli.verifying import MarkOutcome, VerifyRequest
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.journal import JournalEntry

COPIES = "copies"
"""Below the data directory: copies of databases that were restored to be looked at."""


def verifier_for(
    estate: Estate,
    key: str,
    region: Region,
    regions: Sequence[Region],
    place: Place,
    told: Told,
    clock: Clock,
    progress: Progress | None = None,
) -> Verifier:
    """A verifier of a declared database's copy in one region. Raises NotFit, KeyMissing, SecretError."""
    database = declared(estate, key)
    bin_dir = database.verification.bin_dir
    return Verifier(
        key,
        region,
        regions,
        packer_for(estate, place.config),
        LocalMachine(None if bin_dir is None else Path(bin_dir)),
        place.data_dir.absolute() / COPIES / key,
        clock,
        told,
        progress,
    )


class LocalVerifications:
    """Verifications from this machine, without a running Holdfast. `told` gets the events."""

    def __init__(self, told: Told = lambda _: None, clock: Clock | None = None) -> None:
        self._told = told
        self._clock = clock or SystemClock()

    def verify(self, place: Place, request: VerifyRequest, report: Report) -> Sequence[Verification]:
        estate = read_estate(place.config)
        database = declared(estate, request.database)
        regions = regions_of(estate, request.database, place.config, place.data_dir)
        progress = Reported(report)
        if database.engine != "native":
            return verified_by(estate, place, request, self._clock, self._event(progress), progress)
        found: list[Verification] = []
        for region in _named(regions, request.region):
            verifier = verifier_for(
                estate, request.database, region, regions, place, self._event(progress), self._clock, progress
            )
            for point in self._points(request, region):
                progress.note(f"{region.name}: verifying the {point.which.value} point")
                try:
                    found.append(
                        verifier.verify(point, wanted_of(database), keep=request.keep, fresh=request.fresh)
                    )
                finally:
                    give_back()
        return found

    def suspicions(self, place: Place, database: str) -> Sequence[Suspicion]:
        return marks.suspicions_of(self._regions(place, database), database)

    def suspect(self, place: Place, database: str, since: datetime, reason: str) -> MarkOutcome:
        regions = self._regions(place, database)
        watch = Watch(database, regions, self._clock, self._told)
        who = command_line()
        mark = Suspicion(new_id(self._clock), utc(since), self._clock.now(), f"{reason} ({who})")
        return _outcome(watch.mark(mark, self._backups(regions, database)))

    def lift(self, place: Place, database: str, mark: str) -> MarkOutcome:
        regions = self._regions(place, database)
        return _outcome(Watch(database, regions, self._clock, self._told).lift(mark, command_line()))

    def _event(self, progress: Progress) -> Told:
        def tell(entry: JournalEntry) -> None:
            progress.note(entry.event)
            self._told(entry)

        return tell

    def _points(self, request: VerifyRequest, region: Region) -> Iterator[Point]:
        if request.backup:
            yield Point(Which.ASKED, Target(TargetKind.LABEL, label=request.backup))
            return
        if request.at is not None:
            yield Point(Which.ASKED, Target(TargetKind.TIME, time=utc(request.at)))
            return
        if not request.older:
            yield NEWEST
        if not request.newest:
            seed = request.seed
            seed = seed_of(request.database, self._clock.now().date()) if seed is None else seed
            point = self._older(request.database, region, seed)
            if point is not None:
                yield point
            elif request.older:
                raise NotRecoverable(f"{request.database} in {region.name}: there is nothing to restore")

    def _older(self, database: str, region: Region, seed: int) -> Point | None:
        try:
            return older(windows_of(holdings_of(region, database, self._clock)), seed)
        except RegionError:
            # The newest point's record says so already, and why.
            return None

    def _regions(self, place: Place, database: str) -> Sequence[Region]:
        estate = read_estate(place.config)
        declared(estate, database)
        return regions_of(estate, database, place.config, place.data_dir)

    def _backups(self, regions: Sequence[Region], database: str) -> list[Backup]:
        """Every backup that any region knows of; regions that are away keep theirs to themselves."""
        found: dict[str, Backup] = {}
        for region in regions:
            try:
                found |= {each.id: each for each in holdings_of(region, database, self._clock).backups}
            except RegionError:
                continue
        return list(found.values())


def _named(regions: Sequence[Region], name: str | None) -> Sequence[Region]:
    if name is None:
        return regions
    found = [each for each in regions if each.name == name]
    if not found:
        names = {each.name: each for each in regions}
        hint = did_you_mean(name, names) or f"there are: {', '.join(names)}"
        raise SourceRefused(f"there is no copy in a region {name!r}", hint=hint)
    return found


def _outcome(raised: Raised) -> MarkOutcome:
    return MarkOutcome(raised.suspicion, raised.told, {**raised.behind, **raised.unlocked})
