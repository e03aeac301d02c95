"""Days are covered exactly, in few pieces; and the names that people give stretches mean what they say."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.reports.reporting import (
    Asked,
    By,
    Grain,
    Per,
    Piece,
    covering,
    planned,
    start_of,
    start_of_time,
)
from holdfast.ledger.reports.times import fitting, following, month_of, stretch_of, times_of

DAY = timedelta(days=1)
days = st.dates(date(1990, 1, 1), date(2040, 12, 31))


def days_of(piece: Piece) -> int:
    return (piece.until - piece.since).days


@given(days, days, st.sampled_from(Grain))
def test_every_day_is_covered_once(one: date, other: date, coarsest: Grain) -> None:
    since, until = sorted((one, other))
    pieces = list(covering(since, until, coarsest))
    assert sum(map(days_of, pieces)) == (until - since).days
    at = since
    for piece in pieces:
        assert piece.since == at < piece.until
        at = piece.until
        assert piece.grain <= coarsest
        assert start_of(piece.since, piece.grain) == piece.since
        assert start_of(piece.until, piece.grain) == piece.until
    if coarsest is Grain.YEAR:
        assert len(pieces) <= 5
        assert sum(days_of(each) for each in pieces if each.grain is Grain.DAY) <= 60


def test_whole_years_and_months_are_read_as_such() -> None:
    year = date(2026, 1, 1), date(2027, 1, 1)
    assert list(covering(*year, Grain.YEAR)) == [Piece(Grain.YEAR, *year)]
    assert list(covering(*year, Grain.MONTH)) == [Piece(Grain.MONTH, *year)]
    assert list(covering(date(2026, 1, 31), date(2028, 2, 2), Grain.YEAR)) == [
        Piece(Grain.DAY, date(2026, 1, 31), date(2026, 2, 1)),
        Piece(Grain.MONTH, date(2026, 2, 1), date(2027, 1, 1)),
        Piece(Grain.YEAR, date(2027, 1, 1), date(2028, 1, 1)),
        Piece(Grain.MONTH, date(2028, 1, 1), date(2028, 2, 1)),
        Piece(Grain.DAY, date(2028, 2, 1), date(2028, 2, 2)),
    ]


@given(
    st.tuples(days, days).map(sorted),
    st.sampled_from([None, *Per]),
    st.sampled_from([None, *By]),
    st.sampled_from([{}, {"user": "ada"}, {"device": "d"}, {"user": "ada", "device": "d"}]),
)
def test_a_plan_reads_every_day_once(
    stretch: list[date], per: Per | None, by: By | None, filters: dict[str, str]
) -> None:
    if by is By.FORMAT and len(filters) > 1:
        return
    asked = Asked(stretch[0], stretch[1] + DAY, by=by, per=per, **filters)  # type: ignore[arg-type]
    plan = planned(asked, per)
    at = asked.since
    for piece in sorted([*plan.pieces, *plan.finest], key=lambda piece: piece.since):
        assert piece.since == at < piece.until
        at = piece.until
    assert at == asked.until
    assert all(piece.grain is not Grain.YEAR for piece in plan.finest), "they know no years"
    if plan.dimension is By.USER and by is not By.FORMAT:
        assert all(piece.grain is not Grain.DAY for piece in plan.pieces), "sums of users' days are not kept"
    if plan.is_kept(per):
        [(grain, since, until)] = plan.pieces
        starts = {start_of(since + n * DAY, grain) for n in range((until - since).days)}
        assert (
            len(starts) == 1 if per is None else all(start_of_time(start, per) == start for start in starts)
        )
        assert per is not Per.WEEK


def test_what_is_kept_of_one_time_is_read_as_it_is() -> None:
    year = Asked(date(2026, 1, 1), date(2027, 1, 1), by=By.USER)
    assert [planned(year, per).is_kept(per) for per in (None, *Per)] == [True, False, False, True, True]
    two = Asked(date(2026, 1, 1), date(2028, 1, 1), by=By.DEVICE)
    assert [planned(two, per).is_kept(per) for per in (None, *Per)] == [False, True, False, True, True]
    odd = Asked(date(2026, 1, 2), date(2027, 1, 1), by=By.DEVICE)
    assert [planned(odd, per).is_kept(per) for per in (None, *Per)] == [False, True, False, False, False]


@pytest.mark.parametrize("coarsest", Grain)
def test_up_to_the_last_day_of_all(coarsest: Grain) -> None:
    for since in (date.min, date(9998, 12, 31), date(9999, 1, 1), date(9999, 12, 1), date(9999, 12, 30)):
        pieces = list(covering(since, date.max, coarsest))
        assert sum(map(days_of, pieces)) == (date.max - since).days


@given(days, days, st.sampled_from(Per))
def test_times_follow_each_other_over_the_stretch(one: date, other: date, per: Per) -> None:
    since, until = sorted((one, other + DAY))
    times = list(times_of(since, until, per)) if since < until else []
    for start, after in zip(times, [*times[1:], None], strict=True):
        assert start_of_time(start, per) == start
        assert after in {None, following(start, per)}
    if times:
        assert times[0] <= since < following(times[0], per)
        assert times[-1] < until <= following(times[-1], per)


@given(days, st.sampled_from(Per))
def test_a_day_is_in_the_time_that_begins_for_it(day: date, per: Per) -> None:
    start = start_of_time(day, per)
    assert start <= day < following(start, per)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-11", "2026-11-01", "2026-12-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        (" 2024-02-29 ", "2024-02-29", "2024-03-01"),
        ("2026-W01", "2025-12-29", "2026-01-05"),
        ("2026-W53", "2026-12-28", "2027-01-04"),
    ],
)
def test_stretches_by_their_names(text: str, since: str, until: str) -> None:
    assert stretch_of(text) == (date.fromisoformat(since), date.fromisoformat(until))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "2026-13",
        "2026-00",
        "2025-02-29",
        "2027-W53",
        "2026-W00",
        "9999",
        "0000",
        "2026-11-31",
        "x" * 99,
        "٢٠٢٦",
    ],
)
def test_what_names_no_stretch(text: str) -> None:
    with pytest.raises(Unsuitable):
        stretch_of(text)


def test_a_stretch_is_shown_in_fitting_times() -> None:
    assert month_of(date(2026, 12, 24)) == (date(2026, 12, 1), date(2027, 1, 1))
    assert fitting(date(2026, 11, 1), date(2026, 12, 1)) is Per.DAY
    assert fitting(date(2026, 1, 1), date(2026, 7, 1)) is Per.WEEK
    assert fitting(date(2026, 1, 1), date(2027, 1, 1)) is Per.MONTH
    assert fitting(date(2016, 1, 1), date(2027, 1, 1)) is Per.YEAR
