"""What `holdfast restore` does."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.adapters.packing.sealed import HOW
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.restored.extracting import target_of
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.errors import (
    BackupError,
    KeyMissing,
    NotFit,
    NotRecoverable,
    RegionAway,
    RegionError,
    RegionRefused,
)
from holdfast.backup.lsn import format_lsn
from holdfast.backup.model import RestorePlan, Target, TargetKind
from holdfast.backup.ports import Packer, Region
from holdfast.backup.recoverable.chain import plan_for
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.pace import pace_of
from holdfast.backup.recoverable.points import expected_of
from holdfast.backup.restore.chosen import Share
from holdfast.backup.restore.needs import Needs, needs_at
from holdfast.backup.restore.preflight import Preflight, Way, with_needs
from holdfast.backup.restore.restoring import Restored, mapped
from holdfast.backup.restore.targets import target_named
from holdfast.backup.verify.verification import verifications_in
from holdfast.bootstrap.backup.engines import other_engine, restored_by
from holdfast.bootstrap.backup.loading import PartLoaded, load
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.parts import Sources, cleared, restored_alone, share_of, sought_by
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.warming import seeded
from holdfast.bootstrap.estates import read_estate
from holdfast.interfaces.cli.ports import Place, Report
from holdfast.interfaces.cli.restoring import RestoreOutcome, RestoreRequest
from holdfast.kernel.clock import Clock, SystemClock

RECORDS = 60
"""So many of the newest verifications, of all regions, tell the pace and the needs."""


class LocalRestores:
    """Restores, on this machine, without a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def restore(self, place: Place, request: RestoreRequest, report: Report) -> RestoreOutcome:
        progress = Reported(report)
        other = None if request.store else other_engine(place.config, request.database, self._clock, progress)
        if other is not None:
            return restored_by(other, request)
        regions, packer, bin_dir = _sources(place, request)
        part = request.part
        # Before the long work: a wrong one is not found out an hour later.
        into = {} if part is None else target_of(part.into)
        programs = Programs(bin_dir, is_ours=not request.keep_running)
        way = Way(request.resume, request.delta, mapped({o: str(p) for o, p in request.tablespaces.items()}))
        target = target_named(request.at, timeline=request.timeline, inclusive=not request.exclusive)
        progress.note("looking for what is there")
        planned = self._planned(regions, request, target)
        region, plan = planned.region, planned.plan
        others = [each for each in regions if each is not region]
        if request.warm and not (request.dry_run or way.resume or way.delta or way.tablespaces):
            rolled = seeded(place, region, plan, request.to.absolute(), self._clock, progress.note)
            if rolled is not None:
                plan, way = rolled, replace(way, resume=True)
        sources = Sources((region, *others), packer, programs, self._clock, progress)
        restorer = sources.restorer()
        folder = request.to.absolute()
        sought = sought_by(request, into)
        way = replace(way, share=None if sought is None else share_of(sources, plan, sought))
        preflight = restorer.preflight(plan, folder, way)
        preflight = with_needs(preflight, planned.needs, programs.build, anyway=request.anyway)
        if request.dry_run:
            return _outcome(plan, folder, preflight, way.share, dry_run=True)
        preflight.insist()
        share = way.share
        try:
            if sought is None or share is None:
                restored = restorer.restore(plan, folder, way)
            else:
                restored, share = restored_alone(sources, plan, folder, way, sought)
        finally:
            # What comes now may take long: a part is loaded, or everything replayed is written out.
            give_back()
        conninfo = restored.copy.conninfo
        try:
            loaded = None
            if part is not None:
                loaded = load(conninfo, programs, part, into, self._clock, report, is_alone=share is not None)
        except BaseException:
            restored.copy.stop()
            raise
        if share is None:
            restorer.finish(plan, restored, promote=request.promote, keep_running=request.keep_running)
        else:
            restored.copy.stop()
            cleared(folder)
        return _outcome(
            plan,
            folder,
            preflight,
            share,
            dry_run=False,
            restored=restored,
            loaded=loaded,
            promoted=request.promote,
            running=conninfo if request.keep_running else None,
        )

    def _planned(self, regions: Sequence[Region], request: RestoreRequest, target: Target) -> "_Planned":
        """From the first region that can. Raises what the first one that was asked said."""
        troubles: list[BackupError] = []
        for region in regions:
            if request.region not in (None, region.name):
                continue
            try:
                plan = plan_for(holdings_of(region, request.database, self._clock), target)
                return _with_what_is_known(region, plan, any_region=request.store is not None)
            except BackupError as error:
                troubles.append(error)
        if not troubles:
            names = ", ".join(each.name for each in regions)
            raise RegionRefused(f"no region is called {request.region!r}", hint=f"there are: {names}")
        if all(isinstance(each, NotRecoverable) for each in troubles):
            # Each tells of its own region: which moments there are is not known before all have told.
            told, hints = (dict.fromkeys(texts) for texts in (map(str, troubles), (e.hint for e in troubles)))
            raise NotRecoverable("; ".join(told), hint="; ".join(hints))
        raise next(each for each in troubles if not isinstance(each, NotRecoverable))


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan that tells how long it takes, where that is known, and what the database needs."""

    region: Region
    plan: RestorePlan
    needs: Needs | None


def _with_what_is_known(region: Region, plan: RestorePlan, *, any_region: bool) -> _Planned:
    """Add what verifications told. `any_region`: what this store is called in the estate is not known."""
    try:
        records = verifications_in(region, plan.database, newest=RECORDS)
    except RegionError:
        # Nothing that the restore itself needs.
        records = []
    pace = pace_of(each for each in records if any_region or each.region == region.name)
    target = plan.target
    at = None if target.kind is TargetKind.LATEST else target.time or plan.backup.finished_at
    learned = [(each.reached_at, each.needs) for each in records if each.reached_at and each.needs]
    return _Planned(region, replace(plan, expected=expected_of(plan, pace)), needs_at(learned, at))


def _sources(place: Place, request: RestoreRequest) -> tuple[Sequence[Region], Packer, Path | None]:
    if request.store is not None:
        keys = {name: _key(name, path) for name, path in request.keys.items()}
        opened = open_region(request.region or "store", request.store, {})
        if isinstance(opened, FolderRegion) and opened.is_new:
            raise RegionAway(f"there is no folder {opened.root}", hint="is its disk there?")
        return [AuthenticRegion(opened, keys)], ZstdPacker(keys=keys), request.bin_dir
    estate = read_estate(place.config)
    regions = regions_of(estate, request.database, place.config, place.data_dir)
    declared = estate.databases[request.database].verification.bin_dir
    bin_dir = request.bin_dir or (Path(declared) if declared else None)
    return regions, packer_for(estate, place.config), bin_dir


def _key(name: str, path: Path) -> bytes:
    try:
        return base64.b64decode(path.read_text(encoding="ascii").strip(), validate=True)
    except OSError as error:
        raise NotFit(f"the key `{name}` cannot be read: {error.strerror}: {path}") from error
    except (binascii.Error, UnicodeDecodeError):
        # Without a cause: it would carry the text.
        raise KeyMissing(f"the key `{name}` is not base64", hint=HOW) from None


def _outcome(
    plan: RestorePlan,
    folder: Path,
    preflight: Preflight,
    share: Share | None,
    *,
    dry_run: bool,
    restored: Restored | None = None,
    loaded: PartLoaded | None = None,
    promoted: bool = False,
    running: str | None = None,
) -> RestoreOutcome:
    shown = RestoreOutcome(
        database=plan.database,
        region=plan.region,
        folder=str(folder),
        backup=plan.backup.id,
        chain=tuple(each.id for each in plan.chain),
        wal_segments=len({each.segment for each in plan.wal}),
        needed_bytes=preflight.needed_bytes,
        dry_run=dry_run,
        problems=tuple(f"{text} ({hint})" if hint else text for text, hint in preflight.problems),
        notes=(
            *preflight.notes,
            *(restored.notes if restored else ()),
            *(loaded.notes if loaded else ()),
        ),
        expected_s=None if plan.expected is None else plan.expected.total_seconds(),
        fetched_bytes=None if share is None else share.fetched_bytes,
        stored_bytes=None if share is None else share.stored_bytes,
    )
    if restored is None:
        return shown
    told = replace(shown, loaded=loaded.text if loaded else None)
    return _with_results(told, restored, promoted, running)


def _with_results(
    shown: RestoreOutcome, restored: Restored, promoted: bool, running: str | None
) -> RestoreOutcome:
    results: Mapping[str, object] = {
        "fetch_s": restored.laid_out.took.total_seconds(),
        "first_answer_s": restored.first_answer.total_seconds(),
        "replay_s": restored.replay.total_seconds(),
        "replayed_lsn": None if restored.replayed is None else format_lsn(restored.replayed),
        "last_commit": restored.last_commit,
        "at_target": restored.at_target,
        "promoted": promoted,
        "running": running,
    }
    return replace(shown, **results)  # type: ignore[arg-type]
