"""Timelines against an oracle that looks at every second."""

from datetime import timedelta
from itertools import pairwise

import pytest
from availability_strategies import (
    LENGTH,
    T0,
    WHOLE,
    at,
    filled_windows,
    lines,
    seconds,
    split,
    state_in,
    states,
    windows,
)
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.model import BADNESS, Interval, State, Transition
from holdfast.availability.timeline import completed, intervals_of, without, worst_of
from holdfast.availability.verdicts import CheckState
from holdfast.kernel.windows import Window, merged

histories = st.lists(
    st.tuples(seconds, st.sampled_from(list(State))), max_size=8, unique_by=lambda each: each[0]
)


def transitions_of(history: list[tuple[int, State]]) -> list[Transition]:
    return [Transition(1, at(second), state, state.label) for second, state in sorted(history)]


def known_after(line: list[Transition], known_until: int, lateness: int) -> CheckState | None:
    """The state that goes with these transitions: its newest result was after the last of them.

    A check may be retired between the moment that a result was due and the one when it counted as silent.
    """
    if not line:
        return None
    last = line[-1]
    due = max(last.at + timedelta(seconds=1), at(known_until))
    if last.state is State.RETIRED:
        before = line[-2].at + timedelta(seconds=1) if len(line) > 1 else last.at
        due = max(before, last.at - timedelta(seconds=lateness))
    return CheckState(1, last.state, last.at, last.at, due, due + timedelta(seconds=lateness))


def in_force(line: list[Transition], window: Window) -> list[Transition]:
    """What a store hands over for `window`: the transition in force at its start, and those inside."""
    before = [each for each in line if each.at <= window.start][-1:]
    return [*before, *(each for each in line if window.start < each.at < window.end)]


def assert_tiles(line: list[Interval], window: Window) -> None:
    assert sum((each.duration for each in line), timedelta()) == window.duration
    assert all(a.window.end == b.window.start for a, b in pairwise(line))
    if line:
        assert (line[0].window.start, line[-1].window.end) == (window.start, window.end)


@given(histories, filled_windows, seconds, seconds, st.integers(0, 5))
def test_every_second_has_the_state_of_the_last_transition_until_it_is_silent(
    history: list[tuple[int, State]], window: Window, now: int, known_until: int, lateness: int
) -> None:
    line = transitions_of(history)
    known = known_after(line, known_until, lateness)
    found = intervals_of(in_force(line, window), known, window, at(now))
    silent = known is not None and at(now) > known.silent_after
    for second in range(LENGTH):
        moment = at(second)
        before = [each for each in line if each.at <= moment]
        expected = before[-1].state if before else None
        live = expected not in (None, State.RETIRED)
        if silent and live and known is not None and known.state is not State.RETIRED:
            expected = State.UNKNOWN if moment >= known.known_until else expected
        if not live or not window.contains(moment) or second >= now:
            expected = None
        assert state_in(found, second) is expected


@given(histories, filled_windows, seconds, seconds, seconds, st.integers(0, 5))
def test_a_window_seen_in_two_parts_is_the_window_seen_whole(
    history: list[tuple[int, State]], window: Window, cut: int, now: int, known_until: int, lateness: int
) -> None:
    line = transitions_of(history)
    known = known_after(line, known_until, lateness)
    middle = min(max(at(cut), window.start), window.end)
    parts = [Window(window.start, middle), Window(middle, window.end)]
    seen = [each for part in parts for each in intervals_of(in_force(line, part), known, part, at(now))]
    whole = intervals_of(in_force(line, window), known, window, at(now))
    assert completed(seen, window) == completed(whole, window)


@pytest.mark.parametrize("end", range(1, 41))
def test_a_retirement_later_than_the_next_result_was_due_changes_nothing_before_it(end: int) -> None:
    line = [Transition(1, at(0), State.OPERATIONAL), Transition(1, at(40), State.RETIRED)]
    known = CheckState(1, State.RETIRED, at(40), at(40), known_until=at(20), silent_after=at(45))
    window = Window(at(0), at(end))
    found = intervals_of(in_force(line, window), known, window, at(50))
    assert found == [Interval(window, State.OPERATIONAL)]


@given(lines(), filled_windows)
def test_completed_tiles_the_window_and_changes_nothing_that_was_known(
    line: list[Interval], window: Window
) -> None:
    found = completed(line, window)
    assert_tiles(found, window)
    for second in range(LENGTH):
        if window.contains(at(second)):
            said = state_in(line, second)
            assert state_in(found, second) is (State.UNKNOWN if said is None else said)
    assert completed(found, window) == found


@given(lines(), st.lists(seconds, max_size=5))
def test_splitting_an_interval_changes_nothing(line: list[Interval], cuts: list[int]) -> None:
    assert completed(split(line, cuts), WHOLE) == completed(line, WHOLE)


@given(st.lists(lines(), max_size=4))
def test_worst_of_is_the_worst_at_every_second(timelines: list[list[Interval]]) -> None:
    found = worst_of(timelines)
    for second in range(LENGTH):
        said = [state for line in timelines if (state := state_in(line, second)) is not None]
        assert state_in(found, second) is max(said, key=lambda state: BADNESS[state], default=None)


@given(st.lists(lines(), max_size=4), st.randoms(use_true_random=False), st.lists(seconds, max_size=5))
def test_worst_of_depends_neither_on_the_order_nor_on_splits(
    timelines: list[list[Interval]], random: object, cuts: list[int]
) -> None:
    shuffled = [split(line, cuts) for line in timelines]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert completed(worst_of(shuffled), WHOLE) == completed(worst_of(timelines), WHOLE)


@given(st.lists(lines(), min_size=1, max_size=4))
def test_worst_of_names_the_reason_of_the_worst(timelines: list[list[Interval]]) -> None:
    for interval in worst_of(timelines):
        assert interval.reason == interval.state.label


@given(lines(), lines(), states)
def test_a_sample_anywhere_marks_what_is_made_of_it(
    one: list[Interval], other: list[Interval], state: State
) -> None:
    sampled = [Interval(each.window, state, "", sample=True) for each in other]
    found = worst_of([one, sampled])
    for second in range(LENGTH):
        inside = [each for each in found if each.window.contains(at(second))]
        assert all(each.sample is (state_in(sampled, second) is not None) for each in inside)


@given(lines(), st.lists(windows, max_size=4))
def test_without_removes_exactly_what_is_excluded(line: list[Interval], holes: list[Window]) -> None:
    found = without(line, merged(holes))
    for second in range(LENGTH):
        excluded = any(hole.contains(at(second)) for hole in holes)
        assert state_in(found, second) is (None if excluded else state_in(line, second))
    assert all(each.duration > timedelta() for each in found)


@given(lines())
def test_nothing_before_the_first_moment_and_nothing_after_now(line: list[Interval]) -> None:
    transitions = [Transition(1, each.window.start, each.state) for each in line]
    later = Window(T0 - timedelta(hours=1), T0)
    assert intervals_of(in_force(transitions, later), None, later, T0 + timedelta(hours=1)) == []
    assert intervals_of(in_force(transitions, WHOLE), None, WHOLE, T0) == []
