"""Planned work as a calendar (RFC 5545, with RFC 7986) that readers subscribe to. Pure.

An event keeps its UID for good; its SEQUENCE is the maintenance's version, so that a calendar which has an
older one takes the newer. One that was cancelled stays in the feed as CANCELLED: left out it would stay
planned in calendars that only add. Nothing in it depends on when it is made, so that it can be cached.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import icalendar

from holdfast.communication.markdown import text_of
from holdfast.communication.model import Maintenance, Place, Stage
from holdfast.interfaces.site.i18n import Translator
from holdfast.interfaces.site.wording import Words

MEDIA_TYPE = "text/calendar"
LOOK_AGAIN = timedelta(minutes=15)
MOST_EVENTS = 500
LONGEST_TEXT = 4000
MOST_UPDATES = 10

_PRODUCT = "-//Holdfast//Maintenance//EN"
_CALENDAR = "holdfast"
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def calendar_of(
    maintenance: Sequence[Maintenance],
    places: Mapping[int, Place],
    t: Translator,
    *,
    name: str,
    url_of: Callable[[str], str] | None = None,
) -> bytes:
    """The feed of these, called `name`: bytes in UTF-8 with CRLF line ends, folded.

    `places` names the components; `url_of` gives the address of a maintenance's page by its id. Of more than
    MOST_EVENTS the newest are in it.
    """
    feed = icalendar.Calendar()
    feed.add("prodid", _PRODUCT)
    feed.add("version", "2.0")
    feed.add("method", "PUBLISH")
    feed.add("name", name)
    feed.add("x-wr-calname", name)
    feed.add("refresh-interval", LOOK_AGAIN, parameters={"VALUE": "DURATION"})
    feed.add("x-published-ttl", f"PT{LOOK_AGAIN // timedelta(minutes=1)}M")
    newest = sorted(maintenance, key=lambda each: (each.window, each.id))[-MOST_EVENTS:]
    words = Words(t)
    for each in newest:
        feed.add_component(_event(each, places, words, url_of))
    content: bytes = feed.to_ical()
    return content


def _event(
    maintenance: Maintenance,
    places: Mapping[int, Place],
    words: Words,
    url_of: Callable[[str], str] | None,
) -> icalendar.Event:
    event = icalendar.Event()
    changed_at = last_change(maintenance)
    start, end = happens(maintenance)
    event.add("uid", f"{maintenance.id}@{_CALENDAR}")
    event.add("sequence", maintenance.version)
    event.add("dtstamp", changed_at)
    event.add("last-modified", changed_at)
    if maintenance.announced_at is not None:
        event.add("created", _whole(maintenance.announced_at))
    event.add("dtstart", start)
    event.add("dtend", end)
    event.add("status", "CANCELLED" if maintenance.stage is Stage.CANCELLED else "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    language = {"LANGUAGE": words.t.language}
    title = maintenance.title
    if maintenance.stage is Stage.CANCELLED:
        title = f"{words.stages[Stage.CANCELLED]}: {title}"
    event.add("summary", title, parameters=language)
    event.add("description", _description(maintenance, places, words), parameters=language)
    event.add("categories", [words.t.gettext("Maintenance")])
    if url_of is not None:
        event.add("url", url_of(maintenance.id))
    return event


def happens(maintenance: Maintenance) -> tuple[datetime, datetime]:
    """From when to when: as it really was where that is known, else as planned. Never empty."""
    start = _whole(maintenance.began_at or maintenance.window.start)
    end = maintenance.ended_at or maintenance.window.end
    return start, max(_whole(end), start + timedelta(seconds=1))


def last_change(maintenance: Maintenance) -> datetime:
    """When anything of it that readers see was last another."""
    told = [
        maintenance.announced_at,
        *(each.recorded_at for each in maintenance.updates),
        *(each.at for each in maintenance.changes),
    ]
    return _whole(max((each for each in told if each is not None), default=_UNKNOWN))


def _description(maintenance: Maintenance, places: Mapping[int, Place], words: Words) -> str:
    _ = words.t.gettext
    names = sorted(places[each].full_name for each in maintenance.component_ids if each in places)
    parts = [words.stages[maintenance.stage]]
    if names:
        parts.append(f"{_('Components')}: {', '.join(names)}")
    if maintenance.body:
        parts.append(text_of(maintenance.body))
    told = [each for each in maintenance.updates if each.body][-MOST_UPDATES:]
    parts += [f"{words.t.moment(each.at)}: {text_of(each.body)}" for each in told]
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _whole(moment: datetime) -> datetime:
    """To the second, in UTC: iCalendar knows nothing finer."""
    return moment.astimezone(UTC).replace(microsecond=0)
