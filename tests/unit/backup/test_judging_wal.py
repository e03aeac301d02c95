"""A mass delete is noticed in the log at the next verification, whatever stretch it is in, and told once."""

from dataclasses import replace
from datetime import datetime, timedelta

from tests import held

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import Backup, Target
from holdfast.backup.recoverable import marks
from holdfast.backup.verify.marking import marked
from holdfast.backup.verify.verification import Standing, Subject, Verification
from holdfast.backup.verify.verified_points import Which
from holdfast.backup.verify.wal_counts import WalCounts
from holdfast.backup.verify.watching import Watch
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry

USUAL = (2100, 1900, 2500, 2000, 1800, 2200, 2300)
"""Rows deleted each day."""


def verification(number: int, at: datetime, wal: tuple[WalCounts, ...]) -> Verification:
    return Verification(
        f"record-{number:02d}",
        held.DB,
        "eu",
        Which.NEWEST,
        Target(),
        None,
        at,
        at,
        Standing.PASSED,
        reached_at=at,
        wal=wal,
    )


def ended(backup: Backup, deletes: int) -> WalCounts:
    return WalCounts(
        backup.start_lsn, backup.start_lsn, Timeline(1), backup.id, backup.started_at, deletes=deletes
    )


class Days:
    """A backup each day, and a verification two hours behind it."""

    def __init__(self) -> None:
        self.region = MemoryRegion("eu")
        self.clock = ManualClock(held.DAY_0)
        self.events: list[JournalEntry] = []
        self.watch = Watch(held.DB, [self.region], self.clock, self.events.append)
        self.backups: list[Backup] = []
        self.earlier: list[Verification] = []

    def day(self, *deletes: int, since: int = 0) -> Verification:
        """`deletes`: before each backup since the last verification; `since`: behind the newest."""
        wal: list[WalCounts] = []
        for count in deletes:
            self.backups.append(held.backup(24 * len(self.backups)))
            wal.append(ended(self.backups[-1], count))
        newest = self.backups[-1]
        wal.append(WalCounts(newest.start_lsn, newest.stop_lsn, Timeline(1), deletes=since))
        at = max(newest.started_at + timedelta(hours=2), self.clock.now() + timedelta(hours=1))
        self.clock.advance((at - self.clock.now()).total_seconds())
        record = verification(len(self.earlier), at, tuple(wal))
        holdings = held.holdings(self.backups, ())
        found = marked(self.watch, self.clock, holdings, self.earlier, record)
        self.earlier.append(replace(found, wal=record.wal))
        return found

    @property
    def raised(self) -> int:
        return sum(each.event == "backup.suspicion_raised" for each in self.events)


def test_what_is_usual_is_no_damage_and_too_little_history_says_nothing() -> None:
    days = Days()
    assert days.day(10**6).standing is Standing.PASSED, "nobody knows what is usual"
    days = Days()
    for count in USUAL:
        assert days.day(count, since=300).standing is Standing.PASSED
    assert days.day(0, since=9000).standing is Standing.PASSED
    assert not days.events


def test_a_mass_delete_that_is_going_on_is_noticed_before_the_next_backup_and_told_once() -> None:
    days = Days()
    for count in USUAL:
        days.day(count)
    last_good = days.backups[-1].started_at
    record = days.day(since=900_000)
    assert record.standing is Standing.FAILED
    (problem,) = record.problems
    assert (problem.subject, problem.text) == (
        Subject.DAMAGE,
        "rows deleted: 900,000 where 2,100 is usual",
    )
    (mark,) = marks.suspicions_in(days.region, held.DB)
    assert mark.since == last_good
    days.day(since=900_001)
    days.day(900_002)
    assert days.raised == 1


def test_one_that_lies_between_two_backups_is_not_hidden_by_the_newer_one() -> None:
    days = Days()
    for count in USUAL:
        days.day(count)
    good = days.backups[-1].started_at
    record = days.day(900_000, 2000)
    assert [each.text for each in record.problems] == ["rows deleted: 900,000 where 2,100 is usual"]
    (mark,) = marks.suspicions_in(days.region, held.DB)
    assert mark.since == good


def test_what_a_person_has_found_right_is_not_told_again_as_it_grows_and_ends() -> None:
    days = Days()
    for count in USUAL:
        days.day(count)
    days.day(since=900_000)
    (mark,) = marks.suspicions_in(days.region, held.DB)
    days.clock.advance(600)
    days.watch.lift(mark.id, "ada")
    assert days.day(since=910_000).standing is Standing.PASSED
    assert days.day(950_000).standing is Standing.PASSED
    assert days.raised == 1
    assert days.day(2000, since=90_000_000).standing is Standing.FAILED, "a hundred times as much is not that"
    assert days.raised == 2
