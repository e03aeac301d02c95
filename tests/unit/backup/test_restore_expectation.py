"""How long a restore is said to take: by what was measured of the plan's own region, for its own chain."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.held import DB, backup, wal
from tests.stored_held import stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import RegionAway
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import RestorePlan, Target, TargetKind
from holdfast.backup.ports import Listed
from holdfast.backup.restore.needs import Extension, Needs
from holdfast.backup.verify.verification import Phase, Standing, Verification, keep
from holdfast.backup.verify.verified_points import Which
from holdfast.bootstrap.backup.restoring import _with_what_is_known

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FULL = backup(0)
INCREMENT = backup(1, FULL)
PLAN = RestorePlan(DB, "eu", Target(), (FULL,), tuple(wal(0, 2)), (), Timeline(1), None)


def _verification(number: int, region: str, per_s: float, needs: Needs | None = None) -> Verification:
    phases = (Phase("fetch", 10.0), Phase("replay", 1.0), Phase("checks", 500.0))
    return Verification(
        f"2026112{number}T000000Z-aaaaaa",
        DB,
        region,
        Which.NEWEST,
        Target(),
        None,
        NOON,
        NOON,
        Standing.PASSED,
        reached_at=NOON + timedelta(days=number),
        fetched_bytes=round(per_s * 10) + 1000,
        wal_bytes=1000,
        phases=phases,
        needs=needs,
    )


def _region(*records: Verification) -> MemoryRegion:
    region = stored(MemoryRegion("eu"), [FULL, INCREMENT], wal(0, 2))
    for each in records:
        assert not keep([region], each)
    return region


def _seconds(region: MemoryRegion, plan: RestorePlan = PLAN, *, any_region: bool = False) -> float | None:
    expected = _with_what_is_known(region, plan, any_region=any_region).plan.expected
    return None if expected is None else expected.total_seconds()


def test_only_what_was_measured_of_the_same_region_counts() -> None:
    slow, quick = _verification(1, "eu", FULL.stored_bytes / 100), _verification(2, "us", 1e12)
    alone, both = _seconds(_region(slow)), _seconds(_region(slow, quick))
    assert alone == both
    assert alone is not None
    assert alone > 100
    assert _seconds(_region(quick)) is None
    assert _seconds(_region(quick), any_region=True) is not None, "whose store it is was not said"


def test_a_longer_chain_takes_longer() -> None:
    region = _region(_verification(1, "eu", 1000.0))
    one, two = _seconds(region), _seconds(region, replace(PLAN, chain=(FULL, INCREMENT)))
    assert one is not None
    assert two is not None
    assert two - one == pytest.approx(INCREMENT.stored_bytes / 1000.0)


class Unlisted(MemoryRegion):
    """A store that does not give its verifications now."""

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        if "verifications" in prefix:
            raise RegionAway("eu: not now")
        return super().listed(prefix, after)


def test_a_restore_does_not_depend_on_records_of_verifications() -> None:
    planned = _with_what_is_known(Unlisted("eu"), PLAN, any_region=False)
    assert (planned.plan.expected, planned.needs) == (None, None)


def test_the_needs_are_those_of_the_moment_and_of_any_region() -> None:
    before, after = Needs((Extension("old", "1"),)), Needs((Extension("new", "1"),))
    region = _region(
        _verification(1, "eu", 1000.0, before),
        _verification(2, "us", 1000.0, after),
        _verification(3, "eu", 1.0),
    )
    assert _with_what_is_known(region, PLAN, any_region=False).needs == after
    then = Target(TargetKind.TIME, time=NOON + timedelta(days=1, hours=3))
    assert _with_what_is_known(region, replace(PLAN, target=then), any_region=False).needs == before
