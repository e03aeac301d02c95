"""Verdicts over arbitrary lives of a check: late and missing results, crashes, removal, clocks that jump."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.model import BADNESS, Outcome, Result, State, Timings, Transition
from holdfast.availability.timeline import intervals_of, without
from holdfast.availability.verdicts import (
    MOST_DAMPING,
    MOST_FAILURES,
    CheckState,
    Rules,
    fell_silent,
    heard,
    needed,
    retired,
)
from holdfast.kernel.windows import Window, merged

START = datetime(2026, 3, 29, tzinfo=UTC)
EVERY = 10
LATENESS = 25
SECOND = timedelta(seconds=1)


@dataclass
class Life:
    """A check as a monitor lives it: what it knows, what it wrote, and when results really counted."""

    rules: Rules
    clock: datetime = START
    known: CheckState | None = None
    line: list[Transition] = field(default_factory=list)
    heard_at: list[datetime] = field(default_factory=list)
    outcomes: list[State] = field(default_factory=list)
    retired_at: list[datetime] = field(default_factory=list)
    last: Result | None = None
    stored: "Life | None" = None

    def result(self, gap: float, outcome: Outcome) -> None:
        self.clock += gap * SECOND
        self._hear(Result(1, self.clock, outcome, Timings(1), outcome.name))

    def again(self) -> None:
        if self.last is not None:
            self._hear(self.last)

    def jump(self, seconds: float) -> None:
        self.clock += seconds * SECOND

    def store(self) -> None:
        self.stored = replace(
            self,
            line=list(self.line),
            heard_at=list(self.heard_at),
            outcomes=list(self.outcomes),
            retired_at=list(self.retired_at),
        )

    def crash(self) -> None:
        """The process is gone, and what it had not stored with it."""
        kept = self.stored or Life(self.rules)
        self.known, self.line = kept.known, list(kept.line)
        self.heard_at, self.outcomes = list(kept.heard_at), list(kept.outcomes)
        self.retired_at = list(kept.retired_at)

    def retire(self, gap: float) -> None:
        self.clock += gap * SECOND
        if self.known is not None:
            before = self.known.state
            self.known, more = retired(self.known, self.clock)
            self.line += more
            if before is not State.RETIRED:
                self.retired_at.append(self.known.since)

    def _hear(self, result: Result) -> None:
        self.last = result
        before = self.known
        self.known, more = heard(self.known, result, self.rules)
        self.heard_at.append(self.known.heard_at)
        self.outcomes.append(result.outcome.state)
        for change in more:
            self._assert_supported(before, change)
        self.line += more

    def _assert_supported(self, before: CheckState | None, change: Transition) -> None:
        """What a change says was said by every result since it began, and by enough of them."""
        if change.state is State.UNKNOWN:
            return
        run = [state for at, state in zip(self.heard_at, self.outcomes, strict=True) if at >= change.at]
        assert change.at in self.heard_at, "a change begins at a result"
        assert change.state in run
        level = BADNESS[change.state]
        worse = all(BADNESS[state] >= level for state in run)
        better = all(BADNESS[state] <= level for state in run)
        assert worse or better
        if change.state is State.OPERATIONAL and before is not None and before.state is State.MAJOR_OUTAGE:
            # It was either an outage to recover from, or the silence after one.
            silent = self.heard_at[-1] > before.silent_after
            assert silent or len(run) >= self.rules.recover_after
        if change.state is not State.OPERATIONAL and worse and not better:
            assert len(run) >= self.rules.fail_after


gaps = st.sampled_from(
    [EVERY, EVERY, EVERY, EVERY + 0.5, 1, EVERY + LATENESS, EVERY + LATENESS + 0.001, 40, 4000]
)
outcomes = st.sampled_from(list(Outcome))
steps = st.one_of(
    st.tuples(st.just("result"), gaps, outcomes),
    st.tuples(st.just("result"), gaps, outcomes),
    st.tuples(st.just("result"), gaps, outcomes),
    st.tuples(st.just("again")),
    st.tuples(st.just("jump"), st.sampled_from([-5000, -60, -10.5, -0.1, 0.1, 30, 5000])),
    st.tuples(st.just("store")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("retire"), gaps),
)
rules = st.builds(
    Rules,
    fail_after=st.integers(1, 4),
    recover_after=st.integers(1, 4),
    every=st.just(EVERY * SECOND),
    lateness=st.just(LATENESS * SECOND),
)


def lived(rules: Rules, happened: list[tuple[object, ...]]) -> Life:
    life = Life(rules)
    for name, *facts in happened:
        getattr(life, str(name))(*facts)
    return life


def covered(life: Life) -> list[Window]:
    """The moments that a result speaks for: until the next one if that came in time, else until due."""
    spoken = []
    ends = [*life.heard_at[1:], None]
    for heard_at, following in zip(life.heard_at, ends, strict=False):
        due = heard_at + life.rules.every
        gone = min((at for at in life.retired_at if at > heard_at), default=None)
        until = min((at for at in (following, gone) if at is not None), default=None)
        in_time = until is not None and until <= due + life.rules.lateness
        spoken.append(Window(heard_at, until if in_time and until is not None else due))
    return merged(spoken)


@given(rules, st.lists(steps, max_size=40))
def test_times_of_transitions_strictly_increase(rules: Rules, happened: list[tuple[object, ...]]) -> None:
    life = lived(rules, happened)
    assert all(a.at < b.at for a, b in pairwise(life.line))


@given(rules, st.lists(steps, max_size=40))
def test_neighbouring_transitions_say_different_things(
    rules: Rules, happened: list[tuple[object, ...]]
) -> None:
    life = lived(rules, happened)
    assert all(a.state is not b.state for a, b in pairwise(life.line))


@given(rules, st.lists(steps, max_size=40), st.integers(-100, 6000))
def test_no_gap_is_ever_hidden(rules: Rules, happened: list[tuple[object, ...]], later: int) -> None:
    life = lived(rules, happened)
    now = life.clock + later * SECOND
    window = Window(START - timedelta(days=2), START + timedelta(days=20))
    line = intervals_of(life.line, life.known, window, now)
    claimed = [each for each in line if each.state is not State.UNKNOWN]
    spoken = covered(life)
    if life.known is not None and now <= life.known.silent_after and life.known.state is not State.RETIRED:
        spoken = merged([*spoken, Window(life.known.heard_at, life.known.silent_after)])
    assert without(claimed, spoken) == []


@given(
    rules,
    st.lists(st.tuples(st.sampled_from([1, EVERY, EVERY + LATENESS]), outcomes), min_size=1, max_size=40),
)
def test_results_that_come_in_time_leave_nothing_unknown(
    rules: Rules, results: list[tuple[int, Outcome]]
) -> None:
    life = lived(rules, [("result", *each) for each in results])
    assert [change for change in life.line if change.state is State.UNKNOWN] == []


@given(rules, st.lists(steps, max_size=40))
def test_what_is_remembered_stays_small(rules: Rules, happened: list[tuple[object, ...]]) -> None:
    life = Life(rules)
    for name, *facts in happened:
        getattr(life, str(name))(*facts)
        if life.known is not None:
            assert len(life.known.pending) < max(rules.fail_after, MOST_DAMPING * rules.recover_after)
            assert len(life.known.failures) <= MOST_FAILURES


@given(rules, st.lists(steps, max_size=40))
def test_what_is_known_agrees_with_what_was_written(rules: Rules, happened: list[tuple[object, ...]]) -> None:
    life = lived(rules, happened)
    if life.known is not None:
        shown = life.line[-1] if life.line else None
        assert life.known.state is (State.UNKNOWN if shown is None else shown.state)
        assert shown is None or life.known.since == shown.at
        assert life.known.heard_at >= life.known.since


@given(rules, st.lists(steps, max_size=30), st.integers(0, 5000))
def test_silence_and_retirement_happen_once(
    rules: Rules, happened: list[tuple[object, ...]], later: int
) -> None:
    life = lived(rules, happened)
    if life.known is None:
        return
    silent, first = fell_silent(life.known)
    assert fell_silent(silent) == (silent, [])
    assert len(first) <= 1
    gone, _ = retired(life.known, life.clock + later * SECOND)
    assert retired(gone, life.clock + (later + 1) * SECOND) == (gone, [])
    assert fell_silent(gone) == (gone, [])


def test_a_check_that_is_removed_after_the_clock_was_set_back_keeps_its_outage() -> None:
    rules = Rules(1, 1, EVERY * SECOND, LATENESS * SECOND)
    life = lived(rules, [("result", EVERY, Outcome.FAILED)] * 10)
    heard_last = life.clock
    life.jump(-5000)
    life.retire(EVERY)
    assert [(change.state, change.at >= heard_last) for change in life.line] == [
        (State.MAJOR_OUTAGE, False),
        (State.RETIRED, True),
    ]


@given(rules, st.lists(outcomes, min_size=1, max_size=60))
def test_without_a_whole_run_of_failures_there_is_no_outage(rules: Rules, results: list[Outcome]) -> None:
    thinned = []
    run = 0
    for outcome in results:
        run = run + 1 if outcome is not Outcome.GOOD else 0
        if run == rules.fail_after:
            outcome, run = Outcome.GOOD, 0  # noqa: PLW2901
        thinned.append(outcome)
    life = lived(rules, [("result", EVERY, outcome) for outcome in thinned])
    assert {change.state for change in life.line} <= {State.OPERATIONAL}


@given(rules, st.integers(0, 6), st.integers(1, 40))
def test_recovery_takes_the_run_that_its_past_asks_for(rules: Rules, flaps: int, good: int) -> None:
    """After each flap the check must hold longer, and then it recovers at exactly the last result needed."""
    life = Life(rules)
    life.result(EVERY, Outcome.GOOD)
    for _ in range(flaps):
        for _ in range(rules.fail_after):
            life.result(1, Outcome.FAILED)
        for _ in range(MOST_DAMPING * rules.recover_after):
            life.result(1, Outcome.GOOD)
    for _ in range(rules.fail_after):
        life.result(1, Outcome.FAILED)
    assert life.known is not None
    assert life.known.state is State.MAJOR_OUTAGE
    wanted = needed(life.known, rules, recovering=True)
    assert wanted == rules.recover_after * min(MOST_DAMPING, 2 ** max(0, flaps + 1 - 2))
    for _ in range(good):
        life.result(1, Outcome.GOOD)
    assert (life.known.state is State.OPERATIONAL) == (good >= wanted)
    if good >= wanted:
        assert life.known.since == life.heard_at[-good]
