"""What goes and what stays of ten weeks of backups, said by hand."""

from dataclasses import replace
from datetime import timedelta

from tests.held import at, backup, history, holdings, piece, wal

from holdfast.backup.model import Backup, Suspicion
from holdfast.backup.retention.retention import expiring
from holdfast.estate.backup import Keep

DAYS = 70
KEEP = Keep(window=timedelta(days=14), weekly=3, monthly=2, minimum=2)


def ten_weeks() -> list[Backup]:
    """A full backup every seventh day from Thursday 2026-01-01 on, each day an increment."""
    taken: list[Backup] = []
    for day in range(DAYS):
        taken.append(backup(day * 24, None if day % 7 == 0 else taken[-1]))
    return taken


def days_of(backups: tuple[Backup, ...]) -> list[int]:
    return [(each.started_at - at(0)).days for each in backups]


def test_the_window_its_base_the_points_and_their_chains_stay() -> None:
    taken = ten_weeks()
    held = holdings(taken, wal(0, DAYS * 24))
    expiry = expiring(held, KEEP, at(DAYS * 24))
    kept = sorted(set(range(DAYS)) - set(days_of(expiry.backups)))
    # The window begins on day 55, 23:59. Weeks end on Sundays: days 67 (no, still running), 66, 59 and 52 are
    # the last three in which there are points with the running one; January's and February's last: 30, 58.
    window = list(range(55, DAYS))
    chain_of_the_window = list(range(49, 55))
    assert kept == chain_of_the_window + window
    assert expiry.reasons[taken[55].id] == ("before the window",)
    # Of WAL, all from the window's base on, nothing before: months are March's and February's, in the window.
    assert {each.segment.number - 1 for each in expiry.wal} == set(range(55 * 24))


def test_a_point_of_a_month_keeps_just_the_wal_that_makes_it_consistent() -> None:
    taken = ten_weeks()
    keep = KEEP.model_copy(update={"monthly": 3, "weekly": 0})
    expiry = expiring(holdings(taken, wal(0, DAYS * 24)), keep, at(DAYS * 24))
    kept = sorted(set(range(DAYS)) - set(days_of(expiry.backups)))
    # 31 January is day 30: its chain goes back to day 28.
    assert kept == [28, 29, 30, *range(49, DAYS)]
    assert set(range(55 * 24)) - {each.segment.number - 1 for each in expiry.wal} == {30 * 24}


def test_an_outage_of_backups_lets_nothing_expire_nor_does_a_clock_that_runs_ahead() -> None:
    held = holdings(ten_weeks(), wal(0, DAYS * 24))
    soon, years_later = expiring(held, KEEP, at(DAYS * 24)), expiring(held, KEEP, at(DAYS * 2400))
    assert (soon.backups, soon.wal) == (years_later.backups, years_later.wal)


def test_where_nothing_can_be_restored_nothing_goes() -> None:
    expiry = expiring(holdings([backup(0), backup(24)], []), KEEP, at(9999))
    assert (expiry.backups, expiry.wal) == ((), ())


def test_a_backup_that_is_being_taken_keeps_the_wal_that_has_come_for_it() -> None:
    """After a gap there is WAL without a backup before it, until the one under way has its record."""
    held = holdings(ten_weeks(), [*wal(0, 60 * 24), *wal(65 * 24, 70 * 24)])
    expiry = expiring(held, KEEP, at(DAYS * 24))
    assert max(each.segment.number for each in expiry.wal) < 60 * 24


def test_parts_of_segments_go_when_the_whole_and_the_next_are_there() -> None:
    parts = [piece(1, 0, 0.25), piece(1, 0.25, 1, covered=2)]
    held = holdings([backup(0)], [piece(0), *parts, piece(1)])
    assert expiring(held, KEEP, at(3)).wal == (), "they tell the newest moment"
    later = holdings([backup(0)], [*held.wal, piece(2)])
    assert set(expiring(later, KEEP, at(3)).wal) == set(parts)


def test_a_history_that_was_left_goes_when_it_is_older_than_the_window() -> None:
    taken = [backup(0), *(backup(day * 24, timeline=2) for day in range(3, 40))]
    own = [*wal(0, 48), piece(48, 0, 0.5), *wal(49, 60)]
    followed = [piece(48, 0.5, 1, timeline=2), *wal(49, 40 * 24, timeline=2)]
    held = holdings(taken, [*own, *followed], histories=[history(2, (1, 48.5))])
    early = expiring(held, KEEP, at(70))
    assert not [each for each in early.wal if each.segment.timeline == 1]
    late = expiring(held, KEEP.model_copy(update={"weekly": 0, "monthly": 0}), at(40 * 24))
    assert [each for each in own if each not in late.wal] == []


def test_a_suspicion_keeps_all_that_is_older() -> None:
    taken = ten_weeks()
    since = at(20 * 24 + 1)
    mark = Suspicion("x", since, since, "everything was deleted")
    lifted = Suspicion("x", since, since, "everything was deleted", at(0), "ada")
    held = holdings(taken, wal(0, DAYS * 24), suspects=[mark])
    expiry = expiring(held, KEEP, at(DAYS * 24))
    assert min(days_of(expiry.backups)) == 21
    assert expiry.wal == ()
    assert expiring(holdings(taken, wal(0, 1680), suspects=[lifted]), KEEP, at(1680)).wal != ()


def test_a_point_that_is_broken_just_now_stays_beside_the_one_that_is_whole() -> None:
    """A store that forgot to list some WAL, or lost an object, is no reason to delete what is left of it."""
    taken = ten_weeks()
    keep = KEEP.model_copy(update={"monthly": 3, "weekly": 0})
    pieces = wal(0, DAYS * 24)
    for held in (
        holdings(taken, [each for each in pieces if each.segment.number - 1 != 30 * 24]),
        holdings(taken, pieces, missing=[taken[30]]),
    ):
        expiry = expiring(held, keep, at(DAYS * 24))
        assert {28, 29, 30}.isdisjoint(days_of(expiry.backups))
        assert expiry.reasons[taken[30].id] == ("monthly, should it be healed",)
        assert expiry.reasons[taken[29].id][0] == "monthly", "the newest of January that restores"
        assert not [each for each in expiry.wal if each.segment.number - 1 in (29 * 24, 30 * 24)]


def test_backups_from_the_future_stand_in_no_honest_ones_place() -> None:
    taken = ten_weeks()
    future = [backup(DAYS * 24 + day * 24, begun=at(24 * 365 * 9)) for day in range(120)]
    # Each says that it is of another day, years ahead, and lies at a place that is there.
    forged = [replace(each, start_lsn=taken[-1].start_lsn, stop_lsn=taken[-1].stop_lsn) for each in future]
    keep = KEEP.model_copy(update={"monthly": 3, "daily": 20, "minimum": 40})
    honest = expiring(holdings(taken, wal(0, DAYS * 24)), keep, at(DAYS * 24))
    both = expiring(holdings([*taken, *forged], wal(0, DAYS * 24)), keep, at(DAYS * 24))
    assert set(both.backups) <= set(honest.backups)
    assert set(both.wal) <= set(honest.wal)
