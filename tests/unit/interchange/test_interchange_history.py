"""Timelines from another tool's records: what it cannot vouch for is unknown."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.availability.model import State
from holdfast.interchange.history import Beat, Count, Timeline, attested_windows
from holdfast.kernel.windows import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=400)
MINUTE = timedelta(minutes=1)
UP, DOWN, UNKNOWN = State.OPERATIONAL, State.MAJOR_OUTAGE, State.UNKNOWN


def _at(minutes: float) -> datetime:
    return START + minutes * MINUTE


def _timeline(beats: list[tuple[float, State | None]], attested: list[Window] | None = None) -> Timeline:
    timeline = Timeline(7, NOW, timedelta(seconds=75), attested or [])
    for minutes, state in beats:
        timeline.take(Beat(_at(minutes), state, MINUTE, "why" if state is DOWN else ""))
    timeline.finish()
    return timeline


def _changes(timeline: Timeline) -> list[tuple[float, State]]:
    return [((each.at - START) / MINUTE, each.state) for each in timeline.transitions]


def test_a_steady_check_has_one_state_until_its_last_beat_stops_speaking() -> None:
    assert _changes(_timeline([(0, UP), (1, UP), (2, UP)])) == [(0, UP), (3, UNKNOWN)]


def test_an_outage_keeps_its_reason() -> None:
    timeline = _timeline([(0, UP), (1, DOWN), (2, DOWN), (3, UP)])

    assert _changes(timeline) == [(0, UP), (1, DOWN), (3, UP), (4, UNKNOWN)]
    assert timeline.transitions[1].reason == "why"
    assert {each.check_id for each in timeline.transitions} == {7}
    assert not any(each.sample for each in timeline.transitions)


def test_a_failure_begins_with_the_first_beat_that_showed_it() -> None:
    assert _changes(_timeline([(0, UP), (1, None), (2, None), (3, DOWN)])) == [
        (0, UP),
        (1, DOWN),
        (4, UNKNOWN),
    ]


def test_a_failure_that_was_never_confirmed_was_none() -> None:
    assert _changes(_timeline([(0, UP), (1, None), (2, UP)])) == [(0, UP), (3, UNKNOWN)]


def test_a_failure_that_nothing_followed_is_unknown_from_where_it_began() -> None:
    assert _changes(_timeline([(0, UP), (1, None), (2, None)])) == [(0, UP), (1, UNKNOWN)]


def test_a_first_failure_is_not_up_before_it() -> None:
    assert _changes(_timeline([(0, None), (1, None), (2, DOWN)])) == [(0, DOWN), (3, UNKNOWN)]
    assert _changes(_timeline([(0, None), (1, UP)])) == [(0, UNKNOWN), (1, UP), (2, UNKNOWN)]


def test_a_beat_that_is_a_little_late_leaves_no_gap() -> None:
    assert _changes(_timeline([(0, UP), (2.1, UP)])) == [(0, UP), (3.1, UNKNOWN)]


def test_a_gap_is_unknown_from_when_the_next_beat_was_due() -> None:
    timeline = _timeline([(0, UP), (60, UP)])

    assert _changes(timeline) == [(0, UP), (1, UNKNOWN), (60, UP), (61, UNKNOWN)]
    assert timeline.tally.gaps == 1
    assert timeline.tally.unknown == 59 * MINUTE


def test_other_records_of_the_tool_fill_a_gap() -> None:
    attested = [Window(_at(0), _at(30)), Window(_at(40), _at(60))]

    timeline = _timeline([(0, DOWN), (60, UP)], attested)

    assert _changes(timeline) == [(0, DOWN), (30, UNKNOWN), (40, DOWN), (60, UP), (61, UNKNOWN)]
    assert timeline.tally.unknown == 10 * MINUTE
    assert _changes(_timeline([(0, UP), (60, UP)], [Window(_at(-10), _at(90))])) == [(0, UP), (61, UNKNOWN)]


def test_counts_attest_where_a_check_ran_most_of_the_time() -> None:
    hour = timedelta(hours=1)
    counts = [Count(START, hour, 60), Count(START + hour, hour, 54), Count(START + 2 * hour, hour, 53)]

    assert attested_windows(counts, MINUTE) == [Window(START, START + 2 * hour)]


def test_beats_out_of_order_and_in_the_future_are_counted_and_passed_over() -> None:
    timeline = _timeline([(5, UP), (5, DOWN), (4, DOWN), (6, UP), (400 * 24 * 60, DOWN)])

    assert _changes(timeline) == [(5, UP), (7, UNKNOWN)]
    assert timeline.tally.out_of_order == 3


def test_the_end_is_never_in_the_future() -> None:
    timeline = Timeline(1, _at(1), timedelta())
    timeline.take(Beat(_at(0.5), UP, timedelta(days=1)))
    timeline.finish()

    assert _changes(timeline) == [(0.5, UP), (1, UNKNOWN)]


def test_hours_hold_what_was_counted() -> None:
    timeline = Timeline(3, NOW, timedelta(seconds=75))
    for minute in range(90):
        state = DOWN if minute == 10 else UP
        timeline.take(Beat(_at(minute), state, MINUTE, "", None if state is DOWN else 20_000))
    timeline.finish()

    assert [(hour.at, hour.good, hour.failed) for hour in timeline.hours] == [
        (_at(0), 59, 1),
        (_at(60), 30, 0),
    ]
    median = timeline.hours[0].latency.quantile(0.5)
    assert median is not None
    assert abs(median - 20_000) < 1_000


STATES = st.sampled_from([UP, DOWN, UNKNOWN, State.DEGRADED, None])


@given(
    st.lists(st.tuples(st.floats(0, 300), STATES), max_size=40),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 50)), max_size=4),
)
@settings(deadline=None, derandomize=True, max_examples=400)
def test_timelines_grow_and_claim_only_what_was_recorded(
    beats: list[tuple[float, State | None]], covered: list[tuple[int, int]]
) -> None:
    counts = [Count(_at(start), length * MINUTE, length) for start, length in covered]
    attested = attested_windows(counts, MINUTE)
    timeline = _timeline(sorted(beats, key=lambda beat: beat[0]), attested)

    line = timeline.transitions
    assert all(one.at < other.at and one.state is not other.state for one, other in pairwise(line))
    assert not line or line[-1].state is UNKNOWN
    taken = sorted({_at(minutes) for minutes, _ in beats})
    for one, other in pairwise(line):
        if one.state is UNKNOWN:
            continue
        # Every moment of a known state lies in what a beat vouches for, or in what was attested.
        moment = one.at
        while moment < other.at:
            near = [at for at in taken if at <= moment < at + MINUTE + timedelta(seconds=75)]
            assert near or any(window.contains(moment) for window in attested), (moment, one)
            moment += timedelta(seconds=30)
