"""Uptime Kuma's heartbeats as a timeline.

Every version from 1.0 on writes heartbeat times in UTC (`bean.time = dayjs.utc()`), to the second before 1.18
and to the millisecond since. Version 2 deletes after a day all beats but those that changed the state; for
the time between them its hourly and daily statistics show whether the monitor ran.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast.availability.model import State
from holdfast.interchange.history import Beat, Count, Timeline, attested_windows

LATENESS_S = 15
SLOWEST_MS = 86_400_000
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?:Z|\+00:?00)?")
_STATES: dict[int, State | None] = {
    0: State.MAJOR_OUTAGE,
    1: State.OPERATIONAL,
    2: None,
    3: State.UNKNOWN,
}
_WRONG_ANSWER = "the answer did not say what it should"
# In words that customers may read; the message itself may repeat what the target answered.
_REASONS = (
    (re.compile(r"status code (\d{3})"), "status was {0}"),
    (re.compile(r"^(\d{3}) - .*keyword", re.DOTALL), "the answer did not say what it should"),
    (
        re.compile(r"JSON query|but value is not equal|keyword", re.IGNORECASE),
        "the answer did not say what it should",
    ),
    (re.compile(r"ECONNREFUSED"), "connection refused"),
    (re.compile(r"ECONNRESET|socket hang up|EPIPE"), "connection reset"),
    (re.compile(r"ENOTFOUND|EAI_AGAIN|getaddrinfo"), "the name was not found"),
    (re.compile(r"EHOSTUNREACH|ENETUNREACH"), "the host was not reachable"),
    (re.compile(r"timeout|ETIMEDOUT|timed out|AbortSignal|canceled", re.IGNORECASE), "no answer in time"),
    (re.compile(r"certificate|CERT_|self.signed|SSL|TLS", re.IGNORECASE), "the certificate was not accepted"),
    (re.compile(r"No heartbeat in the time window"), "no heartbeat came in time"),
)


@dataclass(frozen=True, slots=True)
class HeartbeatRow:
    """A row of `heartbeat` as it was found; any column may hold anything."""

    time: object
    status: object
    msg: object
    ping: object


def beats(
    rows: Iterable[HeartbeatRow], every: timedelta, pause: timedelta, unreadable: list[int]
) -> Iterator[Beat]:
    """The rows as beats. After an unconfirmed failure the next one comes after `pause`, else after `every`.

    `unreadable[0]` counts the rows without a time or a state.
    """
    for row in rows:
        at = moment(row.time)
        status = _whole(row.status)
        if at is None or status not in _STATES:
            unreadable[0] += 1
            continue
        lasts = max(every, pause) if _STATES[status] is None else every
        latency = _latency_us(row.ping) if status == 1 else None
        yield Beat(at, _STATES[status], lasts, _reason(status, row.msg), latency)


def kuma_timeline(check_id: int, until: datetime, every: timedelta, counts: Sequence[Count]) -> Timeline:
    """An empty timeline for a monitor with that rhythm, that believes in the counts of its statistics.

    The next beat is due an interval after the last one *ended*, which may be almost an interval itself.
    """
    lateness = every + timedelta(seconds=LATENESS_S)
    return Timeline(check_id, until, lateness, attested_windows(counts, every))


def moment(value: object) -> datetime | None:
    """The time in a cell: text as Kuma writes it, or a number of milliseconds or seconds since 1970."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            return None
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return datetime.fromisoformat(f"{match[1]} {match[2]}").replace(tzinfo=UTC)
    except ValueError:
        return None


def _reason(status: int, message: object) -> str:
    if status == 3:
        return "under maintenance in Uptime Kuma, which does not check then"
    if status != 0:
        return ""
    text = message[:2000] if isinstance(message, str) else ""
    for pattern, reason in _REASONS:
        if match := pattern.search(text):
            return reason.format(*match.groups())
    return "down in Uptime Kuma"


def _latency_us(ping: object) -> int | None:
    if isinstance(ping, (int, float)) and not isinstance(ping, bool) and 0 <= ping <= SLOWEST_MS:
        return round(ping * 1000)
    return None


def _whole(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return -1
