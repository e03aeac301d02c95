"""When recurring work happens: an RRULE (RFC 5545, 3.3.10) in local time. Pure.

The rule says on which days; the time of day is that of the first start, and stays what it is on the wall:
02:00 in Berlin is 02:00 there in summer and in winter. A local time that is skipped when clocks go forward is
read with the offset of before, so that 02:30 becomes 03:30; of one that comes twice the first counts (RFC
5545, 3.3.5). A day that a month does not have is no day of the rule.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrule, rrulestr

from holdfast.communication.errors import NotPossible
from holdfast.kernel.windows import Window

LONGEST_RULE = 300
LONGEST_RUN = timedelta(days=3653)
"""A rule is looked at for ten years from its first start. What has no occurrence by then has none."""
MOST_TIMES = 1000
MOST_LOOKED_AT = 400

_FREQUENCIES = {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}
_TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}
_TIMES_OF_DAY = {"BYHOUR", "BYMINUTE", "BYSECOND"}
_RANGES = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}
_KNOWN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST", *_RANGES}
_OF_MONTHS = {"MONTHLY", "YEARLY"}
_ONLY_IN = {"BYMONTHDAY": _OF_MONTHS, "BYSETPOS": _OF_MONTHS, "BYYEARDAY": {"YEARLY"}, "BYWEEKNO": {"YEARLY"}}
_WEEKS_OF_MONTH, _WEEKS_OF_YEAR = 5, 53
_DAY = re.compile(r"([+-]?[1-9]\d?)?(MO|TU|WE|TH|FR|SA|SU)")
_LIST = re.compile(r"[+-]?\d{1,3}(,[+-]?\d{1,3}){0,30}")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A checked rule: what dateutil is to repeat, and its end, which we watch ourselves."""

    steps: str
    count: int | None = None
    until: datetime | date | None = None


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; raises NotPossible."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise NotPossible(
            f"there is no time zone {name[:60]!r}", hint="such as Europe/Berlin, or UTC"
        ) from error


@lru_cache(maxsize=256)
def parsed(rule: str) -> Recurrence:
    """The rule, if Holdfast repeats by it; raises NotPossible, which says why not."""
    parts = _parts(rule)
    frequency = parts.get("FREQ", "")
    if frequency in _TOO_OFTEN:
        raise NotPossible(
            f"{frequency} is more often than once a day", hint="plan one maintenance for the day"
        )
    if frequency not in _FREQUENCIES:
        raise NotPossible(f"{frequency or 'no FREQ'} says not how often", hint="such as FREQ=WEEKLY;BYDAY=SU")
    interval = _whole(parts, "INTERVAL", most=366)
    count = _whole(parts, "COUNT", most=MOST_TIMES)
    if count is not None and "UNTIL" in parts:
        raise NotPossible("COUNT and UNTIL exclude each other", hint="leave one of them out")
    _check_days(parts, frequency, interval)
    steps = {name: text for name, text in parts.items() if name not in {"COUNT", "UNTIL"}}
    if interval is not None:
        steps["INTERVAL"] = str(interval)
    until = _until(parts["UNTIL"]) if "UNTIL" in parts else None
    found = Recurrence(";".join(f"{name}={text}" for name, text in steps.items()), count, until)
    _repeating(found, datetime(2026, 1, 1))  # noqa: DTZ001  a wall clock's
    return found


def starts(rule: str, time_zone: str, first_at: datetime, window: Window) -> list[datetime]:
    """When it begins within `window`, in UTC and in order; raises NotPossible for what is no rule."""
    return [
        at
        for at in takewhile(lambda at: at < window.end, _starts(parsed(rule), zone_of(time_zone), first_at))
        if at >= window.start
    ]


def check(rule: str, time_zone: str, first_at: datetime, lasts: timedelta) -> datetime:
    """Raises NotPossible for a rule that never happens, or runs into itself; returns its first start."""
    found: list[datetime] = []
    for at in _starts(parsed(rule), zone_of(time_zone), first_at):
        found.append(at)
        if len(found) == MOST_LOOKED_AT:
            break
    if not found:
        raise NotPossible("by that rule it never happens", hint="look at its days and at its end")
    for one, following in pairwise(found):
        if following - one < lasts:
            raise NotPossible(
                f"{one:%Y-%m-%d %H:%M} UTC would not be over when the next one begins",
                hint="let it last shorter, or repeat less often",
            )
    return found[0]


def _starts(recurrence: Recurrence, zone: ZoneInfo, first_at: datetime) -> Iterator[datetime]:
    local = first_at.astimezone(zone).replace(tzinfo=None, fold=0)
    last = local + LONGEST_RUN
    for number, wall in enumerate(_repeating(recurrence, local, last)):
        at = wall.replace(tzinfo=zone).astimezone(UTC)
        if number == recurrence.count or _is_past(recurrence.until, wall, at):
            return
        yield at


def _repeating(recurrence: Recurrence, local: datetime, last: datetime | None = None) -> rrule:
    try:
        # Without a last moment dateutil looks for the 31st of February until the year 9999.
        made = rrulestr(recurrence.steps, dtstart=local)
        assert isinstance(made, rrule)  # noqa: S101  a single rule is no set of them
        return made.replace(until=last or local)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise NotPossible(f"that is no rule: {error}", hint="such as FREQ=WEEKLY;BYDAY=SU") from error


def _is_past(until: datetime | date | None, wall: datetime, at: datetime) -> bool:
    if until is None:
        return False
    if not isinstance(until, datetime):
        return wall.date() > until
    return wall > until if until.tzinfo is None else at > until


def _parts(rule: str) -> dict[str, str]:
    if len(rule) > LONGEST_RULE:
        raise NotPossible(f"the rule has {len(rule)} characters", hint=f"at most {LONGEST_RULE}")
    text = rule.strip().upper().removeprefix("RRULE:")
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, sign, value = part.partition("=")
        if not sign or not value or name in parts:
            raise NotPossible(f"{part!r} is no part of a rule", hint="such as FREQ=WEEKLY;BYDAY=SU")
        if name in _TIMES_OF_DAY:
            raise NotPossible(f"{name} is not needed", hint="the time of day is that of the first start")
        if name not in _KNOWN:
            raise NotPossible(
                f"{name!r} is no part of a rule", hint=f"there are: {', '.join(sorted(_KNOWN))}"
            )
        parts[name] = value
    return parts


def _check_days(parts: dict[str, str], frequency: str, interval: int | None) -> None:
    """Raises NotPossible for days that RFC 5545 does not have, or that could never be found."""
    for name in parts.keys() & _ONLY_IN.keys():
        if frequency not in _ONLY_IN[name]:
            known = " or ".join(sorted(_ONLY_IN[name]))
            raise NotPossible(f"{name} does not go with FREQ={frequency}", hint=f"only with {known}")
    for name in parts.keys() & _RANGES.keys():
        numbers = [int(each) for each in parts[name].split(",")] if _LIST.fullmatch(parts[name]) else [0]
        if not all(1 <= abs(each) <= _RANGES[name] for each in numbers):
            raise NotPossible(
                f"{name}={parts[name]} says not which", hint=f"numbers from 1 to {_RANGES[name]}"
            )
    days = [_DAY.fullmatch(each) for each in parts["BYDAY"].split(",")] if "BYDAY" in parts else []
    if not all(days):
        raise NotPossible(f"BYDAY={parts['BYDAY']} names no days", hint="such as BYDAY=SU, or BYDAY=1SU")
    numbered = [abs(int(each[1])) for each in days if each and each[1]]
    if frequency not in _OF_MONTHS and numbered:
        raise NotPossible("the first Sunday of what?", hint="FREQ=MONTHLY;BYDAY=1SU")
    of_year = frequency == "YEARLY" and "BYMONTH" not in parts
    most = _WEEKS_OF_YEAR if of_year else _WEEKS_OF_MONTH
    if any(each > most for each in numbered):
        # dateutil would look beyond the end of the year, and fail.
        raise NotPossible(
            f"BYDAY={parts['BYDAY']}: there are {most} at most", hint="the last one is BYDAY=-1SU"
        )
    # dateutil would look for such a day until the year 9999.
    if frequency == "DAILY" and interval not in (None, 1) and parts.keys() & {"BYDAY", "BYMONTH"}:
        raise NotPossible("every so many days may never be such a day", hint="leave INTERVAL or the days out")


def _whole(parts: dict[str, str], name: str, most: int) -> int | None:
    text = parts.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,5}", text) or int(text) > most:
        raise NotPossible(f"{name}={text[:20]} is no number of times", hint=f"1 to {most}")
    return int(text)


def _until(text: str) -> datetime | date:
    """A day, which counts to its end; a local time; or one in UTC, with a Z."""
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", text)
    try:
        day = date(int(match[1]), int(match[2]), int(match[3])) if match else None
        hours = time(int(match[4]), int(match[5]), int(match[6])) if match and match[4] else None
    except ValueError:
        day = None
    if match is None or day is None:
        raise NotPossible(f"UNTIL={text} is no day", hint="such as UNTIL=20271231")
    if hours is None:
        return day
    return datetime.combine(day, hours, tzinfo=UTC if match[7] else None)
