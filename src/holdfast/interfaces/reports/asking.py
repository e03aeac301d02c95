"""What somebody asks for: a month or two dates, and how the report is to be written."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.availability.review import LONGEST
from holdfast.interfaces.reports.model import Format
from holdfast.interfaces.site.ranges import EARLIEST, RangeError, date_of, month_of, months_before
from holdfast.kernel.windows import Window, month_window, start_of_day


def asked_window(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Window:
    """The month of `month`, the days from `from` to `to` (included), or the last month. Raises RangeError."""
    if "from" in query or "to" in query:
        return days_window(date_of(query.get("from", "")), date_of(query.get("to", "")), now, zone)
    if "month" in query:
        first = month_of(query["month"], now, zone)
        if first is None:
            raise RangeError("month")
    else:
        first = last_month(now, zone)
    return month_window(first.year, first.month, zone)


def days_window(first: date | None, last: date | None, now: datetime, zone: ZoneInfo) -> Window:
    """Whole local days, the last one included. Raises RangeError."""
    if first is None or last is None:
        raise RangeError("dates")
    if last < first:
        raise RangeError("order")
    if last > now.astimezone(zone).date():
        raise RangeError("future")
    if first < EARLIEST:
        raise RangeError("early")
    window = Window(start_of_day(first, zone), start_of_day(last + timedelta(days=1), zone))
    if window.duration > LONGEST:
        raise RangeError("length")
    return window


def last_month(now: datetime, zone: ZoneInfo) -> date:
    """The first day of the newest month that has closed."""
    return months_before(now.astimezone(zone).date().replace(day=1), 1)


def asked_format(query: Mapping[str, str]) -> Format:
    """The format, HTML when none is asked for. Raises RangeError for one that there is not."""
    try:
        return Format(query.get("format", Format.HTML.value))
    except ValueError:
        raise RangeError("format") from None
