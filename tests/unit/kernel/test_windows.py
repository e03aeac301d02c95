from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from holdfast.kernel.windows import Window, day_window, days_of, merged, month_window, start_of_day

T0 = datetime(2026, 3, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")


def span(start: int, end: int) -> Window:
    return Window(T0 + start * HOUR, T0 + end * HOUR)


def test_its_start_belongs_to_a_window_and_its_end_does_not() -> None:
    assert span(0, 2).contains(T0)
    assert not span(0, 2).contains(T0 + 2 * HOUR)
    assert not span(0, 2).overlaps(span(2, 3))
    assert span(0, 2).overlaps(span(1, 3))


def test_an_empty_window_has_no_moments() -> None:
    empty = span(1, 1)
    assert empty.is_empty
    assert not empty.contains(T0 + HOUR)
    assert empty.clipped_to(span(0, 2)) is None


def test_a_window_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="ends at or after"):
        span(2, 1)


def test_a_window_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Window(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001  naive on purpose


def test_merged_windows_are_disjoint_ordered_and_as_long_as_the_moments_in_them() -> None:
    assert merged([span(5, 6), span(0, 2), span(1, 3), span(3, 4), span(8, 8)]) == [span(0, 4), span(5, 6)]
    assert merged([span(0, 9), span(1, 2)]) == [span(0, 9)]
    assert merged([]) == []


@pytest.mark.parametrize(
    ("zone", "year", "month", "hours"),
    [
        ("Europe/Berlin", 2026, 3, 743),
        ("Europe/Berlin", 2026, 10, 745),
        ("Europe/Berlin", 2026, 12, 744),
        ("America/New_York", 2026, 3, 743),
        ("America/New_York", 2026, 11, 721),
        ("UTC", 2026, 3, 744),
        ("Asia/Kolkata", 2026, 2, 672),
        ("Australia/Lord_Howe", 2026, 4, 720.5),
        ("Pacific/Apia", 2011, 12, 720),
        ("America/Sao_Paulo", 2018, 11, 719),
    ],
)
def test_months_have_the_hours_that_their_zone_gives_them(
    zone: str, year: int, month: int, hours: float
) -> None:
    assert month_window(year, month, ZoneInfo(zone)).duration == hours * HOUR


def test_a_month_begins_at_local_midnight() -> None:
    march = month_window(2026, 3, BERLIN)
    assert march.start == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert march.end == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert march.start.tzinfo is UTC


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 28), 24), (date(2026, 3, 29), 23), (date(2026, 10, 25), 25)]
)
def test_days_have_23_24_or_25_hours(day: date, hours: int) -> None:
    assert day_window(day, BERLIN).duration == hours * HOUR


def test_a_day_without_a_midnight_begins_when_the_clock_has_jumped() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    start = start_of_day(date(2018, 11, 4), sao_paulo)
    assert start.astimezone(sao_paulo).isoformat() == "2018-11-04T01:00:00-02:00"
    assert (start - timedelta(microseconds=1)).astimezone(sao_paulo).date() == date(2018, 11, 3)


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    havana = ZoneInfo("America/Havana")
    assert day_window(date(2026, 11, 1), havana).duration == 25 * HOUR


def test_the_days_of_a_window_are_those_it_touches() -> None:
    window = Window(datetime(2026, 3, 28, 22, 59, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC))
    assert [day for day, _ in days_of(window, BERLIN)] == [date(2026, 3, 28), date(2026, 3, 29)]


@pytest.mark.parametrize("year", [1995, 2011, 2026])
def test_in_every_zone_days_tile_months_and_months_tile_the_year(year: int) -> None:
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        months = [month_window(year, month, zone) for month in range(1, 13)]
        assert all(a.end == b.start for a, b in pairwise(months)), name
        for month in months:
            days = [whole for _, whole in days_of(month, zone)]
            assert (days[0].start, days[-1].end) == (month.start, month.end), name
            assert all(a.end == b.start for a, b in pairwise(days)), name
