"""Ranges: named ones, custom ones within bounds, and months."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.interfaces.site.ranges import (
    MOST_DAYS,
    NAMED,
    RangeError,
    month_of,
    months_before,
    named_range,
    neighbours,
    requested_range,
    within_month,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)  # half past midnight of the 23rd in Berlin


def test_thirty_days_are_the_default_and_include_today() -> None:
    chosen = requested_range({}, NOW, BERLIN)
    assert (chosen.name, chosen.first, chosen.last) == ("30d", date(2026, 10, 25), date(2026, 11, 23))
    assert chosen.window.end == NOW
    assert chosen.window.start == datetime(2026, 10, 24, 22, tzinfo=UTC)  # the day when summer time ended


@pytest.mark.parametrize("name", NAMED)
def test_named_ranges_stay_within_bounds(name: str) -> None:
    chosen = requested_range({"range": name, "anything": "else"}, NOW, BERLIN)
    assert chosen == named_range(name, NOW, BERLIN)
    assert 6 <= (chosen.last - chosen.first).days < MOST_DAYS


def test_a_custom_range_includes_both_of_its_days() -> None:
    chosen = requested_range({"from": "2026-03-28", "to": "2026-03-29"}, NOW, BERLIN)
    assert chosen.name == ""
    assert chosen.window.duration == timedelta(hours=47)  # the second day has 23 hours


def test_a_custom_range_up_to_today_ends_now() -> None:
    assert requested_range({"from": "2026-11-23", "to": "2026-11-23"}, NOW, BERLIN).window.end == NOW


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"range": "2y"}, "range"),
        ({"range": "<script>"}, "range"),
        ({"from": "2026-11-01"}, "dates"),
        ({"to": "2026-11-01"}, "dates"),
        ({"from": "2026-02-30", "to": "2026-03-01"}, "dates"),
        ({"from": "20261101", "to": "2026-11-02"}, "dates"),
        ({"from": "٢٠٢٦-11-01", "to": "2026-11-02"}, "dates"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "order"),
        ({"from": "2026-11-02", "to": "2026-11-24"}, "future"),
        ({"from": "1999-12-31", "to": "2000-01-02"}, "early"),
        ({"from": "2025-10-01", "to": "2026-11-05"}, "length"),
    ],
)
def test_wrong_ranges_say_what_is_wrong(query: dict[str, str], reason: str) -> None:
    with pytest.raises(RangeError) as caught:
        requested_range(query, NOW, BERLIN)
    assert caught.value.reason == reason


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_does_more_than_be_refused(first: str, last: str) -> None:
    with pytest.raises(RangeError):
        requested_range({"from": first, "to": f"x{last}"}, NOW, BERLIN)


@given(st.dates(date(2000, 6, 1), date(2026, 11, 23)), st.integers(0, 24))
def test_going_months_back_lands_in_that_month(day: date, months: int) -> None:
    earlier = months_before(day, months)
    assert earlier.year * 12 + earlier.month == day.year * 12 + day.month - months
    assert earlier.day <= day.day


def test_months_are_bounded_on_both_sides() -> None:
    assert month_of("2026-11", NOW, BERLIN) == date(2026, 11, 1)
    assert month_of("2000-01", NOW, BERLIN) == date(2000, 1, 1)
    for wrong in ("2026-12", "1999-12", "9999-01", "2026-13", "2026-1", "", "2026-11-01", "٢٠٢٦-11"):
        assert month_of(wrong, NOW, BERLIN) is None
    assert neighbours(date(2026, 11, 1), NOW, BERLIN) == (date(2026, 10, 1), None)
    assert neighbours(date(2000, 1, 1), NOW, BERLIN) == (None, date(2000, 2, 1))


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
def test_the_moment_within_a_month_is_in_it_everywhere(zone: str) -> None:
    local = within_month(date(2026, 2, 1)).astimezone(ZoneInfo(zone))
    assert (local.year, local.month) == (2026, 2)
