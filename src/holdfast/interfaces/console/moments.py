"""Times in forms: local to the site's zone, to the minute, as `<input type="datetime-local">` has them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from holdfast.communication.errors import NotPossible

_FORMATS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M")


def local_text(moment: datetime | None, zone: ZoneInfo) -> str:
    """As a field shows it; empty for none."""
    return "" if moment is None else moment.astimezone(zone).strftime(_FORMATS[0])


def moment_of(text: str, zone: ZoneInfo, what: str) -> datetime | None:
    """The moment in UTC; None for an empty field. Raises NotPossible, which names `what`.

    Of an hour that the end of summer time repeats the first one is meant.
    """
    if not text.strip():
        return None
    local = _read(text.strip(), what)
    try:
        moment = local.replace(tzinfo=zone).astimezone(UTC)
        exists = moment.astimezone(zone).replace(tzinfo=None) == local
    except OverflowError:  # at either end of the calendar
        raise _no_time(text, what) from None
    if not exists:
        raise NotPossible(
            f"{what}: {text} does not exist in {zone.key}", hint="the clocks are put forward in that hour"
        )
    return moment


def _read(text: str, what: str) -> datetime:
    for each in _FORMATS:
        try:
            return datetime.strptime(text, each)  # noqa: DTZ007  it is local, its zone is given right after
        except ValueError:
            continue
    raise _no_time(text, what)


def _no_time(text: str, what: str) -> NotPossible:
    return NotPossible(f"{what}: {text[:40]!r} is no time", hint="write it as 2026-11-22 03:10")
