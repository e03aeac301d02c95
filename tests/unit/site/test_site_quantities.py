"""Charts of the metrics that the estate names: axes, units, gaps."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.views import MetricHistory, MetricSample
from holdfast.interfaces.site.i18n import Translator
from holdfast.interfaces.site.quantities import axis, chart, metrics_shown, quantity
from holdfast.kernel.windows import Window

ENGLISH = Translator("en", ZoneInfo("Europe/Berlin"))
GERMAN = Translator("de", ZoneInfo("Europe/Berlin"))
START = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(START, START + 10 * HOUR)
values = st.floats(-1e100, 1e100)


def history(*samples: tuple[float, float], unit: str = "count", name: str = "Jobs") -> MetricHistory:
    """(hour, value) pairs."""
    made = [MetricSample(START + hour * HOUR, 60, value, value, value) for hour, value in samples]
    return MetricHistory("jobs", name, unit, made, HOUR)


@pytest.mark.parametrize(
    ("value", "unit", "english", "german"),
    [
        (0, "count", "0", "0"),
        (1234, "count", "1,234", "1.234"),
        (12.345, "count", "12.3", "12,3"),
        (-3, "count", "-3", "-3"),
        (0.00012, "count", "0.00012", "0,00012"),
        (0.02, "ms", "0.02 ms", "0,02 ms"),
        (2_345_678.9, "/s", "2,350,000 /s", "2.350.000 /s"),
        (-3e-9, "count", "-3.00e-09", "-3.00e-09"),
        (23, "ms", "23 ms", "23 ms"),
        (1.5, "s", "1.5 s", "1,5 s"),
        (-2, "ms", "-2 ms", "-2 ms"),
        (99.95, "%", "99.95%", "99,95\xa0%"),
        (17.25, "/s", "17.2 /s", "17,2 /s"),
        (12_345_678, "bytes", "12.3 MB", "12,3 MB"),
        (512, "bytes", "512 bytes", "512 bytes"),
        (3e20, "count", "3.00e+20", "3.00e+20"),
    ],
)
def test_quantities_have_the_digits_that_say_something(
    value: float, unit: str, english: str, german: str
) -> None:
    assert quantity(value, unit, ENGLISH) == english
    assert quantity(value, unit, GERMAN) == german


@given(values, values)
def test_an_axis_holds_every_value_and_zero(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    floor, step = axis(low, high)
    assert step > 0
    slack = step * 1e-6
    assert floor <= min(low, 0) + slack
    assert floor + 4 * step >= max(high, 0) - slack


def test_a_gap_is_not_drawn_over() -> None:
    drawn = chart(history((0, 1), (1, 2), (2, 2), (6, 3), (7, 4)), WINDOW, ENGLISH)
    assert drawn is not None
    average = re.search(r'<path class=p50 d="([^"]+)"', drawn.drawing)
    assert average is not None
    assert [part[0] for part in re.findall(r"[ML][^ML]+", average[1])] == ["M", "L", "L", "M", "L"]
    assert drawn.heights == ["4", "3", "2", "1", "0"]


def test_nothing_known_is_no_chart_and_not_a_flat_one() -> None:
    assert chart(history(), WINDOW, ENGLISH) is None
    (shown,) = metrics_shown([history()], WINDOW, ENGLISH)
    assert (shown.chart, list(shown.rows)) == (None, [])


def test_the_drawing_says_in_words_what_it_shows_and_is_never_markup() -> None:
    drawn = chart(history((0, 1), (9, 5), name='"><script>'), WINDOW, GERMAN)
    assert drawn is not None
    assert "<script>" not in drawn.drawing
    assert "zwischen 1 und 5, am Ende 5" in drawn.drawing


def test_a_drawing_stays_bounded() -> None:
    many = history(*((place / 20, place % 7) for place in range(200)))
    drawn = chart(many, WINDOW, ENGLISH)
    assert drawn is not None
    assert len(drawn.drawing) < 40_000
    assert drawn.drawing.count("<rect") <= 120
