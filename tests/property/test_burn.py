"""Burn rates and their pairs, against an oracle that looks at every second."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from availability_strategies import LENGTH, T0, at, estates, filled_windows, maintenances, state_in, terms
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.alerting.burn import GOOGLE, Pair, PairReading, Watch, pairs_for, readings
from holdfast.availability.alerting.model import Severity
from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import WEIGHTS, Terms
from holdfast.availability.timeline import without
from holdfast.kernel.windows import Window

NOW = at(LENGTH)
LONG_AGO = T0 - timedelta(days=365)
HALF = Fraction(1, 2)

pairs = st.builds(
    Pair,
    long=st.integers(11, LENGTH).map(lambda n: timedelta(seconds=n)),
    short=st.integers(1, 10).map(lambda n: timedelta(seconds=n)),
    burn=st.fractions(min_value="0.1", max_value=20, max_denominator=10),
    severity=st.sampled_from(Severity),
)
planned = st.lists(maintenances(), max_size=2)


def watch(
    lines: Mapping[int, Sequence[Interval]], maintenance: Sequence[Maintenance], agreed: Terms
) -> Watch:
    return Watch(lines, maintenance, agreed, dict.fromkeys(lines, LONG_AGO))


def read(found: Watch, *asked: Pair) -> list[PairReading]:
    return readings(found, asked, NOW)


def known_in(line: Sequence[Interval], second: int) -> State:
    found = state_in(line, second)
    return State.UNKNOWN if found is None else found


def with_outage(line: Sequence[Interval], window: Window) -> list[Interval]:
    """The same line with a major outage in `window`, whatever was there."""
    rest = without(line, [window])
    return sorted([*rest, Interval(window, State.MAJOR_OUTAGE, "down")], key=lambda each: each.window.start)


# --- scaling


def test_thirty_days_give_googles_own_pairs() -> None:
    assert pairs_for(timedelta(days=30)) == GOOGLE


@given(st.timedeltas(timedelta(days=1), timedelta(days=366)))
def test_the_budget_spent_is_the_same_for_every_window(window: timedelta) -> None:
    shares = [float(pair.spent(window)) for pair in pairs_for(window)]
    assert shares == pytest.approx([0.02, 0.05, 0.10, 0.10], rel=1e-8)


@given(st.timedeltas(timedelta(days=1), timedelta(days=366)))
def test_windows_are_long_enough_to_measure_and_grow_with_the_agreements(window: timedelta) -> None:
    scaled = pairs_for(window)
    assert all(pair.long >= timedelta(minutes=5) and pair.short >= timedelta(minutes=1) for pair in scaled)
    assert all(pair.short < pair.long < window for pair in scaled)
    assert [pair.long for pair in scaled] == sorted(pair.long for pair in scaled)
    longer = pairs_for(window + timedelta(days=1))
    assert all(after.long >= before.long for before, after in zip(scaled, longer, strict=True))
    assert all(after.short >= before.short for before, after in zip(scaled, longer, strict=True))


def test_a_short_agreement_window_lowers_the_burn_where_the_pair_could_not_shrink() -> None:
    first, *_ = pairs_for(timedelta(days=1))
    assert (first.long, first.short) == (timedelta(minutes=5), timedelta(minutes=1))
    assert first.burn == Fraction(576, 100)


# --- rates


@given(estates, planned, terms, pairs)
def test_the_rate_is_what_counting_seconds_gives(
    lines: dict[int, list[Interval]], maintenance: list[Maintenance], agreed: Terms, pair: Pair
) -> None:
    agreed = replace(agreed, combine="average")
    (found,) = read(watch(lines, maintenance, agreed), pair)
    for burn, length in ((found.long, pair.long), (found.short, pair.short)):
        down, counted, total = Fraction(0), 0, 0
        for second in range(LENGTH - length // timedelta(seconds=1), LENGTH):
            for component, line in lines.items():
                total += 1
                if any(
                    each.excludes(component, agreed.notice) and each.window.contains(at(second))
                    for each in maintenance
                ):
                    continue
                state = known_in(line, second)
                if state is State.UNKNOWN:
                    counted += agreed.unknown != "excluded"
                    down += agreed.unknown == "downtime"
                else:
                    counted += 1
                    down += WEIGHTS[state]
        allowance = 1 - Fraction(agreed.objective) / 100
        if not down:
            assert burn.rate == 0
            assert not burn.reaches(pair.burn)
        elif allowance == 0:
            assert burn.rate is None
            assert burn.reaches(pair.burn)
        else:
            expected = down / max(Fraction(counted), HALF * total) / allowance
            assert burn.rate == expected
            assert burn.reaches(pair.burn) == (expected >= pair.burn)


@given(estates, planned, terms, pairs, filled_windows, st.data())
def test_more_downtime_never_stops_a_pair(
    lines: dict[int, list[Interval]],
    maintenance: list[Maintenance],
    agreed: Terms,
    pair: Pair,
    outage: Window,
    data: st.DataObject,
) -> None:
    (before,) = read(watch(lines, maintenance, agreed), pair)
    component = data.draw(st.sampled_from(sorted(lines)))
    worse = {**lines, component: with_outage(lines[component], outage)}
    (after,) = read(watch(worse, maintenance, agreed), pair)
    assert after.firing >= before.firing
    assert (after.long.rate is None) >= (before.long.rate is None)
    if after.long.rate is not None and before.long.rate is not None:
        assert after.long.rate >= before.long.rate


@given(estates, planned, terms, pairs)
def test_both_windows_must_burn(
    lines: dict[int, list[Interval]], maintenance: list[Maintenance], agreed: Terms, pair: Pair
) -> None:
    (found,) = read(watch(lines, maintenance, agreed), pair)
    assert found.firing == (found.long.reaches(pair.burn) and found.short.reaches(pair.burn))
    assert not (found.firing and found.quiet(Fraction(1)))


@given(estates, planned, terms, st.lists(pairs, min_size=2, max_size=4))
def test_a_pair_reads_the_same_alone_and_among_others(
    lines: dict[int, list[Interval]], maintenance: list[Maintenance], agreed: Terms, several: list[Pair]
) -> None:
    found = watch(lines, maintenance, agreed)
    together = read(found, *several)
    for pair, reading in zip(several, together, strict=True):
        (alone,) = read(found, pair)
        assert alone.firing == reading.firing
        assert alone.unknown == reading.unknown
        assert alone.long.rate == reading.long.rate


def test_without_a_budget_any_downtime_burns_infinitely_fast() -> None:
    line = [
        Interval(Window(T0, at(LENGTH - 1)), State.OPERATIONAL),
        Interval(Window(at(LENGTH - 1), NOW), State.PARTIAL_OUTAGE),
    ]
    pair = Pair(timedelta(seconds=60), timedelta(seconds=5), Fraction(1000), Severity.PAGE)
    (found,) = read(watch({1: line}, [], Terms(Decimal(100))), pair)
    assert found.firing
    assert found.long.text == "infinitely fast"
    (calm,) = read(watch({1: line[:1]}, [], Terms(Decimal(100), unknown="uptime")), pair)
    assert not calm.firing


def test_a_minute_after_a_long_maintenance_is_not_an_hours_burn() -> None:
    maintenance = Maintenance(1, Window(T0, at(58)), T0 - timedelta(days=9), frozenset([1]))
    line = [
        Interval(Window(T0, at(59)), State.OPERATIONAL),
        Interval(Window(at(59), NOW), State.MAJOR_OUTAGE),
    ]
    pair = Pair(timedelta(seconds=60), timedelta(seconds=1), Fraction(1), Severity.PAGE)
    (found,) = read(watch({1: line}, [maintenance], Terms(Decimal(90))), pair)
    # One second of two counted ones would be a burn of 5; half of the window is 30 s.
    assert found.long.rate == Fraction(1, 30) / Fraction(1, 10)


# --- unknown


@given(estates, planned, terms, pairs)
def test_the_unknown_share_is_that_of_the_component_that_is_known_least(
    lines: dict[int, list[Interval]], maintenance: list[Maintenance], agreed: Terms, pair: Pair
) -> None:
    (found,) = read(watch(lines, maintenance, agreed), pair)
    shares = []
    for component, line in lines.items():
        excluding = [each for each in maintenance if each.excludes(component, agreed.notice)]
        seconds = range(LENGTH - pair.long // timedelta(seconds=1), LENGTH)
        counted = [s for s in seconds if not any(each.window.contains(at(s)) for each in excluding)]
        unknown = sum(known_in(line, second) is State.UNKNOWN for second in counted)
        shares.append(Fraction(unknown, len(counted)) if counted else Fraction(0))
    assert found.unknown.share == max(shares)
    assert (found.unknown.component is None) == (max(shares) == 0)


@given(st.integers(0, LENGTH), st.integers(0, LENGTH))
def test_the_past_that_nobody_watched_is_nobodys_blindness(heard: int, watched: int) -> None:
    """First heard at `heard`, watched since `watched`: unknown is what lies between, in that order."""
    line = [Interval(Window(at(heard), NOW), State.OPERATIONAL)] if heard < LENGTH else []
    found = Watch({1: line}, [], Terms(Decimal(99)), {1: at(watched)})
    (reading,) = read(found, Pair(timedelta(seconds=60), timedelta(seconds=5), Fraction(1), Severity.PAGE))
    assert reading.unknown.share == Fraction(max(0, heard - watched), LENGTH)


def test_a_component_that_is_new_is_not_blind() -> None:
    found = Watch({1: []}, [], Terms(Decimal(99)), {})
    (reading,) = read(found, GOOGLE[0])
    assert reading.unknown.share == 0


def test_now_is_where_windows_end() -> None:
    late: datetime = NOW + timedelta(seconds=30)
    line = [Interval(Window(T0, NOW), State.MAJOR_OUTAGE)]
    pair = Pair(timedelta(seconds=60), timedelta(seconds=10), Fraction(1), Severity.PAGE)
    (found,) = readings(watch({1: line}, [], Terms(Decimal(50), unknown="uptime")), [pair], late)
    assert found.long.rate == 1
    assert found.short.rate == 0
    assert not found.firing
