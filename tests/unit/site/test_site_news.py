"""Incidents and maintenance as visitors meet them: told first, told plainly, with their record."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from site_client import NEVER, SETTINGS, TOKEN, Response, ask, running
from site_estates import NOW, FakeReader, agreement, overview
from site_news import MAJOR, MINUTE, FakeNews, edited, incident, maintenance, update

from holdfast.availability.model import State
from holdfast.communication.model import ComponentState, Impact, Phase, Stage
from holdfast.communication.news import News
from holdfast.interfaces.site.snapshot import Snapshot, SnapshotFile
from holdfast.kernel.clock import ManualClock

IDS = ("abcdefghijkl", "bbbbbbbbbbbb", "cccccccccccc")


def reader(**more: Any) -> FakeReader:
    built = FakeReader(overview(10, **more))
    built.agreements["premium"] = agreement()
    return built


def text_of(response: Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


async def test_an_open_incident_stands_on_top_with_its_newest_word() -> None:
    told = incident(phase=Phase.IDENTIFIED, affected={2: MAJOR, 1: ComponentState.DEGRADED})
    async with running(reader(), news=FakeNews([told])) as site:
        page = await ask(site, "/en/")
        german = text_of(await ask(site, "/de/"))
    text = text_of(page)
    for words in (
        "Open incidents",
        "Login fails",
        "Major impact",
        "since 22 Nov, 13:33",
        "Identified",
        "More.",
    ):
        assert words in text, words
    assert "EU Website Degraded" in text
    assert "EU API Major outage" in text
    assert page.text.index("Open incidents") < page.text.index(">Clusters<")
    assert 'href="/en/incidents/abcdefghijkl"' in page.text
    for words in ("Offene Vorfälle", "Große Auswirkung", "Ursache gefunden", "seit 22. Nov., 13:33"):
        assert words in german, words


async def test_what_is_told_is_shown_where_it_is_worse_and_says_that_it_was_told() -> None:
    told = incident(affected={1: MAJOR, 2: ComponentState.DEGRADED})
    async with running(reader(states={("eu", "api"): State.MAJOR_OUTAGE}), news=FakeNews([told])) as site:
        page = text_of(await ask(site, "/en/"))
        component = text_of(await ask(site, "/en/clusters/eu/website"))
        badge = (await ask(site, "/badges/eu/website.svg")).text
        status = (await ask(site, "/api/v1/status.json")).json
    assert "Major outage: EU Website and EU API" in page
    assert "Measured: Major outage: EU API" in page
    # One row says so; the other was measured to be as bad as what is told.
    assert page.count("As told in an open incident. Measured: Operational.") == 1
    assert "As told in an open incident" in component
    assert "Major outage" in badge
    website, api = status["clusters"][0]["components"][:2]
    assert (website["state"], website["measured"], website["told"]) == (
        "major_outage",
        "operational",
        "major_outage",
    )
    assert (api["state"], api["measured"], api["told"]) == ("major_outage", "major_outage", "degraded")


@pytest.mark.parametrize(
    ("impact", "headline"),
    [
        (Impact.NONE, "All systems operational"),
        (Impact.MINOR, "All systems operational"),
        (Impact.MAJOR, "Incident: Login fails"),
        (Impact.CRITICAL, "Incident: Login fails"),
    ],
)
async def test_a_grave_incident_without_components_makes_the_headline(impact: Impact, headline: str) -> None:
    told = FakeNews([incident(impact=impact, affected={})])
    async with running(reader(), news=told) as site:
        page = await ask(site, "/en/")
        state = (await ask(site, "/api/v1/status.json")).json["state"]
    heading = re.search(r"<h1>([^<]*)", page.text)
    assert heading is not None
    assert heading[1] == headline
    assert ("Measured: All systems operational" in text_of(page)) is headline.startswith("Incident")
    worst = {Impact.MAJOR: "partial_outage", Impact.CRITICAL: "major_outage"}
    assert state == worst.get(impact, "operational")


async def test_a_resolved_incident_changes_no_state() -> None:
    told = incident(phase=Phase.RESOLVED)
    async with running(reader(), news=FakeNews([told])) as site:
        page = await ask(site, "/en/")
    assert "All systems operational" in page.text
    assert "Open incidents" not in page.text


async def test_an_incident_page_shows_every_word_and_every_edit() -> None:
    told = edited(incident(phase=Phase.MONITORING))
    async with running(reader(), news=FakeNews([told])) as site:
        page = await ask(site, "/en/incidents/abcdefghijkl")
        german = text_of(await ask(site, "/de/incidents/abcdefghijkl"))
    text = text_of(page)
    assert page.text.index("Monitoring</h3>") < page.text.index("Investigating</h3>")
    assert "<strong>look</strong>" in page.text
    assert 'id="u-update000001"' in page.text
    assert "edited 22 November 2026, 13:38 CET, show what it said before" in text
    assert re.search(r"<details[^>]*>.*We have <strong>no</strong> idea", page.text, re.DOTALL)
    assert "What was changed" in text
    assert "Impact : Minor impact → Major impact" in text
    # Who did it is for the operators' journal.
    assert "jo@example.test" not in page.text
    for words in ("Meldungen", "geändert 22. November 2026", "Was geändert wurde", "Unter Beobachtung"):
        assert words in german, words


async def test_states_of_an_update_are_those_of_then() -> None:
    told = incident(affected={1: ComponentState.DEGRADED, 2: MAJOR})
    later = update(2, "identified", "Better.", NOW - 5 * MINUTE, {1: ComponentState.DEGRADED})
    told = replace(told, affected={1: ComponentState.DEGRADED}, updates=(*told.updates, later))
    async with running(reader(), news=FakeNews([told])) as site:
        page = text_of(await ask(site, "/en/incidents/abcdefghijkl"))
    newest, first = page[page.index("Identified") :].split("Investigating")
    assert "EU API" not in newest
    assert "EU API Major outage" in first


async def test_a_postmortem_stands_before_the_updates() -> None:
    told = incident(phase=Phase.RESOLVED)
    post = update(3, "postmortem", "## Cause\n\nA full *queue*.", NOW - MINUTE)
    told = replace(told, phase=Phase.POSTMORTEM, updates=(*told.updates, post))
    async with running(reader(), news=FakeNews([told])) as site:
        page = (await ask(site, "/en/incidents/abcdefghijkl")).text
    assert page.index('id="postmortem"') < page.index('id="updates"')
    assert page.count("A full <em>queue</em>.") == 1
    # Where the feed's entry leads.
    assert page.count('id="u-update000003"') == 1


async def test_a_merged_incident_leads_to_the_one_that_lives_on() -> None:
    news = FakeNews([incident()])
    news.merged["bbbbbbbbbbbb"] = "abcdefghijkl"
    async with running(reader(), news=news) as site:
        answer = await ask(site, "/de/incidents/bbbbbbbbbbbb")
    assert (answer.status, answer.headers["location"]) == (302, "/de/incidents/abcdefghijkl")


@pytest.mark.parametrize("wanted", ["zzzzzzzzzzzz", "ABCDEFGHIJKL", "x", "%00" * 12, "a" * 13, "<script>"])
async def test_an_unknown_incident_is_a_calm_page(wanted: str) -> None:
    news = FakeNews([incident()])
    async with running(reader(), news=news) as site:
        for kind in ("incidents", "maintenance"):
            answer = await ask(site, f"/en/{kind}/{wanted}")
            assert answer.status == 404
    # Only what looks like an id is looked for.
    asked = [call for call in news.calls if call.startswith(("incident", "maintenance"))]
    assert len(asked) == (2 if wanted == "zzzzzzzzzzzz" else 0)


async def test_maintenance_is_told_with_its_times_and_has_its_page() -> None:
    works = [
        maintenance(),
        maintenance(
            IDS[1], "Network work", stage=Stage.IN_PROGRESS, start=NOW - 20 * MINUTE, component_ids=(7,)
        ),
        maintenance(IDS[2], "Old work", stage=Stage.COMPLETED, start=NOW - timedelta(days=3)),
    ]
    async with running(reader(), news=FakeNews(works=works)) as site:
        page, text = await ask(site, "/en/"), text_of(await ask(site, "/en/"))
        one = text_of(await ask(site, "/de/maintenance/mmmmmmmmmmmm"))
        cluster = text_of(await ask(site, "/en/clusters/eu2"))
        component = text_of(await ask(site, "/en/clusters/eu/api"))
        listed = text_of(await ask(site, "/en/incidents"))
    assert text.index("Maintenance in progress") < text.index("Network work") < text.index("Clusters")
    assert "Database upgrade" in text
    assert "Old work" not in text
    assert 'href="/en/maintenance/mmmmmmmmmmmm"' in page.text
    for words in ("Database upgrade", "25. November 2026, 14:03 CET", "Angekündigt", "EU Website", "EU API"):
        assert words in one, words
    assert "Network work" in cluster
    assert "Database upgrade" not in cluster
    assert "Database upgrade" in component
    assert "Network work" not in component
    assert "Old work" in listed


async def test_pages_of_a_part_tell_of_that_part_alone() -> None:
    told = [incident(), incident(IDS[1], "Far away", affected={9: MAJOR})]
    async with running(reader(), news=FakeNews(told)) as site:
        for address, seen in (
            ("/en/clusters/eu", True),
            ("/en/clusters/usa", False),
            ("/en/clusters/eu/api", True),
            ("/en/clusters/eu/website", False),
            ("/en/clusters/eu/feed.atom", True),
            ("/en/clusters/eu/api/feed.rss", True),
            ("/en/clusters/usa/feed.atom", False),
        ):
            page = (await ask(site, address)).text
            assert ("Login fails" in page) is seen, address
            if "eu" in address:
                assert "Far away" not in page, address


async def test_months_list_incidents_beside_downtimes() -> None:
    old = incident(
        IDS[1], "Old trouble", began_at=NOW - timedelta(days=300), phase=Phase.RESOLVED, affected={5: MAJOR}
    )
    news = FakeNews([incident(), old])
    async with running(reader(), news=news) as site:
        now = text_of(await ask(site, "/en/incidents"))
        reads = len(news.calls)
        january = text_of(await ask(site, "/en/incidents?month=2026-01"))
        assert len(news.calls) == reads + 1
        history = await ask(site, "/en/history/2026-01")
        eu = await ask(site, "/en/history/2026-01/eu")
        nothing = text_of(await ask(site, "/en/incidents?month=2026-05"))
        refused = (await ask(site, "/en/incidents?month=2026-13")).status
    assert "Login fails" in now
    assert "Old trouble" not in now
    assert "Old trouble" in january
    assert "Login fails" not in january
    assert "Old trouble" in history.text
    assert "Old trouble" not in eu.text
    assert "No incidents in this month." in nothing
    assert refused == 404


async def test_downtimes_name_their_incident() -> None:
    of = reader(states={("eu", "api"): State.MAJOR_OUTAGE})
    async with running(of, news=FakeNews([incident()])) as site:
        for address in ("/en/", "/en/history/2026-11", "/en/clusters/eu/api"):
            page = (await ask(site, address)).text
            assert 'Incident: <a href="/en/incidents/abcdefghijkl">Login fails</a>' in page, address
        titles = re.findall(r"<title>([^<]*)</title>", (await ask(site, "/en/clusters/eu")).text)
        assert "22 November: major outage 14 mins. Incident: Login fails" in titles
        assert sum("Login fails" in each for each in titles) == 1
        year = (await ask(site, "/de/clusters/eu/api?range=1y")).text
        assert year.count("Vorfall: Login fails") >= 2


async def test_a_report_says_of_every_downtime_what_was_declared() -> None:
    of = reader()
    async with running(of, news=FakeNews([])) as site:
        page = (await ask(site, f"/en/agreements/{TOKEN}")).text
    rows = re.findall(r'<li class="event (\w\w)">(.*?)</li>', page[page.index('id="events"') :], re.DOTALL)
    down = [row for look, row in rows if look in {"mj", "pa"}]
    assert down
    assert all("No incident was declared." in row for row in down)
    assert not any("No incident" in row for look, row in rows if look not in {"mj", "pa"})
    # An incident over the whole month covers all the downtimes of its components, and no others.
    told = incident(began_at=NOW - timedelta(days=30), affected={1: MAJOR, 2: MAJOR, 3: MAJOR})
    async with running(reader(), news=FakeNews([told])) as site:
        page = (await ask(site, f"/en/agreements/{TOKEN}")).text
    assert 'Incident: <a href="/en/incidents/abcdefghijkl">' in page
    declared = page.count("Incident: <a")
    assert declared > 0
    assert declared + page.count("No incident was declared.") >= len(down)


async def test_without_its_database_the_site_tells_what_it_knew() -> None:
    clock, news, of = ManualClock(NOW), FakeNews([incident()], [maintenance()]), reader()
    async with running(of, news=news, clock=clock) as site:
        news.away = True
        clock.advance(600)
        await site.publisher.turn()
        for address in (
            "/en/",
            "/en/incidents/abcdefghijkl",
            "/en/incidents",
            "/en/maintenance/mmmmmmmmmmmm",
        ):
            page = await ask(site, address)
            assert page.status == 200, address
            assert "was known as of" in page.text, address
            assert "Login fails" in page.text or "Database upgrade" in page.text, address
        assert "Login fails" in (await ask(site, "/en/feed.atom")).text
        assert (await ask(site, "/en/incidents/zzzzzzzzzzzz")).status == 503
        assert (await ask(site, "/en/incidents?month=2025-01")).status == 503
        # What is not in memory is not waited for.
        assert not [call for call in news.calls if call.startswith(("incident", "month"))]


def test_what_is_told_survives_on_disk(tmp_path: Any) -> None:
    told = News(NOW, [edited(incident(phase=Phase.RESOLVED))], [maintenance()], NOW - timedelta(days=90))
    file = SnapshotFile(tmp_path / "snapshot.json")
    file.store(Snapshot(overview(3), told))
    again = file.load()
    assert again is not None
    assert again.news == told
    assert isinstance(again.news.incidents[0].phase, Phase)


async def test_a_change_of_what_is_told_is_told_to_open_pages_and_shows_at_once() -> None:
    news = FakeNews()
    async with running(reader(), news=news) as site:
        before = site._streams._version
        await site.publisher.turn()
        assert site._streams._version == before
        assert "Login fails" not in (await ask(site, "/en/incidents")).text
        phases = (Phase.INVESTIGATING, Phase.IDENTIFIED, Phase.RESOLVED)
        for version, phase in enumerate(phases, 1):
            step = replace(incident(phase=phase), version=version)
            news.incidents = [step]
            await site.publisher.turn()
            before += 1
            assert site._streams._version == before
            # The page was asked for a moment ago, and is not kept for longer than it is true.
            assert step.updates[-1].step.title() in (await ask(site, "/en/incidents/abcdefghijkl")).text
            assert "Login fails" in (await ask(site, "/en/incidents")).text


async def test_many_incidents_do_not_make_the_overall_page_large() -> None:
    told = [
        incident(
            f"{number:012}", f"Trouble {number}", phase=Phase.RESOLVED, began_at=NOW - number * MINUTE * 60
        )
        for number in range(200)
    ]
    async with running(FakeReader(overview(50)), news=FakeNews(told), rhythm=NEVER) as site:
        page = await ask(site, "/", accept_encoding="br")
    assert len(page.body) <= 60 * 1024


async def test_only_the_sites_languages_have_pages_of_news() -> None:
    settings_ = SETTINGS.model_copy(update={"languages": ("de",)})
    async with running(reader(), news=FakeNews([incident()]), settings=lambda: settings_) as site:
        assert (await ask(site, "/de/incidents")).status == 200
        for address in (
            "/en/incidents",
            "/en/incidents/abcdefghijkl",
            "/en/feed.atom",
            "/en/clusters/eu/feed.rss",
        ):
            assert (await ask(site, address)).status == 404
