"""What is locked for how long: the whole window, and nothing for ever."""

from datetime import datetime, timedelta

import pytest
from tests.held import DB, HOUR, at, backup, holdings, piece, wal
from tests.proven import put_backup, put_wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.errors import RegionAway, RegionRefused
from holdfast.backup.model import Backup, Holdings
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.retention.locking import AHEAD, Locker, wanted_locks
from holdfast.backup.retention.retention import expiring
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

DAY = timedelta(days=1)
KEEP = Keep(window=2 * DAY, weekly=0, monthly=0, minimum=1)


def locks(held: Holdings, now: datetime, keep: Keep = KEEP) -> dict[str, datetime]:
    return {each.key: each.until for each in wanted_locks(held, keep, now)}


def record(of: Backup) -> str:
    return layout.record_key(DB, of.id)


def test_wal_is_locked_until_the_window_has_left_the_next_backup_behind() -> None:
    held = holdings([backup(0), backup(26)], wal(0, 60))
    found = locks(held, at(60))
    assert found[piece(5).key] == at(4 * 24)
    assert found[piece(25).key] == at(4 * 24)
    # With the second backup's own WAL it becomes consistent, and what follows has no next one yet.
    assert found[piece(26).key] == found[piece(59).key] == at(5 * 24)


def test_a_backup_is_locked_until_the_window_has_left_the_next_one_behind() -> None:
    first, second = backup(1), backup(30)
    held = holdings([first, second], wal(0, 60))
    found = locks(held, at(60))
    # The second was finished on the second day; the newest is needed for a window from today, the third.
    assert found[record(first)] == at(4 * 24)
    assert found[record(second)] == at(5 * 24)
    for each in first.objects:
        assert found[each.key] == at(4 * 24)
    # A day on, the newest is locked for a day longer, and the other is not.
    later = locks(holdings([first, second], wal(0, 74)), at(74))
    assert (later[record(first)], later[record(second)]) == (at(4 * 24), at(6 * 24))


def test_what_an_increment_needs_is_locked_as_long_as_it() -> None:
    full = backup(1)
    child = backup(20, full)
    last = backup(60, child)
    found = locks(holdings([full, child, last], wal(0, 70)), at(70))
    assert found[record(full)] == found[record(child)] == found[record(last)] == at(5 * 24)


def test_whatever_an_intruder_deletes_the_whole_window_can_still_be_restored() -> None:
    backups = [backup(0)]
    for hours in range(12, 24 * 8, 12):
        backups.append(backup(hours, backups[-1] if hours % 48 else None))
    pieces = wal(0, 24 * 8)
    locked: dict[str, datetime] = {}
    for hour in range(24 * 8):
        there = [each for each in backups if each.finished_at <= at(hour)]
        held = holdings(there, [each for each in pieces if each.segment.number <= hour])
        for key, until in locks(held, at(hour)).items():
            locked[key] = max(until, locked.get(key, until))
        left = holdings(
            [each for each in there if locked.get(record(each), at(0)) > at(hour)],
            [each for each in held.wal if locked.get(each.key, at(0)) > at(hour)],
        )
        whole, standing = windows_of(held), windows_of(left)
        if not whole:
            continue
        # A full backup may stand alone before it, for the sake of its increments.
        assert standing[-1].start <= max(whole[-1].start, at(hour) - KEEP.window)
        assert standing[-1].end == whole[-1].end


def test_what_is_due_to_go_is_not_locked_anew() -> None:
    old, new = backup(1), backup(100)
    held = holdings([old, new], wal(0, 24 * 12))
    now = at(24 * 12)
    going = expiring(held, KEEP, now)
    assert old in going.backups
    found = locks(held, now)
    assert not {record(old), *(each.key for each in going.wal)} & set(found)
    assert record(new) in found


def test_a_clock_that_runs_ahead_locks_nothing_for_years() -> None:
    held = holdings([backup(1)], wal(0, 5))
    found = locks(held, at(24 * 3650))
    assert max(found.values(), default=at(0)) <= at(5) + AHEAD + KEEP.window + DAY
    assert locks(holdings([], []), at(5)) == {}


def test_parts_of_segments_are_locked_when_nothing_replaced_them_for_an_hour() -> None:
    old, replaced, fresh = piece(9, 0, 0.5), piece(5, 0, 0.5), piece(11, 0, 0.5)
    held = holdings([backup(0)], [*wal(0, 9), old, replaced, fresh])
    found = locks(held, at(11.6))
    assert old.key in found
    assert {replaced.key, fresh.key}.isdisjoint(found)


def test_what_is_not_whole_is_not_locked() -> None:
    half = backup(1)
    found = locks(holdings([half, backup(2)], wal(0, 5), missing=[half]), at(5))
    assert record(half) not in found
    assert record(backup(2)) in found


# --- doing it


def filled(*, locks: bool = True) -> tuple[MemoryRegion, ManualClock, list[str]]:
    clock = ManualClock(at(6))
    region = MemoryRegion("eu", locks=locks, clock=clock)
    full = put_backup([region], 1)
    put_backup([region], 2, full)
    for hour in range(4):
        put_wal([region], hour)
    return region, clock, region.keys


def test_everything_is_locked_once_and_then_once_a_day() -> None:
    region, clock, keys = filled()
    locker = Locker(region)
    held = holdings_of(region, DB, clock)
    assert locker.lock(held, KEEP, clock.now()).objects == len(keys)
    assert all(region.locked_until(key) for key in keys)
    for key in keys:
        with pytest.raises(RegionRefused):
            region.delete([key])
    asked = len(region.calls)
    assert locker.lock(held, KEEP, clock.now() + HOUR).objects == 0
    assert len(region.calls) == asked
    # The next day all but the WAL that no backup needs: a newer one is behind it.
    assert locker.lock(held, KEEP, clock.now() + DAY).objects == len(keys) - 1


def test_of_very_many_the_newest_come_first_and_the_rest_the_next_time() -> None:
    region, clock, keys = filled()
    locker, held = Locker(region), holdings_of(region, DB, clock)
    first = locker.lock(held, KEEP, clock.now(), most=3)
    assert (first.objects, first.left) == (3, len(keys) - 3)
    assert [key for key in keys if region.locked_until(key)] == [key for key in keys if "/wal/" in key][1:]
    while locker.lock(held, KEEP, clock.now(), most=3).left:
        pass
    assert all(region.locked_until(key) for key in keys)


def test_a_region_without_locks_is_asked_once() -> None:
    region, clock, _ = filled(locks=False)
    locker, held = Locker(region), holdings_of(region, DB, clock)
    assert locker.lock(held, KEEP, clock.now()).objects == 0
    asked = len(region.calls)
    locker.lock(held, KEEP, clock.now())
    assert len(region.calls) == asked


def test_what_failed_is_tried_again_and_what_is_gone_is_passed_over() -> None:
    region, clock, keys = filled()
    locker, held = Locker(region), holdings_of(region, DB, clock)
    region.faults.away = True
    with pytest.raises(RegionAway):
        locker.lock(held, KEEP, clock.now())
    region.faults.away = False
    region.lose(keys[-1])
    assert locker.lock(held, KEEP, clock.now()).left == 0
    assert all(region.locked_until(key) for key in keys[:-1])
