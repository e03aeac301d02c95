"""A region catches up from another: what it lacks, in which order, and that damage and kills do no harm."""

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import held
from tests.held import DB, at, backup, holdings, piece, wal
from tests.proven import contents, put_backup, put_history, put_wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.copies.copying import Copied, Copier, Lacking, lacking
from holdfast.backup.errors import RegionAway, RegionRefused
from holdfast.backup.model import Suspicion
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import tell
from holdfast.backup.take.taking import Silent
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import ManualClock

NOW = at(100)
KEEP = Keep(window=timedelta(days=14))


def regions() -> tuple[MemoryRegion, MemoryRegion]:
    return MemoryRegion("eu"), MemoryRegion("us")


def plan(source: MemoryRegion, target: MemoryRegion, keep: Keep = KEEP) -> Lacking:
    clock = ManualClock(NOW)
    return lacking(holdings_of(source, DB, clock), holdings_of(target, DB, clock), keep, NOW)


def copied(source: MemoryRegion, target: MemoryRegion) -> Copied:
    return Copier(source, target, Silent()).copy(plan(source, target))


# --- what is lacking


def test_a_new_region_lacks_everything_and_the_oldest_comes_first() -> None:
    full, first, second = backup(1), None, None
    first = backup(2, full)
    second = backup(3, first)
    source = holdings([second, full, first], wal(0, 6), histories=[held.history(2, (1, 5))])
    lacks = lacking(source, holdings([], [], region="us"), KEEP, NOW)
    assert [each.id for each in lacks.backups] == [full.id, first.id, second.id]
    assert [each.segment.number for each in lacks.wal] == [1, 2, 3, 4, 5, 6]
    assert lacks.histories == (2,)
    assert (lacks.source, lacks.target, lacks.restorable) == ("eu", "us", False)
    assert lacks.stored_bytes == 3 * 130 + 6 * 50


def test_who_has_it_all_lacks_nothing() -> None:
    both = holdings([backup(1)], wal(0, 6), histories=[held.history(2, (1, 5))])
    lacks = lacking(both, both, KEEP, NOW)
    assert (lacks.backups, lacks.wal, lacks.histories) == ((), (), ())
    assert lacks.restorable


def test_a_backup_that_is_not_whole_in_the_source_is_not_copied_nor_what_builds_on_it() -> None:
    full = backup(1)
    child = backup(2, full)
    alone = backup(3)
    source = holdings([full, child, alone], wal(0, 6), missing=[full])
    assert [each.id for each in lacking(source, holdings([], []), KEEP, NOW).backups] == [alone.id]
    # But an increment is, when what it needs is in the target already.
    assert [each.id for each in lacking(source, holdings([full], []), KEEP, NOW).backups] == [
        child.id,
        alone.id,
    ]


def test_one_that_is_broken_in_the_target_is_lacking_there() -> None:
    full = backup(1)
    lacks = lacking(holdings([full], wal(0, 6)), holdings([full], wal(0, 6), missing=[full]), KEEP, NOW)
    assert [each.id for each in lacks.backups] == [full.id]


def test_what_the_target_would_let_go_is_not_brought_back() -> None:
    backups = [backup(24 * day) for day in range(30)]
    source = holdings(backups, wal(0, 24 * 30))
    keep = Keep(window=timedelta(days=2), weekly=0, monthly=0, minimum=1)
    lacks = lacking(source, holdings([], []), keep, at(24 * 30))
    kept = [each.id for each in lacks.backups]
    assert kept == [each.id for each in backups[-3:]] or kept == [each.id for each in backups[-2:]]
    assert len(lacks.wal) < 24 * 4


def test_of_wal_as_few_pieces_as_can_be_are_copied() -> None:
    whole, parts = piece(3), [piece(3, 0, 0.25), piece(3, 0.25, 0.5), piece(3, 0.5, 1)]
    source = holdings([backup(1)], [*wal(0, 3), *parts, whole])
    assert lacking(source, holdings([backup(1)], wal(0, 3)), KEEP, NOW).wal == (whole,)
    # Bytes that are there need not be in the same pieces.
    assert lacking(source, holdings([backup(1)], [*wal(0, 3), *parts]), KEEP, NOW).wal == ()
    only_parts = holdings([backup(1)], [*wal(0, 3), *parts])
    there = holdings([backup(1)], [*wal(0, 3), piece(3, 0, 0.3)])
    assert lacking(only_parts, there, KEEP, NOW).wal == tuple(parts[1:])


EIGHTHS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda span: span[0] < span[1]), max_size=7
)


@given(EIGHTHS, EIGHTHS)
def test_afterwards_the_target_has_every_byte_of_wal_that_the_source_had(
    source: list[tuple[int, int]], target: list[tuple[int, int]]
) -> None:
    def pieces(spans: list[tuple[int, int]]) -> list[held.WalPiece]:
        return [piece(3, start / 8, end / 8) for start, end in sorted(set(spans))]

    def covered(spans: list[tuple[int, int]]) -> set[int]:
        return {each for start, end in spans for each in range(start, end)}

    base = [*wal(0, 3)]
    lacks = lacking(
        holdings([backup(1)], [*base, *pieces(source)]),
        holdings([backup(1)], [*base, *pieces(target)]),
        # Nothing is let go, so that all of it counts.
        Keep(window=timedelta(days=1000)),
        NOW,
    ).wal
    eighth = held.SIZE // 8
    brought = [(each.start // eighth, each.end // eighth) for each in lacks]
    assert covered(source) <= covered(target) | covered(brought)
    assert all(covered([each]) - covered(target) for each in brought), "one was copied for nothing"
    assert len(set(brought)) == len(brought)


# --- copying


def test_a_new_region_has_everything_afterwards() -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    put_backup([eu], 2, full)
    for hour in range(6):
        put_wal([eu], hour)
    put_history([eu], held.history(2, (1, 5)))
    suspicion = Suspicion("one", at(2), at(3), "many deletes")
    tell([eu], DB, suspicion)

    result = copied(eu, us)
    assert contents(us) == contents(eu)
    assert result.complete
    assert (len(result.backups), len(result.objects)) == (2, 5 + 5 + 6 + 1)
    assert holdings_of(us, DB, ManualClock(NOW)).suspects == (suspicion,)
    again = copied(eu, us)
    assert (again.objects, again.backups) == ([], [])


def test_a_record_is_written_when_all_that_it_names_is_there() -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    us.calls.clear()
    copied(eu, us)
    puts = [key for what, key in us.calls if what == "put"]
    assert puts[-1] == layout.record_key(DB, full.id)
    assert sorted(puts[:-1]) == sorted(each.key for each in full.objects)


def test_who_can_be_restored_gets_wal_before_backups() -> None:
    eu, us = regions()
    put_backup([eu, us], 1)
    for hour in range(6):
        put_wal([eu, us] if hour < 3 else [eu], hour)
    put_backup([eu], 4)
    us.calls.clear()
    copied(eu, us)
    puts = [key.split("/")[1] for what, key in us.calls if what == "put"]
    assert puts == ["wal"] * 3 + ["backups"] * 6


@pytest.mark.parametrize("survives", range(15))
def test_broken_off_at_any_object_nothing_half_is_taken_for_good_and_it_goes_on(survives: int) -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    put_backup([eu], 2, full)
    put_wal([eu], 1)
    us.faults.away_after = survives
    try:
        copied(eu, us)
    except RegionAway:
        us.faults.away, us.faults.away_after = False, None
    us.faults.away_after = None
    there = holdings_of(us, DB, ManualClock(NOW))
    assert there.missing == ()
    put_before = sum(1 for what, _ in us.calls if what == "put")
    result = copied(eu, us)
    assert result.complete
    assert contents(us) == contents(eu)
    # What had arrived is not sent again.
    assert sum(1 for what, _ in us.calls if what == "put") - put_before <= 14 - min(survives, 13) + 1


def test_damage_does_not_spread() -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    child = put_backup([eu], 2, full)
    other = put_backup([eu], 3)
    bad, good = put_wal([eu], 1), put_wal([eu], 2)
    chunk = full.archives[0].chunks[1].key
    eu.damage(chunk)
    eu.damage(bad.key)
    result = copied(eu, us)
    assert sorted(result.damaged) == sorted([chunk, bad.key])
    assert set(result.failed) == {full.id, child.id}
    assert not result.complete
    assert result.backups == [other.id]
    assert good.key in us.keys
    assert not {chunk, bad.key, layout.record_key(DB, full.id), layout.record_key(DB, child.id)} & set(
        us.keys
    )


def test_what_is_let_go_meanwhile_is_no_damage() -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    lacks = plan(eu, us)
    eu.delete([layout.record_key(DB, full.id), full.objects[0].key])
    result = Copier(eu, us, Silent()).copy(lacks)
    assert result.gone == [full.objects[0].key]
    assert result.damaged == []
    assert layout.record_key(DB, full.id) not in us.keys


def test_a_target_that_loses_what_it_takes_gets_no_record() -> None:
    eu, us = regions()
    full = put_backup([eu], 1)
    us.faults.losing = True
    result = copied(eu, us)
    assert full.id in result.failed
    assert us.keys == []


def test_a_full_region_is_told_and_the_source_stays_as_it_was() -> None:
    eu, us = regions()
    put_backup([eu], 1)
    before = contents(eu)
    us.faults.full = True
    with pytest.raises(RegionRefused):
        copied(eu, us)
    assert contents(eu) == before


def test_never_more_is_held_than_is_allowed() -> None:
    eu, us = regions()
    put_backup([eu], 1, chunks=40)
    mutex, held_now, most = threading.Lock(), 0, 0

    class Counting(MemoryRegion):
        def put(self, key: str, content: bytes | memoryview) -> None:
            nonlocal held_now, most
            with mutex:
                held_now += len(content)
                # A record goes alone.
                most = max(most, 0 if key.endswith(layout.RECORD) else held_now)
            MemoryRegion.put(self, key, content)
            with mutex:
                held_now -= len(content)

    counting = Counting("us")
    counting.faults.slow_s = 0.001
    Copier(eu, counting, Silent(), threads=8, limit_bytes=300).copy(plan(eu, us))
    assert 100 <= most <= 300
    assert contents(counting) == contents(eu)
