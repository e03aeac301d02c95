"""The judge of histories itself: what it must find, it finds."""

from datetime import UTC, datetime, timedelta

from chaos_estate import EVERY, LATENESS, History

from holdfast.availability.model import Outcome, State

START = datetime(2026, 11, 22, tzinfo=UTC)
GOOD, FAILED = Outcome.GOOD.value, Outcome.FAILED.value


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _history(results: dict[float, int], transitions: dict[float, int]) -> History:
    """One check; each transition is recorded two seconds after its beginning."""
    return History(
        [(1, _at(when), outcome) for when, outcome in results.items()],
        [(1, _at(when), state, _at(when + 2)) for when, state in transitions.items()],
    )


SILENCE = (EVERY + LATENESS).total_seconds()


def test_an_honest_history_is_accepted() -> None:
    results = {0: GOOD, 1: GOOD, 2: FAILED, 3: FAILED, 4: GOOD, 5: GOOD, 20: GOOD, 21: GOOD}
    transitions = {
        0: State.OPERATIONAL,
        2: State.MAJOR_OUTAGE,
        4: State.OPERATIONAL,
        6: State.UNKNOWN,
        20: State.OPERATIONAL,
    }
    assert _history(results, transitions).breaches() == []


def test_a_hidden_gap_is_found() -> None:
    hidden = _history({0: GOOD, SILENCE + 0.1: GOOD}, {0: State.OPERATIONAL})
    assert len(hidden.breaches()) == 1

    known = _history({0: GOOD, SILENCE - 0.1: GOOD}, {0: State.OPERATIONAL})
    assert known.breaches() == []


def test_a_gap_that_begins_at_the_wrong_moment_is_found() -> None:
    late = _history({0: GOOD, 30: GOOD}, {0: State.OPERATIONAL, 5: State.UNKNOWN, 30: State.OPERATIONAL})
    assert len(late.breaches()) == 1


def test_unknown_without_a_gap_is_found() -> None:
    results = {0: GOOD, 2: GOOD, 3: GOOD}
    claimed = _history(results, {0: State.OPERATIONAL, 1: State.UNKNOWN, 2: State.OPERATIONAL})
    assert len(claimed.breaches()) == 1


def test_a_state_that_nothing_shows_is_found() -> None:
    assert len(_history({0: GOOD, 1: GOOD}, {0: State.OPERATIONAL, 0.5: State.MAJOR_OUTAGE}).breaches()) == 1
    assert len(_history({0: GOOD, 1: GOOD}, {0: State.OPERATIONAL, 1: State.MAJOR_OUTAGE}).breaches()) == 1


def test_a_rewritten_timeline_is_found() -> None:
    results = [(1, _at(0), GOOD), (1, _at(1), FAILED)]
    states = [(1, _at(0), 0, _at(5)), (1, _at(1), 3, _at(4))]
    assert len(History(results, states).breaches()) == 1
