"""What becomes of a region's dumps: told, copied, locked and let go of, wherever it is cut off."""

from datetime import timedelta

import pytest
from tests.held import DB, at
from tests.proven import contents, put_dump
from tests.stored_held import DyingRegion, Killed

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.errors import RegionAway
from holdfast.backup.logical.held import (
    copy_dumps,
    dumps_held,
    expired_dumps,
    lacking_dumps,
    let_dumps_go,
    lock_dumps,
    record_key,
    sweep_dumps,
    whole_dumps,
)
from holdfast.backup.model import Holdings, Suspicion
from holdfast.backup.recoverable.marks import lock_before, mark_key, tell
from holdfast.backup.take.taking import Silent
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

NOW = at(100)
CLOCK = ManualClock(NOW)
KEEP = Keep(window=timedelta(hours=10), daily=0, weekly=0, monthly=0, minimum=1)
EVERYTHING = Keep(window=timedelta(days=1000), daily=0, weekly=0, monthly=0, minimum=1)


def held(region: MemoryRegion) -> Holdings:
    return dumps_held(region, DB, CLOCK)


def ids(region: MemoryRegion) -> list[str]:
    return [each.id for each in whole_dumps(held(region))]


def test_a_record_that_does_not_decode_is_named_and_keeps_all_from_expiring() -> None:
    region = MemoryRegion("eu", clock=CLOCK)
    old, *_ = [put_dump([region], hours) for hours in (10, 20, 95)]
    assert [each.id for each in expired_dumps(region, held(region), KEEP, NOW)] == [old.id]
    region.damage(record_key(old), 10)
    told = held(region)
    assert told.unreadable == (record_key(old),)
    assert expired_dumps(region, told, KEEP, NOW) == ()


def test_a_record_that_lies_elsewhere_is_nobodys() -> None:
    region = MemoryRegion("eu", clock=CLOCK)
    dump = put_dump([region], 10)
    content = region.get(record_key(dump))
    region.delete([record_key(dump)])
    region.put(layout.logical_key(DB, "20260101T000000Z-zzzzzz", layout.RECORD), content)
    assert held(region).backups == ()
    assert len(held(region).unreadable) == 1


@pytest.mark.parametrize("survives", range(5))
def test_letting_go_that_is_killed_anywhere_leaves_no_half_dump(survives: int) -> None:
    region = DyingRegion("eu", clock=CLOCK, survives=survives)
    old, kept = put_dump([region], 10), put_dump([region], 95)
    try:
        let_dumps_go(region, [old])
    except Killed:
        assert survives < 4
    region.survives = None
    assert held(region).missing == ()
    assert ids(region) in ([old.id, kept.id], [kept.id])
    let_dumps_go(region, [each for each in held(region).backups if each.id == old.id])
    later = ManualClock(NOW + timedelta(days=2))
    sweep_dumps(region, DB, later)
    assert not [key for key in region.keys if old.id in key]
    assert ids(region) == [kept.id]


def test_what_is_locked_stays_and_is_no_error() -> None:
    region = MemoryRegion("eu", locks=True, clock=CLOCK)
    old, _ = put_dump([region], 10), put_dump([region], 95)
    region.lock(record_key(old), NOW + timedelta(days=1))
    assert expired_dumps(region, held(region), KEEP, NOW) == ()
    assert let_dumps_go(region, [old]) == 0
    assert old.id in ids(region)


def test_what_the_window_needs_is_locked_until_it_has_left_it() -> None:
    region = MemoryRegion("eu", locks=True, clock=CLOCK)
    expired, base, newest = (put_dump([region], hours) for hours in (10, 80, 95))
    assert lock_dumps(region, held(region), KEEP, NOW) == 2
    assert region.locked_until(record_key(expired)) is None
    until = region.locked_until(record_key(base))
    assert until is not None
    # The one before the window's beginning is needed until the next one is older than the window.
    assert until >= newest.finished_at + KEEP.window
    for each in newest.objects:
        locked = region.locked_until(each.key)
        assert locked is not None
        assert locked >= NOW + KEEP.window
    count = len(region.calls)
    assert lock_dumps(region, held(region), KEEP, NOW) == 0
    assert not [what for what, _ in region.calls[count:] if what == "lock"]
    assert lock_dumps(MemoryRegion("us", clock=CLOCK), held(region), KEEP, NOW) == 0


def test_copying_that_is_cut_off_leaves_no_dump_and_goes_on() -> None:
    source, target = MemoryRegion("eu", clock=CLOCK), MemoryRegion("us", clock=CLOCK)
    dump = put_dump([source], 95)
    target.faults.away_after = 2
    plan = lacking_dumps(held(source), held(target), KEEP, NOW)
    with pytest.raises(RegionAway):
        copy_dumps(source, target, plan, Silent())
    target.faults.away_after = None
    target.faults.away = False
    assert ids(target) == []
    done = copy_dumps(source, target, lacking_dumps(held(source), held(target), KEEP, NOW), Silent())
    assert done.dumps == [dump.id]
    assert done.objects < len(dump.objects), "what was there already is not copied again"
    assert contents(target) == contents(source)
    assert lacking_dumps(held(source), held(target), KEEP, NOW).dumps == ()


def test_damage_does_not_spread() -> None:
    source, target = MemoryRegion("eu", clock=CLOCK), MemoryRegion("us", clock=CLOCK)
    dump = put_dump([source], 95)
    source.damage(dump.index.key, 3)
    done = copy_dumps(source, target, lacking_dumps(held(source), held(target), KEEP, NOW), Silent())
    assert done.dumps == []
    assert done.damaged == [dump.index.key]
    assert dump.id in done.failed
    assert ids(target) == []


def test_what_expired_in_the_target_is_not_brought_back() -> None:
    source, target = MemoryRegion("eu", clock=CLOCK), MemoryRegion("us", clock=CLOCK)
    old, _, newest = (put_dump([source], hours) for hours in (10, 80, 95))
    assert old.id not in [each.id for each in lacking_dumps(held(source), held(target), KEEP, NOW).dumps]
    everything = lacking_dumps(held(source), held(target), EVERYTHING, NOW)
    assert [each.id for each in everything.dumps][::2] == [old.id, newest.id]


def test_a_suspicion_keeps_what_is_from_before_it_and_locks_it() -> None:
    region = MemoryRegion("eu", locks=True, clock=CLOCK)
    old, _ = put_dump([region], 10), put_dump([region], 95)
    mark = Suspicion("m", at(50), NOW, "deletes")
    tell([region], DB, mark)
    assert expired_dumps(region, held(region), KEEP, NOW) == ()
    locked, failed = lock_before([region], held(region).backups, mark, NOW + timedelta(days=30))
    assert failed == {}
    assert locked == {"eu": len(old.objects) + 1}
    assert region.locked_until(record_key(old)) is not None
    region.damage(mark_key(DB, mark), 5)
    assert expired_dumps(region, held(region), KEEP, NOW) == ()
