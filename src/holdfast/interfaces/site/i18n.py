"""Languages: catalogues in memory, and dates, numbers and durations the way each language writes them."""

import gettext
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Literal, Self
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

from holdfast.availability.sla import percent_text

LOCALES = {"en": Locale("en", "GB"), "de": Locale("de", "DE")}
NAMES = {"en": "English", "de": "Deutsch"}
NOTHING = "–"  # noqa: RUF001 - an en dash stands where a table has no value
Width = Literal["short", "long", "narrow"]
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@lru_cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of `language`. English needs none: its texts are the message ids."""
    return catalogue(__package__, "site", language)


def catalogue(package: str, domain: str, language: str) -> gettext.NullTranslations:
    """The catalogue `DOMAIN.po` of a package, compiled. English needs none."""
    if language == "en":
        return gettext.NullTranslations()
    source = files(package) / "locale" / language / "LC_MESSAGES" / f"{domain}.po"
    compiled = BytesIO()
    with source.open("rb") as lines:
        write_mo(compiled, read_po(lines, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def with_the_sites(package: str, domain: str, language: str) -> gettext.NullTranslations:
    """A package's own catalogue; what it lacks is looked up in the site's."""
    own = catalogue(package, domain, language)
    own.add_fallback(translations(language))
    return own


@lru_cache(maxsize=1024)
def negotiated(accept_language: str, languages: tuple[str, ...]) -> str:
    """The language to answer in (RFC 9110, 12.5.4): the best-weighted one on offer, else the first."""
    best, best_weight = languages[0], 0.0
    for part in accept_language[:256].split(","):
        tag, _, parameters = part.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        weight = _weight(parameters)
        if primary in languages and weight > best_weight:
            best, best_weight = primary, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return max(0.0, min(1.0, float(value)))
    except ValueError:
        return 0.0


@lru_cache(maxsize=8192)
def _unit(locale: Locale, value: int, unit: str, length: Width) -> str:
    return format_unit(value, f"duration-{unit}", length=length, locale=locale)


@lru_cache(maxsize=8192)
def _skeleton(locale: Locale, day: date, skeleton: str) -> str:
    return format_skeleton(skeleton, day, locale=locale)


@lru_cache(maxsize=4096)
def _long_date(locale: Locale, day: date, width: str) -> str:
    return format_date(day, width, locale=locale)


@lru_cache(maxsize=4096)
def _clock(locale: Locale, time_of_day: time, width: Literal["short", "medium"]) -> str:
    return format_time(time_of_day, width, locale=locale)


@lru_cache(maxsize=16_384)
def _decimal(locale: Locale, value: float | Decimal) -> str:
    return format_decimal(value, locale=locale)


@lru_cache(maxsize=4096)
def _percentage(locale: Locale, exact: Decimal, digits: int) -> str:
    pattern = locale.percent_formats[None].pattern.replace("#,##0", "0." + "0" * digits if digits else "0")
    return format_percent(exact / 100, format=pattern, locale=locale)


class Translator:
    """Speaks one language in one time zone, with the words of the site."""

    words = staticmethod(translations)
    """The catalogue of a language. A translator with further words has another."""

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        self.language = language
        self.locale = LOCALES[language]
        self.zone = zone
        words = self.words(language)
        self.gettext = words.gettext
        self.ngettext = words.ngettext

    def in_zone(self, zone: ZoneInfo) -> Self:
        return type(self)(self.language, zone)

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def day(self, day: date) -> str:
        """`3 November`, without the year."""
        return _skeleton(self.locale, day, "MMMMd")

    def short_day(self, day: date) -> str:
        return _skeleton(self.locale, day, "MMMd")

    def weekday(self, day: date) -> str:
        return _long_date(self.locale, day, "full")

    def long_date(self, day: date) -> str:
        return _long_date(self.locale, day, "long")

    def month(self, day: date) -> str:
        return _skeleton(self.locale, day, "yMMMM")

    def short_month(self, day: date) -> str:
        return _skeleton(self.locale, day, "yMMM")

    def clock(self, moment: datetime) -> str:
        """`14:03`, in the zone, which the page names once."""
        return _clock(self.locale, self.local(moment).time().replace(second=0, microsecond=0), "short")

    def zoned_time(self, moment: datetime) -> str:
        """`14:03 CET`."""
        return f"{self.clock(moment)} {self.local(moment).tzname()}"

    def exact_time(self, moment: datetime) -> str:
        return _clock(self.locale, self.local(moment).time().replace(microsecond=0), "medium")

    def moment(self, moment: datetime) -> str:
        """`3 November 2026, 14:03 CET`."""
        return self.gettext("%(date)s, %(time)s") % {
            "date": self.long_date(self.local(moment).date()),
            "time": self.zoned_time(moment),
        }

    def short_moment(self, moment: datetime) -> str:
        """`3 Nov, 14:03`."""
        return self.gettext("%(date)s, %(time)s") % {
            "date": self.short_day(self.local(moment).date()),
            "time": self.clock(moment),
        }

    def duration(self, length: timedelta, width: Width = "short") -> str:
        """The two units that matter most: `1 day 3 hrs`, `12 mins`, `less than a second`."""
        seconds = int(abs(length).total_seconds())
        if not seconds:
            return (
                _unit(self.locale, 0, "second", width) if not length else self.gettext("less than a second")
            )
        place = next(place for place, (_, size) in enumerate(_UNITS) if seconds >= size)
        parts, rest = [], seconds
        for unit, size in _UNITS[place : place + 2]:
            count, rest = divmod(rest, size)
            if count:
                parts.append(_unit(self.locale, count, unit, "long" if unit == "day" else width))
        text = " ".join(parts)
        return f"−{text}" if length < timedelta() else text  # noqa: RUF001 - a true minus sign

    def ago(self, length: timedelta) -> str:
        """`14 minutes ago`, in the grammar of the language."""
        past = -max(length, timedelta(seconds=1))
        return format_timedelta(
            past, granularity="second", threshold=1, add_direction=True, locale=self.locale
        )

    def availability(self, share: Fraction | None, digits: int = 3) -> str:
        """`99.982%`, rounded down, or a dash where there is no figure."""
        text = percent_text(share, digits)
        return NOTHING if text is None else self._percent(Decimal(text))

    def percent(self, value: Decimal | Fraction | float) -> str:
        """A percentage (0 to 100) with the digits that it needs, at most three."""
        if isinstance(value, Fraction):
            value = Decimal(value.numerator) / value.denominator
        return self._percent(round(Decimal(str(value)), 3).normalize())

    def _percent(self, exact: Decimal) -> str:
        """With exactly the digits that it has: the zeros of a rounded figure say how exact it is."""
        return _percentage(self.locale, exact, max(0, -int(exact.as_tuple().exponent)))

    def number(self, value: float | Decimal) -> str:
        return _decimal(self.locale, value)

    def significant(self, value: float, digits: int = 3) -> str:
        """As many digits as say something: `1,230`, `12.3`, `0.00012`."""
        return format_decimal(Decimal(f"{value:.{digits}g}"), locale=self.locale, decimal_quantization=False)

    def latency(self, microseconds: float | None) -> str:
        """`0.8 ms`, `23 ms`, `1.42 s`."""
        if microseconds is None:
            return NOTHING
        if microseconds < 10_000:
            return f"{self.number(round(microseconds / 1000, 1))} ms"
        if microseconds < 1_000_000:
            return f"{self.number(round(microseconds / 1000))} ms"
        return f"{self.number(round(microseconds / 1_000_000, 2))} s"

    def dated_moment(self, moment: datetime) -> str:
        """`3 Nov 2025, 14:03`."""
        return self.gettext("%(date)s, %(time)s") % {
            "date": _skeleton(self.locale, self.local(moment).date(), "yMMMd"),
            "time": self.clock(moment),
        }

    def as_of(self, moment: datetime, age: timedelta) -> str:
        """The time alone while that is clear, else with its date."""
        return self.zoned_time(moment) if age < timedelta(hours=12) else self.moment(moment)

    def listing(self, names: Iterable[str]) -> str:
        """`EU API, EU website and USA API`."""
        return format_list(list(names), locale=self.locale)


def offered(languages: Sequence[str]) -> tuple[str, ...]:
    """The site's languages that have a catalogue, in its order, each once."""
    return tuple(dict.fromkeys(each for each in languages if each in LOCALES)) or ("en",)
