"""Restores a database: lays its files out, has PostgreSQL recover them; done when a query has answered."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from holdfast.backup.errors import NotFit, NotRecoverable, RestoreFailed
from holdfast.backup.lsn import Lsn, format_lsn
from holdfast.backup.model import Member, RestorePlan, TargetKind
from holdfast.backup.ports import Copy, Packer, Progress, Region
from holdfast.backup.restore.chosen import Chosen, Share
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.restore.flushing import synced
from holdfast.backup.restore.journal import Marker, Step, advance, read_marker, this_boot, write_marker
from holdfast.backup.restore.preflight import Build, Place, Preflight, Way, inspect
from holdfast.backup.restore.recovery import RecoverySettings, recovery_of
from holdfast.backup.restore.unpacking import WAL, Silent, Unpacker, wal_wanted, write_histories
from holdfast.kernel.clock import Clock

LOOK_EVERY_S = 0.02
FIRST_QUERY = "SELECT count(*) FROM pg_catalog.pg_class"


class RunningCopy(Copy, Protocol):
    """A copy in recovery."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be left out of its settings, for people."""
        ...

    def rests(self) -> bool:
        """Whether it replays no further by itself: at its target, or at the end of what is there."""
        ...

    def widened(self) -> str:
        """A copy pauses too where its WAL asks for larger settings than it has: it is started again then, and
        replays on. Says so; empty when it rests for another reason. Raises RestoreFailed.
        """
        ...

    def is_paused(self) -> bool:
        """Whether it rests at its target, once `widened` had nothing to do. Raises RestoreFailed."""
        ...

    def leave(self) -> None:
        """Let go of it, and let it run on."""
        ...


class Postgres(Protocol):
    """PostgreSQL's programs on this machine. Raises NotFit, RestoreFailed."""

    @property
    def build(self) -> Build: ...

    def in_use(self, folder: Path) -> bool:
        """Whether a server runs on a data directory, as far as can be seen from here."""
        ...

    def start(self, folder: Path, recovery: RecoverySettings | None) -> RunningCopy:
        """Start a server that stays in recovery; returns when it answers, and replays on meanwhile."""
        ...

    def hand_over(self, folder: Path, recovery: RecoverySettings | None, *, in_place: bool) -> None:
        """Leave the folder to whoever starts it: a server that ends the recovery, and takes writes."""
        ...


@dataclass(frozen=True, slots=True)
class LaidOut:
    """The files are there."""

    folder: Path
    took: timedelta
    written_bytes: int
    was_there: bool = False
    """Nothing had to be done: an earlier run had laid them out."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A copy that has answered, how long each phase took, and how far it is.

    `at_target`: recovery paused where it was told to; else it rests at the end of what is stored.
    """

    copy: RunningCopy
    laid_out: LaidOut
    first_answer: timedelta
    replay: timedelta
    replayed: Lsn | None
    last_commit: datetime | None
    at_target: bool
    notes: tuple[str, ...] = field(default=())


class Restorer:
    """Restores from `region`; what it has not, or has damaged, comes from `others`."""

    def __init__(
        self,
        region: Region,
        packer: Packer,
        postgres: Postgres,
        clock: Clock,
        progress: Progress | None = None,
        *,
        others: Sequence[Region] = (),
    ) -> None:
        self._progress = progress or Silent()
        self._fetcher = Fetcher((region, *others), packer, noted=self._progress.note)
        self._postgres = postgres
        self._clock = clock
        self._indexes: dict[tuple[str, ...], Sequence[Sequence[Member]]] = {}

    def preflight(self, plan: RestorePlan, folder: Path, way: Way = Way()) -> Preflight:  # noqa: B008
        """Look at everything that a restore needs, and change nothing."""
        unpacker = self._unpacker(plan, folder, way)
        place = self._place(folder)
        return inspect(plan, unpacker.indexes[0], place, self._postgres.build, way)

    def lay_out(self, plan: RestorePlan, folder: Path, way: Way = Way()) -> LaidOut:  # noqa: B008
        """Write the files and WAL of a plan into `folder`, and make them durable.

        A killed one goes on with `way.resume`, on the same chain. Raises NotFit before anything is written;
        Damaged, KeyMissing, RegionAway or OSError on the way, after which it can be resumed.
        """
        began = self._clock.monotonic()
        folder = folder.absolute()
        unpacker = self._unpacker(plan, folder, way)
        place = self._place(folder)
        inspect(plan, unpacker.indexes[0], place, self._postgres.build, way).insist()
        marker = place.marker if way.resume and not way.delta else None
        if marker is not None and marker.step is not Step.WRITING:
            self.bring_wal(plan, folder)
            return LaidOut(folder, self._since(began), 0, was_there=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        resuming = marker is not None and marker.boot == this_boot() != ""
        marker = Marker(
            plan.database,
            tuple(each.id for each in plan.chain),
            plan.backup.system_id,
            tablespaces={oid: str(place) for oid, place in (way.tablespaces or {}).items()},
            boot=this_boot(),
            part=way.share.chosen.name if way.share else "",
        )
        over = not place.is_empty and not resuming
        write_marker(folder, marker)
        unpacker.lay_out(plan.wal, plan.histories, resuming=resuming, over=over)
        advance(folder, marker, Step.WRITTEN)
        unpacker.forget()
        # Those of a large server take their hundred megabytes.
        self._indexes = {}
        written = sum(each.raw_bytes for each in plan.chain) if way.share is None else way.share.needed_bytes
        return LaidOut(folder, self._since(began), written)

    def peek(self, plan: RestorePlan, folder: Path, paths: Callable[[str], bool]) -> None:
        """Write some files of the plan's chain into `folder`, as they were backed up, and no others."""
        self._looked(plan, folder).peek(paths)

    def share(self, plan: RestorePlan, chosen: Chosen) -> Share:
        """What a choice of files takes of the plan's chain."""
        return self._looked(plan, Path()).share(chosen)

    def bring_wal(self, plan: RestorePlan, folder: Path) -> None:
        """Bring the plan's WAL beside what is laid out already. A copy may run on it meanwhile."""
        wanted = wal_wanted(folder / WAL, plan.wal)
        self._progress.begin("fetching WAL", sum(each.stored.raw_bytes for each in wanted))
        self._fetcher.run(wanted)
        write_histories(folder / WAL, plan.histories)
        synced([folder])

    def recover(self, plan: RestorePlan, folder: Path) -> RunningCopy:
        """Start PostgreSQL on what `lay_out` left, and replay up to the plan's target.

        Returns when it rests there and a query has answered; it is in recovery still. Raises RestoreFailed;
        NotRecoverable when the target was not in the WAL.
        """
        return self._recovered(plan, folder)[0]

    def restore(self, plan: RestorePlan, folder: Path, way: Way = Way()) -> Restored:  # noqa: B008
        """All of it. The copy runs, in recovery, on its target."""
        laid_out = self.lay_out(plan, folder, way)
        return replace(self.started(plan, laid_out.folder), laid_out=laid_out)

    def started(self, plan: RestorePlan, folder: Path) -> Restored:
        """Start PostgreSQL on a folder in which everything is, as `recover` does, and tell how it went."""
        began = self._clock.monotonic()
        laid_out = LaidOut(folder.absolute(), timedelta(), 0, was_there=True)
        copy, answered = self._recovered(plan, folder)
        try:
            lsn, at = copy.replayed()
            first = timedelta(seconds=answered - began)
            return Restored(copy, laid_out, first, self._since(began), lsn, at, copy.is_paused(), copy.notes)
        except BaseException:
            copy.stop()
            raise

    def finish(self, plan: RestorePlan, restored: Restored, *, promote: bool, keep_running: bool) -> None:
        """Promote the copy or not, leave it running or not, and prepare its folder for whoever starts it."""
        copy, folder = restored.copy, restored.laid_out.folder
        recovery = recovery_of(plan)
        if not restored.at_target:
            # Recovery to a target that no record reaches would be an error; the end of WAL is the target.
            recovery = replace(recovery, target={})
        if promote:
            copy.promote()
        if keep_running:
            copy.leave()
        else:
            copy.stop()
        if promote or not keep_running:
            in_place = any(each.oid for each in plan.backup.archives)
            self._postgres.hand_over(folder, None if promote else recovery, in_place=in_place)
        marker = read_marker(folder)
        if marker is not None:
            advance(folder, marker, Step.READY)

    def _recovered(self, plan: RestorePlan, folder: Path) -> tuple[RunningCopy, float]:
        copy = self._postgres.start(folder.absolute(), recovery_of(plan))
        answered = self._clock.monotonic()
        try:
            for note in copy.notes:
                self._progress.note(note)
            self._wait_for_rest(plan, copy)
            _see_that_it_answers(copy)
            _judge(plan, copy)
        except BaseException:
            copy.stop()
            raise
        return copy, answered

    def _wait_for_rest(self, plan: RestorePlan, copy: RunningCopy) -> None:
        """There is no limit: replaying takes as long as it takes, and a server that ends is noticed."""
        end = max((each.end_lsn for each in plan.wal), default=plan.backup.stop_lsn)
        self._progress.begin("replaying", max(0, end - plan.backup.start_lsn))
        seen = int(plan.backup.start_lsn)
        while True:
            # Asked first: what was replayed when it had come to rest is all.
            rests = copy.rests()
            lsn, _ = copy.replayed()
            if lsn is not None and lsn > seen:
                self._progress.advance(lsn - seen)
                seen = int(lsn)
            if rests:
                if not (told := copy.widened()):
                    return
                self._progress.note(told)
            time.sleep(LOOK_EVERY_S)

    def _unpacker(self, plan: RestorePlan, folder: Path, way: Way) -> Unpacker:
        chain = tuple(each.id for each in plan.chain)
        return Unpacker(
            self._fetcher,
            plan.chain,
            folder,
            tablespaces=way.tablespaces,
            progress=self._progress,
            chosen=way.share.chosen if way.share else None,
            indexes=self._indexes.get(chain),
        )

    def _looked(self, plan: RestorePlan, folder: Path) -> Unpacker:
        """One whose indexes are kept until the files are laid out."""
        unpacker = self._unpacker(plan, folder, Way())
        self._indexes = {tuple(each.id for each in plan.chain): unpacker.indexes}
        return unpacker

    def _place(self, folder: Path) -> Place:
        folder = folder.absolute()
        above = next(each for each in (folder, *folder.parents) if each.exists())
        if folder.exists() and not folder.is_dir():
            raise NotFit(f"{folder} is no folder")
        present = list(folder.iterdir()) if folder.is_dir() else []
        marker = read_marker(folder)
        return Place(
            folder,
            is_empty=not present,
            is_data_directory=(folder / "PG_VERSION").is_file(),
            marker=marker,
            in_use=self._postgres.in_use(folder),
            free_bytes=shutil.disk_usage(above).free,
            present_bytes=_used(folder) if present else 0,
        )

    def _since(self, began: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - began)


def _used(folder: Path) -> int:
    return sum(each.lstat().st_blocks * 512 for each in folder.rglob("*") if each.is_file())


def mapped(given: Mapping[str, str]) -> dict[str, Path]:
    """Tablespaces as they were given: oid to an absolute folder. Raises NotFit."""
    for oid in given:
        if not oid.isdecimal():
            raise NotFit(f"{oid!r} is no tablespace's oid", hint="--tablespace 16384=/srv/fast")
    return {oid: Path(place) for oid, place in given.items()}


def _see_that_it_answers(copy: RunningCopy) -> None:
    asked = copy.ask("template1", FIRST_QUERY, 60.0)
    if asked.error:
        raise RestoreFailed(f"the restored server does not answer: {asked.error}")


def _judge(plan: RestorePlan, copy: RunningCopy) -> None:
    """See that it rests where it should."""
    target, paused = plan.target, copy.is_paused()
    lsn, at = copy.replayed()
    where = f"it ended at {format_lsn(lsn or 0)}" + (f", with a commit of {at.isoformat()}" if at else "")
    if paused and target.kind is TargetKind.LATEST:
        raise RestoreFailed(f"recovery paused by itself: {where}", hint="the server's log says why")
    if paused:
        return
    if target.kind is TargetKind.XID:
        raise NotRecoverable(f"no transaction {target.xid} ends in the WAL that is stored: {where}")
    if target.kind is TargetKind.LSN and target.lsn is not None and (lsn or 0) < target.lsn:
        raise NotRecoverable(f"the WAL that is stored does not reach {format_lsn(target.lsn)}: {where}")
    if (lsn or 0) < plan.backup.stop_lsn:
        raise NotRecoverable(f"the WAL ends before the backup is consistent: {where}")
