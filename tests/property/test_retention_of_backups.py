"""Whatever a region holds, letting go of what expires loses nothing that was promised."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.held import at, backup, history, holdings, piece, without

from holdfast.backup.errors import NotRecoverable
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import Backup, Holdings, Suspicion, Target, TargetKind, WalPiece
from holdfast.backup.recoverable.chain import covered_until, plan_for, reaches_of, whole_chains, windows_of
from holdfast.backup.retention.keeping import narrows, widest
from holdfast.backup.retention.retention import expiring, suspect_since
from holdfast.estate.backup import Keep

HOUR = timedelta(hours=1)

keeps = st.builds(
    Keep,
    window=st.integers(1, 60).map(lambda hours: hours * HOUR),
    daily=st.integers(0, 4),
    weekly=st.integers(0, 3),
    monthly=st.integers(0, 2),
    minimum=st.integers(1, 4),
)


@st.composite
def repositories(draw: st.DrawFn) -> Holdings:
    """Backups and WAL of some weeks with holes in them, perhaps a promotion, damage, and a suspicion."""
    length = draw(st.integers(4, 40))
    pace = draw(st.sampled_from([1, 6, 24, 60]))
    switch = draw(st.one_of(st.none(), st.integers(1, length - 1)))
    holes = draw(st.sets(st.integers(0, length - 1), max_size=4))
    pieces: list[WalPiece] = []
    for hour in range(length):
        timeline = 2 if switch is not None and hour >= switch else 1
        own = [piece(hour, timeline=timeline)]
        if draw(st.booleans()):
            own = [piece(hour, 0, 0.5, timeline=timeline), *own]
        if hour not in holes:
            pieces += own
    if switch is not None:
        # The old primary went on for a while.
        pieces += [piece(hour) for hour in range(switch, draw(st.integers(switch, length)))]
    backups: list[Backup] = []
    for hour in sorted(draw(st.sets(st.integers(0, length - 1), max_size=12))):
        timeline = 2 if switch is not None and hour >= switch else 1
        parent = draw(st.sampled_from([None, *backups[-3:]]))
        backups.append(backup(hour, parent, timeline=timeline))
    stretched = [spread(each, pace) for each in backups]
    missing = draw(st.lists(st.sampled_from(stretched), max_size=2)) if stretched else []
    suspects = []
    if draw(st.integers(0, 4)) == 0:
        since = at(draw(st.integers(0, length)) * pace)
        suspects = [Suspicion("s", since, since, "a jump")]
    return holdings(
        stretched,
        [spread_piece(each, pace) for each in pieces],
        histories=[history(2, (1, switch))] if switch is not None else [],
        missing=missing,
        suspects=suspects,
    )


def spread(each: Backup, pace: int) -> Backup:
    """The same backup, where an hour of WAL is so many hours of time."""
    return replace(each, started_at=later(each.started_at, pace), finished_at=later(each.finished_at, pace))


def spread_piece(each: WalPiece, pace: int) -> WalPiece:
    return replace(each, commit_at=later(each.commit_at, pace) if each.commit_at else None)


def later(moment: datetime, pace: int) -> datetime:
    return at(0) + (moment - at(0)) * pace


def restores(held: Holdings, target: Target) -> bool:
    try:
        plan_for(held, target)
    except NotRecoverable:
        return False
    return True


def after(held: Holdings, keep: Keep, now: datetime) -> Holdings:
    expiry = expiring(held, keep, now)
    return without(held, expiry.backups, expiry.wal)


nows = st.integers(0, 4000).map(at)


@given(repositories(), keeps, nows)
def test_every_moment_of_the_window_stays_restorable(held: Holdings, keep: Keep, now: datetime) -> None:
    left = after(held, keep, now)
    newest = covered_until(held)
    if newest is None:
        assert left.backups == held.backups
        return
    edge = min(now, newest) - keep.window
    for window in windows_of(held):
        moments = {window.start, window.end, edge, *(each.finished_at for each in held.backups)}
        moments |= {each.commit_at for each in held.wal if each.commit_at}
        for moment in moments:
            if max(edge, window.start) <= moment <= window.end:
                target = Target(TargetKind.TIME, time=moment, timeline=Timeline(window.timeline))
                assert restores(held, target)
                assert restores(left, target), f"{moment} of timeline {window.timeline} is lost"


@given(repositories(), keeps, nows)
def test_the_newest_moment_is_the_same_as_before(held: Holdings, keep: Keep, now: datetime) -> None:
    assert covered_until(after(held, keep, now)) == covered_until(held)


@given(repositories(), keeps, nows)
def test_the_newest_point_of_each_period_stays_by_brute_force(
    held: Holdings, keep: Keep, now: datetime
) -> None:
    left = after(held, keep, now)
    restorable = {each.id: each for reach in reaches_of(held) for each in reach.backups}
    newest_first = sorted(restorable.values(), key=lambda each: each.finished_at, reverse=True)
    for count, form in ((keep.daily, "%Y-%m-%d"), (keep.weekly, "%G-%V"), (keep.monthly, "%Y-%m")):
        points: dict[str, Backup] = {}
        for each in newest_first:
            points.setdefault(each.finished_at.strftime(form), each)
        for point in list(points.values())[:count]:
            assert restores(left, Target(TargetKind.LABEL, label=point.id))


@given(repositories(), keeps, nows)
def test_never_fewer_restorable_backups_than_the_minimum(held: Holdings, keep: Keep, now: datetime) -> None:
    def restorable(held: Holdings) -> set[str]:
        return {each.id for reach in reaches_of(held) for each in reach.backups}

    left = restorable(after(held, keep, now))
    assert left <= restorable(held)
    assert len(left) >= min(keep.minimum, len(restorable(held)))


@given(repositories(), keeps, nows)
def test_no_chain_of_what_is_left_was_broken(held: Holdings, keep: Keep, now: datetime) -> None:
    left = after(held, keep, now)
    whole = whole_chains(held)
    assert {each.id for each in left.backups} & set(whole) == set(whole_chains(left))


@given(repositories(), keeps, nows)
def test_letting_go_twice_lets_go_of_nothing_more(held: Holdings, keep: Keep, now: datetime) -> None:
    left = after(held, keep, now)
    again = expiring(left, keep, now)
    assert (again.backups, again.wal) == ((), ())


@given(repositories(), keeps, nows)
def test_nothing_before_a_suspicion_goes(held: Holdings, keep: Keep, now: datetime) -> None:
    since = suspect_since(held)
    expiry = expiring(held, keep, now)
    if since is not None:
        assert not [each for each in expiry.backups if each.started_at < since]
        assert all(not each.is_whole for each in expiry.wal)


@given(repositories(), keeps, nows, st.data())
def test_what_is_locked_stays_with_its_chain(
    held: Holdings, keep: Keep, now: datetime, data: st.DataObject
) -> None:
    locked = data.draw(st.sets(st.sampled_from([each.id for each in held.backups] or ["none"])))
    expiry = expiring(held, keep, now, locked)
    left = without(held, expiry.backups, expiry.wal)
    assert locked & {each.id for each in held.backups} <= {each.id for each in left.backups}
    assert set(whole_chains(held)) & locked <= set(whole_chains(left))


@given(repositories(), keeps, keeps, nows)
def test_a_wider_keep_keeps_all_that_both_keep(held: Holdings, one: Keep, other: Keep, now: datetime) -> None:
    wide = widest(one, other)
    assert not narrows(wide, one)
    assert not narrows(wide, other)
    kept = {each.id for each in after(held, wide, now).backups}
    for keep in (one, other):
        window = {id_ for id_, why in expiring(held, keep, now).reasons.items() if "minimum" not in why}
        assert window <= kept


@given(repositories(), keeps)
def test_what_is_older_than_everything_promised_does_go(held: Holdings, keep: Keep) -> None:
    """Without it, keeping everything for ever would pass every test above."""
    newest = covered_until(held)
    if newest is None or suspect_since(held) is not None:
        return
    expiry = expiring(held, keep, newest)
    promised = keep.daily + keep.weekly + keep.monthly + keep.minimum
    reaches = reaches_of(held)
    edge = newest - keep.window
    points = {each.id for reach in reaches for each in reach.backups if each.finished_at < edge}
    chained = sum(1 for why in expiry.reasons.values() if any(each.startswith("chain") for each in why))
    assert len(points) - len(reaches) - promised - chained <= len(expiry.backups)
