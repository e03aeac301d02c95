from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.regions import Faults, MemoryRegion
from holdfast.backup.errors import RegionAway
from holdfast.backup.ports import Listed
from holdfast.backup.take.sweeping import leftovers_in, sweep
from holdfast.kernel.clock import ManualClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD, FRESH, GOOD = "20261120T120000Z-aaaaaa", "20261122T110000Z-bbbbbb", "20261119T120000Z-cccccc"
DAY = 86_400


def key(backup: str, name: str) -> str:
    return f"main/backups/{backup}/{name}"


def region_with_all() -> tuple[MemoryRegion, ManualClock]:
    """A good backup of three days ago, a half-finished one of two days ago, and one that goes on."""
    clock = ManualClock(NOON)
    region = MemoryRegion("one", locks=True, clock=clock)
    clock.advance(-3 * DAY)
    for name in ("a0/000000-x.zst", "backup.json"):
        region.put(key(GOOD, name), b"good")
    region.put("main/wal/00000001/000000010000000000000001/x", b"wal")
    clock.advance(DAY)
    for name in ("a0/000000-x.zst", "a0/000001-y.zst"):
        region.put(key(OLD, name), b"half")
    clock.advance(2 * DAY - 3600)
    region.put(key(FRESH, "a0/000000-x.zst"), b"new")
    clock.advance(3600)
    return region, clock


def test_only_what_has_no_record_and_is_old_is_swept() -> None:
    region, clock = region_with_all()
    before = set(region.keys)
    swept = sweep(region, "main", clock)
    assert [(each.backup, len(each.keys), each.stored_bytes) for each in swept.leftovers] == [(OLD, 2, 8)]
    assert (swept.kept, swept.freed_bytes) == ((), 8)
    assert before - set(region.keys) == {key(OLD, "a0/000000-x.zst"), key(OLD, "a0/000001-y.zst")}
    assert sweep(region, "main", clock).leftovers == ()


def test_a_dry_run_says_the_same_and_deletes_nothing() -> None:
    region, clock = region_with_all()
    before = region.keys
    swept = sweep(region, "main", clock, dry_run=True)
    assert [each.backup for each in swept.leftovers] == [OLD]
    assert swept.freed_bytes == 0
    assert region.keys == before


def test_one_that_is_still_written_is_left_alone_however_long_it_takes() -> None:
    region, clock = region_with_all()
    region.put(key(OLD, "a0/000002-z.zst"), b"on")
    assert sweep(region, "main", clock).leftovers == ()


def test_what_is_locked_stays_and_is_told() -> None:
    region, clock = region_with_all()
    region.lock(key(OLD, "a0/000001-y.zst"), NOON + timedelta(days=1))
    swept = sweep(region, "main", clock)
    assert "locked" in dict(swept.kept)[OLD]
    clock.advance(2 * DAY)
    assert OLD in [each.backup for each in sweep(region, "main", clock).leftovers]
    assert not any(OLD in each for each in region.keys)


def test_one_that_got_its_record_meanwhile_is_left_alone() -> None:
    @dataclass(slots=True)
    class Finishing(MemoryRegion):
        """Somebody finishes the backup right after it was listed; with a clock that stands."""

        listings: list[str] = field(default_factory=list)

        def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
            found = list(MemoryRegion.listed(self, prefix, after))
            if not self.listings:
                MemoryRegion.put(self, key(OLD, "backup.json"), b"{}")
            self.listings.append(prefix)
            return iter(found)

    clock = ManualClock(NOON - timedelta(days=2))
    region = Finishing("one", clock=clock)
    region.put(key(OLD, "a0/000000-x.zst"), b"half")
    now = ManualClock(NOON)
    swept = sweep(region, "main", now)
    assert dict(swept.kept)[OLD] == "it has a record now"
    assert len(region.keys) == 2


def test_a_region_that_is_away_says_so() -> None:
    with pytest.raises(RegionAway):
        sweep(MemoryRegion("one", faults=Faults(away=True)), "main", ManualClock(NOON))


def test_strangers_among_the_backups_are_left_alone() -> None:
    old = NOON - timedelta(days=9)
    names = ["main/backups/notes/x", "main/backups/README", f"other/backups/{OLD}/x", f"main/backups/{OLD}/x"]
    listed = [Listed(name, 1, old) for name in sorted(names)]
    assert [each.backup for each in leftovers_in(listed, "main/backups/", NOON)] == [OLD]
