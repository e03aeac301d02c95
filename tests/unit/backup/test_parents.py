from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.scripted_source import NOON, ScriptedSource

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Backup, BackupKind, Holdings
from holdfast.backup.take.parents import parent_for
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import ManualClock

SOURCE = ScriptedSource()
FIRST = Taker(SOURCE, [MemoryRegion("x")], ZstdPacker(), ManualClock(NOON)).take("main").backup
NOW = replace(SOURCE.identity, flushed=Lsn(0x9000000))


def backup(number: int, parent: str = "", **changed: object) -> Backup:
    kind = BackupKind.INCREMENTAL if parent else BackupKind.FULL
    start = Lsn(0x5000000 + number * 0x1000)
    id_ = f"20261122T12000{number}Z-aaaaaa"
    return replace(FIRST, id=id_, kind=kind, parent=parent, start_lsn=start, **changed)  # type: ignore[arg-type]


def held(region: str, *backups: Backup, missing: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> Holdings:
    return Holdings(region, "main", datetime.now(UTC) + timedelta(0), backups, (), missing=missing)


def test_the_newest_whole_one_of_any_region_is_the_parent() -> None:
    one, two = backup(1), backup(2)
    three = backup(3, two.id)
    choice = parent_for([held("eu", one), held("us", one, two, three)], NOW)
    assert (choice.parent, choice.region) == (three, "us")


def test_one_that_lacks_objects_or_a_link_of_its_chain_is_none() -> None:
    one, two = backup(1), backup(2)
    broken, orphan = backup(3), backup(4, "20261122T115959Z-gone00")
    choice = parent_for([held("eu", one, two, broken, orphan, missing=((broken.id, ("key",)),))], NOW)
    assert choice.parent == two


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"system_id": 99}, "another cluster"),
        ({"timeline": Timeline(2)}, "timeline 2"),
        ({"server_version": 170_001}, "PostgreSQL 17"),
        ({"start_lsn": Lsn(0xA000000)}, "set back"),
    ],
)
def test_where_none_fits_a_full_one_is_due_and_it_says_why(changed: dict[str, object], why: str) -> None:
    choice = parent_for([held("eu", replace(backup(1), **changed))], NOW)  # type: ignore[arg-type]
    assert choice.parent is None
    assert why in choice.why


def test_an_older_one_that_fits_goes_before_a_newer_one_that_does_not() -> None:
    fits, not_so = backup(1), backup(2, system_id=99)
    assert parent_for([held("eu", fits, not_so)], NOW).parent == fits


def test_after_a_promotion_the_server_judges_what_it_can_build_on() -> None:
    before = backup(1)
    assert parent_for([held("eu", before)], replace(NOW, timeline=Timeline(2))).parent == before


def test_without_a_backup_and_before_17_a_full_one_is_due() -> None:
    assert "no backup yet" in parent_for([held("eu")], NOW).why
    assert "PostgreSQL 15" in parent_for([held("eu", backup(1))], replace(NOW, server_version=150_018)).why
