"""Verifies a recovery point: restores it in isolation, on real PostgreSQL, and looks at what came back.

The copy stays in recovery, is asked in read-only transactions, and is never promoted. It comes from one
region alone: what that region lacks, or has damaged, is what a verification is to find. The newest point's
copy stays as the warm base (`holdfast.backup.verify.warm`); that of an older point is removed.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from holdfast.backup.errors import BackupError, NotFit, RegionError, RestoreFailed
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Holdings, RestorePlan, TargetKind
from holdfast.backup.ports import Packer, Progress, Region
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.chain import plan_for
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.restore.journal import Step, read_marker, this_boot
from holdfast.backup.restore.preflight import Way
from holdfast.backup.restore.restoring import Postgres, Restorer, RunningCopy
from holdfast.backup.restore.unpacking import WAL, Silent
from holdfast.backup.verify import verification as records
from holdfast.backup.verify import wal_counting
from holdfast.backup.verify.looking import Looked, Wanted, look, problems_in
from holdfast.backup.verify.marking import MAY_BE_LOCAL, marked
from holdfast.backup.verify.metering import Metered, PhaseTimes
from holdfast.backup.verify.verification import How, PagesChecked, Problem, Verification
from holdfast.backup.verify.verified_points import Point, Which
from holdfast.backup.verify.wal_counts import WalCounts
from holdfast.backup.verify.warm import Afresh, Roll, WarmBase, WarmState, footing
from holdfast.backup.verify.watching import Told, Watch, new_id
from holdfast.kernel.clock import Clock

ONCE, KEPT = "once", "kept"
"""Copies of older points: those that go when they were looked at, and those that a person wants to keep."""


@dataclass(frozen=True, slots=True)
class WalSpan:
    """WAL that a copy has replayed, and that may hold pages which are not written out yet."""

    folder: Path
    timeline: Timeline
    start: Lsn
    end: Lsn


class Machine(Protocol):
    """PostgreSQL on this machine, as a verification needs it."""

    @property
    def postgres(self) -> Postgres: ...

    def pages(self, data: Path, replayed: WalSpan | None) -> PagesChecked:
        """Read every page of a copy that was shut down. `replayed`: None when all of it is written out."""
        ...

    def end_leftover(self, data: Path) -> None:
        """Shut a server down that a killed verification has left on the folder. Raises RestoreFailed."""
        ...


@dataclass(slots=True)
class _Run:
    """What is known so far of one verification."""

    point: Point
    started_at: datetime
    how: How = How.FRESH
    plan: RestorePlan | None = None
    holdings: Holdings | None = None
    earlier: list[Verification] = field(default_factory=list)
    """Of the newest points before."""
    wal: tuple[WalCounts, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    reached: tuple[Lsn | None, datetime | None] = (None, None)
    looked: Looked = field(default_factory=Looked)
    pages: PagesChecked = field(default_factory=lambda: PagesChecked("not reached"))


class Verifier:
    """Verifies points of one database in `region`; records and marks go to all `regions`.

    `folder` is this database's own, for copies. `told` gets the events.
    """

    def __init__(
        self,
        database: str,
        region: Region,
        regions: Sequence[Region],
        packer: Packer,
        machine: Machine,
        folder: Path,
        clock: Clock,
        told: Told,
        progress: Progress | None = None,
    ) -> None:
        self._database = database
        self._region = Metered(region)
        self._regions = tuple(regions)
        self._machine = machine
        self._folder = folder
        self._clock = clock
        self._told = told
        self._times = PhaseTimes(progress or Silent(), clock)
        self._restorer = Restorer(self._region, packer, machine.postgres, clock, self._times)
        self._fetcher = Fetcher((self._region,), packer)
        self._watch = Watch(database, regions, clock, told)

    @property
    def warm(self) -> WarmBase:
        """Where the newest point's copy stays."""
        return WarmBase(self._folder / f"warm-{self._region.name}")

    def verify(
        self, point: Point, wanted: Wanted, *, keep: bool = False, fresh: bool = False
    ) -> Verification:
        """Verify one point, keep the record, mark what it makes suspect, and tell.

        `keep`: an older point's copy stays, too. `fresh`: the warm copy is not used. What goes wrong is in
        the record; NotFit alone is raised, while somebody else works on the warm copy.
        """
        run = _Run(point, self._clock.now())
        self._region.forget()
        self._times.forget()
        self._clear()
        stays = keep or point.target.kind is TargetKind.LATEST
        base = self.warm
        if point.target.kind is not TargetKind.LATEST:
            name = f"{KEPT if keep else ONCE}-{self._region.name}-{new_id(self._clock)}"
            base = WarmBase(self._folder / name)
            run.remarks += [f"the copy stays in {base.copy}"] if keep else []
        with base.held():
            try:
                self._verified(run, base, wanted, fresh=fresh)
            except (BackupError, OSError) as error:
                run.problems.append(records.problem_of(error))
            finally:
                if not stays:
                    shutil.rmtree(base.folder, ignore_errors=True)
        record = self._recorded(run)
        if run.point.which is Which.NEWEST and run.holdings is not None:
            record = marked(self._watch, self._clock, run.holdings, run.earlier, record)
        with suppress(RegionError):
            # A region that was away when something was marked, or lifted, learns it now.
            marks.spread(self._regions, self._database)
        for region, why in records.keep(self._regions, record).items():
            self._times.note(f"{region} does not have the record: {why}")
        self._told(records.event_of(record))
        return record

    def _clear(self) -> None:
        """Remove copies of older points that a killed verification has left, and end their servers."""
        for folder in self._folder.glob(f"{ONCE}-*"):
            base = WarmBase(folder)
            # One that is held is another verification's, at work.
            with suppress(NotFit, RestoreFailed), base.held():
                self._machine.end_leftover(base.copy)
                shutil.rmtree(folder, ignore_errors=True)

    def _verified(self, run: _Run, base: WarmBase, wanted: Wanted, *, fresh: bool) -> None:
        run.holdings = holdings_of(self._region, self._database, self._clock)
        run.plan = plan = plan_for(run.holdings, run.point.target)
        run.earlier = [
            each
            for each in records.verifications_in(self._region, self._database)
            if each.which is Which.NEWEST
        ]
        self._machine.end_leftover(base.copy)
        state = None if fresh else base.state()
        way = footing(state, run.holdings, plan, this_boot())
        copy = self._ready(run, plan, base, way, fresh=fresh)
        try:
            run.reached = _reached(copy, state if run.how is How.WARM else None, plan)
            self._times.begin("checks", None)
            run.looked = look(copy, wanted, run.reached[1], self._clock)
        finally:
            copy.stop()
        self._times.begin("pages", None)
        run.pages = self._machine.pages(base.copy, self._unwritten(base, plan))
        self._times.end()
        found = list(problems_in(run.looked, run.pages))
        local = [each.text for each in found if each.subject in MAY_BE_LOCAL]
        if local and run.how is How.WARM:
            # It may be this machine's disk: what the region holds is known only from a copy laid out afresh.
            run.remarks.append(f"the warm copy was damaged, and was laid out afresh: {local[0]}")
            run.how, run.looked = How.FRESH, Looked()
            self._times.forget()
            self._verified(run, base, wanted, fresh=True)
            return
        run.problems += found
        self._keep(run, base, state)

    def _ready(
        self, run: _Run, plan: RestorePlan, base: WarmBase, way: Roll | Afresh, *, fresh: bool
    ) -> RunningCopy:
        """A copy that has answered, rolled forward where that is possible."""
        state = base.state()
        if isinstance(way, Roll) and state is not None:
            run.how = How.WARM
            base.keep(replace(state, is_clean=False, boot=this_boot()))
            try:
                self._restorer.bring_wal(base.lacking(way.plan), base.copy)
                return self._started(run, way.plan, base)
            except RestoreFailed as error:
                run.remarks.append(f"the warm copy did not come up, and was laid out afresh: {error}")
                run.how = How.FRESH
                self._times.forget()
        elif isinstance(way, Afresh) and state is not None and not fresh:
            run.remarks.append(f"laid out afresh: {way.why}")
        if fresh or base.state() is not None:
            # A server has run on it: only what was never finished is gone on with.
            base.remove()
        return self._laid_out(run, plan, base)

    def _laid_out(self, run: _Run, plan: RestorePlan, base: WarmBase) -> RunningCopy:
        """Lay out from the backups; what a killed run has fetched of the same ones is not fetched again."""
        try:
            marker = read_marker(base.copy)
        except NotFit:
            marker = None
        resumable = (
            marker is not None
            and marker.chain == tuple(each.id for each in plan.chain)
            and marker.step is not Step.READY
        )
        if not resumable:
            base.remove()
        try:
            self._restorer.lay_out(plan, base.copy, Way(resume=resumable))
            return self._started(run, plan, base)
        except RegionError:
            raise
        except (BackupError, OSError):
            # Only what a region did not answer yet is worth going on with. A full disk gets its room back.
            base.remove()
            raise

    def _count(self, run: _Run, plan: RestorePlan, base: WarmBase) -> None:
        """Count what was deleted, while the segments are there: they go while it replays."""
        if run.point.which is not Which.NEWEST or run.holdings is None or run.wal:
            return
        self._times.begin("counting", None)
        try:
            counted = wal_counting.counted(
                run.holdings, plan, base.copy, self._fetcher, run.earlier, self._times.advance
            )
        except BackupError as error:
            # What is wrong with older WAL is no fault of this copy.
            run.remarks.append(f"deletes were not counted: {error}")
            return
        run.wal = counted.counts
        run.remarks += [counted.remark] if counted.remark else []

    def _started(self, run: _Run, plan: RestorePlan, base: WarmBase) -> RunningCopy:
        self._count(run, plan, base)
        # Until it answers; the restorer begins `replaying` then.
        self._times.begin("first answer", None)
        copy = self._restorer.recover(plan, base.copy)
        self._times.end()
        return copy

    def _unwritten(self, base: WarmBase, plan: RestorePlan) -> WalSpan | None:
        """The WAL in which a page that is torn in the backup stands whole, while replay is not past it."""
        backup = plan.backup
        if base.standing().redo >= backup.stop_lsn:
            return None
        return WalSpan(base.copy / WAL, backup.timeline, backup.start_lsn, backup.stop_lsn)

    def _keep(self, run: _Run, base: WarmBase, state: WarmState | None) -> None:
        plan, now = run.plan, self._clock.now()
        control = base.standing()
        lsn = run.reached[0]
        if plan is None or lsn is None or not control.is_shut_down:
            base.forget()
            return
        warm = run.how is How.WARM and state is not None
        base.keep(
            WarmState(
                self._database,
                control.system_id,
                plan.backup.server_version,
                plan.backup.segment_bytes,
                state.chain if warm and state else tuple(each.id for each in plan.chain),
                plan.timeline,
                lsn,
                control.redo,
                run.reached[1],
                state.laid_out_at if warm and state else now,
                now,
                is_clean=True,
                boot=this_boot(),
                is_good=not any(each.subject in MAY_BE_LOCAL for each in run.problems),
            )
        )

    def _recorded(self, run: _Run) -> Verification:
        plan, looked = run.plan, run.looked
        return Verification(
            new_id(self._clock),
            self._database,
            self._region.name,
            run.point.which,
            run.point.target,
            run.point.seed,
            run.started_at,
            self._clock.now(),
            records.standing_of(run.problems),
            tuple(run.problems),
            (*run.remarks, *looked.remarks),
            run.how,
            () if plan is None else tuple(each.id for each in plan.chain),
            None if plan is None else plan.timeline,
            run.reached[0],
            run.reached[1],
            None if plan is None else plan.backup.server_version,
            self._region.bytes_of(""),
            self._region.bytes_of(f"{self._database}/wal/"),
            looked.counted.size_bytes,
            self._times.phases,
            run.pages,
            tuple(looked.checks),
            tuple(looked.newest),
            looked.counted.tables,
            looked.counted.unlogged,
            run.wal,
            looked.needs,
        )


def _reached(
    copy: RunningCopy, state: WarmState | None, plan: RestorePlan
) -> tuple[Lsn | None, datetime | None]:
    """How far the copy is. Without a commit since it was started, it is where it was before."""
    lsn, at = copy.replayed()
    return lsn, at or (state.reached_at if state is not None else plan.backup.finished_at)
