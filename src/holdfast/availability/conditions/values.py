"""The values that facts have, and how they are shown to people: on one line, bounded, nothing unprintable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

Facts = Mapping[str, object]
"""What a probe saw, by fact name. Text may be given as bytes, which are read as UTF-8."""


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value, and why.

    `settled` when the target is known not to have it (a header that it did not send); otherwise nobody knows
    (the body is not JSON), and not even `exists` can be answered.
    """

    why: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Several:
    """What a JSON path that may match several places selected. A condition has to hold for each of them."""

    values: tuple[object, ...]


Reader = Callable[[Facts], object]
"""Takes a fact out of all facts: its value, `Several`, or `Absent`. Never raises."""

_SHOWN_CHARACTERS = 60
_SHOWN_DIGITS_BITS = 80  # some 24 digits


def show(value: object) -> str:
    """`value` for a person, on one line of some 60 characters."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int():
            return (
                str(value) if value.bit_length() <= _SHOWN_DIGITS_BITS else "a number of more than 24 digits"
            )
        case float():
            return f"{value:.12g}"
        case timedelta():
            return show_duration(value)
        case str():
            return show_text(value)
        case Several(values):
            return ", ".join(show(each) for each in values[:3]) + (", ..." if len(values) > 3 else "")
        case Mapping():
            return "an object"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def show_text(text: str) -> str:
    """In quotes, cut after 60 characters, with what cannot be printed (line ends, terminal codes) escaped."""
    cut = text[:_SHOWN_CHARACTERS]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return f'"{cut}..."' if len(text) > _SHOWN_CHARACTERS else f'"{cut}"'


def show_duration(duration: timedelta) -> str:
    """The two largest units, as exact as a person reads: `13d4h`, `1m2s`, `1.25s`, `80ms`, `0.4ms`."""
    micros = abs(duration // timedelta(microseconds=1))
    sign = "-" if duration < timedelta() else ""
    seconds = micros // 1_000_000
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{sign}{seconds // size}{unit}" + (f"{rest}{smaller}" if rest else "")
    if seconds:
        return f"{sign}{micros / 1_000_000:.3g}s"
    return f"{sign}{micros / 1_000:.3g}ms"
