from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from holdfast.availability.model import (
    LONGEST_LINE,
    Maintenance,
    Outcome,
    Result,
    State,
    Timings,
    Transition,
    one_line,
    worst,
)
from holdfast.kernel.windows import Window

START = datetime(2026, 3, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def planned(announced_at: datetime, cancelled_at: datetime | None = None) -> Maintenance:
    return Maintenance(1, Window(START, START + HOUR), announced_at, frozenset({7}), "", cancelled_at)


@pytest.mark.parametrize(
    ("before", "excludes"),
    [
        (72 * HOUR + MICROSECOND, True),
        (72 * HOUR, True),
        (72 * HOUR - MICROSECOND, False),
        (timedelta(), False),
        (-HOUR, False),
    ],
)
def test_maintenance_counts_from_the_agreed_notice_on(before: timedelta, excludes: bool) -> None:
    assert planned(START - before).excludes(7, 72 * HOUR) is excludes


def test_beginning_late_is_no_notice() -> None:
    """Announced 71 h before its planned start, begun two hours late: that makes no 72 h of it."""
    late = replace(planned(START - 73 * HOUR), planned_start=START - 2 * HOUR)
    assert not late.excludes(7, 72 * HOUR)
    assert late.excludes(7, 71 * HOUR)


def test_maintenance_without_a_notice_is_announced_at_its_start_at_the_latest() -> None:
    assert planned(START).excludes(7, timedelta())
    assert not planned(START + MICROSECOND).excludes(7, timedelta())


def test_maintenance_excludes_only_what_it_covers_and_nothing_once_cancelled() -> None:
    assert not planned(START - 99 * HOUR).excludes(8, HOUR)
    assert not planned(START - 99 * HOUR, START - HOUR).excludes(7, HOUR)


ORDER = [State.OPERATIONAL, State.DEGRADED, State.UNKNOWN, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE]


@pytest.mark.parametrize(("better", "worse"), [(a, b) for n, a in enumerate(ORDER) for b in ORDER[n:]])
def test_states_are_ordered_from_good_to_bad(better: State, worse: State) -> None:
    for states in permutations([better, worse, State.RETIRED]):
        assert worst(states) is worse


def test_without_anything_to_judge_by_the_state_is_unknown() -> None:
    assert worst([]) is State.UNKNOWN
    assert worst([State.RETIRED, State.RETIRED]) is State.UNKNOWN


def test_outcomes_lead_to_the_states_of_their_numbers() -> None:
    assert [outcome.state for outcome in Outcome] == [
        State.OPERATIONAL,
        State.DEGRADED,
        State.PARTIAL_OUTAGE,
        State.MAJOR_OUTAGE,
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("connection refused", "connection refused"),
        ("a\nb\r\n\x00\ud800\u2028c", "a?b?????c"),
        ("Größe 😀", "Größe 😀"),
        ("x" * LONGEST_LINE, "x" * LONGEST_LINE),
        ("x" * (LONGEST_LINE + 1), "x" * (LONGEST_LINE - 3) + "..."),
    ],
)
def test_a_line_is_one_printable_line_of_bounded_length(text: str, line: str) -> None:
    assert one_line(text) == line
    assert one_line(line) == line
    assert Result(1, START, Outcome.FAILED, Timings(1), text).reason == line
    assert Transition(1, START, State.UNKNOWN, text).reason == line
