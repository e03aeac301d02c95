from datetime import timedelta

import pytest

from holdfast.kernel.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("10s", timedelta(seconds=10)),
        ("1h30m", timedelta(minutes=90)),
        ("14d", timedelta(days=14)),
        ("1.5h", timedelta(minutes=90)),
        (" 2w ", timedelta(days=14)),
        ("0s", timedelta()),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 s", "-5s", "1h 30m", "5mo", "1e3s", "\u0661\u0660s", "1..5s", "10S"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write 500ms, 10s"):
        parse_duration(text)


@pytest.mark.parametrize("millis", [0, 1, 999, 1000, 60_000, 90_061_001, 86_400_000 * 15, -1500])
def test_what_is_written_is_read_back(millis: int) -> None:
    duration = timedelta(milliseconds=millis)
    text = format_duration(duration)
    assert (-parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)) == duration


def test_a_duration_beyond_counting_is_an_error_that_the_caller_can_name() -> None:
    with pytest.raises(OverflowError):
        parse_duration("999999999w999999999w")
