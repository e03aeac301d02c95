"""Verifies what the other engines keep: restores it in isolation, starts it read-only, and looks at it.

The same questions as to native copies, and the same records, in every region. A copy goes when it was looked
at: these engines roll nothing forward.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from holdfast.backup.engines import Kept
from holdfast.backup.errors import BackupError, RegionError, RestoreFailed
from holdfast.backup.lsn import Lsn
from holdfast.backup.model import Backup, Suspicion, Target
from holdfast.backup.ports import Copy, Progress, Region
from holdfast.backup.recoverable import marks
from holdfast.backup.restore.unpacking import Silent
from holdfast.backup.verify import verification as records
from holdfast.backup.verify.counting import fallen
from holdfast.backup.verify.damage import Standing as Damage
from holdfast.backup.verify.looking import Looked, Wanted, look, problems_in
from holdfast.backup.verify.marking import MAKES_SUSPECT
from holdfast.backup.verify.metering import PhaseTimes
from holdfast.backup.verify.verification import PagesChecked, Problem, Standing, Subject, Verification
from holdfast.backup.verify.verified_points import Point, Which
from holdfast.backup.verify.warm import WarmBase
from holdfast.backup.verify.watching import Told, Watch, new_id
from holdfast.kernel.clock import Clock

FOLDER = "engine"


@dataclass(frozen=True, slots=True)
class Restored:
    """A copy that runs, what it began with, and how far it is: None where its engine does not tell."""

    copy: Copy
    kept: Kept
    reached_lsn: Lsn | None
    reached_at: datetime


class Restoring(Protocol):
    """How an engine's backup of one region becomes a copy that answers, and cannot be written to."""

    def restore(self, target: Target, folder: Path) -> Restored:
        """Restore into `folder`, which does not exist, and start it. Raises BackupErrors."""
        ...

    def pages(self, folder: Path, restored: Restored) -> PagesChecked:
        """Read every page of the copy, which was shut down."""
        ...

    def end_leftover(self, folder: Path) -> None:
        """Shut a server down that a killed verification has left on the folder. Raises RestoreFailed."""
        ...


@dataclass(slots=True)
class _Run:
    """What is known so far of one verification."""

    point: Point
    started_at: datetime
    restored: Restored | None = None
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    looked: Looked = field(default_factory=Looked)
    pages: PagesChecked = field(default_factory=lambda: PagesChecked("not reached"))


class EngineVerifier:
    """Verifies points of one database in `region`; records and marks go to all `regions`.

    `folder` is this database's own, for copies. `told` gets the events. `dumps`: what a suspicion locks.
    """

    def __init__(
        self,
        database: str,
        region: str,
        restoring: Restoring,
        regions: Sequence[Region],
        folder: Path,
        clock: Clock,
        told: Told,
        progress: Progress | None = None,
        dumps: Sequence[Backup] = (),
    ) -> None:
        self._database = database
        self._region = region
        self._restoring = restoring
        self._regions = tuple(regions)
        self._base = WarmBase(folder / f"{FOLDER}-{region}")
        self._clock = clock
        self._told = told
        self._times = PhaseTimes(progress or Silent(), clock)
        self._dumps = dumps
        self._watch = Watch(database, regions, clock, told)

    def verify(self, point: Point, wanted: Wanted) -> Verification:
        """Verify one point, keep the record, mark what it makes suspect, and tell.

        What goes wrong is in the record; NotFit alone is raised, while somebody else verifies this region.
        """
        run = _Run(point, self._clock.now())
        self._times.forget()
        with self._base.held():
            try:
                self._clear()
                self._verified(run, wanted)
            except (BackupError, OSError) as error:
                run.problems.append(records.problem_of(error))
            finally:
                self._times.end()
                with suppress(BackupError):
                    self._clear()
        record = self._marked(run, self._recorded(run))
        with suppress(RegionError):
            # A region that was away when something was marked, or lifted, learns it now.
            marks.spread(self._regions, self._database)
        for region, why in records.keep(self._regions, record).items():
            self._times.note(f"{region} does not have the record: {why}")
        self._told(records.event_of(record))
        return record

    def _clear(self) -> None:
        """End and remove what lies in the folder, of this run or of one that was killed."""
        for each in self._base.folder.glob(f"{self._base.copy.name}*"):
            self._restoring.end_leftover(each)
            shutil.rmtree(each, ignore_errors=True)

    def _verified(self, run: _Run, wanted: Wanted) -> None:
        self._times.begin("fetching", None)
        run.restored = restored = self._restoring.restore(run.point.target, self._base.copy)
        try:
            asked = restored.copy.ask("template1", "SELECT 1", 60.0)
            if asked.error:
                raise RestoreFailed(f"the restored server does not answer: {asked.error}")
            self._times.begin("checks", None)
            run.looked = look(restored.copy, wanted, restored.reached_at, self._clock)
        finally:
            restored.copy.stop()
        self._times.begin("pages", None)
        run.pages = self._restoring.pages(self._base.copy, restored)
        self._times.end()
        run.problems += problems_in(run.looked, run.pages)

    def _recorded(self, run: _Run) -> Verification:
        restored, looked = run.restored, run.looked
        kept = restored.kept if restored else None
        return Verification(
            id=new_id(self._clock),
            database=self._database,
            region=self._region,
            which=run.point.which,
            target=run.point.target,
            seed=run.point.seed,
            started_at=run.started_at,
            finished_at=self._clock.now(),
            standing=records.standing_of(run.problems),
            problems=tuple(run.problems),
            remarks=(*run.remarks, *looked.remarks),
            chain=(*kept.depends_on, kept.id) if kept else (),
            timeline=kept.timeline if kept else None,
            reached_lsn=restored.reached_lsn if restored else None,
            reached_at=restored.reached_at if restored else None,
            server_version=kept.server_version if kept else None,
            fetched_bytes=(kept.stored_bytes or 0) if kept else 0,
            size_bytes=looked.counted.size_bytes,
            phases=self._times.phases,
            pages=run.pages,
            checks=tuple(looked.checks),
            newest=tuple(looked.newest),
            tables=looked.counted.tables,
            unlogged=looked.counted.unlogged,
        )

    def _marked(self, run: _Run, record: Verification) -> Verification:
        """Beside the verifications before it: what has fallen or jumped, and the marks that follow."""
        if record.which is not Which.NEWEST or run.restored is None:
            return record
        try:
            earlier = self._earlier()
            good = records.last_passed(earlier)
            remarks = list(record.remarks)
            if good is not None and record.tables:
                remarks += fallen(good.tables, record.tables)
            problems = [*record.problems, *self._jumped(earlier, record)]
            began = run.restored.kept.started_at
            self._suspect(good.reached_at if good else None, began, problems)
        except BackupError as error:
            return replace(record, remarks=(*record.remarks, f"marks could not be kept: {error}"))
        standing = records.standing_of(problems)
        return replace(record, remarks=tuple(remarks), problems=tuple(problems), standing=standing)

    def _earlier(self) -> list[Verification]:
        """Of the newest points of this region before, those that reached one; by any region's records."""
        found: dict[str, Verification] = {}
        for region in self._regions:
            with suppress(RegionError):
                found |= {each.id: each for each in records.verifications_in(region, self._database)}
        return [
            each
            for each in sorted(found.values(), key=lambda each: each.id)
            if each.region == self._region and each.which is Which.NEWEST and each.reached_at is not None
        ]

    def _jumped(self, before: Sequence[Verification], record: Verification) -> list[Problem]:
        """Which figures of the newest dump, and of this copy, are not as they always were."""
        verdicts, _ = self._watch.look(self._dumps)
        newest = records.sample_of(record)
        if newest is not None and record.tables:
            history = [each for each in map(records.sample_of, before) if each is not None]
            verdicts = [*verdicts, *self._watch.judge(history, newest, self._dumps)[0]]
        hint = "holdfast backup suspect list; when all is as it should be: suspect lift"
        jumped = [each for each in verdicts if each.standing is Damage.JUMPED]
        return [Problem(Subject.DAMAGE, each.text, Standing.FAILED, hint) for each in jumped]

    def _suspect(self, good: datetime | None, began: datetime, problems: Sequence[Problem]) -> None:
        """Mark what was written since the last point that passed, when the data itself is wrong.

        Where none ever passed: since the oldest dump, or since the backup `began` that is wrong.
        """
        wrong = [
            each for each in problems if each.subject in MAKES_SUSPECT and each.standing is Standing.FAILED
        ]
        if not wrong:
            return
        since = good or min([began, *(each.started_at for each in self._dumps)])
        reason = "; ".join(each.text for each in wrong[:3])
        self._watch.suspect(Suspicion(new_id(self._clock), since, self._clock.now(), reason), self._dumps)
