"""What is kept beside backups: the old goes, what is needed stays, what was lifted does not stand again."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from tests import held

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.errors import RegionAway
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import Suspicion
from holdfast.backup.records import encoded
from holdfast.backup.recoverable import marks
from holdfast.backup.retention.pruning import KEPT_FOR, NEWEST_KEPT, old_verifications, prune
from holdfast.kernel.clock import ManualClock

NOW = datetime(2028, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LONG_AGO = NOW - KEPT_FOR - 30 * DAY


class Kept:
    """Two regions with the same in them, at `NOW`."""

    def __init__(self, **options: bool) -> None:
        self.clock = ManualClock(LONG_AGO)
        self.regions = [MemoryRegion(name, clock=self.clock, **options) for name in ("eu", "us")]

    def put(self, key: str, content: bytes = b"{}") -> str:
        for region in self.regions:
            region.put(key, content)
        return key

    def mark(self, letters: str, lifted_at: datetime | None, since: datetime = LONG_AGO) -> Suspicion:
        mark = Suspicion(layout.backup_id(since, letters), since, since, "it jumped")
        self.put(marks.mark_key(held.DB, mark), encoded(mark))
        if lifted_at is not None:
            mark = Suspicion(mark.id, since, since, "it jumped", lifted_at, "ada")
            self.put(marks.mark_key(held.DB, mark), encoded(mark))
        return mark

    def pruned(self) -> dict[str, int]:
        self.clock.advance((NOW - self.clock.now()).total_seconds())
        return dict(prune(self.regions, held.DB, self.clock).objects)


def record(at: datetime, number: int = 0) -> str:
    return f"{layout.verifications_prefix(held.DB)}{layout.backup_id(at, f'{number:06d}')}.json"


def test_old_records_go_and_the_newest_thousand_never_do() -> None:
    kept = Kept()
    old = [kept.put(record(LONG_AGO, number)) for number in range(5)]
    young = [kept.put(record(NOW - KEPT_FOR + DAY, number)) for number in range(NEWEST_KEPT - 2)]
    strange = kept.put(f"{layout.verifications_prefix(held.DB)}notes.txt")
    assert kept.pruned() == {"eu": 3, "us": 3}
    for region in kept.regions:
        assert region.keys == sorted([*old[3:], *young, strange])
    assert kept.pruned() == {"eu": 0, "us": 0}


def test_a_clock_that_runs_years_ahead_leaves_the_newest() -> None:
    region = MemoryRegion("eu")
    for number in range(NEWEST_KEPT + 1):
        region.put(record(NOW, number), b"{}")
    listed = list(region.listed(layout.verifications_prefix(held.DB)))
    assert old_verifications(listed, NOW + 100 * 366 * DAY) == [record(NOW, 0)]


def test_a_lifted_mark_goes_with_its_lifting_and_one_that_stands_stays() -> None:
    kept = Kept()
    kept.mark("aaaaaa", LONG_AGO + DAY)
    stands = kept.mark("bbbbbb", None)
    lately = kept.mark("cccccc", NOW - KEPT_FOR + DAY)
    assert kept.pruned() == {"eu": 2, "us": 2}
    assert {each.id for each in marks.suspicions_of(kept.regions, held.DB)} == {stands.id, lately.id}
    for region in kept.regions:
        deleted = [key for what, key in region.calls if what == "delete"]
        assert [marks.LIFTED in key for key in deleted] == [False, True], "cut off in between it stays lifted"


def test_a_mark_that_accepts_backups_stays_as_long_as_they_do() -> None:
    kept = Kept()
    backup = held.backup(0, begun=LONG_AGO)
    kept.mark("aaaaaa", LONG_AGO + DAY, since=LONG_AGO - DAY)
    key = kept.put(layout.record_key(held.DB, backup.id), encoded(backup))
    assert kept.pruned() == {"eu": 0, "us": 0}
    for region in kept.regions:
        region.delete([key])
    assert kept.pruned() == {"eu": 2, "us": 2}


def test_a_region_that_does_not_know_the_lifting_keeps_it_with_the_others() -> None:
    kept = Kept()
    mark = kept.mark("aaaaaa", LONG_AGO + DAY)
    kept.regions[1].delete([marks.mark_key(held.DB, mark)])
    assert kept.pruned() == {"eu": 0, "us": 0}
    marks.spread(kept.regions, held.DB)
    assert kept.pruned() == {"eu": 2, "us": 2}


def test_while_a_region_is_away_only_records_of_verifications_go() -> None:
    kept = Kept()
    kept.mark("aaaaaa", LONG_AGO + DAY)
    for number in range(NEWEST_KEPT + 1):
        kept.put(record(LONG_AGO, number))
    kept.regions[1].faults.away = True
    assert kept.pruned() == {"eu": 1}
    kept.regions[1].faults.away = False
    assert kept.pruned() == {"eu": 2, "us": 3}


def test_a_history_goes_when_nothing_lies_on_its_timeline_and_the_newest_stays() -> None:
    kept = Kept()
    keys = {}
    for timeline in (2, 3, 4):
        history = held.history(timeline, (1, float(timeline)))
        content = history.text.encode()
        sha = hashlib.sha256(content).hexdigest()
        keys[timeline] = kept.put(layout.history_key(held.DB, Timeline(timeline), sha), content)
    kept.put(held.piece(2, timeline=3).key)
    assert kept.pruned() == {"eu": 1, "us": 1}
    assert keys[2] not in kept.regions[0].keys
    assert {keys[3], keys[4]} <= set(kept.regions[0].keys)


def test_what_is_locked_stays_until_it_is_not() -> None:
    kept = Kept(locks=True)
    kept.mark("aaaaaa", LONG_AGO + DAY)
    lifting = next(key for key in kept.regions[0].keys if marks.LIFTED in key)
    kept.regions[0].lock(lifting, NOW + DAY)
    assert kept.pruned() == {"eu": 1, "us": 2}
    assert [each.lifted_by for each in marks.suspicions_of(kept.regions, held.DB)] == ["ada"]
    kept.clock.advance(2 * DAY.total_seconds())
    again = prune(kept.regions, held.DB, kept.clock)
    assert again.objects == {"eu": 1, "us": 0}


def test_a_region_that_is_away_is_told() -> None:
    kept = Kept()
    for region in kept.regions:
        region.faults.away = True
    assert set(prune(kept.regions, held.DB, kept.clock).failed) == {"eu", "us"}
    with pytest.raises(RegionAway):
        list(kept.regions[0].listed(""))
