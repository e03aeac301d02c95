"""SLA figures: what must hold whatever happened, and an oracle that counts second by second."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from availability_strategies import (
    LENGTH,
    WHOLE,
    at,
    estates,
    filled_windows,
    lines,
    maintenances,
    seconds,
    split,
    state_in,
    terms,
    window,
    windows,
)
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.model import BADNESS, Interval, Maintenance, State
from holdfast.availability.sla import (
    WEIGHTS,
    Budget,
    Figure,
    Statement,
    Tally,
    Terms,
    credit_owed,
    percent_text,
    statement,
    tally,
)
from holdfast.estate.model import CreditTier
from holdfast.kernel.windows import Window, merged

Estate = Mapping[int, Sequence[Interval]]
SECOND = timedelta(seconds=1)
plans = st.lists(maintenances(), max_size=3)
SEVERITY = [State.OPERATIONAL, State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE]


def weight(state: State, unknown: str) -> Fraction:
    return Fraction(int(unknown == "downtime")) if state is State.UNKNOWN else WEIGHTS[state]


def counted_by_hand(
    estate: Estate, planned: Sequence[Maintenance], terms: Terms, window: Window
) -> tuple[Fraction, int]:
    """(weighted downtime, counted time) in seconds, by looking at every second."""
    downtime, counted = Fraction(), 0
    for second in range(LENGTH):
        if not window.contains(at(second)):
            continue
        seen = [
            State.UNKNOWN if (state := state_in(line, second)) is None else state
            for component, line in estate.items()
            if not any(m.window.contains(at(second)) and m.excludes(component, terms.notice) for m in planned)
        ]
        if terms.combine == "worst" and seen:
            order = {**BADNESS, State.UNKNOWN: 2.5} | (
                {State.UNKNOWN: 3.5} if terms.unknown == "downtime" else {}
            )
            seen = [max(seen, key=lambda state: order[state])]
        kept = [state for state in seen if not (state is State.UNKNOWN and terms.unknown == "excluded")]
        counted += len(kept)
        downtime += sum((weight(state, terms.unknown) for state in kept), Fraction())
    return downtime, counted


def account(estate: Estate, planned: Sequence[Maintenance], terms: Terms, now: int = LENGTH) -> Statement:
    return statement(estate, planned, terms, WHOLE, at(now))


@given(estates, plans, terms, st.integers(0, LENGTH))
def test_a_statement_is_what_counting_every_second_gives(
    estate: Estate, planned: list[Maintenance], terms: Terms, now: int
) -> None:
    found = account(estate, planned, terms, now)
    downtime, counted = counted_by_hand(estate, planned, terms, window(0, now))
    assert found.figure.counted == counted * SECOND
    assert found.figure.downtime == timedelta(microseconds=int(downtime * 1_000_000))
    assert found.figure.availability == (1 - downtime / counted if counted else None)


@given(estates, plans, terms, st.lists(seconds, max_size=5))
def test_splitting_an_interval_changes_nothing(
    estate: Estate, planned: list[Maintenance], terms: Terms, cuts: list[int]
) -> None:
    cut = {component: split(line, cuts) for component, line in estate.items()}
    assert account(cut, planned, terms) == account(estate, planned, terms)


@given(lines(), st.lists(windows, max_size=4), filled_windows)
def test_the_states_of_a_window_and_what_is_excluded_are_the_window(
    line: list[Interval], holes: list[Window], inside: Window
) -> None:
    found = tally(line, inside, holes)
    assert found.total == inside.duration
    clipped = merged(hole for each in holes if (hole := each.clipped_to(inside)))
    assert found.excluded == sum((hole.duration for hole in clipped), timedelta())


@given(estates, plans, terms)
def test_states_and_excluded_sum_up_for_statements_too(
    estate: Estate, planned: list[Maintenance], terms: Terms
) -> None:
    found = account(estate, planned, terms)
    components = 1 if terms.combine == "worst" else len(estate)
    assert found.figure.tally.total == components * WHOLE.duration
    assert all(figure.tally.total == WHOLE.duration for figure in found.by_component.values())


@given(estates, plans, maintenances(), terms)
def test_more_maintenance_never_raises_counted_downtime(
    estate: Estate, planned: list[Maintenance], another: Maintenance, terms: Terms
) -> None:
    assert (
        account(estate, [*planned, another], terms).figure.downtime
        <= account(estate, planned, terms).figure.downtime
    )


@given(estates, plans, terms)
def test_maintenance_announced_late_or_cancelled_excludes_nothing(
    estate: Estate, planned: list[Maintenance], terms: Terms
) -> None:
    late = [
        replace(each, announced_at=each.window.start - terms.notice + timedelta(microseconds=1))
        for each in planned
    ]
    cancelled = [replace(each, announced_at=at(-9999), cancelled_at=at(-9998)) for each in planned]
    assert account(estate, [*late, *cancelled], terms) == account(estate, [], terms)


@given(estates, plans, terms)
def test_availability_is_a_share(estate: Estate, planned: list[Maintenance], terms: Terms) -> None:
    found = account(estate, planned, terms)
    for figure in (found.figure, *found.by_component.values()):
        assert figure.availability is None or 0 <= figure.availability <= 1


@given(
    estates, plans, terms.filter(lambda each: each.unknown != "excluded"), st.integers(1, 3), filled_windows
)
def test_a_worse_state_never_raises_availability(
    estate: Estate, planned: list[Maintenance], terms: Terms, component: int, where: Window
) -> None:
    def worse(state: State) -> State:
        return state if state is State.UNKNOWN else SEVERITY[min(SEVERITY.index(state) + 1, 3)]

    if component not in estate:
        return
    before = estate[component]
    inside = [each for each in before if each.window.overlaps(where)]
    after = [replace(each, state=worse(each.state)) if each in inside else each for each in before]
    one = account(estate, planned, terms).figure.availability
    other = account({**estate, component: after}, planned, terms).figure.availability
    assert (one is None) == (other is None)
    assert one is None or other is None or other <= one


@given(estates, plans, terms)
def test_unknown_as_downtime_is_never_better_than_excluded_nor_that_than_uptime(
    estate: Estate, planned: list[Maintenance], terms: Terms
) -> None:
    down, out, up = (
        account(estate, planned, replace(terms, unknown=unknown)).figure.availability
        for unknown in ("downtime", "excluded", "uptime")
    )
    if down is not None and up is not None:
        assert down <= up
        assert out is None or down <= out <= up


@given(estates, terms.filter(lambda each: each.unknown != "excluded"))
def test_the_worst_is_never_better_than_the_average_or_any_component(estate: Estate, terms: Terms) -> None:
    """Without maintenance. With it, or with unknown left out, the two count different moments."""
    worst = account(estate, [], replace(terms, combine="worst"))
    average = account(estate, [], replace(terms, combine="average"))
    assert worst.figure.availability is not None
    assert average.figure.availability is not None
    assert worst.figure.availability <= average.figure.availability
    for figure in worst.by_component.values():
        assert figure.availability is not None
        assert worst.figure.availability <= figure.availability


@given(lines(), plans, terms)
def test_of_one_component_average_and_worst_are_the_same(
    line: list[Interval], planned: list[Maintenance], terms: Terms
) -> None:
    average = account({1: line}, planned, replace(terms, combine="average"))
    worst = account({1: line}, planned, replace(terms, combine="worst"))
    assert average.figure == worst.figure
    assert average.budget == worst.budget


@given(lines(), plans, terms, st.lists(seconds, max_size=4))
def test_the_parts_of_a_window_add_up_to_it(
    line: list[Interval], planned: list[Maintenance], terms: Terms, cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), LENGTH]
    parts = [
        statement({1: line}, planned, terms, window(start, end), at(LENGTH)).figure.tally
        for start, end in pairwise(edges)
    ]
    assert sum(parts, Tally()) == account({1: line}, planned, terms).figure.tally


@given(st.fractions(0, 1), st.integers(0, 6))
def test_a_figure_is_never_rounded_up(availability: Fraction, digits: int) -> None:
    text = percent_text(availability, digits)
    assert text is not None
    shown = Fraction(text) / 100
    assert shown <= availability < shown + Fraction(1, 100 * 10**digits) or shown == availability == 1
    assert (text == "100") == (availability == 1)


@given(st.integers(1, 10**12))
def test_almost_all_is_never_shown_as_all(missing: int) -> None:
    assert percent_text(1 - Fraction(1, 10**12 + missing)) == "99.999"


@given(estates, plans, terms, st.integers(0, LENGTH))
def test_the_budget_is_what_the_objective_leaves_of_the_whole_window(
    estate: Estate, planned: list[Maintenance], terms: Terms, now: int
) -> None:
    found = account(estate, planned, terms, now)
    assert found.budget.spent == found.figure.downtime
    assert found.budget.left == found.budget.allowed - found.budget.spent
    over = account(estate, planned, terms, LENGTH)
    microsecond = timedelta(microseconds=1)
    if over.met is not None:
        assert (over.budget.left >= -microsecond) if over.met else (over.budget.left <= microsecond)
    # Nothing measured yet: all the time of the window that maintenance leaves can still be spent from.
    start = account(estate, planned, terms, 0)
    _, countable = counted_by_hand(
        dict.fromkeys(estate, ()), planned, replace(terms, unknown="uptime"), WHOLE
    )
    exact = (1 - Fraction(terms.objective) / 100) * countable * 1_000_000
    assert start.budget == Budget(timedelta(microseconds=int(exact)), timedelta())


@given(
    st.lists(
        st.builds(CreditTier, below=st.decimals(0, 100, places=2), credit=st.decimals(0, 100, places=1)),
        max_size=4,
    ),
    st.fractions(0, 100),
)
def test_the_lowest_tier_above_the_figure_is_owed(tiers: list[CreditTier], percent: Fraction) -> None:
    above = [tier for tier in tiers if percent < Fraction(tier.below)]
    lowest = min((tier.below for tier in above), default=None)
    owed = credit_owed(percent, tiers)
    if lowest is None:
        assert owed == Decimal(0)
    else:
        assert owed in [tier.credit for tier in above if tier.below == lowest]
    assert credit_owed(None, tiers) == 0


@given(lines(), st.sampled_from(["excluded", "downtime", "uptime"]))
def test_a_figure_says_nothing_only_when_nothing_counted(line: list[Interval], unknown: str) -> None:
    figure = Figure(WHOLE, tally(line, WHOLE), unknown)  # type: ignore[arg-type]
    known = any(each.state is not State.UNKNOWN for each in line)
    assert (figure.availability is None) == (unknown == "excluded" and not known)
