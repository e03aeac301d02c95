"""What operators read: a notice as a title and a plain text. Pure; English, times in UTC.

The first words say how urgent it is and what to look at, because a phone shows no more than those.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from holdfast.availability.alerting.model import Alert, Message, Notice, Reason
from holdfast.availability.model import one_line
from holdfast.kernel.durations import format_duration

MOST_LISTED = 20
"""So many alerts are listed in one message, as many services cut a long one; the others are counted."""
LONGEST_TITLE = 150


def message_of(notice: Notice, *, link: str | None) -> Message:
    """The notice in words. `link` is where to look further."""
    lines = [_line(alert, notice.at) for alert in notice.firing[:MOST_LISTED]]
    lines += _more(notice.firing, "open")
    lines += [_ended(alert) for alert in notice.resolved[:MOST_LISTED]]
    lines += _more(notice.resolved, "over")
    if notice.firing:
        first = notice.firing[0].key
        lines += ["", f"To be left alone for a while: holdfast alert silence '{first}' --for 2h --reason WHY"]
    if link is not None:
        lines.append(link)
    return Message(_title(notice), "\n".join(lines), notice.severity)


def trial_message(channel: str, now: datetime) -> Message:
    """What `holdfast alert test` sends: nobody can mistake it for an alert."""
    return Message(
        "[TEST] Holdfast reaches this channel",
        f"This is a test. Nothing is wrong.\nchannel {channel}, sent {now:%Y-%m-%d %H:%M:%S}Z",
        None,
    )


def with_key(message: Message) -> str:
    """The body with the key by which a reader, or a program, knows a message that came twice."""
    return f"{message.body}\n\nnotice {message.key}" if message.key else message.body


def _title(notice: Notice) -> str:
    if not notice.firing:
        subject = (
            notice.resolved[0].summary if len(notice.resolved) == 1 else f"{len(notice.resolved)} alerts"
        )
        return _short(f"[RESOLVED] {subject}")
    first = notice.firing[0]
    again = "still: " if notice.reason is Reason.REPEAT else ""
    others = f" (+{len(notice.firing) - 1})" if len(notice.firing) > 1 else ""
    return _short(f"[{first.severity.name}] {again}{first.summary}", others)


def _short(text: str, tail: str = "") -> str:
    text = one_line(text)
    room = LONGEST_TITLE - len(tail)
    return (text if len(text) <= room else text[: room - 3] + "...") + tail


def _line(alert: Alert, now: datetime) -> str:
    text = f"{alert.severity.name:6}  {alert.summary}\n        {alert.key}, for {_age(now - alert.opened_at)}"
    if because := alert.facts.get("because_of"):
        text += f", because of {because}"
    return text


def _ended(alert: Alert) -> str:
    lasted = (alert.resolved_at or alert.fired_at) - alert.opened_at
    return f"RESOLVED  {alert.summary}\n        {alert.key}, after {_age(lasted)}"


def _more(alerts: Sequence[Alert], what: str) -> list[str]:
    return [f"... and {len(alerts) - MOST_LISTED} more {what}"] if len(alerts) > MOST_LISTED else []


def _age(length: timedelta) -> str:
    """To the second, and to the minute from an hour on."""
    seconds = round(length.total_seconds())
    return format_duration(timedelta(seconds=seconds if seconds < 3600 else seconds - seconds % 60))
