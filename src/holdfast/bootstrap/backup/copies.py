"""What `holdfast backup copy` and `scrub` do."""

from collections.abc import Mapping, Sequence

from holdfast.backup.copies.copying import Copied, Copier, lacking
from holdfast.backup.copies.scrubbing import Scrubbed, Scrubber
from holdfast.backup.errors import RegionError, RegionRefused
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.retention.keeping import declared_keep
from holdfast.bootstrap.backup.engine_commands import copied_by
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.copies import (
    CopyDone,
    CopyOutcome,
    CopyRequest,
    HarmShown,
    ScrubOutcome,
    ScrubRequest,
)
from holdfast.interfaces.cli.ports import Place, Report
from holdfast.kernel.clock import Clock, SystemClock


class LocalCopies:
    """Copies between regions, from this machine, without a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def copy(self, place: Place, request: CopyRequest, report: Report) -> CopyOutcome:
        estate = read_estate(place.config)
        regions = regions_of(estate, request.database, place.config, place.data_dir)
        source, target = (_named(each, regions) for each in (request.source, request.target))
        if source is target:
            raise RegionRefused(f"{source.name} lacks nothing that it has itself", hint="name two regions")
        progress = Reported(report)
        progress.note("looking at both regions")
        keep = declared_keep(estate, request.database, target.name)
        if estate.databases[request.database].engine != "native":
            return copied_by(estate, request, source, target, keep, self._clock, progress)
        held, there = (holdings_of(each, request.database, self._clock) for each in (source, target))
        plan = lacking(held, there, keep, self._clock.now())
        done = None if request.dry_run else Copier(source, target, progress).copy(plan)
        return CopyOutcome(
            [each.id for each in plan.backups],
            len(plan.wal),
            len(plan.histories),
            plan.stored_bytes,
            None if done is None else _done(done),
        )

    def scrub(
        self, place: Place, request: ScrubRequest, report: Report
    ) -> tuple[Sequence[ScrubOutcome], Mapping[str, str]]:
        regions = regions_of(read_estate(place.config), request.database, place.config, place.data_dir)
        wanted = regions if request.region is None else [_named(request.region, regions)]
        outcomes: list[ScrubOutcome] = []
        away: dict[str, str] = {}
        # Each day it is the turn of others.
        turn = self._clock.now().toordinal()
        for region in wanted:
            others = [each for each in regions if each is not region]
            scrubber = Scrubber(region, others, self._clock, Reported(report))
            try:
                scrubbed = scrubber.scrub(request.database, share=request.share, turn=turn, heal=request.heal)
            except RegionError as error:
                away[region.name] = str(error)
                continue
            finally:
                give_back()
            outcomes.append(_shown(scrubbed))
        return outcomes, away


def _named(name: str, regions: Sequence[Region]) -> Region:
    for each in regions:
        if each.name == name:
            return each
    names = [each.name for each in regions]
    hint = did_you_mean(name, names) or f"there are: {', '.join(names)}"
    raise RegionRefused(f"there is no copy in a region {name!r}", hint=hint)


def _done(copied: Copied) -> CopyDone:
    objects = len(copied.objects)
    return CopyDone(copied.backups, objects, copied.stored_bytes, copied.damaged, copied.failed)


def _shown(scrubbed: Scrubbed) -> ScrubOutcome:
    harmed = [
        HarmShown(each.key, each.harm.value, each.healed_from, each.why_not) for each in scrubbed.harmed
    ]
    return ScrubOutcome(
        scrubbed.region, scrubbed.at, scrubbed.known, scrubbed.read, scrubbed.read_bytes, harmed
    )
