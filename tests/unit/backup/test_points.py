"""What is told of a region: moments, how long they take, and what is not known."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.held import DB, HOUR, at, backup, holdings, piece, wal
from tests.stored_held import stored

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.layout import record_key
from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.model import StoredObject, Suspicion, Target, WalPiece
from holdfast.backup.recoverable.pace import Pace, expected_restore, pace_of
from holdfast.backup.recoverable.points import known_of, points_of
from holdfast.backup.verify.verification import (
    How,
    Phase,
    Standing,
    Verification,
    Which,
    encoded_verification,
    verification_key,
)
from holdfast.kernel.clock import ManualClock

CLOCK = ManualClock(at(10))


def verification(hours: float, standing: Standing = Standing.PASSED, **other: object) -> Verification:
    """One that fetched 1000 bytes in 8 s and unpacked in 2 s, replayed 500 in 5 s, and answered after 1 s."""
    phases = [("fetch", 8.0), ("unpack", 2.0), ("replay", 5.0), ("first answer", 1.0), ("checks", 99.0)]
    made = Verification(
        layout.backup_id(at(hours), "aaaaaa"),
        DB,
        "eu",
        next(iter(Which)),
        Target(),
        None,
        at(hours),
        at(hours) + HOUR / 2,
        standing,
        fetched_bytes=1500,
        wal_bytes=500,
        size_bytes=4096,
        phases=tuple(Phase(name, took) for name, took in phases),
    )
    return replace(made, **other)  # type: ignore[arg-type]


def test_the_pace_is_that_of_the_newest_restores_that_passed() -> None:
    pace = pace_of([verification(1), verification(2, Standing.FAILED, fetched_bytes=10**9)])
    assert pace == Pace(timedelta(seconds=1), 100.0, 100.0)
    assert pace_of([verification(1, how=How.WARM), verification(2, Standing.UNPROVEN)]) is None
    assert pace_of([]) is None
    idle = pace_of([verification(1, wal_bytes=0, fetched_bytes=1000, phases=(Phase("fetch", 10.0),))])
    assert idle == Pace(timedelta(), 100.0, 100.0), "WAL that was never replayed is no quicker than fetching"


def test_what_nobody_measured_is_unknown_and_not_nothing() -> None:
    assert expected_restore([backup(0)], 100, None) is None
    assert expected_restore([backup(0)], 100, Pace(HOUR, 0.0, 1.0)) is None
    assert expected_restore([backup(0)], 100, Pace(HOUR, 130.0, 50.0)) == HOUR + timedelta(seconds=3)
    assert known_of(holdings([backup(0)], wal(0, 3)), []).expected is None


def test_all_of_it_from_a_region() -> None:
    full = backup(0)
    lost, named = backup(1), backup(2, full, label="friday")
    region = stored(
        MemoryRegion("eu"), [full, lost, named], [*wal(0, 3), piece(3, 0, 0.5, covered=9.75), *wal(6, 7)]
    )
    region.lose(lost.index.key)
    for each in (verification(3), verification(4, Standing.FAILED), verification(5, region="usa")):
        region.put(verification_key(each), encoded_verification(each))
    known = points_of(region, DB, CLOCK)
    assert known.error == ""
    assert known.covered_until == at(9.75)
    assert known.rpo(at(10)) == HOUR / 4
    assert [(each.id, each.links, each.label) for each in known.points] == [
        (full.id, 1, ""),
        (named.id, 2, "friday"),
    ]
    assert known.unrestorable == ((lost.id, "1 of its objects are gone"),)
    assert [gap.before for gap in known.gaps] == [None]
    assert known.verified is not None
    assert (known.verified.standing, known.verified.at) == ("failed", at(4.5))
    assert known.verified.passed_at == at(3.5)
    # The chain's 260 bytes at 100 a second, two pieces of WAL, and a second to begin with.
    assert known.expected == timedelta(seconds=1 + 2.6 + 1)


def test_nothing_is_unknown_and_never_none_lost() -> None:
    empty = points_of(MemoryRegion("eu"), DB, CLOCK)
    assert (empty.error, empty.covered_until, empty.rpo(at(10)), empty.last_backup_at) == (
        "",
        None,
        None,
        None,
    )
    away = MemoryRegion("eu")
    away.faults.away = True
    unknown = points_of(away, DB, CLOCK)
    assert "answers" in unknown.error
    assert unknown.rpo(at(10)) is None


def test_a_database_whose_clock_is_ahead_has_an_rpo_that_nobody_knows() -> None:
    ahead = known_of(holdings([backup(0)], [piece(0, covered=12)]), [])
    assert ahead.rpo(at(10)) is None
    slightly = known_of(holdings([backup(0)], [piece(0, covered=10)]), [])
    assert slightly.rpo(at(10) - timedelta(seconds=2)) == timedelta()


def test_points_behind_a_suspicion_are_suspect_until_it_is_lifted() -> None:
    mark = Suspicion("x", at(2), at(3), "a jump")
    held = holdings([backup(0), backup(2)], wal(0, 4), suspects=[mark])
    assert [each.suspect for each in known_of(held, []).points] == [False, True]
    lifted = replace(held, suspects=(replace(mark, lifted_at=at(4), lifted_by="ada"),))
    known = known_of(lifted, [])
    assert ([each.suspect for each in known.points], known.suspects) == ([False, False], ())


@pytest.mark.parametrize("damaged", [True, False])
def test_digests_are_taken_of_objects_at_random(damaged: bool) -> None:
    region = MemoryRegion("eu")
    true = piece_of_zeros()
    region.put(true.key, b"\0" * 50)
    if damaged:
        region.damage(true.key)
    known = points_of(region, DB, CLOCK, samples=9)
    assert (known.sampled, known.damaged) == (1, (true.key,) if damaged else ())


def piece_of_zeros() -> WalPiece:
    sha256 = hashlib.sha256(b"\0" * 50).hexdigest()
    segment = Segment(Timeline(1), 1, 2**20)
    key = layout.piece_key(DB, segment, 0, 2**20, StoredObject("", 0, 50, sha256), None, None)
    piece = layout.piece_of(key, 50)
    assert piece is not None
    return piece


def test_a_record_that_does_not_decode_is_told() -> None:
    full = backup(0)
    region = stored(MemoryRegion("eu"), [full], wal(0, 2))
    region.damage(record_key(DB, full.id))
    assert points_of(region, DB, CLOCK).unrestorable == ((record_key(DB, full.id), "it does not decode"),)
