"""The hash of a frozen month: the same for the same truth, and another for any other."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from availability_strategies import LENGTH, WHOLE, at, estates, lines, maintenances, split, state_in, terms
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.availability.freezing import Promise, account, digest, due_months, lines_of
from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import Terms
from holdfast.availability.timeline import completed
from holdfast.estate.model import Agreement
from holdfast.kernel.windows import Window

Estate = Mapping[int, Sequence[Interval]]
plans = st.lists(maintenances(), max_size=3)
cuts = st.lists(st.integers(1, LENGTH - 1), max_size=6)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Santiago", "Pacific/Apia"]


def sha(estate: Estate) -> str:
    return digest(lines_of(estate, {}, WHOLE))


def promise(estate: Estate, terms: Terms) -> Promise:
    return Promise("gold", "UTC", terms, {f"eu/c{each}": each for each in estate})


def told(estate: Estate, second: int) -> dict[int, State]:
    """Every component's state in that second, by looking: UNKNOWN where nothing is said."""
    states = {key: state_in(line, second) for key, line in estate.items()}
    return {key: State.UNKNOWN if state is None else state for key, state in states.items()}


@given(estates, cuts, st.text(max_size=5))
def test_splitting_intervals_and_telling_other_reasons_changes_nothing(
    estate: Estate, cuts: list[int], reason: str
) -> None:
    other = {
        key: [replace(each, reason=reason + each.reason, sample=True) for each in split(line, cuts)]
        for key, line in reversed(estate.items())
    }
    assert sha(other) == sha(estate)


@given(estates)
def test_a_gap_and_unknown_are_the_same(estate: Estate) -> None:
    assert sha({key: completed(line, WHOLE) for key, line in estate.items()}) == sha(estate)


@given(estates, estates)
def test_two_estates_have_one_hash_exactly_when_they_were_alike_in_every_second(
    one: Estate, other: Estate
) -> None:
    alike = all(told(one, second) == told(other, second) for second in range(LENGTH))
    assert (sha(one) == sha(other)) == alike


@given(estates, st.data())
def test_any_change_of_a_state_or_of_a_time_changes_it(estate: Estate, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(estate)))
    whole = completed(estate[key], WHOLE)
    place = data.draw(st.integers(0, len(whole) - 1))
    was = whole[place]
    state = data.draw(st.sampled_from([each for each in State if each not in (was.state, State.RETIRED)]))
    changed = [*whole[:place], replace(was, state=state), *whole[place + 1 :]]
    assert sha({**estate, key: changed}) != sha(estate)
    microsecond = timedelta(microseconds=1)
    follows = whole[place + 1 : place + 2]
    assume(follows and follows[0].state is not was.state)
    moved = [
        replace(was, window=Window(was.window.start, was.window.end - microsecond)),
        replace(follows[0], window=Window(was.window.end - microsecond, follows[0].window.end)),
    ]
    assert sha({**estate, key: [*whole[:place], *moved, *whole[place + 2 :]]}) != sha(estate)


@given(estates, plans, terms)
def test_figures_follow_from_the_lines_and_the_terms_alone(
    estate: Estate, plans: list[Maintenance], terms: Terms
) -> None:
    made = account(promise(estate, terms), WHOLE, estate, plans)
    assert made.month.intervals_sha256 == hashlib.sha256("".join(made.lines).encode()).hexdigest()
    again: dict[int, list[Interval]] = {each: [] for each in estate}
    excluded: list[Maintenance] = []
    for line in made.lines:
        component, start, end, state = line.split()
        window = Window(_moment(start), _moment(end))
        if state == "excluded":
            long_ago = window.start - timedelta(days=1000)
            excluded.append(Maintenance(1, window, long_ago, frozenset({int(component)})))
        else:
            again[int(component)].append(Interval(window, State[state.upper()]))
    in_order = {each: sorted(line, key=lambda one: one.window) for each, line in again.items()}
    recomputed = account(made.month.promise, WHOLE, in_order, excluded)
    assert recomputed.lines == made.lines
    assert recomputed.month.figures == {**made.month.figures, "sample": False}


@given(estates, maintenances(), terms)
def test_maintenance_that_excludes_something_changes_it(
    estate: Estate, planned: Maintenance, terms: Terms
) -> None:
    plain = account(promise(estate, terms), WHOLE, estate, []).month
    with_it = account(promise(estate, terms), WHOLE, estate, [planned]).month
    matters = any(planned.excludes(each, terms.notice) for each in estate)
    assert (with_it.intervals_sha256 != plain.intervals_sha256) == matters


@given(lines(), terms)
def test_the_promise_is_read_back_as_it_was(line: list[Interval], terms: Terms) -> None:
    made = promise({1: line}, terms)
    assert account(made, WHOLE, {1: line}, []).month.promise == made


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2015, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001  hypothesis adds the zone
    st.timedeltas(timedelta(), timedelta(days=500)),
)
def test_due_months_are_whole_local_months_without_a_gap(
    zone: str, since: datetime, later: timedelta
) -> None:
    since = since.replace(tzinfo=UTC)
    now = since + later
    agreement = Agreement(customer="a", name="A", components=("*/*",), objective="99.9", time_zone=zone)  # type: ignore[arg-type]
    months = due_months(agreement, since, now)
    assert all(before.end == after.start for before, after in pairwise(months))
    assert all(each.end <= now for each in months)
    if months:
        assert months[0].contains(since)
        assert now - months[-1].end < timedelta(days=32)
    else:
        assert later < timedelta(days=32)
    rolling = agreement.model_copy(update={"window": timedelta(days=30)})
    assert due_months(rolling, since, now) == []


def _moment(micros: str) -> datetime:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))
    assert at(0) <= moment <= at(LENGTH)
    return moment
