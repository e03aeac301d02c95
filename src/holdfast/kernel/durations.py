"""Durations as people write them: `500ms`, `10s`, `5m`, `1h30m`, `14d`."""

import re
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names; raises ValueError with an example when it names none."""
    text = text.strip()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write 500ms, 10s, 5m, 1h30m or 14d")
    return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())


def format_duration(duration: timedelta) -> str:
    """The shortest exact text that `parse_duration` reads back, down to milliseconds."""
    millis = round(duration / timedelta(milliseconds=1))
    if millis == 0:
        return "0s"
    text = "" if millis > 0 else "-"
    millis = abs(millis)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            text += f"{count}{unit}"
    return text
