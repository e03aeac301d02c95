"""Languages: negotiation, the way numbers and times are written, and a German catalogue without holes."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from holdfast.interfaces import site
from holdfast.interfaces.site.i18n import Translator, negotiated, offered

ENGLISH = Translator("en", ZoneInfo("Europe/Berlin"))
GERMAN = Translator("de", ZoneInfo("Europe/Berlin"))
PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,en;q=0.5,de;q=0.7", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("fr-FR, *;q=0.5", "en"),
        ("de;q=banana", "en"),
        ("," * 5000, "en"),
    ],
)
def test_the_best_language_on_offer_wins(header: str, expected: str) -> None:
    assert negotiated(header, ("en", "de")) == expected


def test_the_first_language_is_the_default() -> None:
    assert negotiated("fr", ("de", "en")) == "de"
    assert offered(("de", "de", "en")) == ("de", "en")


@pytest.mark.parametrize(
    ("length", "english", "german"),
    [
        (timedelta(), "0 secs", "0 Sek."),
        (timedelta(milliseconds=1), "less than a second", "weniger als eine Sekunde"),
        (timedelta(seconds=1), "1 sec", "1 Sek."),
        (timedelta(minutes=12), "12 mins", "12 Min."),
        (timedelta(minutes=12, seconds=5), "12 mins 5 secs", "12 Min. 5 Sek."),
        (timedelta(hours=1, minutes=2, seconds=3), "1 hr 2 mins", "1 Std. 2 Min."),
        (timedelta(hours=5, seconds=30), "5 hrs", "5 Std."),
        (timedelta(days=3, hours=4), "3 days 4 hrs", "3 Tage 4 Std."),
        (-timedelta(minutes=3), "\u22123 mins", "\u22123 Min."),
    ],
)
def test_durations_name_the_two_units_that_matter(length: timedelta, english: str, german: str) -> None:
    assert ENGLISH.duration(length) == english
    assert GERMAN.duration(length) == german


def test_ages_have_the_grammar_of_the_language() -> None:
    assert ENGLISH.ago(timedelta(minutes=14, seconds=50)) in {"14 minutes ago", "15 minutes ago"}
    assert GERMAN.ago(timedelta(days=2)) == "vor 2 Tagen"
    assert GERMAN.ago(timedelta(0)) == "vor 1 Sekunde"


def test_percentages_are_written_the_way_of_the_language_and_rounded_down() -> None:
    assert ENGLISH.availability(Fraction(999996, 1000000)) == "99.999%"
    assert GERMAN.availability(Fraction(9995, 10000)) == "99,950\xa0%"
    assert ENGLISH.availability(Fraction(1)) == "100%"
    assert ENGLISH.availability(None) == "\u2013"
    assert GERMAN.percent(Decimal("99.95")) == "99,95\xa0%"
    assert ENGLISH.percent(100) == "100%"
    assert ENGLISH.percent(Decimal("0E+1")) == "0%"


def test_times_carry_the_zone_that_held_then() -> None:
    assert GERMAN.moment(datetime(2026, 11, 3, 13, 3, tzinfo=UTC)) == "3. November 2026, 14:03 CET"
    assert ENGLISH.moment(datetime(2026, 7, 3, 13, 3, tzinfo=UTC)) == "3 July 2026, 15:03 CEST"
    assert GERMAN.weekday(date(2026, 11, 3)) == "Dienstag, 3. November 2026"


@pytest.mark.parametrize(
    ("microseconds", "text"), [(800, "0.8 ms"), (23_400, "23 ms"), (1_420_000, "1.42 s"), (None, "\u2013")]
)
def test_latencies_have_two_or_three_digits(microseconds: float | None, text: str) -> None:
    assert ENGLISH.latency(microseconds) == text


def _message_ids() -> set[str | tuple[str, ...]]:
    found = extract_from_dir(
        str(files(site)),
        method_map=[("templates/**.html", "jinja2"), ("**.py", "python")],
        options_map={"templates/**.html": {"newstyle_gettext": "true"}},
    )
    return {each[2] for each in found}


def test_every_text_of_the_site_is_in_the_german_catalogue() -> None:
    with (files(site) / "locale/de/LC_MESSAGES/site.po").open("rb") as source:
        catalogue = read_po(source, locale="de")
    ids = _message_ids()
    assert len(ids) > 100, "the extraction found next to nothing: it would prove nothing"
    known = {each.id for each in catalogue if each.id}
    assert ids - known == set(), "not translated"
    assert known - ids == set(), "translated, but nowhere used"
    for each in catalogue:
        if not each.id:
            continue
        assert not each.fuzzy, each.id
        originals = each.id if isinstance(each.id, tuple) else (each.id,)
        strings = each.string if isinstance(each.string, tuple) else (each.string,)
        assert len(strings) == len(originals), each.id
        for text in strings:
            assert text.strip(), each.id
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(originals[-1])), each.id
