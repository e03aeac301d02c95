"""What the commands do with a database of another engine, without a running Holdfast."""

from collections.abc import Mapping, Sequence

from holdfast.backup.errors import NotFit, NotRecoverable, RegionError, RegionRefused, SourceRefused
from holdfast.backup.logical.held import (
    copy_dumps,
    dumps_held,
    expired_dumps,
    lacking_dumps,
    let_dumps_go,
)
from holdfast.backup.model import Target, TargetKind
from holdfast.backup.ports import Progress, Region
from holdfast.backup.records import utc
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.verify.verification import Verification
from holdfast.backup.verify.verified_points import Point, Which
from holdfast.backup.verify.watching import Told
from holdfast.bootstrap.backup.engine_kinds import duties_for
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.estate.backup import Keep
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.copies import CopyDone, CopyOutcome, CopyRequest
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recoverable import RegionExpiry
from holdfast.interfaces.cli.verifying import VerifyRequest
from holdfast.kernel.clock import Clock

NOT_OURS = "pgbackrest keeps and lets go by its own configuration: see repo1-retention-full"


class Nobody:
    """A desk for commands: nobody looks, and nothing expires."""

    def report(self, points: RegionPoints) -> None:
        del points

    def keep(self, region: str) -> Keep | None:
        del region
        return None


def verified_by(
    estate: Estate, place: Place, request: VerifyRequest, clock: Clock, told: Told, progress: Progress
) -> Sequence[Verification]:
    """`holdfast backup verify`: each point in each region."""
    key = request.database
    declared = estate.databases[key]
    if request.keep:
        raise NotFit(f"a copy of a {declared.engine} backup does not stay", hint="holdfast restore makes one")
    if request.region is not None and request.region not in declared.copies:
        names = ", ".join(declared.copies)
        raise SourceRefused(f"there is no copy in a region {request.region!r}", hint=f"there are: {names}")
    duties = duties_for(estate, key, place, clock, Nobody(), lambda event, _: progress.note(event), told)
    found = []
    for region in declared.copies if request.region is None else [request.region]:
        points = _asked(request) or list(duties.points_to_verify(region, request.seed))
        wanted = [
            each
            for each in points
            if not (request.newest and each.which is Which.OLDER)
            and not (request.older and each.which is Which.NEWEST)
        ]
        if not wanted:
            raise NotRecoverable(
                f"{key} in {region}: there is nothing to restore", hint="take a backup first"
            )
        for point in wanted:
            progress.note(f"{region}: verifying the {point.which.value} point")
            try:
                found.append(duties.verifier(region, progress).verify(point, wanted_of(declared)))
            finally:
                give_back()
    return found


def expired_by(
    estate: Estate,
    key: str,
    regions: Sequence[Region],
    keeps: Mapping[str, Keep],
    clock: Clock,
    *,
    dry_run: bool,
) -> Sequence[RegionExpiry]:
    """`holdfast backup expire`: of dumps. Raises SourceRefused for what is not ours to let go of."""
    if estate.databases[key].engine == "pgbackrest":
        raise SourceRefused(f"{key} is kept by pgbackrest", hint=NOT_OURS)
    return [_expired(key, region, keeps[region.name], clock, dry_run=dry_run) for region in regions]


def copied_by(
    estate: Estate,
    request: CopyRequest,
    source: Region,
    target: Region,
    keep: Keep,
    clock: Clock,
    progress: Progress,
) -> CopyOutcome:
    """`holdfast backup copy`: of dumps. Raises RegionRefused for pgbackrest's."""
    if estate.databases[request.database].engine == "pgbackrest":
        hint = "give it another repository: repo2-path and so on"
        raise RegionRefused("pgbackrest's repositories are its own", hint=hint)
    held, there = (dumps_held(each, request.database, clock) for each in (source, target))
    plan = lacking_dumps(held, there, keep, clock.now())
    done = None
    if not request.dry_run:
        copied = copy_dumps(source, target, plan, progress)
        done = CopyDone(copied.dumps, copied.objects, copied.stored_bytes, copied.damaged, copied.failed)
    return CopyOutcome([each.id for each in plan.dumps], 0, 0, plan.stored_bytes, done)


def _asked(request: VerifyRequest) -> list[Point]:
    if request.backup:
        return [Point(Which.ASKED, Target(TargetKind.LABEL, label=request.backup))]
    if request.at is not None:
        return [Point(Which.ASKED, Target(TargetKind.TIME, time=utc(request.at)))]
    return []


def _expired(key: str, region: Region, keep: Keep, clock: Clock, *, dry_run: bool) -> RegionExpiry:
    now = clock.now()
    try:
        held = dumps_held(region, key, clock)
        going = expired_dumps(region, held, keep, now)
        if not dry_run:
            let_dumps_go(region, going)
    except RegionError as error:
        return RegionExpiry(region.name, keep, error=str(error))
    ids = tuple(each.id for each in going)
    stays = {each.id: ("kept",) for each in held.backups if each.id not in ids}
    return RegionExpiry(region.name, keep, ids, 0, sum(each.stored_bytes for each in going), stays)
