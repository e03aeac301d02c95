"""Feeds as readers read them: well formed, complete by their specifications, stable, and never markup."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_client import SETTINGS, ask, running
from site_estates import NOW, FakeReader, overview
from site_news import MAJOR, MINUTE, FakeNews, edited, incident, maintenance

from holdfast.communication.model import Phase, Stage
from holdfast.communication.news import News
from holdfast.estate.model import Site
from holdfast.interfaces.site.assets import assets_of
from holdfast.interfaces.site.feeds import MOST_ENTRIES, atom, feed_of, rss, urn
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.snapshot import Snapshot

ATOM = "{http://www.w3.org/2005/Atom}"
URL = "https://status.example.test"
WITH_URL = SETTINGS.model_copy(update={"url": f"{URL}/"})
PATHS = ("/en/feed", "/de/feed", "/en/clusters/eu/feed", "/de/clusters/eu/api/feed")


def news() -> FakeNews:
    return FakeNews(
        [
            edited(incident(phase=Phase.IDENTIFIED)),
            incident("bbbbbbbbbbbb", "Über & <drüber>", phase=Phase.RESOLVED, began_at=NOW - 300 * MINUTE),
        ],
        [maintenance(), maintenance("nnnnnnnnnnnn", "Off", stage=Stage.CANCELLED)],
    )


def renderer(site: Site = WITH_URL, language: str = "en") -> Renderer:
    return Renderer(language, site, assets_of(site, None)[0])


def required(element: ET.Element, tag: str) -> str:
    """The text of the only child of that name."""
    found = element.findall(f"{ATOM}{tag}")
    assert len(found) == 1, tag
    text = found[0].text
    assert text, tag
    return text


def checked_atom(text: str) -> ET.Element:
    """RFC 4287, 4.1.1, 4.1.2 and 4.2.7.2: what there must be, once, and absolute."""
    root = ET.fromstring(text)
    assert root.tag == f"{ATOM}feed"
    moments = [required(root, "updated")]
    ids = [required(root, "id")]
    required(root, "title")
    assert required(root.findall(f"{ATOM}author")[0], "name")
    links = {each.get("rel"): each.get("href", "") for each in root.findall(f"{ATOM}link")}
    assert links.keys() == {"self", "alternate"}
    for entry in root.findall(f"{ATOM}entry"):
        ids.append(required(entry, "id"))
        required(entry, "title")
        moments += [required(entry, "updated"), required(entry, "published")]
        (link,) = entry.findall(f"{ATOM}link")
        links[ids[-1]] = link.get("href", "")
        (content,) = entry.findall(f"{ATOM}content")
        assert content.get("type") == "html"
        assert len(content) == 0, "the HTML is escaped text, not elements"
    assert len(ids) == len(set(ids))
    assert all(each.startswith("urn:uuid:") for each in ids)
    for each in moments:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each)
    assert all(each.startswith(("https://", "http://")) for each in links.values())
    assert moments[0] == max([each for place, each in enumerate(moments) if place % 2], default=moments[0])
    return root


def checked_rss(text: str) -> ET.Element:
    """RSS 2.0: the required elements, and those that readers rely on."""
    root = ET.fromstring(text)
    assert (root.tag, root.get("version")) == ("rss", "2.0")
    (channel,) = root.findall("channel")
    for tag in ("title", "link", "description", "language"):
        assert channel.findtext(tag), tag
    parsedate_to_datetime(channel.findtext("lastBuildDate", ""))
    (own,) = channel.findall(f"{ATOM}link")
    assert own.get("rel") == "self"
    for item in channel.findall("item"):
        assert item.findtext("title")
        assert item.findtext("link", "").startswith(("https://", "http://"))
        (guid,) = item.findall("guid")
        assert (guid.get("isPermaLink"), (guid.text or "")[:9]) == ("false", "urn:uuid:")
        assert parsedate_to_datetime(item.findtext("pubDate", "")).tzinfo is not None
    return root


@pytest.mark.parametrize("path", PATHS)
async def test_feeds_have_all_that_their_specifications_require(path: str) -> None:
    async with running(FakeReader(overview(10)), news=news(), settings=lambda: WITH_URL) as site:
        one, other = await ask(site, f"{path}.atom"), await ask(site, f"{path}.rss")
    assert one.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert other.headers["content-type"] == "application/rss+xml; charset=utf-8"
    feed, channel = checked_atom(one.text), checked_rss(other.text)
    (own,) = [each for each in feed.findall(f"{ATOM}link") if each.get("rel") == "self"]
    assert own.get("href") == f"{URL}{path}.atom"
    ids = [required(each, "id") for each in feed.findall(f"{ATOM}entry")]
    assert ids == [each.findtext("guid") for each in channel.iter("item")]
    assert len(ids) == 6


async def test_a_feed_says_what_happened_in_words() -> None:
    async with running(FakeReader(overview(10)), news=news(), settings=lambda: WITH_URL) as site:
        root = ET.fromstring((await ask(site, "/de/feed.atom")).text)
    entries = {required(each, "title"): each for each in root.findall(f"{ATOM}entry")}
    assert "Ursache gefunden: Login fails" in entries
    assert "Behoben: Über & <drüber>" in entries
    assert "Geplante Wartung: Database upgrade" in entries
    first = entries["In Untersuchung: Login fails"]
    content = required(first, "content")
    assert "<strong>look</strong>" in content
    assert "<li>EU API: Größere Störung</li>" in content
    assert required(first, "published") == "2026-11-22T12:33:20Z"
    # It was edited five minutes later.
    assert required(first, "updated") == "2026-11-22T12:38:20Z"
    (link,) = first.findall(f"{ATOM}link")
    assert link.get("href") == f"{URL}/de/incidents/abcdefghijkl#u-update000001"


async def test_ids_stay_when_the_site_moves_and_when_words_change() -> None:
    told = incident()
    elsewhere = SETTINGS.model_copy(update={"url": "https://other.example.test"})
    snapshot = Snapshot(overview(3), News(NOW, [told]))
    moved = feed_of(snapshot, renderer(elsewhere, "de"))
    changed = Snapshot(overview(3), News(NOW, [replace(edited(told), title="Another")]))
    ids = {each.id for each in feed_of(snapshot, renderer()).entries}
    assert (
        ids
        == {each.id for each in moved.entries}
        == {each.id for each in feed_of(changed, renderer()).entries}
    )
    assert urn("incident", "a", "b") == "urn:uuid:d9d3ee5d-69cb-555c-ab76-646ba66eb4fd"


async def test_each_word_is_an_entry_and_only_the_newest_are_kept() -> None:
    told = [
        incident(f"{number:012}", began_at=NOW - timedelta(hours=number), phase=Phase.RESOLVED)
        for number in range(40)
    ]
    feed = feed_of(Snapshot(overview(3), News(NOW, told)), renderer())
    assert len(feed.entries) == MOST_ENTRIES
    moments = [each.updated for each in feed.entries]
    assert moments == sorted(moments, reverse=True)
    assert moments[0] > NOW - timedelta(hours=1)


async def test_what_is_published_late_is_news_then() -> None:
    """A draft of this morning that is published now, and an update that is back-dated, are new to readers."""
    told = incident(began_at=NOW - timedelta(hours=8))
    late = replace(told, published_at=NOW - MINUTE)
    (entry,) = feed_of(Snapshot(overview(3), News(NOW, [late])), renderer()).entries
    assert entry.at == NOW - timedelta(hours=8)
    assert entry.updated == NOW - MINUTE


async def test_an_unchanged_feed_is_not_sent_again() -> None:
    source = news()
    async with running(FakeReader(overview(10)), news=source, settings=lambda: WITH_URL) as site:
        for path in PATHS:
            for kind in ("atom", "rss"):
                first = await ask(site, f"{path}.{kind}")
                await site.publisher.turn()
                again = await ask(site, f"{path}.{kind}", if_none_match=first.headers["etag"])
                assert (again.status, again.body) == (304, b""), path
        source.incidents[0] = replace(source.incidents[0], title="Another", version=9)
        await site.publisher.turn()
        changed = await ask(site, "/en/feed.atom", if_none_match=first.headers["etag"])
        assert changed.status == 200
        assert "Another" in changed.text
        assert "Another" in (await ask(site, "/de/clusters/eu/api/feed.rss")).text


async def test_an_empty_feed_is_a_feed_without_a_site_url_too() -> None:
    async with running(FakeReader(overview(3))) as site:
        root = checked_atom((await ask(site, "/en/feed.atom")).text)
        checked_rss((await ask(site, "/en/feed.rss")).text)
    assert required(root, "updated") == "2000-01-01T00:00:00Z"
    assert datetime(2000, 1, 1, tzinfo=UTC) == feed_of(Snapshot(overview(3)), renderer()).updated


async def test_pages_lead_to_their_feeds() -> None:
    async with running(FakeReader(overview(10)), news=news()) as site:
        for address in ("/en/", "/en/clusters/eu", "/en/clusters/eu/api", "/en/incidents", "/en/history"):
            page = (await ask(site, address)).text
            found = re.findall(
                r'<link rel="alternate" type="application/(?:atom|rss)\+xml"[^>]*href="([^"]+)"', page
            )
            assert "/en/feed.atom" in found
            assert len(found) == {"/en/clusters/eu": 4, "/en/clusters/eu/api": 6}.get(address, 2)
            for each in found:
                assert (await ask(site, each)).status == 200
        for address in (
            "/en/clusters/mars/feed.atom",
            "/en/clusters/eu/mars/feed.rss",
            "/en/clusters/eu/feed.exe",
        ):
            assert (await ask(site, address)).status == 404


@pytest.mark.parametrize("path", ["/en", "/de/clusters/eu", "/en/clusters/eu/api"])
async def test_maintenance_is_a_calendar(path: str) -> None:
    source = news()
    source.works.append(maintenance("uuuuuuuuuuuu", "Far away", component_ids=(9,)))
    async with running(FakeReader(overview(10)), news=source, settings=lambda: WITH_URL) as site:
        answer = await ask(site, f"{path}/maintenance.ics")
        again = await ask(site, f"{path}/maintenance.ics", if_none_match=answer.headers["etag"])
    assert (answer.status, again.status) == (200, 304)
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    events = icalendar.Calendar.from_ical(answer.text).walk("VEVENT")
    assert len(events) == (3 if path == "/en" else 2)
    first = next(each for each in events if str(each["uid"]).startswith("mmmm"))
    assert first["url"] == f"{URL}/{path[1:3]}/maintenance/mmmmmmmmmmmm"
    assert "EU API" in first["description"]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("part", ["clusters/eu", "clusters/eu/api"])
async def test_a_page_of_a_part_links_its_own_feeds_and_calendar(language: str, part: str) -> None:
    async with running(FakeReader(overview(10)), news=news(), settings=lambda: WITH_URL) as site:
        text = (await ask(site, f"/{language}/{part}")).text
        for name in ("feed.atom", "feed.rss", "maintenance.ics"):
            (address,) = re.findall(rf'<a href="([^"]*{part}/{name})">', text)
            assert (await ask(site, address)).status == 200
    words = {"en": "Maintenance calendar (iCalendar)", "de": "Wartungskalender (iCalendar)"}
    assert f'{part}/maintenance.ics">{words[language]}</a>' in text


async def test_feeds_are_made_again_only_for_a_change() -> None:
    source, of = news(), FakeReader(overview(10))
    async with running(of, news=source) as site:
        first = site.publisher.edition.pages["/en/feed.atom"]
        await site.publisher.turn()
        assert site.publisher.edition.pages["/en/feed.atom"] is first
        of.now_overview = overview(10, name="Renamed")
        await site.publisher.turn()
        assert "Renamed: Major outage" in (await ask(site, "/en/feed.atom")).text


@settings(max_examples=80, deadline=None)
@given(title=st.text(), body=st.text(max_size=300), name=st.text(min_size=1, max_size=50))
def test_any_text_makes_a_well_formed_feed(title: str, body: str, name: str) -> None:
    told = edited(incident(title=title, body=body, affected={1: MAJOR}))
    seen = overview(3, name=name)
    feed = feed_of(Snapshot(seen, News(NOW, [told], [maintenance(title=title, body=body)])), renderer())
    for text in (atom(feed).decode(), rss(feed).decode()):
        root = ET.fromstring(text)
        # Three levels of our own elements, whatever the texts say: theirs are escaped.
        tags = {each.tag.rpartition("}")[2] for each in root.iter()}
        assert tags <= {
            *("feed", "id", "title", "updated", "link", "author", "name", "entry", "published", "content"),
            *("rss", "channel", "description", "language", "lastBuildDate", "item", "guid", "pubDate"),
        }
