"""Marks in several regions: raised everywhere, lifted by a person, and known also to who was away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests import held

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.errors import RegionAway
from holdfast.backup.model import Backup, Suspicion
from holdfast.backup.records import encoded
from holdfast.backup.recoverable import marks
from holdfast.backup.verify.judging import judge_backup
from holdfast.backup.verify.watching import Watch
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry

NOW = datetime(2026, 11, 22, 20, tzinfo=UTC)
MARK = Suspicion("20261122T200000Z-aaaaaa", NOW - timedelta(hours=1), NOW, "it jumped")


def test_a_mark_is_told_everywhere_and_a_region_that_was_away_learns_it_later() -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    us.faults.away = True
    spread = marks.tell([eu, us], held.DB, MARK)
    assert (spread.told, list(spread.behind)) == (("eu",), ["us"])
    us.faults.away = False
    assert marks.suspicions_of([eu, us], held.DB) == (MARK,)
    lifted = marks.lifted([MARK], MARK.id, "ada", NOW)
    marks.tell([eu], held.DB, lifted)
    assert marks.spread([eu, us], held.DB).told == ("eu", "us")
    for region in (eu, us):
        assert marks.suspicions_in(region, held.DB) == (lifted,)
    assert len(us.keys) == 2


def test_a_lifting_known_anywhere_counts_and_twice_is_as_once() -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    lifted = marks.lifted([MARK], MARK.id, "ada", NOW)
    for _ in range(2):
        assert not marks.tell([eu, us], held.DB, MARK).behind
        assert not marks.tell([us], held.DB, lifted).behind
    assert marks.suspicions_of([eu, us], held.DB) == (lifted,)
    with pytest.raises(marks.NoSuchMark):
        marks.lifted([lifted], MARK.id, "ada", NOW)


def test_no_answer_is_not_no_suspicion() -> None:
    eu = MemoryRegion("eu")
    eu.faults.away = True
    with pytest.raises(RegionAway):
        marks.suspicions_of([eu], held.DB)


def test_what_is_from_before_is_locked_with_its_chain_and_what_is_behind_is_not() -> None:
    full = held.backup(0)
    before, behind = held.backup(2, full), held.backup(5, full)
    eu = MemoryRegion("eu", locks=True)
    us = MemoryRegion("us")
    for each in (full, before, behind):
        for region in (eu, us):
            for one in each.objects:
                region.put(one.key, b"x")
            region.put(layout.record_key(held.DB, each.id), encoded(each))
    events: list[JournalEntry] = []
    watch = Watch(held.DB, [eu, us], ManualClock(NOW), events.append)
    mark = Suspicion("20261122T200000Z-bbbbbb", held.at(3), NOW, "a person saw it")

    raised = watch.mark(mark, [full, before, behind])

    assert raised.locked == {"eu": 8, "us": 0}
    for each, is_locked in ((full, True), (before, True), (behind, False)):
        for key in (*(one.key for one in each.objects), layout.record_key(held.DB, each.id)):
            assert (eu.locked_until(key) == NOW + marks.LOCKED_FOR) == is_locked
    assert [each.event for each in events] == ["backup.suspicion_raised"]
    assert watch.suspect(mark, []) is None
    assert watch.lift(mark.id, "ada").suspicion.lifted_by == "ada"
    assert [each.event for each in events] == ["backup.suspicion_raised", "backup.suspicion_lifted"]


def test_the_newest_backup_is_judged_beside_those_before_it() -> None:
    eu = MemoryRegion("eu")
    watch = Watch(held.DB, [eu], ManualClock(NOW), lambda _: None)
    backups = [held.backup(24 * day) for day in range(8)]
    assert watch.look(backups)[1] is None
    grown = _with_stored(backups[-1], 990)
    verdicts, raised = watch.look([*backups[:-1], grown])
    assert raised is not None
    assert raised.suspicion.since == backups[-2].finished_at
    assert "compression:full" in {each.figure for each in verdicts}
    assert marks.suspicions_in(eu, held.DB) == (raised.suspicion,)
    assert watch.look([*backups[:-1], grown])[1] is None


def test_a_backup_is_judged_when_it_is_finished_and_once() -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    events: list[JournalEntry] = []
    backups = [held.backup(24 * day) for day in range(8)]
    like_them, shrunk = backups[-1], _with_stored(backups[-1], 990)
    for each in backups[:-1]:
        us.put(layout.record_key(held.DB, each.id), encoded(each))
    eu.faults.away = True
    clock = ManualClock(NOW)

    assert judge_backup(like_them, [eu, us], clock, events.append) == ()
    assert events == []
    (said,) = judge_backup(shrunk, [eu, us], clock, events.append)

    assert said.startswith("stored bytes for each byte of a full backup")
    assert judge_backup(shrunk, [eu, us], clock, events.append) == (said,)
    assert [each.event for each in events] == ["backup.suspicion_raised"], "once"
    (mark,) = marks.suspicions_in(us, held.DB)
    assert mark.since == backups[-2].finished_at
    us.faults.away = True
    with pytest.raises(RegionAway):
        judge_backup(shrunk, [eu, us], clock, events.append)


def _with_stored(backup: Backup, stored_bytes: int) -> Backup:
    (archive,) = backup.archives
    chunks = tuple(replace(each, stored_bytes=stored_bytes) for each in archive.chunks)
    return replace(backup, archives=(replace(archive, chunks=chunks),))
