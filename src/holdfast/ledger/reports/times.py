"""Stretches of days as people name them: 2026, 2026-11, 2026-W47, 2026-11-22. Pure."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.reports.reporting import Grain, Per, start_of, start_of_time

_DAY = timedelta(days=1)
_NAMED = re.compile(r"(?P<year>\d{4})(?:-W(?P<week>\d{2})|-(?P<month>\d{2})(?:-(?P<day>\d{2}))?)?", re.ASCII)


def stretch_of(text: str) -> tuple[date, date]:
    """The days [since, until) that are meant. Raises Unsuitable."""
    found = _NAMED.fullmatch(text.strip())
    try:
        if found:
            year = int(found["year"])
            if found["week"]:
                since = date.fromisocalendar(year, int(found["week"]), 1)
                return since, since + 7 * _DAY
            since = date(year, int(found["month"] or 1), int(found["day"] or 1))
            return since, following(
                since, Per.DAY if found["day"] else Per.MONTH if found["month"] else Per.YEAR
            )
    except (ValueError, OverflowError):
        pass
    raise Unsuitable(
        f"{text[:40]!r} is no stretch of days", hint="write 2026, 2026-11, 2026-W47 or 2026-11-22"
    )


def month_of(day: date) -> tuple[date, date]:
    """The days of the month that the day is in."""
    since = start_of(day, Grain.MONTH)
    return since, following(since, Per.MONTH)


def following(start: date, per: Per) -> date:
    """The first day after the day, week, month or year that begins on `start`.

    Raises OverflowError after the last one.
    """
    if per is Per.DAY:
        return start + _DAY
    if per is Per.WEEK:
        return start + 7 * _DAY
    try:
        if per is Per.YEAR:
            return start.replace(year=start.year + 1)
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    except ValueError as error:
        raise OverflowError("there is no later one") from error


def times_of(since: date, until: date, per: Per) -> Iterator[date]:
    """The first day of each time that the days [since, until) touch; it may lie before `since`."""
    start = start_of_time(since, per)
    while start < until:
        yield start
        try:
            start = following(start, per)
        except OverflowError:
            return


def fitting(since: date, until: date) -> Per:
    """Which times show a stretch well: not more of them than one can look at."""
    days = (until - since).days
    if days <= 62:
        return Per.DAY
    if days <= 200:
        return Per.WEEK
    return Per.MONTH if days <= 366 * 4 else Per.YEAR
