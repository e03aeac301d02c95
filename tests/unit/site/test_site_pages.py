"""The site as visitors meet it: every page, in both languages, in good times and bad."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from site_client import NEVER, SETTINGS, TOKEN, Response, ask, running
from site_estates import NOW, FakeReader, agreement, frozen_chain, overview

from holdfast.availability.model import State
from holdfast.availability.views import Cause
from holdfast.estate.model import Site
from holdfast.interfaces.site.app import create_site
from holdfast.interfaces.site.secret_pages import named_by
from holdfast.interfaces.site.snapshot import Snapshot, SnapshotFile
from holdfast.kernel.clock import ManualClock

PAGES = [
    "/",
    "/en/",
    "/de",
    "/en/clusters/eu",
    "/de/clusters/eu/api",
    "/en/clusters/eu/api?range=1y",
    "/en/clusters/eu/api?from=2026-10-01&to=2026-11-01",
    "/de/history",
    "/en/history/2026-10",
    "/en/history/2026-10/usa",
    "/de/formula",
    "/en/incidents",
    "/de/incidents?month=2026-10",
    f"/en/agreements/{TOKEN}",
    f"/de/agreements/{TOKEN}?month=2026-10",
]
MACHINES = [
    "/metrics",
    "/health/live",
    "/health/ready",
    "/robots.txt",
    "/favicon.svg",
    "/api/v1/status.json",
    "/badges/eu.svg",
    "/badges/eu/api.svg?show=availability",
]
EVIL = '"><script>alert(1)</script>{{1234*4321}}'
TROUBLE = {("eu", "api"): State.MAJOR_OUTAGE, ("usa", "messaging"): State.UNKNOWN}


def reader(components: int = 10, **more: Any) -> FakeReader:
    built = FakeReader(overview(components, **more))
    built.agreements["premium"] = agreement()
    return built


def text_of(response: Response) -> str:
    """What a reader sees: no tags, single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))


@pytest.mark.parametrize("address", PAGES + MACHINES)
async def test_every_address_answers_with_all_security_headers(address: str) -> None:
    async with running(reader(states=TROUBLE, maintained=("eu2", "website"), sample=True)) as site:
        response = await ask(site, address)
    assert response.status == 200, response.text[:500]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert (
        "frame-ancestors 'none'" in response.headers["content-security-policy"]
        or "sandbox" in (response.headers["content-security-policy"])
    )
    assert {"referrer-policy", "permissions-policy", "cross-origin-opener-policy"} <= response.headers.keys()
    assert "set-cookie" not in response.headers
    assert "evil.example" not in response.text


@pytest.mark.parametrize("address", PAGES)
async def test_pages_obey_their_own_content_policy(address: str) -> None:
    async with running(reader(states=TROUBLE)) as site:
        page = (await ask(site, address)).text
        assert "script-src 'self'" in (await ask(site, address)).headers["content-security-policy"]
        assert not re.search(r"<[^>]*\s(style|on\w+)\s*=", page)
        assert "<style" not in page
        assert re.findall(r"<script[^>]*>([^<]*)", page) == [""]
        assert "javascript:" not in page
        for found in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            answer = await ask(site, found)
            assert answer.status == 200
            assert "immutable" in answer.headers["cache-control"]
    assert page.count("<h1") == 1
    assert page.count("<main") == 1
    assert len(re.findall(r'\sid="([^"]+)"', page)) == len(set(re.findall(r'\sid="([^"]+)"', page)))


@pytest.mark.parametrize(
    ("address", "header", "language"),
    [
        ("/", "de-DE,de;q=0.9", "de"),
        ("/", "fr", "en"),
        ("/de/", "en", "de"),
        ("/de/nowhere", "en", "de"),
        ("/nowhere", "de", "de"),
    ],
)
async def test_the_address_names_the_language_else_the_browser_does(
    address: str, header: str, language: str
) -> None:
    async with running(reader()) as site:
        response = await ask(site, address, accept_language=header)
    assert f'<html lang="{language}">' in response.text
    assert response.headers["content-language"] == language
    if address == "/":
        assert "accept-language" in response.headers["vary"]


async def test_only_languages_of_the_site_have_pages() -> None:
    async with running(reader(), settings=lambda: SETTINGS.model_copy(update={"languages": ("de",)})) as site:
        assert (await ask(site, "/de/")).status == 200
        for address in ("/en/", "/en/formula", "/en/clusters/eu/api", "/fr/"):
            assert (await ask(site, address)).status == 404
        assert '<html lang="de">' in (await ask(site, "/", accept_language="en")).text


async def test_the_headline_says_what_is_wrong() -> None:
    async with running(reader()) as site:
        assert "All systems operational" in text_of(await ask(site, "/en/"))
    async with running(
        reader(states={("eu", "api"): State.MAJOR_OUTAGE, ("eu", "website"): State.DEGRADED})
    ) as site:
        page = await ask(site, "/en/")
        assert "Major outage: EU API" in text_of(page)
        assert "Größere Störung: EU API" in text_of(await ask(site, "/de/"))
        assert '<details class="card cluster" id="c-eu" open>' in page.text
    async with running(reader(states={("eu", "api"): State.UNKNOWN})) as site:
        page = text_of(await ask(site, "/en/"))
        assert "Unknown: EU API" in page
        assert "All systems operational" not in page


async def test_maintenance_is_shown_over_the_measured_state() -> None:
    async with running(
        reader(states={("usa", "website"): State.MAJOR_OUTAGE}, maintained=("usa", "website"))
    ) as site:
        page = text_of(await ask(site, "/en/"))
        assert "Under maintenance: USA Website" in page
        assert "Maintenance until 22 Nov, 15:23" in page
        status = (await ask(site, "/api/v1/status.json")).json
    component = status["clusters"][2]["components"][0]
    assert (component["state"], component["measured"]) == ("under_maintenance", "major_outage")


@pytest.mark.parametrize("address", ["/", "/de/", "/en/clusters/eu"])
async def test_fifty_components_fit_into_sixty_kilobytes(address: str) -> None:
    async with running(reader(50, states=TROUBLE, maintained=("eu2", "api"), sample=True)) as site:
        for encoding in ("br", "gzip"):
            page = await ask(site, address, accept_encoding=encoding)
            assert page.headers["content-encoding"] == encoding
            assert len(page.body) <= 60 * 1024
        assert page.text.count('class="bars n90"') == (50 if "clusters" not in address else 17)


async def test_an_unchanged_page_is_not_sent_again() -> None:
    async with running(reader()) as site:
        first = await ask(site, "/en/")
        again = await ask(site, "/en/", if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert (await ask(site, "/en/", method="HEAD")).body == b""


async def test_names_and_parameters_are_never_markup() -> None:
    of = reader(states=TROUBLE, maintained=("eu2", "website"), name=EVIL, title=EVIL)
    settings = Site(title=EVIL, time_zone="Europe/Berlin")
    evil_query = "range=%22%3E%3Cscript%3E&from=%3Cscript%3E&x=%3Cscript%3E"
    async with running(of, settings=lambda: settings) as site:
        for address in [
            *PAGES,
            *MACHINES,
            f"/en/clusters/eu/api?{evil_query}",
            f"/en/{EVIL}",
            f"/en/history/{EVIL}",
            f"/en/agreements/{EVIL}",
            f"/badges/{EVIL}.svg",
        ]:
            response = await ask(site, address)
            if "json" not in response.headers["content-type"]:
                assert "<script>" not in response.text, address
                assert "5332114" not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_only_reading_is_allowed(method: str) -> None:
    async with running(reader()) as site:
        response = await ask(site, "/en/", method=method)
    assert response.status == 405
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "address",
    [
        "/en/nowhere",
        "/en/clusters/mars",
        "/en/clusters/eu/mars",
        "/en/clusters/eu/api/",
        "/en/history/2026-12",
        "/en/history/1970-01",
        "/en/history/2026-10/mars",
        "/static/../app.py",
        "/static/site.css",
        "/logo",
        "/badges/mars.svg",
    ],
)
async def test_what_does_not_exist_is_a_calm_page_without_any_read(address: str) -> None:
    of = reader()
    async with running(of) as site:
        before = len(of.calls)
        response = await ask(site, address)
        assert len(of.calls) == before
    assert response.status == 404
    assert "There is no such page" in response.text
    assert "location" not in response.headers


async def test_long_addresses_are_refused() -> None:
    async with running(reader()) as site:
        assert (await ask(site, "/en/" + "x" * 600)).status == 414
        assert (await ask(site, "/en/clusters/eu/api?" + "x" * 2000)).status == 414


async def test_parameters_that_nobody_knows_cost_nothing() -> None:
    of = reader()
    async with running(of) as site:
        for number in range(20):
            assert (await ask(site, f"/en/clusters/eu/api?x={number}&range=30d&utm={number}")).status == 200
    assert sum(call.startswith("component") for call in of.calls) == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("range=2y", "There is no such range"),
        ("from=2026-11-10&to=2026-11-01", "must not be after"),
        ("from=2026-11-10&to=2027-11-01", "in the future"),
        ("from=2020-11-10&to=2026-11-01", "400 days"),
        ("from=yesterday", "both dates"),
    ],
)
async def test_a_wrong_range_is_a_friendly_page_with_the_form(query: str, words: str) -> None:
    of = reader()
    async with running(of) as site:
        response = await ask(site, f"/en/clusters/eu/api?{query}")
    assert response.status == 400
    assert words in response.text
    assert '<form method="get"' in response.text
    assert not any(call.startswith("component") for call in of.calls)


async def test_a_component_page_shows_its_metrics_and_events() -> None:
    async with running(reader(states=TROUBLE)) as site:
        page = await ask(site, "/de/clusters/eu/api")
        text = text_of(page)
        for words in (
            "Größere Störung",
            "seit 22. November 2026, 13:49 CET",
            "holdfast-1",
            "Antwortzeit",
            "143 ms",
        ):
            assert words in text or words in page.text, words
        assert '<a href="?range=30d" aria-current="true">' in page.text
        assert 'class=p99 d="M' in page.text
        year = await ask(site, "/en/clusters/eu/api?range=1y")
        assert year.text.count("<svg class=month") == 13


async def test_the_month_page_lists_what_happened() -> None:
    async with running(reader(states=TROUBLE)) as site:
        text = text_of(await ask(site, "/en/history/2026-11"))
        assert "EU API · Major outage" in text
        assert "ongoing" in text
        one = await ask(site, "/en/history/2026-11/usa")
        assert "EU API" not in text_of(one)
        assert 'href="/en/history/2026-10/usa" rel="prev"' in one.text


async def test_the_formula_page_states_weights_and_rounding() -> None:
    async with running(reader()) as site:
        english, german = text_of(await ask(site, "/en/formula")), text_of(await ask(site, "/de/formula"))
    for words in (
        "holdfast-1",
        "Major outage 1 1 hr",
        "Partial outage 0.5 30 mins",
        "never up: 99.9996 % is shown as 99.999 %",
    ):
        assert words in english
    for words in ("Teilausfall 0,5 30 Min.", "99,9996 % erscheinen als 99,999 %"):
        assert words in german


async def test_an_agreement_is_shown_by_its_secret_link_alone() -> None:
    async with running(reader()) as site:
        page = await ask(site, f"/de/agreements/{TOKEN}")
        assert page.status == 200
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "private, no-store"
        assert page.headers["x-robots-tag"].startswith("noindex")
        assert "etag" not in page.headers
        assert "Nordwind Druck &lt;AG&gt;" in page.text
        assert "99,9\xa0%" in page.text
        earlier = await ask(site, f"/de/agreements/{TOKEN}?month=2026-09")
        assert "1. September 2026" in text_of(earlier)
        for token in ("t" * 39, "t" * 41, "T" * 40, "", "premium", "t" * 39 + "%00"):
            wrong = await ask(site, f"/de/agreements/{token}")
            assert wrong.status == 404
            assert "Nordwind" not in wrong.text
            assert wrong.headers["referrer-policy"] == "no-referrer" or not token
        assert (await ask(site, f"/de/agreements/{TOKEN}?month=2026-12")).status == 404


async def test_a_frozen_month_shows_its_figures_its_hash_and_what_it_corrects() -> None:
    of = reader()
    of.frozen = frozen_chain(2)
    newest, first = of.frozen
    async with running(of) as site:
        english = text_of(await ask(site, f"/en/agreements/{TOKEN}?month=2026-10"))
        german = text_of(await ask(site, f"/de/agreements/{TOKEN}?month=2026-10"))
    assert "2 November 2026, 00:15 CET" in english
    assert "corrects the 99.865% of 1 November 2026, 00:15 CET to 99.731%" in english
    assert english.index("99.731% holdfast-1") < english.index("99.865% holdfast-1 1 hr"), "newest first"
    for row in (newest, first):
        assert row.intervals_sha256 in english
    assert english.count("sample data") == 1
    assert "differ from the frozen ones. The frozen ones count." in english
    assert "korrigiert die 99,865 % vom 1. November 2026, 00:15 CET auf 99,731 %" in german


async def test_a_long_chain_of_corrections_is_cut() -> None:
    of = reader()
    of.frozen = frozen_chain(40)
    async with running(of) as site:
        page = text_of(await ask(site, f"/en/agreements/{TOKEN}?month=2026-10"))
    assert page.count("SHA-256 of ") == 12
    assert "28 earlier rows are not listed." in page
    assert page.count("corrects the ") == 12, "the last one shown was a correction too"


async def test_a_month_that_is_not_frozen_says_nothing_of_it() -> None:
    async with running(reader()) as site:
        page = text_of(await ask(site, f"/en/agreements/{TOKEN}"))
    assert "SHA-256" not in page


async def test_a_component_page_charts_the_metrics_of_the_estate() -> None:
    async with running(reader()) as site:
        for span in ("7d", "1y"):
            page = await ask(site, f"/de/clusters/eu/api?range={span}")
            text = text_of(page)
            assert "Jobs &lt;printed&gt; <small" in page.text
            assert page.text.count("Jobs &lt;printed&gt;: zwischen 0 /s und 24 /s") == 1
            # The metric of which nothing is known has no chart, and says so.
            assert "Waiting jobs In diesem Zeitraum ist kein Wert bekannt." in text


async def test_pages_say_what_trouble_is_because_of() -> None:
    of = FakeReader(overview(6, states={("eu", "website"): State.MAJOR_OUTAGE}))
    database = Cause("eu", "database", "<Database>", "EU")
    eu = of.now_overview.clusters[0]
    website = eu.components[0]
    today = website.days[-1]
    told = replace(today, events=[replace(each, because_of=(database,)) for each in today.events])
    status = replace(website.status, because_of=(database,))
    explained = replace(website, status=status, days=[*website.days[:-1], told])
    clusters = [replace(eu, components=[explained, *eu.components[1:]]), *of.now_overview.clusters[1:]]
    of.now_overview = replace(of.now_overview, clusters=clusters)
    link = '<a href="/{}/clusters/eu/database">EU &lt;Database&gt;</a>'
    async with running(of) as site:
        overall = await ask(site, "/en/")
        # Once as the component's state, and once in the list of the day.
        assert overall.text.count("because of " + link.format("en")) == 2
        assert "because of " + link.format("en") in (await ask(site, "/en/clusters/eu/website")).text
        assert "wegen " + link.format("de") in (await ask(site, "/de/clusters/eu")).text
        components = (await ask(site, "/api/v1/status.json")).json["clusters"][0]["components"]
    assert [each["because_of"] for each in components] == [["eu/database"], []]


def test_a_short_secret_opens_nothing() -> None:
    links = {"a": "s" * 31, "b": "s" * 32, "c": "", "d": "ü" * 40}
    assert named_by("s" * 31, links) is None
    assert named_by("", links) is None
    assert named_by("s" * 32, links) == "b"
    assert named_by("ü" * 40, links) == "d"
    assert named_by("\udcff" * 40, links) is None


async def test_badges_show_the_state_or_the_availability() -> None:
    async with running(reader(states=TROUBLE)) as site:
        state = await ask(site, "/badges/eu.svg?lang=de")
        assert "EU: Größere Störung" in state.text
        assert state.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "sandbox" in state.headers["content-security-policy"]
        share = await ask(site, "/badges/eu/website.svg?show=availability")
        assert re.search(r"EU Website: [\d.]+%", share.text)


async def test_metrics_are_openmetrics() -> None:
    async with running(reader(states=TROUBLE)) as site:
        await ask(site, "/en/")
        await ask(site, "/en/nowhere")
        response = await ask(site, "/metrics")
    assert response.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert response.text.endswith("# EOF\n")
    lines = response.text.splitlines()
    assert (
        'holdfast_component_state{cluster="eu",component="api",holdfast_component_state="major_outage"} 1'
        in lines
    )
    assert 'holdfast_site_requests_total{page="memory",status="200"} 1' in lines
    assert 'holdfast_site_requests_total{page="made",status="404"} 1' in lines
    assert any(line.startswith("holdfast_component_availability_ratio{") for line in lines)
    assert any(line.startswith("holdfast_site_snapshot_age_seconds 0") for line in lines)
    sample = re.compile(r'^[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? -?[0-9.e+-]+$')
    assert all(line.startswith("# ") or sample.match(line) for line in lines)


async def test_a_logo_is_served_as_an_image_that_can_do_nothing(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    settings = SETTINGS.model_copy(update={"logo": "logo.svg"})
    async with running(reader(), settings=lambda: settings, logo_folder=tmp_path) as site:
        assert '<img src="/logo?v=' in (await ask(site, "/en/")).text
        answer = await ask(site, "/logo")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert "sandbox" in answer.headers["content-security-policy"]
        for content in (b"<html>", b"<svg" + b" " * 300_000):
            logo.write_bytes(content)
            await site.publisher.turn()
            assert (await ask(site, "/logo")).status == 404
            assert "/logo" not in (await ask(site, "/en/")).text


async def test_settings_take_effect_without_a_restart() -> None:
    current = [SETTINGS]
    async with running(reader(), settings=lambda: current[0]) as site:
        current[0] = SETTINGS.model_copy(update={"title": "Printcloud Two"})
        await site.publisher.turn()
        assert "Printcloud Two" in (await ask(site, "/en/")).text
        assert "Printcloud Two" in (await ask(site, "/en/formula")).text


# While the database is away


async def test_the_last_snapshot_answers_and_says_how_old_it_is() -> None:
    of, clock = reader(states=TROUBLE), ManualClock(NOW)
    async with running(of, clock=clock) as site:
        of.away = True
        clock.advance(14 * 60)
        await site.publisher.turn()
        page = text_of(await ask(site, "/en/"))
        assert "Live figures are unavailable at the moment" in page
        assert "as of 14:03 CET, 14 minutes ago" in page
        assert "At 14:03 CET: Major outage: EU API" in page
        clock.advance(60)
        await site.publisher.turn()
        assert "15 minutes ago" in text_of(await ask(site, "/en/"))
        assert "vor 15 Minuten" in text_of(await ask(site, "/de/clusters/eu"))
        component = text_of(await ask(site, "/de/clusters/eu/api"))
        assert "vor 15 Minuten" in component
        assert "Zustand um 14:03 CET" in component
        assert "vor 15 Minuten" in text_of(await ask(site, "/de/clusters/eu/api?range=7d"))
        status = (await ask(site, "/api/v1/status.json")).json
        assert status["stale"] is True
        assert (await ask(site, "/health/ready")).status == 200
        assert "Unknown" in (await ask(site, "/badges/eu/website.svg")).text
        metrics = (await ask(site, "/metrics")).text
        assert "holdfast_component_state" not in metrics
        assert "holdfast_site_snapshot_age_seconds 900.000" in metrics
        of.away = False
        of.now_overview = overview(10, now=clock.now())
        await site.publisher.turn()
        assert "unavailable" not in text_of(await ask(site, "/en/"))


async def test_what_the_snapshot_lacks_is_an_honest_503() -> None:
    of, clock = reader(states=TROUBLE), ManualClock(NOW)
    async with running(of, clock=clock) as site:
        of.away = True
        clock.advance(300)
        await site.publisher.turn()
        response = await ask(site, "/en/clusters/eu/api?range=1y")
        assert response.status == 503
        assert response.headers["retry-after"] == "30"
        assert "Last known state, 5 minutes ago" in text_of(response)
        assert "Major outage" in text_of(response)
        for address in ("/en/history", f"/en/agreements/{TOKEN}"):
            assert (await ask(site, address)).status == 503


async def test_a_page_whose_own_read_fails_falls_back_at_once() -> None:
    """The database went away after the last turn: nobody has noticed yet."""
    of = reader()
    async with running(of) as site:
        of.away = True
        response = await ask(site, "/en/clusters/eu/website")
        assert response.status == 200
        assert "Live figures are unavailable" in response.text
        assert (await ask(site, "/en/clusters/eu/website?range=6m")).status == 503


async def test_what_left_the_estate_a_moment_ago_is_not_found() -> None:
    of = reader()
    async with running(of) as site:

        async def gone(*_: Any) -> None:
            return None

        of.component = gone  # type: ignore[method-assign,assignment]
        of.agreements.clear()
        assert (await ask(site, "/en/clusters/eu/website")).status == 404
        assert (await ask(site, f"/en/agreements/{TOKEN}")).status == 404


async def test_a_restart_without_the_database_answers_from_disk(tmp_path: Path) -> None:
    path, clock = tmp_path / "site" / "snapshot.json", ManualClock(NOW)
    async with running(reader(states=TROUBLE), clock=clock, snapshot_file=path) as site:
        async with asyncio.timeout(30):
            while not path.exists():  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.005)
        del site
    clock.advance(3600)
    away = reader()
    away.away = True
    async with running(away, clock=clock, snapshot_file=path) as site:
        for address in ("/", "/en/clusters/eu", "/en/clusters/eu/api"):
            page = await ask(site, address)
            assert page.status == 200
            assert "1 hour ago" in text_of(page)


async def test_a_stored_snapshot_answers_before_the_first_read_and_as_old(tmp_path: Path) -> None:
    SnapshotFile(tmp_path / "s.json").store(Snapshot(overview(3)))
    clock = ManualClock(NOW + timedelta(minutes=10))
    site = create_site(reader(), settings=lambda: SETTINGS, clock=clock, snapshot_file=tmp_path / "s.json")
    assert "10 minutes ago" in text_of(await ask(site, "/en/"))


async def test_without_any_snapshot_the_site_says_so() -> None:
    of = reader()
    of.away = True
    async with running(of) as site:
        for address in ("/", "/en/", "/de/clusters/eu", "/de/clusters/eu/api", "/en/history"):
            response = await ask(site, address)
            assert response.status == 503
            assert response.headers["retry-after"]
        assert (await ask(site, "/health/ready")).status == 503
        assert (await ask(site, "/health/live")).status == 200
        assert (await ask(site, "/en/formula")).status == 200
        assert (await ask(site, "/metrics")).text.endswith("# EOF\n")


async def test_a_defect_in_reading_does_not_silence_the_site() -> None:
    of = reader()
    async with running(of) as site:

        async def defect(*, days: int) -> Any:
            raise ZeroDivisionError

        of.overview = defect  # type: ignore[method-assign]
        await site.publisher.turn()
        assert (await ask(site, "/en/")).status == 200
        assert 'failures_total{step="read"} 1' in (await ask(site, "/metrics")).text


async def test_a_defect_in_a_page_is_a_calm_500() -> None:
    of = reader()
    async with running(of) as site:

        async def defect(*_: Any) -> Any:
            raise ZeroDivisionError("secret detail")

        of.component = defect  # type: ignore[method-assign]
        response = await ask(site, "/de/clusters/eu/api")
        assert response.status == 500
        assert "Hier ist etwas schiefgegangen" in response.text
        assert "secret" not in response.text
        assert "Traceback" not in response.text


async def test_a_loop_that_hangs_is_reported_as_dead() -> None:
    clock = ManualClock(NOW)
    async with running(reader(), clock=clock) as site:
        assert (await ask(site, "/health/live")).status == 200
        clock.advance(121)
        assert (await ask(site, "/health/live")).status == 503


async def test_open_pages_hear_of_changes_and_of_nothing_else() -> None:
    of = reader()
    told: list[int] = []
    async with running(of) as site:
        site.publisher._streams.announce = lambda: told.append(1)
        await site.publisher.turn()
        assert told == []
        of.now_overview = overview(10, states=TROUBLE)
        await site.publisher.turn()
        assert len(told) == 1
        of.away = True
        await site.publisher.turn()
        await site.publisher.turn()
        assert len(told) == 2


async def test_a_change_is_rendered_without_waiting_for_the_next_turn() -> None:
    of, bell = reader(), asyncio.Event()

    async def changes() -> Any:
        await bell.wait()
        yield "changed"
        await asyncio.Event().wait()

    async with running(of, changes=changes, rhythm=NEVER) as site:
        of.now_overview = overview(10, states=TROUBLE)
        bell.set()
        async with asyncio.timeout(60):
            while "Major outage: EU API" not in text_of(await ask(site, "/en/")):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_a_figure_names_its_window_its_formula_and_what_is_unknown() -> None:
    async with running(reader()) as site:
        assert "99.953% in 90 days · holdfast-1 · unknown 4 hrs 17 mins" in text_of(await ask(site, "/en/"))
        assert "in 90 Tagen · holdfast-1 · unbekannt 4 Std. 17 Min." in text_of(
            await ask(site, "/de/clusters/eu")
        )


@pytest.mark.parametrize(("language", "told"), [("en", "tcp, from Tokyo"), ("de", "tcp, von Tokyo aus")])
async def test_a_run_says_which_vantage_point_it_is_from(language: str, told: str) -> None:
    async with running(reader()) as site:
        shown = text_of(await ask(site, f"/{language}/clusters/eu/api"))
    assert told in shown
    assert "http, " not in shown
