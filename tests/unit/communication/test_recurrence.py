"""When recurring work happens: days by the rule, times by the wall clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from holdfast.communication.errors import NotPossible
from holdfast.communication.recurrence import check, parsed, starts
from holdfast.kernel.windows import Window

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)
YEAR = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def local(month: int, day: int, hour: int, minute: int = 0, *, fold: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN, fold=fold)


def on_the_wall(rule: str, first_at: datetime, window: Window = YEAR) -> list[str]:
    found = starts(rule, "Europe/Berlin", first_at, window)
    return [f"{at.astimezone(BERLIN):%m-%d %H:%M}" for at in found]


def test_two_in_the_morning_stays_two_in_the_morning() -> None:
    """Over the whole year, with both changes of the clocks in it."""
    found = on_the_wall("FREQ=WEEKLY;BYDAY=TU", local(1, 6, 2))
    assert len(found) == 52
    assert {each[6:] for each in found} == {"02:00"}
    in_utc = {at.hour for at in starts("FREQ=WEEKLY;BYDAY=TU", "Europe/Berlin", local(1, 6, 2), YEAR)}
    assert in_utc == {0, 1}


def test_a_skipped_time_is_read_with_the_offset_of_before() -> None:
    """On 29 March 2026 clocks go from 02:00 to 03:00: 02:30 is not there (RFC 5545, 3.3.5)."""
    assert on_the_wall("FREQ=DAILY", local(3, 28, 2, 30))[:3] == ["03-28 02:30", "03-29 03:30", "03-30 02:30"]


def test_of_a_repeated_time_the_first_counts() -> None:
    """On 25 October 2026 clocks go from 03:00 back to 02:00."""
    found = starts("FREQ=DAILY", "Europe/Berlin", local(10, 24, 2, 30), YEAR)[:3]
    assert found == [
        datetime(2026, 10, day, hour, 30, tzinfo=UTC) for day, hour in ((24, 0), (25, 0), (26, 1))
    ]


def test_the_second_of_two_repeated_times_as_the_first_start_means_its_wall_clock() -> None:
    found = starts("FREQ=DAILY", "Europe/Berlin", local(10, 25, 2, 30, fold=1), YEAR)
    assert found[0] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_day_that_a_month_does_not_have_is_none() -> None:
    found = on_the_wall("FREQ=MONTHLY;BYMONTHDAY=31", local(1, 1, 4))
    assert [each[:5] for each in found] == ["01-31", "03-31", "05-31", "07-31", "08-31", "10-31", "12-31"]
    last = on_the_wall("FREQ=MONTHLY;BYMONTHDAY=-1", local(1, 1, 4))
    assert [each[:5] for each in last][:3] == ["01-31", "02-28", "03-31"]


def test_the_first_sunday_of_a_month() -> None:
    found = on_the_wall("FREQ=MONTHLY;BYDAY=1SU", local(1, 1, 4))
    assert [each[:5] for each in found][:3] == ["01-04", "02-01", "03-01"]


def test_nothing_happens_before_the_first_start() -> None:
    assert on_the_wall("FREQ=WEEKLY;BYDAY=MO", local(6, 3, 4))[0] == "06-08 04:00"


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=DAILY;COUNT=3", ["03-01", "03-02", "03-03"]),
        ("FREQ=DAILY;UNTIL=20260303", ["03-01", "03-02", "03-03"]),
        ("FREQ=DAILY;UNTIL=20260302T040000", ["03-01", "03-02"]),
        ("FREQ=DAILY;UNTIL=20260302T025959Z", ["03-01"]),
        ("FREQ=DAILY;UNTIL=20260302T030000Z", ["03-01", "03-02"]),
        ("FREQ=DAILY;INTERVAL=2;COUNT=2", ["03-01", "03-03"]),
        ("rrule:freq=daily;count=1", ["03-01"]),
    ],
)
def test_a_rule_ends(rule: str, days: list[str]) -> None:
    assert [each[:5] for each in on_the_wall(rule, local(3, 1, 4))] == days


def test_a_count_counts_from_the_first_wherever_one_looks() -> None:
    """Asked for March, the third and last of them is still the third."""
    march = Window(datetime(2026, 3, 3, tzinfo=UTC), YEAR.end)
    assert on_the_wall("FREQ=DAILY;COUNT=3", local(3, 1, 4), march) == ["03-03 04:00"]


def test_what_is_asked_for_is_half_open() -> None:
    at = local(3, 2, 4).astimezone(UTC)
    assert starts("FREQ=DAILY", "Europe/Berlin", local(3, 1, 4), Window(at, at + 24 * HOUR)) == [at]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("FREQ=SECONDLY", "more often than once a day"),
        ("FREQ=MINUTELY;COUNT=2", "more often than once a day"),
        ("FREQ=HOURLY", "more often than once a day"),
        ("FREQ=DAILY;BYHOUR=2,3", "the first start|not needed"),
        ("FREQ=DAILY;BYMINUTE=1", "not needed"),
        ("FREQ=FORTNIGHTLY", "how often"),
        ("BYDAY=SU", "how often"),
        ("", "no part of a rule"),
        ("FREQ", "no part of a rule"),
        ("FREQ=DAILY;FREQ=DAILY", "no part of a rule"),
        ("FREQ=DAILY;RSCALE=HEBREW", "no part of a rule"),
        ("FREQ=DAILY\nDTSTART:20260101", "how often|no part"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0"),
        ("FREQ=DAILY;COUNT=1001", "COUNT=1001"),
        ("FREQ=DAILY;COUNT=999999999999", "COUNT"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=367", "INTERVAL"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "exclude each other"),
        ("FREQ=DAILY;UNTIL=tomorrow", "no day"),
        ("FREQ=DAILY;UNTIL=20261301", "no day"),
        ("FREQ=WEEKLY;BYDAY=XX", "names no days"),
        ("FREQ=WEEKLY;BYDAY=1SU", "first Sunday of what"),
        ("FREQ=YEARLY;BYDAY=54MO", "53 at most"),
        ("FREQ=YEARLY;BYDAY=-99SU", "53 at most"),
        ("FREQ=YEARLY;BYMONTH=12;BYDAY=8MO", "5 at most"),
        ("FREQ=MONTHLY;BYDAY=1MO,8SU", "5 at most"),
        ("FREQ=DAILY;BYMONTHDAY=3", "does not go with"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0"),
        ("FREQ=MONTHLY;BYMONTHDAY=" + "9" * 200, "BYMONTHDAY"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "may never be"),
        ("FREQ=WEEKLY;WKST=XX", "no rule"),
        ("FREQ=DAILY;" * 50, "characters"),
    ],
)
def test_what_is_no_rule_is_refused_and_says_why(rule: str, why: str) -> None:
    with pytest.raises(NotPossible, match=why) as refused:
        parsed(rule)
    assert refused.value.hint


@pytest.mark.parametrize("rule", ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "FREQ=DAILY;UNTIL=20200101"])
def test_what_never_happens_is_refused(rule: str) -> None:
    with pytest.raises(NotPossible, match="never happens"):
        check(rule, "Europe/Berlin", local(1, 1, 2), HOUR)


def test_what_would_run_into_itself_is_refused() -> None:
    with pytest.raises(NotPossible, match="not be over"):
        check("FREQ=DAILY", "UTC", local(1, 1, 2), timedelta(hours=25))
    check("FREQ=DAILY", "UTC", local(1, 1, 2), timedelta(hours=24))


def test_a_day_of_23_hours_is_shorter_than_its_work() -> None:
    with pytest.raises(NotPossible, match="2026-03-29"):
        check("FREQ=DAILY", "Europe/Berlin", local(3, 1, 2), timedelta(hours=24))


def test_a_zone_that_is_none_is_refused() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", "", "/etc/localtime"):
        with pytest.raises(NotPossible, match="no time zone"):
            check("FREQ=DAILY", zone, local(1, 1, 2), HOUR)


def test_it_ends_after_ten_years_whatever_is_asked() -> None:
    found = starts("FREQ=DAILY", "UTC", local(1, 1, 2), Window(YEAR.start, datetime(9000, 1, 1, tzinfo=UTC)))
    assert found[-1].year == 2036


rules = st.builds(
    ";".join,
    st.tuples(
        st.sampled_from(
            ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=MONTHLY;BYMONTHDAY=1,15", "FREQ=YEARLY"]
        ),
        st.integers(1, 1).map(lambda n: f"INTERVAL={n}"),
    ),
)


@given(rules, st.dates(date(2024, 1, 1), date(2027, 12, 31)), st.integers(0, 23), st.integers(0, 59))
def test_it_agrees_with_dateutil_on_the_wall(rule: str, day: date, hour: int, minute: int) -> None:
    """dateutil in local time is the oracle."""
    wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001
    first_at = wall.replace(tzinfo=BERLIN).astimezone(UTC)
    wall = first_at.astimezone(BERLIN).replace(tzinfo=None, fold=0)
    window = Window(first_at, first_at + timedelta(days=400))
    oracle = rrulestr(rule, dtstart=wall).between(wall, wall + timedelta(days=410), inc=True)
    wanted = [each.replace(tzinfo=BERLIN).astimezone(UTC) for each in oracle]
    assert starts(rule, "Europe/Berlin", first_at, window) == [at for at in wanted if window.contains(at)]
