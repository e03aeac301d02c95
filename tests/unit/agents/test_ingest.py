"""What becomes of a delivery: which results count, in which order, and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.ingest import NotKnownYet, Probes, Taken, plausible, retirement, taken_in
from holdfast.availability.model import Outcome, Result, State, Timings, Transition
from holdfast.availability.verdicts import CheckState, Rules, heard

NOW = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RULES = {1: Rules(2, 2, 10 * SECOND, 5 * SECOND), 2: Rules(1, 1, 10 * SECOND, 5 * SECOND)}
BOTH = Probes({1, 2}, {1, 2})


def result(after_s: float, outcome: Outcome = Outcome.GOOD, probe: int = 1) -> Result:
    return Result(probe, NOW + after_s * SECOND, outcome, Timings(900))


def take(*results: Result, known: dict[int, CheckState] | None = None, probes: Probes = BOTH) -> Taken:
    now = NOW + timedelta(hours=1)
    return taken_in(list(enumerate(results)), probes, known or {}, RULES, now)


def known_after(taken: Taken) -> dict[int, CheckState]:
    return {state.check_id: state for state in taken.batch.states}


def test_results_count_in_the_order_of_their_times() -> None:
    taken = take(result(20), result(0), result(10, Outcome.FAILED))

    assert [each.at for each in taken.batch.results] == [NOW, NOW + 10 * SECOND, NOW + 20 * SECOND]
    assert [(each.at, each.state) for each in taken.batch.transitions] == [(NOW, State.OPERATIONAL)]
    assert taken.batch.states[0].heard_at == NOW + 20 * SECOND


def test_probes_have_timelines_of_their_own() -> None:
    taken = take(result(0), result(0, Outcome.FAILED, probe=2), result(10))

    assert {(each.check_id, each.state) for each in taken.batch.transitions} == {
        (1, State.OPERATIONAL),
        (2, State.MAJOR_OUTAGE),
    }
    assert sorted(state.check_id for state in taken.batch.states) == [1, 2]


def test_what_was_heard_already_is_absorbed_within_and_across_deliveries() -> None:
    first = take(result(0), result(10), result(10))
    assert (first.stored, first.absorbed) == (2, 1)

    second = take(result(0), result(10), result(20), known=known_after(first))

    assert (second.stored, second.absorbed) == (1, 2)


def test_an_unknown_probe_takes_nothing_with_it() -> None:
    taken = take(result(0, probe=3), result(0), result(5, probe=2), probes=Probes({1, 2}, {1}))

    assert [each.check_id for each in taken.batch.results] == [1]
    assert {(each.index, each.reason) for each in taken.refused} == {
        (0, "not a probe of this vantage point"),
        (2, "no longer in the estate"),
    }


def test_a_probe_in_force_without_rules_is_not_refused_but_waits() -> None:
    with pytest.raises(NotKnownYet):
        take(result(0), result(0, probe=3), probes=Probes({1, 2, 3}, {1, 2, 3}))


@pytest.mark.parametrize(
    ("ahead", "kept"),
    [
        (timedelta(seconds=60), True),
        (timedelta(seconds=60, microseconds=1), False),
        (timedelta(days=400), False),
        (timedelta(days=-30), True),
        (timedelta(days=-30, microseconds=-1), False),
    ],
)
def test_times_that_cannot_be_true_are_refused_with_a_reason(ahead: timedelta, kept: bool) -> None:
    odd = Result(1, NOW + ahead, Outcome.GOOD, Timings(1))

    found, refused = plausible([result(0), odd], NOW)

    assert len(found) == 1 + kept
    assert [each.index for each in refused] == ([] if kept else [1])
    assert all("future" in each.reason or "older than 30d" in each.reason for each in refused)


def test_late_results_mend_without_a_transition_and_that_is_told() -> None:
    known = known_after(take(result(0)))
    assert known[1].state_at(NOW + timedelta(hours=1)) is State.UNKNOWN

    late = taken_in(
        [(index, result(10 * index)) for index in range(1, 361)], BOTH, known, RULES, NOW + 3605 * SECOND
    )

    assert late.batch.transitions == []
    assert late.changed
    nothing_new = taken_in([(0, result(3610))], BOTH, known_after(late), RULES, NOW + 3610 * SECOND)
    assert not nothing_new.changed


def test_a_probe_that_left_is_silent_first_and_then_retired() -> None:
    known = known_after(take(result(0)))

    batch = retirement(known.values(), NOW + 600 * SECOND)

    assert [(each.at, each.state) for each in batch.transitions] == [
        (NOW + 10 * SECOND, State.UNKNOWN),
        (NOW + 600 * SECOND, State.RETIRED),
    ]


OUTCOMES = st.sampled_from(list(Outcome))
HISTORIES = st.lists(st.tuples(st.integers(1, 40), OUTCOMES), min_size=1, max_size=40)


@given(HISTORIES, st.data())
def test_however_it_is_delivered_the_timeline_is_that_of_the_results_one_by_one(
    history: list[tuple[int, Outcome]], data: st.DataObject
) -> None:
    """Deliveries of any size, each repeated as often as it may be, in order as an agent sends them."""
    results: list[Result] = []
    at = 0
    for step, outcome in history:
        at += step
        results.append(result(at, outcome))
    expected: list[Transition] = []
    state: CheckState | None = None
    for each in results:
        state, changes = heard(state, each, RULES[1])
        expected += changes

    found: list[Transition] = []
    known: dict[int, CheckState] = {}
    stored = 0
    start = 0
    while start < len(results):
        end = data.draw(st.integers(start + 1, len(results)))
        again_from = data.draw(st.integers(0, start))
        parcel = data.draw(st.permutations(results[again_from:end]))
        taken = take(*parcel, known=known)
        known |= known_after(taken)
        found += taken.batch.transitions
        stored += taken.stored
        assert taken.absorbed == start - again_from
        start = end

    assert found == expected
    assert stored == len(results)
    assert known == {1: state}
