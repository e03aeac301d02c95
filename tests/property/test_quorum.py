"""What several vantage points agree on, held against a count at every moment."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.model import Interval, State
from holdfast.availability.timeline import Quorum, quorum_at, quorum_of
from holdfast.kernel.windows import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SEEN = [State.OPERATIONAL, State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE, State.UNKNOWN]
LENGTH = 24

moments = st.lists(st.sampled_from([*SEEN, None]), min_size=LENGTH, max_size=LENGTH)
quorum_changes = st.lists(
    st.tuples(st.integers(0, LENGTH), st.integers(1, 4)), max_size=3, unique_by=lambda change: change[0]
)


def line_of(states: list[State | None]) -> list[Interval]:
    """A second per state; None says nothing."""
    return [
        Interval(Window(START + i * SECOND, START + (i + 1) * SECOND), state)
        for i, state in enumerate(states)
        if state is not None
    ]


def counted(states: list[State | None], needed: int) -> State | None:
    """The definition, by counting: the worst state that enough of them see, or worse."""
    present = [state for state in states if state is not None]
    if not present:
        return None
    for candidate in sorted(set(present) - {State.UNKNOWN}, key=lambda s: s.badness, reverse=True):
        votes = sum(s is not State.UNKNOWN and s.badness >= candidate.badness for s in present)
        if votes >= needed:
            return candidate
    return State.UNKNOWN


@given(st.lists(moments, min_size=1, max_size=5), quorum_changes)
def test_agreement_is_what_counting_gives(
    places: list[list[State | None]], changes: list[tuple[int, int]]
) -> None:
    quorums = [Quorum(START + at * SECOND, needed) for at, needed in sorted(changes)]
    found = quorum_of([line_of(states) for states in places], quorums)
    assert all(one.window.end <= other.window.start for one, other in itertools.pairwise(found))
    for i in range(LENGTH):
        at = START + i * SECOND
        here = next((each.state for each in found if each.window.contains(at)), None)
        assert here is counted([states[i] for states in places], quorum_at(quorums, at))


@given(st.lists(moments, min_size=1, max_size=5), st.integers(1, 5), st.randoms())
def test_the_order_of_vantage_points_says_nothing(
    places: list[list[State | None]], needed: int, dice: object
) -> None:
    quorums = [Quorum(START, needed)]
    lines = [line_of(states) for states in places]
    shuffled = list(lines)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    states = [(each.window, each.state) for each in quorum_of(lines, quorums)]
    assert states == [(each.window, each.state) for each in quorum_of(shuffled, quorums)]


def test_a_silent_agent_is_unknown_and_not_down() -> None:
    up, down, silent = State.OPERATIONAL, State.MAJOR_OUTAGE, State.UNKNOWN
    two_of_three = [Quorum(START, 2)]

    def agreed(*states: State) -> State:
        return quorum_of([line_of([state]) for state in states], two_of_three)[0].state

    assert agreed(up, up, silent) is up
    assert agreed(up, silent, silent) is silent
    assert agreed(down, silent, silent) is silent
    assert agreed(down, up, silent) is up
    assert agreed(down, down, silent) is down
    assert agreed(down, up, up) is up
