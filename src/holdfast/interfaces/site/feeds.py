"""Feeds of what is told: Atom (RFC 4287) and RSS 2.0.

One entry for each thing that was said, not one for each incident: a reader that knows an entry shows it
once, and would keep to itself that an incident was resolved. An edit changes its entry's `updated` alone.
Ids are made of what they name, and stay when the site moves to another address.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import UUID, uuid5
from xml.etree import ElementTree as ET

from markupsafe import Markup

from holdfast.communication.markdown import html_of
from holdfast.communication.model import Incident, Maintenance, Update
from holdfast.communication.news import News
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import SANDBOXED, Answer, security_headers
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.interfaces.site.telling import Named, Teller
from holdfast.interfaces.site.wording import Words

MOST_ENTRIES = 50
ATOM = "http://www.w3.org/2005/Atom"
_IDS = UUID("6b1f0c1e-5d9c-4c1b-9a51-2f4a1c0f7e11")
_EMPTY = datetime(2000, 1, 1, tzinfo=UTC)
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for, not even escaped (2.2)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was said. `at` is the time shown, `updated` when it was last written to."""

    id: str
    title: str
    href: str
    at: datetime
    updated: datetime
    content: str


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: its addresses are absolute. `path` is its own without the ending, for its id and itself."""

    title: str
    language: str
    page: str
    path: str
    author: str
    entries: Sequence[Entry]

    @property
    def updated(self) -> datetime:
        return max((each.updated for each in self.entries), default=_EMPTY)


def urn(*names: str) -> str:
    """The same for the same names, wherever and whenever it is made (RFC 9562, version 5)."""
    return f"urn:uuid:{uuid5(_IDS, '/'.join(names))}"


def feeds_of(snapshot: Snapshot, renderer: Renderer, path: str = "", name: str = "") -> dict[str, Answer]:
    """The feeds as answers, by their ending. `path` (`/clusters/eu`) and `name` are those of a part."""
    feed = feed_of(snapshot, renderer, path, name)
    return {"atom": _answer(atom(feed), "atom"), "rss": _answer(rss(feed), "rss")}


def feed_of(snapshot: Snapshot, renderer: Renderer, path: str = "", name: str = "") -> Feed:
    """What the snapshot's news tell, newest first."""
    origin = origin_of(renderer)
    title = renderer.site.title
    return Feed(
        f"{title} · {name}" if name else title,
        renderer.t.language,
        f"{origin}{renderer.home}{path or '/'}",
        f"{origin}{renderer.home}{path}/feed",
        title,
        entries_of(snapshot.news, renderer.teller(snapshot.overview), renderer, origin),
    )


def origin_of(renderer: Renderer) -> str:
    """The site's public address without a slash; where it listens, as long as none is declared."""
    return (renderer.site.url or f"http://{renderer.site.listen}").rstrip("/")


def entries_of(news: News, teller: Teller, renderer: Renderer, origin: str) -> list[Entry]:
    made: list[Entry] = []
    for incident in news.incidents:
        made += _of_incident(incident, teller, renderer.words, origin)
    for maintenance in news.maintenance:
        made += _of_maintenance(maintenance, teller, renderer, origin)
    return sorted(made, key=lambda each: (each.updated, each.id), reverse=True)[:MOST_ENTRIES]


def _of_incident(incident: Incident, teller: Teller, words: Words, origin: str) -> Iterator[Entry]:
    told = teller.incident(incident)
    shown = {each.id: each for each in told.updates}
    for update in incident.updates:
        one = shown[update.id]
        yield Entry(
            urn("incident", incident.id, update.id),
            f"{one.step}: {incident.title}",
            f"{origin}{told.href}#u-{update.id}",
            update.at,
            max(_written(update), incident.published_at or update.at),
            _content(f"{one.step} · {told.impact}", one.body, one.affected, words),
        )


def _of_maintenance(
    maintenance: Maintenance, teller: Teller, renderer: Renderer, origin: str
) -> Iterator[Entry]:
    told, t = teller.work(maintenance), renderer.t
    planned = maintenance.announced_at or maintenance.window.start
    times = f"{t.moment(maintenance.window.start)} – {t.moment(maintenance.window.end)}"  # noqa: RUF001
    yield Entry(
        urn("maintenance", maintenance.id),
        t.gettext("Planned maintenance: %(title)s") % {"title": told.title},
        f"{origin}{told.href}",
        planned,
        max((each.at for each in maintenance.changes), default=planned),
        _content(times, Markup(html_of(maintenance.body)), told.affected, renderer.words),  # noqa: S704
    )
    shown = {each.id: each for each in told.updates}
    for update in maintenance.updates:
        one = shown[update.id]
        yield Entry(
            urn("maintenance", maintenance.id, update.id),
            f"{one.step}: {told.title}",
            f"{origin}{told.href}#u-{update.id}",
            update.at,
            _written(update),
            _content(f"{one.step} · {times}", one.body, one.affected, renderer.words),
        )


def _written(update: Update) -> datetime:
    """When it was last written to. What it was shown as may lie long before."""
    return max([update.recorded_at or update.at, *(each.at for each in update.revisions)])


def _content(head: str, body: Markup, affected: Sequence[Named], words: Words) -> str:
    names = [f"{each.name}: {words.states[each.state]}" if each.state else each.name for each in affected]
    listed = Markup("<ul>{}</ul>").format(Markup().join(Markup("<li>{}</li>").format(each) for each in names))
    return str(Markup("<p><strong>{}</strong></p>\n{}{}").format(head, body, listed if names else ""))


def atom(feed: Feed) -> bytes:
    """RFC 4287: everything that 4.1.1 and 4.1.2 require, and what readers look for besides."""
    root = ET.Element("feed", {"xmlns": ATOM, "xml:lang": feed.language})
    _text(root, "id", urn("feed", feed.path))
    _text(root, "title", feed.title)
    _text(root, "updated", _rfc3339(feed.updated))
    ET.SubElement(root, "link", rel="self", type="application/atom+xml", href=f"{feed.path}.atom")
    ET.SubElement(root, "link", rel="alternate", type="text/html", href=feed.page)
    _text(ET.SubElement(root, "author"), "name", feed.author)
    for each in feed.entries:
        entry = ET.SubElement(root, "entry")
        _text(entry, "id", each.id)
        _text(entry, "title", each.title)
        _text(entry, "published", _rfc3339(each.at))
        _text(entry, "updated", _rfc3339(each.updated))
        ET.SubElement(entry, "link", rel="alternate", type="text/html", href=each.href)
        _text(entry, "content", each.content, type="html")
    return _written_out(root)


def rss(feed: Feed) -> bytes:
    """RSS 2.0, with the feed's own address as its best practices ask for."""
    root = ET.Element("rss", {"version": "2.0", "xmlns:atom": ATOM})
    channel = ET.SubElement(root, "channel")
    _text(channel, "title", feed.title)
    _text(channel, "link", feed.page)
    _text(channel, "description", feed.title)
    _text(channel, "language", feed.language)
    _text(channel, "lastBuildDate", _rfc822(feed.updated))
    own = {"rel": "self", "type": "application/rss+xml", "href": f"{feed.path}.rss"}
    ET.SubElement(channel, "atom:link", own)
    for each in feed.entries:
        item = ET.SubElement(channel, "item")
        _text(item, "title", each.title)
        _text(item, "link", each.href)
        _text(item, "guid", each.id, isPermaLink="false")
        _text(item, "pubDate", _rfc822(each.at))
        _text(item, "description", each.content)
    return _written_out(root)


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = _UNFIT.sub("", text)


def _written_out(root: ET.Element) -> bytes:
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _rfc822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


_TYPES: Mapping[str, str] = {
    "atom": "application/atom+xml; charset=utf-8",
    "rss": "application/rss+xml; charset=utf-8",
}


def _answer(body: bytes, kind: str) -> Answer:
    security = security_headers(policy=SANDBOXED, shared=True)
    return Answer(body, _TYPES[kind], security=security, headers=[(b"access-control-allow-origin", b"*")])
