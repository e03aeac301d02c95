"""OpenSLO's time windows and our agreements' windows, both ways.

OpenSLO v1 (README, duration-shorthand): a positive number and one of m, h, d, w, M, Q, Y. A calendar window
has a start and a time zone, a rolling one neither.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from zoneinfo import available_timezones

from holdfast.estate.model import Agreement
from holdfast.estate.rules import LONGEST_WINDOW, SHORTEST_WINDOW
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report

CALENDAR_START = "2026-01-01 00:00:00"
"""Any first of a month says the same: months begin on the first."""
_SHORTHAND = re.compile(r"([1-9]\d{0,5})([mhdwMQY])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "M": timedelta(days=30),
    "Q": timedelta(days=91),
    "Y": timedelta(days=365),
}
_CALENDAR_UNITS = "MQY"
_FIRST_OF_MONTH = re.compile(r"\d{4}-\d\d-01[ T]00:00:00")


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """An agreement's `window` and `time_zone`."""

    window: Literal["calendar_month"] | timedelta
    time_zone: str = "UTC"


def shorthand(text: str) -> tuple[timedelta, str] | None:
    """The length that `text` names, months as 30 days, and its unit; None when it is no shorthand."""
    match = _SHORTHAND.fullmatch(text)
    return (int(match[1]) * _UNITS[match[2]], match[2]) if match else None


def window_terms(path: str, windows: Any, report: Report) -> WindowTerms | None:
    """What `spec.timeWindow` says, or the nearest that there is; None when that would be another promise."""
    if windows is None or windows == []:
        report.changed(path, "no time window", "an agreement has one", "a rolling window of 30d")
        return WindowTerms(timedelta(days=30))
    window = windows[0] if isinstance(windows, list) and len(windows) == 1 else None
    if not isinstance(window, Mapping):
        report.left_out(path, "the time window", "not a list of exactly one")
        return None
    text = str(window.get("duration", ""))
    length = shorthand(text)
    if length is None:
        report.left_out(f"{path}[0].duration", shown(text), "not a number and one of m, h, d, w, M, Q, Y")
        return None
    calendar = window.get("calendar")
    if window.get("isRolling") is not True and isinstance(calendar, Mapping):
        return _calendar(f"{path}[0]", text, length, calendar, report)
    return _rolling(f"{path}[0].duration", text, length, report)


def _calendar(
    path: str, text: str, length: tuple[timedelta, str], calendar: Mapping[str, Any], report: Report
) -> WindowTerms | None:
    zone = str(calendar.get("timeZone", "UTC"))
    if zone not in available_timezones():
        report.changed(f"{path}.calendar.timeZone", shown(zone), "not a time zone", "UTC")
        zone = "UTC"
    if text != "1M":
        why = "an agreement's calendar windows are months"
        rolling = _rolling(f"{path}.duration", text, length, report)
        if rolling is not None:
            report.changed(f"{path}.calendar", f"windows of {text} by the calendar", why, "a rolling window")
        return rolling and WindowTerms(rolling.window, zone)
    start = str(calendar.get("startTime", ""))
    if not _FIRST_OF_MONTH.match(start):
        why = "an agreement's months begin on the first at midnight"
        report.changed(f"{path}.calendar.startTime", shown(start), why, "calendar months")
    return WindowTerms("calendar_month", zone)


def _rolling(path: str, text: str, length: tuple[timedelta, str], report: Report) -> WindowTerms | None:
    duration, unit = length
    if not SHORTEST_WINDOW <= duration <= LONGEST_WINDOW:
        report.left_out(path, shown(text), "a rolling window is 1d to 366d long")
        return None
    if unit in _CALENDAR_UNITS:
        report.changed(path, shown(text), "a rolling window has a number of days", f"{duration.days}d")
    return WindowTerms(duration)


def time_window(path: str, agreement: Agreement, report: Report) -> dict[str, Any]:
    """An agreement's window as the one item of `timeWindow`."""
    if agreement.window == "calendar_month":
        calendar = {"startTime": CALENDAR_START, "timeZone": agreement.time_zone}
        return {"duration": "1M", "isRolling": False, "calendar": calendar}
    length: timedelta = agreement.window
    for unit in "dhm":
        count, rest = divmod(length, _UNITS[unit])
        if count and not rest:
            return {"duration": f"{count}{unit}", "isRolling": True}
    minutes = length // _UNITS["m"]
    report.changed(path, "the window", "a duration has whole minutes", f"{minutes}m")
    return {"duration": f"{minutes}m", "isRolling": True}
