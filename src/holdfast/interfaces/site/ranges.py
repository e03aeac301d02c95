"""The ranges of a component's page: five named ones, and any two dates within bounds."""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.kernel.windows import Window, start_of_day

NAMED = ("7d", "30d", "3m", "6m", "1y")
DEFAULT = "30d"
MOST_DAYS = 400
EARLIEST = date(2000, 1, 1)
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Range:
    """Whole local days, first and last included; today's ends now. `name` is empty for a custom one."""

    name: str
    first: date
    last: date
    window: Window


class RangeError(ValueError):
    """The range is not one that the page shows; `reason` is a word for the page to explain."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last day where it has none."""
    month = day.year * 12 + day.month - 1 - months
    year, month = month // 12, month % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def named_range(name: str, now: datetime, zone: ZoneInfo) -> Range:
    """One of NAMED, ending today."""
    today = now.astimezone(zone).date()
    first = {
        "7d": today - timedelta(days=6),
        "30d": today - timedelta(days=29),
        "3m": months_before(today, 3) + timedelta(days=1),
        "6m": months_before(today, 6) + timedelta(days=1),
        "1y": months_before(today, 12) + timedelta(days=1),
    }[name]
    return Range(name, first, today, Window(start_of_day(first, zone), now))


def requested_range(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Range:
    """The range that the query asks for, the default one when it asks for none. Raises RangeError."""
    if "from" not in query and "to" not in query:
        name = query.get("range", DEFAULT)
        if name not in NAMED:
            raise RangeError("range")
        return named_range(name, now, zone)
    first, last = date_of(query.get("from", "")), date_of(query.get("to", ""))
    if first is None or last is None:
        raise RangeError("dates")
    if last < first:
        raise RangeError("order")
    if last > now.astimezone(zone).date():
        raise RangeError("future")
    if first < EARLIEST:
        raise RangeError("early")
    if (last - first).days >= MOST_DAYS:
        raise RangeError("length")
    end = min(start_of_day(last + timedelta(days=1), zone), now)
    return Range("", first, last, Window(start_of_day(first, zone), end))


def date_of(text: str) -> date | None:
    """A date written YYYY-MM-DD; None for anything else."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def month_of(text: str, now: datetime, zone: ZoneInfo) -> date | None:
    """The first day of a month written YYYY-MM, not before EARLIEST nor after now; None for anything else."""
    if not (text.isascii() and _MONTH.fullmatch(text)):
        return None
    if not EARLIEST.year <= int(text[:4]) <= now.astimezone(zone).year:
        return None
    first = date.fromisoformat(f"{text}-01")
    return first if first <= now.astimezone(zone).date() else None


def neighbours(first: date, now: datetime, zone: ZoneInfo) -> tuple[date | None, date | None]:
    """The months before and after, where there are pages for them."""
    following = (first + timedelta(days=31)).replace(day=1)
    today = now.astimezone(zone).date()
    return (months_before(first, 1) if first > EARLIEST else None, following if following <= today else None)


def within_month(first: date) -> datetime:
    """A moment that lies in that month in every time zone of the world: noon of the 27th."""
    return datetime(first.year, first.month, 27, 12, tzinfo=UTC)
