"""What the times and texts of planned work have to be. Each function raises NotPossible. Pure."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from holdfast.communication.errors import NotPossible
from holdfast.communication.texts import body_of
from holdfast.kernel.windows import Window

LONGEST_WORK = timedelta(days=31)
FURTHEST_AHEAD = timedelta(days=3653)
MOST_REMINDERS = 5
EARLIEST_REMINDER = timedelta(days=60)


def window_of(window: Window, now: datetime) -> Window:
    start, end = aware(window.start), aware(window.end)
    if start >= end:
        raise NotPossible("maintenance ends after it begins", hint="look at both times")
    if end <= now:
        raise NotPossible("maintenance is announced before it is over", hint="look at its end")
    if end - start > LONGEST_WORK:
        raise NotPossible(
            f"that lasts {(end - start).days} days", hint=f"at most {LONGEST_WORK.days}; plan several"
        )
    if start - now > FURTHEST_AHEAD:
        raise NotPossible("that is more than ten years ahead", hint="look at the year")
    return Window(start, end)


def aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise NotPossible("a time needs its time zone", hint="such as 2026-10-01T14:30:00+02:00")
    return moment.astimezone(UTC)


def between(at: datetime, began_at: datetime, now: datetime) -> datetime:
    moment = aware(at)
    if not began_at <= moment <= now:
        raise NotPossible(
            f"it ended between {moment_text(began_at)}, when it began, and now", hint="look at the time"
        )
    return moment


def reminders(remind: Sequence[timedelta]) -> tuple[timedelta, ...]:
    if len(set(remind)) > MOST_REMINDERS:
        raise NotPossible(f"that are {len(set(remind))} reminders", hint=f"at most {MOST_REMINDERS}")
    for each in remind:
        if not timedelta() < each <= EARLIEST_REMINDER:
            raise NotPossible(
                f"no reminder goes out {each} before", hint=f"at most {EARLIEST_REMINDER.days} days before"
            )
    return longest_first(set(remind))


def longest_first(remind: Collection[timedelta]) -> tuple[timedelta, ...]:
    return tuple(sorted(remind, reverse=True))


def text_of(text: str) -> str:
    return body_of(text) if text.strip() else ""


def moment_text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
