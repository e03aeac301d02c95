"""Bars, calendars and charts: what they tell, that they escape, and that they stay bounded."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_estates import BERLIN, NOW, days_from, overview, samples, timeline

from holdfast.availability.model import Interval, State
from holdfast.availability.views import Day, Sample
from holdfast.interfaces.site import bars, charts
from holdfast.interfaces.site.i18n import Translator
from holdfast.interfaces.site.wording import Shown, Words
from holdfast.kernel.windows import Window, day_window

ENGLISH = Words(Translator("en", BERLIN))
GERMAN = Words(Translator("de", BERLIN))
DAY = day_window(datetime(2026, 11, 3).date(), BERLIN)  # noqa: DTZ001
WEEK = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC))


def the_day(*states: tuple[int, State], maintained: Window | None = None, sample: bool = False) -> Day:
    """A day of the given (minutes, state), operational for the rest; without any, a day without data."""
    line, at = [], DAY.start
    for minutes, state in states:
        line.append(Interval(Window(at, at + timedelta(minutes=minutes)), state))
        at += timedelta(minutes=minutes)
    if line:
        line.append(Interval(Window(at, DAY.end), State.OPERATIONAL))
    until = DAY.end.date() + timedelta(days=9) if sample else None
    return days_from(line, DAY, maintained=maintained, sample_until=until)[0]


@pytest.mark.parametrize(
    ("day", "english", "german"),
    [
        (the_day((0, State.OPERATIONAL)), "3 November: no downtime", "3. November: kein Ausfall"),
        (the_day(), "3 November: no data", "3. November: keine Daten"),
        (
            the_day((12, State.MAJOR_OUTAGE), (4, State.DEGRADED)),
            "3 November: major outage 12 mins, degraded 4 mins",
            "3. November: größere Störung 12 Min., beeinträchtigt 4 Min.",
        ),
        (
            the_day((0, State.OPERATIONAL), maintained=Window(DAY.start, DAY.start + timedelta(hours=1))),
            "3 November: maintenance 1 hr",
            "3. November: Wartung 1 Std.",
        ),
        (
            the_day((30, State.UNKNOWN), sample=True),
            "3 November: unknown 30 mins (sample data)",
            "3. November: unbekannt 30 Min. (Beispieldaten)",
        ),
    ],
)
def test_a_day_tells_its_story(day: Day, english: str, german: str) -> None:
    assert ENGLISH.day_title(day) == english
    assert GERMAN.day_title(day) == german
    assert english in bars.row([day], ENGLISH, "label")
    assert bars.calendar([day], ENGLISH)[0].drawing.count(english) == 1


def test_bars_differ_without_their_colours() -> None:
    looks = {}
    for state in (State.OPERATIONAL, State.DEGRADED, State.UNKNOWN, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE):
        drawn = bars.row([the_day((20, state))], ENGLISH, "")
        looks[state] = re.findall(r"y=\d+ width=\S+ height=\d+", drawn)[0]
    assert len(set(looks.values())) == len(looks)
    assert bars.row([the_day((600, State.MAJOR_OUTAGE))], ENGLISH, "") != bars.row(
        [the_day((20, State.MAJOR_OUTAGE))], ENGLISH, ""
    )


def test_cells_of_the_calendar_carry_a_mark_for_each_trouble() -> None:
    marks = [
        re.findall(r'<path d="([^"]+)"', bars.calendar([the_day((20, state))], ENGLISH)[0].drawing)
        for state in (State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE)
    ]
    assert all(marks)
    assert len({each[0] for each in marks}) == 3


def test_a_short_outage_is_still_drawn() -> None:
    """Two seconds of a day must not vanish for being small."""
    day = days_from(
        [
            Interval(Window(DAY.start, DAY.start + timedelta(seconds=2)), State.MAJOR_OUTAGE),
            Interval(Window(DAY.start + timedelta(seconds=2), DAY.end), State.OPERATIONAL),
        ],
        DAY,
    )[0]
    assert "class=mj" in bars.row([day], ENGLISH, "")
    assert bars.bar_of(day).top is Shown.MAJOR_OUTAGE


def test_the_label_and_the_titles_are_escaped() -> None:
    drawn = bars.row([the_day()], ENGLISH, '"><script>alert(1)</script>')
    assert "<script>" not in drawn
    assert "&#34;&gt;&lt;script&gt;" in drawn


def test_a_calendar_covers_every_day_once() -> None:
    window = Window(datetime(2025, 11, 23, tzinfo=UTC), NOW)
    days = days_from(timeline(3, window.start, NOW), window)
    months = bars.calendar(days, ENGLISH)
    assert sum(each.drawing.count("<title>") for each in months) == len(days)
    assert [each.first.month for each in months] == [11, 12, *range(1, 12)]


def test_the_figure_over_days_is_that_of_their_window() -> None:
    component = overview(1).clusters[0].components[0]
    assert bars.figure_over(component.days).availability == component.figure.availability


T = Translator("en", ZoneInfo("UTC"))
HOUR = timedelta(hours=1)


def test_a_gap_breaks_the_line() -> None:
    whole = charts.latency(samples(WEEK, HOUR), WEEK, HOUR, T, "")
    gap = Window(WEEK.start + timedelta(days=2), WEEK.start + timedelta(days=3))
    broken = charts.latency(samples(WEEK, HOUR, gap=gap), WEEK, HOUR, T, "")
    assert whole is not None
    assert broken is not None
    assert whole.drawing.count("M") == 3  # one stroke for each percentile
    assert broken.drawing.count("M") == 6


def test_an_hour_without_an_answer_breaks_the_line_too() -> None:
    points = [Sample(WEEK.start + HOUR * n, *[None if n == 2 else 1000.0] * 3, 1, 0, 0) for n in range(5)]
    chart = charts.latency(points, WEEK, HOUR, T, "")
    assert chart is not None
    assert chart.drawing.count("M") == 6


def test_no_answer_at_all_makes_no_chart() -> None:
    assert charts.latency([], WEEK, HOUR, T, "") is None
    assert charts.errors([], WEEK, HOUR, T, "") is None


def test_a_failure_shows_however_rare() -> None:
    chart = charts.errors([Sample(WEEK.start, 1.0, 1.0, 1.0, 99_999, 0, 1)], WEEK, HOUR, T, "")
    assert chart is not None
    assert "class=mj" in chart.drawing
    assert "1 of 100000 checks failed" in chart.drawing


@given(st.integers(1, 3000), st.sampled_from([timedelta(minutes=1), HOUR]))
def test_charts_stay_bounded_and_keep_the_peak(count: int, length: timedelta) -> None:
    window = Window(WEEK.start, WEEK.start + length * count)
    peak = 7_654_321.0
    points = [
        Sample(WEEK.start + length * n, 1.0, 2.0, peak if n == count // 2 else 3.0, 1, 0, 0)
        for n in range(count)
    ]
    thin, stride = charts.thinned(points, window, length)
    assert len(thin) <= charts.MOST_POINTS + 1
    assert stride >= length
    assert max(each.p99_us for each in thin if each.p99_us) == peak
    assert sum(each.good for each in thin) == count


@given(st.floats(1, 1e9))
def test_the_axis_is_round_and_just_above_the_peak(peak: float) -> None:
    ceiling = charts.nice_ceiling(peak)
    assert peak <= ceiling * 1.000001
    assert ceiling <= max(peak * 2.6, 4)
    mantissa = ceiling / 4
    while mantissa >= 10:
        mantissa /= 10
    assert round(mantissa, 6) in {1, 2, 2.5, 5, 10}


def test_the_spacing_is_that_of_the_samples_not_of_the_resolution() -> None:
    points = [Sample(WEEK.start + HOUR * 6 * n, 1.0, 1.0, 1.0, 1, 0, 0) for n in (0, 1, 2, 5)]
    assert charts.spacing(points, HOUR) == HOUR * 6
    assert charts.spacing(points[:1], HOUR) == HOUR
