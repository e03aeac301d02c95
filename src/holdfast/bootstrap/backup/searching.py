"""What `holdfast find-good` does."""

from pathlib import Path

from holdfast.adapters.postgres.replication.probing import LocalStandbys
from holdfast.backup.errors import SourceRefused
from holdfast.backup.search.finding import Asked, Finder, Finding
from holdfast.backup.search.searching import ASKING, STEPS, Question
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.cli.searching import FindRequest, LeftCopy
from holdfast.kernel.clock import Clock, SystemClock

SCRATCH = "find-good"
"""Below the data directory: what a search lays out, and lets go again."""


class LocalSearches:
    """Searches on this machine, without a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def find(self, place: Place, request: FindRequest, report: Report) -> tuple[Finding, LeftCopy | None]:
        estate = read_estate(place.config)
        database = declared(estate, request.database)
        regions = regions_of(estate, request.database, place.config, place.data_dir)
        region = regions[0]
        if request.region is not None:
            named = {each.name: each for each in regions}
            if request.region not in named:
                hint = did_you_mean(request.region, named) or f"there are: {', '.join(named)}"
                raise SourceRefused(f"there is no copy in a region {request.region!r}", hint=hint)
            region = named[request.region]
        wanted = database.verification
        finder = Finder(
            request.database,
            region,
            [each for each in regions if each is not region],
            packer_for(estate, place.config),
            LocalStandbys(None if wanted.bin_dir is None else Path(wanted.bin_dir)),
            place.data_dir.absolute() / SCRATCH / request.database,
            self._clock,
            _Counted(report),
        )
        question = Question(request.check, request.dbname or wanted.dbname or database.connection.dbname)
        steps = None if request.every_commit else STEPS
        found = finder.find(Asked(question, request.since, request.until, request.tables, steps))
        if request.leave is None or found.target is None:
            return found, None
        restored = finder.leave(found, request.leave.absolute())
        return found, LeftCopy(restored.laid_out.folder, restored.copy.conninfo)


class _Counted(Reported):
    """Tells commits as commits, and all else as bytes."""

    def _tell(self) -> None:
        if self._phase == ASKING:
            told = f"{ASKING}: {self._done} of {self._total} commits"
            self._report(Progress(told, self._done, self._total or None))
        else:
            super()._tell()
