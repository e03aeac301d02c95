"""Schedules: every check once per period, whatever is put, dropped and changed, however late it is asked."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.schedule import FIRST_WITHIN, Due, Schedule

checks = st.integers(1, 500)
periods = st.sampled_from([1.0, 7.3, 10.0, 30.0, 300.0, 86_400.0])


def runs_until(schedule: Schedule, start: float, end: float, *, step: float) -> list[Due]:
    found, now = [], start
    while now < end:
        found += schedule.take_due(now)
        now += step
    return found


def by_check(runs: Iterable[Due]) -> dict[int, list[float]]:
    times: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        times[run.check_id].append(run.at)
    return times


def assert_rhythm(times: list[float], every: float, *, step: float) -> None:
    """One run in each period. Only the first comes early; asked late, it stands for the second as well."""
    gaps = [b - a for a, b in pairwise(times)]
    assert all(0 < gap <= every * (1 + step) for gap in gaps[:1])
    assert gaps[1:] == pytest.approx([every] * len(gaps[1:]))


@given(st.sets(checks, min_size=1, max_size=20), periods, st.floats(0, 1e6), st.floats(0.05, 0.9))
def test_every_check_runs_once_per_period(ids: set[int], every: float, start: float, step: float) -> None:
    schedule = Schedule()
    for check in ids:
        schedule.put(check, every, start)
    times = by_check(runs_until(schedule, start, start + 8 * every, step=step * every))
    assert times.keys() == ids
    for each in times.values():
        assert 7 <= len(each) <= 9
        assert start <= each[0] <= start + min(every, FIRST_WITHIN)
        assert_rhythm(each, every, step=step)


@given(
    checks, periods, st.lists(st.sampled_from(["put", "drop", "other"]), max_size=12), st.floats(0.05, 0.9)
)
def test_whatever_happened_before_a_check_has_one_rhythm(
    check: int, every: float, happened: list[str], step: float
) -> None:
    schedule, now = Schedule(), 100.0
    for what in happened:
        if what == "drop":
            schedule.drop(check)
        else:
            schedule.put(check, every if what == "put" else every * 1.5, now)
        schedule.take_due(now)
        now += every / 3
    schedule.put(check, every, now)
    schedule.take_due(now)
    runs = runs_until(schedule, now, now + 10 * every, step=step * every)
    assert_rhythm([run.at for run in runs], every, step=step)
    assert 9 <= len(runs) <= 12


@given(checks, periods, st.lists(st.floats(0, 3), max_size=30))
def test_putting_it_again_changes_nothing(check: int, every: float, pauses: list[float]) -> None:
    once, again, now = Schedule(), Schedule(), 0.0
    once.put(check, every, now)
    for pause in pauses:
        again.put(check, every, now)
        assert again.take_due(now) == once.take_due(now)
        now += pause * every


@given(st.sets(checks, min_size=1, max_size=20), periods, st.floats(2, 10_000))
def test_a_long_pause_causes_one_run_and_leaves_the_rhythm(ids: set[int], every: float, pause: float) -> None:
    schedule = Schedule()
    for check in ids:
        schedule.put(check, every, 0.0)
    rhythm = by_check(runs_until(schedule, 0.0, 4 * every, step=every / 2))
    woken = by_check(schedule.take_due((4 + pause) * every))
    assert {check: len(times) for check, times in woken.items()} == dict.fromkeys(ids, 1)
    after = by_check(schedule.take_due((5 + pause) * every))
    for check, (at,) in after.items():
        assert (4 + pause) * every < at <= (5 + pause) * every * (1 + 1e-9)
        periods_between = (at - rhythm[check][-1]) / every
        assert periods_between == pytest.approx(round(periods_between), abs=1e-6)


@given(st.sets(checks, min_size=1, max_size=10), periods)
def test_next_due_is_never_after_the_next_run(ids: set[int], every: float) -> None:
    schedule, now = Schedule(), 0.0
    for check in ids:
        schedule.put(check, every, now)
    for _ in range(40):
        due = schedule.next_due()
        assert due is not None
        assert schedule.take_due(due - every * 1e-6) == []
        assert all(run.at == due for run in schedule.take_due(due))


@pytest.mark.parametrize("count", [10, 100, 1000])
@pytest.mark.parametrize("first", [1, 77_777])
def test_checks_are_spread_evenly(count: int, first: int) -> None:
    schedule = Schedule()
    for check in range(first, first + count):
        schedule.put(check, 10.0, 0.0)
    tenths = [0] * 10
    for run in schedule.take_due(9.999_999_9):
        tenths[int(run.at)] += 1
    assert sum(tenths) == count
    assert all(abs(each - count / 10) <= 2 for each in tenths)


def test_a_slow_check_that_runs_early_keeps_its_place_in_the_slow_rhythm() -> None:
    schedule = Schedule()
    for check in range(100):
        schedule.put(check, 3600.0, 0.0)
    assert len(schedule.take_due(FIRST_WITHIN)) == 100
    tenths = [len(schedule.take_due(360.0 * (n + 1))) for n in range(10)]
    assert all(abs(each - 10) <= 2 for each in tenths)


def test_nothing_is_due_when_there_is_nothing() -> None:
    schedule = Schedule()
    assert schedule.next_due() is None
    schedule.put(1, 10.0, 0.0)
    schedule.drop(1)
    assert schedule.take_due(1000.0) == []
    schedule.put(1, 10.0, 0.0)
    schedule.clear()
    assert schedule.next_due() is None
    assert schedule.take_due(1000.0) == []
