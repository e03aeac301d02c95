"""Letting go in a region, cut off wherever it may be."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from tests.held import DB, SHA, at, backup, holdings, wal, without
from tests.stored_held import DyingRegion, Killed, stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import RegionRefused
from holdfast.backup.layout import record_key
from holdfast.backup.model import Backup, Holdings, WalPiece
from holdfast.backup.ports import Listed
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.retention.expiry import let_go, what_expires
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

KEEP = Keep(window=timedelta(days=2), daily=0, weekly=0, monthly=0, minimum=1)
CLOCK = ManualClock(at(240))


def ten_days() -> tuple[list[Backup], list[WalPiece]]:
    taken: list[Backup] = []
    for day in range(10):
        taken.append(backup(day * 24, None if day % 2 == 0 else taken[-1]))
    return taken, wal(0, 240)


def left_in(region: MemoryRegion) -> Holdings:
    return holdings_of(region, DB, CLOCK)


def test_what_expired_goes_and_what_stays_restores_as_before() -> None:
    region = stored(MemoryRegion("eu"), *ten_days())
    held = left_in(region)
    expiry = what_expires(region, held, KEEP, at(240))
    gone = let_go(region, DB, expiry, at(240))
    assert (gone.backups, gone.locked) == (6, ())
    left = left_in(region)
    assert left == without(held, expiry.backups, expiry.wal)
    assert not any(each.id in key for each in expiry.backups for key in region.keys)


def test_wherever_it_is_killed_nothing_wrong_is_listed_and_the_next_run_finishes() -> None:
    taken, pieces = ten_days()
    whole = stored(MemoryRegion("eu"), taken, pieces)
    expiry = what_expires(whole, left_in(whole), KEEP, at(240))
    let_go(whole, DB, expiry, at(240))
    expected = windows_of(left_in(whole))
    for survives in range(0, 400, 3):
        region = stored(DyingRegion("eu", survives=survives), taken, pieces)
        try:
            let_go(region, DB, expiry, at(240))
            break
        except Killed:
            pass
        region.survives = None
        left = left_in(region)
        assert left.missing == ()
        windows = windows_of(left)
        assert windows[-1].end == expected[-1].end
        ids = {each.id for each in left.backups}
        assert all(not each.parent or each.parent in ids for each in left.backups)
        let_go(region, DB, what_expires(region, left, KEEP, at(240)), at(240))
        assert windows_of(left_in(region)) == expected
    else:
        pytest.fail("it never came to an end")


def test_locked_backups_stay_with_what_they_are_increments_of_and_nothing_fails() -> None:
    taken, pieces = ten_days()
    region = stored(MemoryRegion("eu", locks=True, clock=CLOCK), taken, pieces)
    region.lock(record_key(DB, taken[3].id), at(300))
    expiry = what_expires(region, left_in(region), KEEP, at(240))
    assert {taken[2].id, taken[3].id}.isdisjoint(each.id for each in expiry.backups)
    assert let_go(region, DB, expiry, at(240)).locked == ()
    unlocked = ManualClock(at(301))
    assert len(what_expires(region, holdings_of(region, DB, unlocked), KEEP, at(301)).backups) == 2


def test_single_locked_objects_are_left_and_told() -> None:
    taken, pieces = ten_days()
    region = stored(MemoryRegion("eu", locks=True, clock=CLOCK), taken, pieces)
    region.lock(pieces[5].key, at(300))
    region.lock(taken[1].index.key, at(300))
    gone = let_go(region, DB, what_expires(region, left_in(region), KEEP, at(240)), at(240))
    assert set(gone.locked) == {pieces[5].key, taken[1].index.key}
    assert left_in(region).missing == ()
    assert pieces[6].key not in region.keys


def test_a_region_that_refuses_says_so() -> None:
    region = stored(MemoryRegion("eu"), *ten_days())
    expiry = what_expires(region, left_in(region), KEEP, at(240))
    region.faults.refusing = True
    with pytest.raises(RegionRefused):
        let_go(region, DB, expiry, at(240))


def test_holdings_tell_what_is_missing_and_what_does_not_decode() -> None:
    taken, pieces = ten_days()
    region = stored(MemoryRegion("eu"), taken, pieces)
    region.lose(taken[0].archives[0].chunks[0].key)
    region.damage(record_key(DB, taken[4].id))
    strange = f"{DB}/timelines/00000002-{SHA}.history"
    region.put(strange, b"1\t0/0\tnot what its key says\n")
    region.put(f"{DB}/marks/x.json", b"{}")
    held = left_in(region)
    assert held.missing == ((taken[0].id, (taken[0].archives[0].chunks[0].key,)),)
    assert set(held.unreadable) == {record_key(DB, taken[4].id), strange, f"{DB}/marks/x.json"}
    assert len(held.backups) == 9
    assert held.histories == ()
    expiry = what_expires(region, held, KEEP, at(240))
    assert (expiry.backups, expiry.wal) == ((), ()), "who knows what they said"


def backup_ids(backups: Sequence[Backup]) -> list[str]:
    return [each.id for each in backups]


def test_a_backup_that_is_finished_while_the_listing_goes_on_misses_nothing() -> None:
    late = backup(5)

    class Slow(MemoryRegion):
        """Its listing goes on while the backup is finished: its record is seen, what stands before is not."""

        def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
            first = self.listings == 0
            self.listings += 1
            for each in super().listed(prefix, after):
                if not (first and "/a0/" in each.key):
                    yield each

        listings = 0

    held = left_in(stored(Slow("eu"), [late], wal(0, 8)))
    assert (backup_ids(held.backups), held.missing) == ([late.id], ())


def test_the_same_wherever_it_is_read_from() -> None:
    taken, pieces = ten_days()
    region = stored(MemoryRegion("eu"), taken, pieces)
    assert windows_of(left_in(region)) == windows_of(holdings(taken, pieces))
