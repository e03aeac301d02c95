"""Whatever dumps a region holds, letting go of what expires loses nothing that was promised."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.held import at, backup

from holdfast.backup.logical.dumps import expiring_dumps
from holdfast.backup.model import Backup
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


@dataclass(frozen=True)
class Region:
    """Dumps of some weeks, some not whole, some locked, perhaps a suspicion."""

    dumps: tuple[Backup, ...]
    incomplete: frozenset[str]
    locked: frozenset[str]
    suspect_since: datetime | None

    @property
    def whole(self) -> list[Backup]:
        return sorted(
            (each for each in self.dumps if each.id not in self.incomplete),
            key=lambda each: each.finished_at,
        )

    def expired(self, keep: Keep, now: datetime) -> set[str]:
        gone = expiring_dumps(
            self.dumps,
            keep,
            now,
            incomplete=self.incomplete,
            locked=self.locked,
            suspect_since=self.suspect_since,
        )
        return {each.id for each in gone}

    def without(self, gone: set[str]) -> "Region":
        return replace(self, dumps=tuple(each for each in self.dumps if each.id not in gone))


@st.composite
def regions(draw: st.DrawFn) -> Region:
    dumps = tuple(backup(hour) for hour in sorted(draw(st.sets(st.integers(0, 3000), max_size=25))))
    some = (
        st.frozensets(st.sampled_from([each.id for each in dumps]), max_size=3)
        if dumps
        else st.just(frozenset())
    )
    since = draw(st.one_of(st.none(), st.integers(0, 3000).map(at)))
    return Region(dumps, draw(some), draw(some), since)


nows = st.integers(0, 4000).map(at)


@given(regions(), keeps, nows)
def test_the_window_and_the_dump_before_it_stay(region: Region, keep: Keep, now: datetime) -> None:
    gone = region.expired(keep, now)
    past = [each for each in region.whole if each.finished_at <= now]
    if not past:
        assert gone == set()
        return
    edge = min(now, past[-1].finished_at) - keep.window
    before = [each for each in past if each.finished_at < edge][-1:]
    inside = [each for each in region.dumps if each.finished_at >= edge]
    assert not gone & {each.id for each in (*inside, *before)}


@given(regions(), keeps, nows)
def test_never_fewer_than_the_minimum_and_never_the_newest(region: Region, keep: Keep, now: datetime) -> None:
    gone = region.expired(keep, now)
    past = [each for each in region.whole if each.finished_at <= now]
    left = [each for each in past if each.id not in gone]
    assert len(left) >= min(keep.minimum, len(past))
    assert left[-1:] == past[-1:]


@given(regions(), keeps, nows)
def test_the_newest_of_each_period_stays(region: Region, keep: Keep, now: datetime) -> None:
    gone = region.expired(keep, now)
    past = [each for each in region.whole if each.finished_at <= now]
    periods: list[tuple[int, Callable[[datetime], object]]] = [
        (keep.daily, lambda moment: moment.date()),
        (keep.weekly, lambda moment: moment.isocalendar()[:2]),
        (keep.monthly, lambda moment: (moment.year, moment.month)),
    ]
    for count, period_of in periods:
        newest = {period_of(each.finished_at): each.id for each in past}
        wanted = list(newest.values())[-count:] if count else []
        assert not gone & set(wanted)


@given(regions(), keeps, nows)
def test_what_is_locked_or_from_before_a_suspicion_stays(region: Region, keep: Keep, now: datetime) -> None:
    gone = region.expired(keep, now)
    assert not gone & region.locked
    since = region.suspect_since
    assert not [each for each in region.dumps if since and each.started_at < since and each.id in gone]


@given(regions(), keeps, nows)
def test_done_again_nothing_more_goes(region: Region, keep: Keep, now: datetime) -> None:
    left = region.without(region.expired(keep, now))
    assert left.expired(keep, now) == set()


@given(regions(), keeps, nows, st.integers(1, 100_000).map(lambda hours: hours * HOUR))
def test_a_clock_that_runs_ahead_lets_nothing_more_go(
    region: Region, keep: Keep, now: datetime, ahead: timedelta
) -> None:
    last = max((each.finished_at for each in region.dumps), default=now)
    later = max(now, last)
    assert region.expired(keep, later + ahead) == region.expired(keep, later)
