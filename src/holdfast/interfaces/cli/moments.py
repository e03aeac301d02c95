"""Times as they are written on a command line."""

import re
from datetime import date, datetime, timedelta

import typer

from holdfast.kernel.durations import parse_duration


def parse_moment(text: str) -> datetime:
    """An ISO 8601 time with its offset, such as 2026-11-22T03:00+01:00."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write 2026-11-22T03:00+01:00") from error
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} needs its offset from UTC, such as +01:00 or Z")
    return moment


def parse_month(text: str) -> tuple[int, int]:
    """A month such as 2026-10."""
    match = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no month; write 2026-10")
    return int(match[1]), int(match[2])


def parse_length(text: str) -> timedelta:
    """A length of time with its unit, such as 2h or 30m."""
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{text!r} is no length of time; write 2h, or 30m") from error


def parse_day(text: str) -> date:
    """A day such as 2026-10-01."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day; write 2026-10-01") from error
