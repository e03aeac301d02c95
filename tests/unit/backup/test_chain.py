"""What can be restored from what is there, and with what."""

from datetime import timedelta

import pytest
from tests.held import at, backup, history, holdings, lsn, piece, wal

from holdfast.backup.errors import NotRecoverable
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import Target, TargetKind, WalPiece
from holdfast.backup.recoverable.chain import chain_of, covered_until, gaps_of, plan_for, runs_of, windows_of

MINUTE = timedelta(minutes=1)


def moment(hours: float) -> Target:
    return Target(TargetKind.TIME, time=at(hours))


def hours_of(pieces: tuple[WalPiece, ...]) -> list[tuple[int, int]]:
    return [(each.segment.timeline, each.segment.number - 1) for each in pieces]


def test_a_chain_begins_with_the_full_backup() -> None:
    full = backup(0)
    first = backup(1, full)
    second = backup(2, first)
    assert chain_of([second, full, first], second.id) == (full, first, second)


def test_a_chain_without_one_of_its_links_or_in_a_circle_is_none() -> None:
    full, lost = backup(0), backup(1)
    orphan = backup(2, lost)
    with pytest.raises(NotRecoverable, match=lost.id):
        chain_of([full, orphan], orphan.id)
    with pytest.raises(NotRecoverable, match="no end"):
        chain_of([backup(3, backup(3))], backup(3).id)


def test_pieces_that_touch_are_one_run_and_what_is_missing_is_a_gap() -> None:
    held = holdings([backup(0), backup(5)], [*wal(0, 3), piece(3, 0, 0.5), piece(3, 0.5, 0.75), *wal(5, 7)])
    assert [(run.start, run.end) for run in runs_of(held)] == [(lsn(0), lsn(3.75)), (lsn(5), lsn(7))]
    (gap,) = gaps_of(held)
    assert (gap.start, gap.end) == (lsn(3.75), lsn(5))
    assert gap.after == at(3.75) - MINUTE
    assert gap.before == at(5.25)


def test_a_window_goes_from_its_first_backup_to_the_newest_proven_moment() -> None:
    full = backup(1)
    increment = backup(4, full)
    held = holdings([full, increment], [*wal(0, 6), piece(6, 0, 0.5, covered=6.75)])
    (window,) = windows_of(held)
    assert window.backups == (full.id, increment.id)
    assert (window.start, window.end) == (at(1.25), at(6.75))
    assert covered_until(held) == at(6.75)


def test_wal_without_a_backup_and_a_backup_without_its_wal_restore_nothing() -> None:
    assert covered_until(holdings([], wal(0, 5))) is None
    assert windows_of(holdings([backup(3)], [*wal(0, 3), *wal(4, 9)])) == []
    late = holdings([backup(3)], [piece(3, 0.01, 1), *wal(4, 9)])
    assert windows_of(late) == [], "recovery reads the segment's first page before all else"


def test_a_backup_that_misses_an_object_is_in_no_window_nor_are_its_increments() -> None:
    full = backup(0)
    increment = backup(2, full)
    later = backup(5)
    held = holdings([full, increment, later], wal(0, 8), missing=[full])
    assert [window.backups for window in windows_of(held)] == [(later.id,)]


def test_a_clock_that_was_set_back_takes_back_what_was_said_before() -> None:
    ahead = [piece(1, commit=9, covered=9), piece(2, commit=9.5, covered=2.99)]
    assert covered_until(holdings([backup(0)], [piece(0), *ahead])) == at(2.99)


def test_a_promotion_goes_on_in_one_window_and_what_the_old_primary_wrote_then_is_another() -> None:
    full = backup(0)
    first = [*wal(0, 5)]
    second = [piece(3, 0.5, 1, timeline=2), *wal(4, 9, timeline=2)]
    held = holdings([full], [*first, *second], histories=[history(2, (1, 3.5))])
    windows = windows_of(held)
    assert [(each.timeline, each.end) for each in windows] == [(1, at(5) - MINUTE), (2, at(9) - MINUTE)]
    assert covered_until(held) == at(9) - MINUTE
    plan = plan_for(held, Target())
    assert hours_of(plan.wal) == [(1, 0), (1, 1), (1, 2), (1, 3), *((2, hour) for hour in range(3, 9))]
    assert (plan.timeline, len(plan.histories)) == (2, 1)
    old = plan_for(held, Target(timeline=Timeline(1)))
    assert (old.timeline, hours_of(old.wal)) == (1, [(1, hour) for hour in range(5)])


def test_the_last_bytes_before_a_promotion_that_never_came_are_a_gap() -> None:
    held = holdings(
        [backup(0), backup(5, timeline=2)],
        [*wal(0, 3), *wal(4, 8, timeline=2)],
        histories=[history(2, (1, 4.0))],
    )
    assert [(gap.timeline, gap.start, gap.end) for gap in gaps_of(held)] == [(1, lsn(3), lsn(4))]
    assert [(each.timeline, each.start) for each in windows_of(held)] == [(1, at(0.25)), (2, at(5.25))]
    assert covered_until(held) == at(8) - MINUTE


def test_a_moment_is_restored_from_the_newest_backup_before_it_with_wal_until_something_is_behind_it() -> (
    None
):
    full, later = backup(0), backup(10)
    plan = plan_for(holdings([full, later], wal(0, 20)), moment(12.5))
    assert plan.chain == (later,)
    assert hours_of(plan.wal) == [(1, 10), (1, 11), (1, 12)]
    early = plan_for(holdings([full, later], wal(0, 20)), moment(10.1))
    assert early.chain == (full,), "the later one was not finished by then"


def test_whole_segments_are_preferred_to_their_parts() -> None:
    parts = [piece(1, n / 4, (n + 1) / 4) for n in range(4)]
    plan = plan_for(holdings([backup(0)], [piece(0), *parts, piece(1)]), Target())
    assert [each.is_whole for each in plan.wal] == [True, True]


@pytest.mark.parametrize("hours", [-5.0, 0.1, 4.5, 9.5])
def test_a_moment_before_between_or_behind_the_windows_is_refused_with_the_nearest(hours: float) -> None:
    held = holdings([backup(0), backup(5)], [*wal(0, 4), *wal(5, 9)])
    with pytest.raises(NotRecoverable) as refused:
        plan_for(held, moment(hours))
    near = {-5.0: at(0.25), 0.1: at(0.25), 4.5: at(4) - MINUTE, 9.5: at(9) - MINUTE}[hours]
    assert near.isoformat() in refused.value.hint


def test_places_labels_and_ids() -> None:
    named = backup(2, label="before-the-upgrade")
    held = holdings([backup(0), named, backup(5)], wal(0, 9))
    labelled = plan_for(held, Target(TargetKind.LABEL, label="before-the-upgrade"))
    assert (labelled.chain, hours_of(labelled.wal)) == ((named,), [(1, 2)])
    assert plan_for(held, Target(TargetKind.LABEL, label=named.id)).chain == (named,)
    place = plan_for(held, Target(TargetKind.LSN, lsn=lsn(4.5)))
    assert place.chain == (named,)
    assert place.wal[-1].end_lsn == lsn(9), "a record begins behind the place somewhere there"
    transaction = plan_for(held, Target(TargetKind.XID, xid=77))
    assert transaction.chain == (backup(0),)
    for refused in (
        Target(TargetKind.LABEL, label="nobody"),
        Target(TargetKind.LSN, lsn=lsn(30)),
        Target(timeline=Timeline(4)),
    ):
        with pytest.raises(NotRecoverable):
            plan_for(held, refused)
