"""Finds the last good point of a database from what one region holds: lays out, searches, goes back further.

SCRATCH/
  lock, copy/       the leader's data directory (`holdfast.backup.verify.warm` knows this layout)
  follower/         its clone
  wal/              all WAL of the search, in neither of the two: it is released commit by commit
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from holdfast.backup.errors import Damaged, NotRecoverable
from holdfast.backup.lsn import Lsn, format_lsn
from holdfast.backup.model import Backup, Holdings, RestorePlan, Target, TargetKind
from holdfast.backup.ports import Packer, Progress, Region
from holdfast.backup.recoverable.chain import chain_of, plan_for, reaches_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.lines import line_of
from holdfast.backup.restore.restoring import Postgres, Restored, Restorer
from holdfast.backup.restore.unpacking import WAL
from holdfast.backup.search.commits import Commit, CommitReader
from holdfast.backup.search.searching import STEPS, Flip, Outcome, Question, Search, Standby
from holdfast.backup.verify.warm import WarmBase
from holdfast.backup.wal.wal_folder import WalFolder
from holdfast.kernel.clock import Clock


class Standbys(Protocol):
    """PostgreSQL on this machine, as a search needs it."""

    @property
    def postgres(self) -> Postgres: ...

    def started(
        self,
        folder: Path,
        wal: WalFolder,
        plan: RestorePlan,
        question: Question,
        *,
        released: Lsn,
        sees_reads: bool,
    ) -> AbstractContextManager[Standby]:
        """A standby on a data directory without WAL, that has replayed at most what is before `released`."""
        ...

    def end_leftover(self, folder: Path) -> None:
        """End the server that a killed search left on a data directory, if there is one."""
        ...


class Ending(StrEnum):
    """How a search ended."""

    FOUND = "found"
    STILL_GOOD = "still good"
    NEVER_GOOD = "never good"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is searched for. `since` and `until` bound it; without them it goes back until it was good."""

    question: Question
    since: datetime | None = None
    until: datetime | None = None
    tables: tuple[str, ...] = ()
    steps: int | None = STEPS
    """At so many commits the check is asked; None: at each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in a region, from which backup on. `commits` were in the log that was searched."""

    database: str
    region: str
    backup: str
    ending: Ending
    outcome: Outcome
    commits: int
    first_at: datetime | None
    """The first and the last commit of the log that was searched."""
    last_at: datetime | None

    @property
    def flips(self) -> Sequence[Flip]:
        return self.outcome.flips

    @property
    def target(self) -> Target | None:
        """What a restore of the last good point aims at: everything before the first bad commit."""
        turn = self.outcome.turn
        if turn is None:
            return None
        if turn.unasked:
            # In between nobody could ask, so that what committed there may be bad already.
            if turn.before is None:
                return Target(TargetKind.LSN, lsn=self.outcome.began, inclusive=False)
            return Target(TargetKind.LSN, lsn=turn.before.commit.lsn)
        return Target(TargetKind.LSN, lsn=turn.after.commit.lsn, inclusive=False)


class Finder:
    """Searches in what `region` holds; what it has damaged comes from `others`. `scratch` is its own."""

    def __init__(
        self,
        database: str,
        region: Region,
        others: Sequence[Region],
        packer: Packer,
        standbys: Standbys,
        scratch: Path,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._database = database
        self._region = region
        self._standbys = standbys
        self._scratch = scratch
        self._clock = clock
        self._progress = progress
        self._restorer = Restorer(region, packer, standbys.postgres, clock, progress, others=others)

    def find(self, asked: Asked) -> Finding:
        """Search; all that was laid out for it is gone at the end.

        Raises NotRecoverable when the region does not hold the beginning; NotFit, RestoreFailed, Damaged.
        """
        holdings = holdings_of(self._region, self._database, self._clock)
        backups = self._backups(holdings, asked)
        base = WarmBase(self._scratch)
        with base.held():
            try:
                bad_from: Lsn | None = None
                while True:
                    backup = backups.pop()
                    found = self._from(holdings, backup, asked, base, bad_from)
                    if found.ending is not Ending.NEVER_GOOD or not backups:
                        return found
                    self._progress.note(f"not good either at {backup.finished_at.isoformat()}: going back")
                    bad_from = found.outcome.began
            finally:
                self._clear(base)

    def leave(self, found: Finding, folder: Path) -> Restored:
        """Restore the last good point into `folder`; the copy runs, read-only, and stays in recovery."""
        if found.target is None:
            raise NotRecoverable("there is no last good point to leave a copy at")
        plan = plan_for(holdings_of(self._region, self._database, self._clock), found.target)
        restored = self._restorer.restore(plan, folder)
        self._restorer.finish(plan, restored, promote=False, keep_running=True)
        return restored

    def _backups(self, holdings: Holdings, asked: Asked) -> list[Backup]:
        """Where a search may begin, the oldest first."""
        if asked.since is not None:
            target = Target(TargetKind.TIME, time=asked.since)
            return [plan_for(holdings, target).backup]
        reaches = reaches_of(holdings)
        fitting = [
            each
            for each in (reaches[-1].backups if reaches else ())
            if asked.until is None or each.finished_at <= asked.until
        ]
        if not fitting:
            raise NotRecoverable(
                f"{self._database} in {self._region.name}: there is nothing to search",
                hint="holdfast backup points tells what can be restored",
            )
        return list(fitting)

    def _from(
        self, holdings: Holdings, backup: Backup, asked: Asked, base: WarmBase, bad_from: Lsn | None
    ) -> Finding:
        """Search from one backup on; up to `bad_from`, behind which a search found nothing good."""
        chain = chain_of(holdings.backups, backup.id)
        plan = plan_for(replace(holdings, backups=chain), Target())
        self._clear(base)
        self._restorer.lay_out(plan, base.copy)
        wal = WalFolder(self._scratch / "wal", backup.segment_bytes)
        wal.take_from(base.copy / WAL)
        follower = self._scratch / "follower"
        base.clone(follower)
        log = _Log(wal, plan, self._progress)
        began, end = log.bounds(asked.since, asked.until, bad_from)
        with ExitStack() as standbys:
            leader_, follower_ = (
                standbys.enter_context(
                    self._standbys.started(
                        folder, wal, plan, asked.question, released=backup.stop_lsn, sees_reads=sees_reads
                    )
                )
                for folder, sees_reads in ((base.copy, True), (follower, False))
            )
            search = Search(
                leader_,
                follower_,
                lambda: log.commits(end),
                self._progress,
                self._clock.monotonic,
                steps=asked.steps,
            )
            outcome = search.run(began, asked.tables)
        return Finding(
            self._database,
            self._region.name,
            backup.id,
            _ending(outcome),
            outcome,
            log.counted,
            log.first_at,
            log.last_at,
        )

    def _clear(self, base: WarmBase) -> None:
        for folder in (base.copy, self._scratch / "follower"):
            if folder.exists():
                self._standbys.end_leftover(folder)
                shutil.rmtree(folder)
        shutil.rmtree(self._scratch / "wal", ignore_errors=True)


class _Log:
    """The log of a plan, from where its backup began."""

    def __init__(self, wal: WalFolder, plan: RestorePlan, progress: Progress) -> None:
        self._wal = wal
        self._backup = plan.backup
        self._line = line_of(plan.timeline, plan.histories)
        self._end = max((each.end_lsn for each in plan.wal), default=plan.backup.stop_lsn)
        self._progress = progress
        self.counted = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None

    def commits(self, end: Lsn | None = None) -> Iterator[Commit]:
        """All commits before `end`. Raises Damaged when the log ends before the backup is consistent."""
        reader = CommitReader(self._backup.start_lsn, self._backup.segment_bytes)
        for content in self._wal.along(self._line, self._backup.start_lsn, self._end):
            for commit in reader.read(content):
                if end is not None and commit.end > end:
                    return
                yield commit
            if reader.problem:
                break
        if reader.reached < self._backup.stop_lsn:
            raise Damaged(
                f"the log ends at {format_lsn(reader.reached)}, before backup {self._backup.id} is"
                f" consistent: {reader.problem or 'nothing follows'}",
                hint="search from another region with --region",
            )
        if reader.problem and self._end - reader.reached > self._backup.segment_bytes:
            self._progress.note(f"the log can be read up to {format_lsn(reader.reached)}: {reader.problem}")

    def bounds(self, since: datetime | None, until: datetime | None, bad_from: Lsn | None) -> tuple[Lsn, Lsn]:
        """Where the search begins and ends. Times are those of commits, by the server's clock."""
        began = end = self._backup.stop_lsn
        for commit in self.commits(bad_from):
            if since is not None and commit.at <= since:
                began = max(began, commit.end)
            if until is None or commit.at <= until:
                end = max(end, commit.end)
            if commit.end > began and commit.end <= end:
                self.counted += 1
                self.first_at = self.first_at or commit.at
                self.last_at = commit.at
        return began, max(began, end)


def _ending(outcome: Outcome) -> Ending:
    if outcome.turn is not None:
        return Ending.STILL_GOOD if outcome.last.is_good else Ending.FOUND
    return Ending.STILL_GOOD if outcome.last.is_good else Ending.NEVER_GOOD
