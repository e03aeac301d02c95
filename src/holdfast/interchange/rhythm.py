"""How often a check runs and how long it may take, brought within the bounds of an estate."""

from datetime import timedelta
from typing import Any

from holdfast.estate.check_rules import LONGEST_EVERY, SHORTEST_EVERY
from holdfast.interchange.report import Report
from holdfast.kernel.durations import format_duration

_SHORTEST_TIMEOUT = timedelta(milliseconds=1)
_PHASES = {
    "resolve": timedelta(seconds=5),
    "connect": timedelta(seconds=5),
    "tls": timedelta(seconds=5),
    "first_byte": timedelta(seconds=10),
}
_PHASES_OF = {
    "tcp": ("resolve", "connect", "first_byte"),
    "tls": ("resolve", "connect", "tls"),
    "icmp": ("resolve",),
    "dns": ("resolve", "connect", "first_byte"),
}


def rhythm_fields(
    path: str, check_type: str, every: timedelta, timeout: timedelta, report: Report
) -> dict[str, Any]:
    """`every`, `timeout` and, where our phases would be stricter than the source's one bound, `timeouts`."""
    bounded = min(max(every, SHORTEST_EVERY), LONGEST_EVERY)
    if bounded != every:
        why = "a check runs at least once a day, at most once a second"
        report.changed(path, f"every {_text(every)}", why, f"every {_text(bounded)}")
    bounded = _in_milliseconds(bounded)
    allowed = _in_milliseconds(min(max(timeout, _SHORTEST_TIMEOUT), bounded))
    if timeout > bounded:
        report.changed(
            path, f"a timeout of {_text(timeout)}", "a run ends before the next one is due", _text(allowed)
        )
    fields: dict[str, Any] = {"every": format_duration(bounded), "timeout": format_duration(allowed)}
    passed = _PHASES_OF.get(check_type, tuple(_PHASES))
    if stricter := {name: fields["timeout"] for name in passed if allowed > _PHASES[name]}:
        fields["timeouts"] = stricter
    return fields


def _in_milliseconds(duration: timedelta) -> timedelta:
    return timedelta(milliseconds=max(1, round(duration / timedelta(milliseconds=1))))


def _text(duration: timedelta) -> str:
    return format_duration(duration)
