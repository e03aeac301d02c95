"""What is private is nowhere public; and a customer's own pages show nothing but what is theirs."""

import re
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_client import SETTINGS, TOKEN, Response, ask, running
from site_estates import NOW, FakeReader, agreement, overview
from site_news import MAJOR, FakeNews, incident, maintenance, readership, update

from holdfast.availability.model import Maintenance, State
from holdfast.availability.views import Cause, ComponentHistory, Overview
from holdfast.communication.model import ComponentState, Impact, Phase, Stage
from holdfast.communication.news import News
from holdfast.interfaces.site.assets import assets_of
from holdfast.interfaces.site.customers import CustomerPages, Visit
from holdfast.interfaces.site.readership import Readership
from holdfast.interfaces.site.snapshot import Snapshot, SnapshotFile
from holdfast.kernel.clock import ManualClock

LINK = "c" * 40
OTHER_LINK = "d" * 40
HOME = f"/en/customers/{LINK}"
SECRETS = ("Zebra", "zebra", "Quagga")
"""Names of what is private: a cluster, its key, and what is told of it."""
CLUSTERS = (("eu", "EU", "Frankfurt"), ("zebra", "Zebra", "Zebraville"), ("usa", "USA", "Virginia"))
ADDRESSES = (
    *("/", "/en/", "/de/", "/en/clusters/eu", "/de/clusters/usa", "/en/clusters/eu/api"),
    *("/en/clusters/eu/api?range=1y", "/en/history", "/de/history/2026-11", "/en/history/2026-11/eu"),
    *("/en/incidents", "/de/incidents?month=2026-10", "/en/incidents/pppppppppppp", "/en/formula"),
    *("/en/feed.atom", "/de/feed.rss", "/en/clusters/eu/feed.atom", "/en/clusters/eu/api/feed.rss"),
    *("/en/maintenance.ics", "/de/clusters/eu/maintenance.ics", "/api/v2/summary.json"),
    *("/api/v1/status.json", "/metrics", "/badges/eu.svg", "/badges/eu/api.svg", "/favicon.svg"),
    *("/en/nowhere", "/robots.txt", "/health/ready"),
)
GUESSES = (
    *("/en/clusters/zebra", "/en/clusters/zebra/website", "/de/clusters/zebra/website?range=7d"),
    *("/en/history/2026-11/zebra", "/en/clusters/zebra/feed.atom", "/en/clusters/zebra/website/feed.rss"),
    *("/badges/zebra.svg", "/badges/zebra/website.svg", "/en/incidents/qqqqqqqqqqqq"),
    *("/en/maintenance/wwwwwwwwwwww", "/en/incidents/oooooooooooo", f"/en/customers/{'x' * 40}"),
)


def estate() -> tuple[Overview, Readership]:
    """Ten components; those of Zebra (5 to 7) are private, and Nordwind's agreement covers two of them."""
    seen = overview(10, CLUSTERS, states={("zebra", "api"): State.MAJOR_OUTAGE})
    names = {each.status.id: each.status.identity for _, each in _components(seen)}
    private = {each: ("nordwind",) for each, (cluster, _) in names.items() if cluster == "zebra"}
    private[7] = ()  # no agreement covers it
    who = readership(names, private, {"nordwind": [1, 5, 6], "liberty": [8, 9]})
    # A public component is in trouble because of a private one.
    because = (Cause("zebra", "api", "Zebra database", "Zebra"),)
    clusters = [
        replace(cluster, components=[_explained(each, because) for each in cluster.components])
        if cluster.key == "eu"
        else cluster
        for cluster in seen.clusters
    ]
    secret_work = Maintenance(
        9, maintenance().window, NOW, frozenset({1, 5}), "Zebra gets a new stable", None
    )
    return replace(seen, clusters=clusters, maintenance=[*seen.maintenance, secret_work]), who


def _components(seen: Overview) -> Iterator[tuple[str, ComponentHistory]]:
    for cluster in seen.clusters:
        for each in cluster.components:
            yield cluster.key, each


def _explained(history: ComponentHistory, because: tuple[Cause, ...]) -> ComponentHistory:
    days = [
        replace(day, events=[replace(each, because_of=because) for each in day.events])
        for day in history.days
    ]
    return replace(history, status=replace(history.status, because_of=because), days=days)


def secrets_told() -> FakeNews:
    """Public and private incidents and work, and one that spoke of the private cluster only once."""
    once = incident("oooooooooooo", "Quagga, told once", affected={1: ComponentState.DEGRADED})
    spoke = update(9, "identified", "Quagga!", NOW - timedelta(minutes=3), {5: MAJOR})
    public = incident("pppppppppppp", "For everybody", affected={1: ComponentState.DEGRADED})
    return FakeNews(
        [
            public,
            incident("qqqqqqqqqqqq", "Quagga escaped", affected={5: MAJOR, 1: MAJOR}, impact=Impact.CRITICAL),
            replace(once, updates=(*once.updates, spoke)),
            incident(
                "rrrrrrrrrrrr", "Quagga of before", affected={7: MAJOR}, phase=Phase.RESOLVED, body="Quagga"
            ),
        ],
        [
            maintenance("wwwwwwwwwwww", "Quagga feeding", component_ids=(5, 1), stage=Stage.IN_PROGRESS),
            maintenance("vvvvvvvvvvvv", "Public work", component_ids=(1,)),
        ],
    )


@asynccontextmanager
async def site_with_secrets(**more: Any) -> Any:
    seen, who = estate()
    of = FakeReader(seen)
    of.agreements["premium"] = agreement()
    more.setdefault("news", secrets_told())
    links = {"nordwind": LINK, "liberty": OTHER_LINK}
    async with running(of, readership=lambda: who, page_links=lambda: links, **more) as site:
        yield site


def assert_tells_nothing(address: str, answer: Response) -> None:
    told = answer.text + repr(answer.headers)
    for word in SECRETS:
        if word not in address:
            assert word not in told, f"{address} says {word}"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_nothing_private_is_on_any_public_page(address: str) -> None:
    async with site_with_secrets() as site:
        answer = await ask(site, address)
        assert_tells_nothing(address, answer)
        assert answer.status == (200 if "nowhere" not in address else 404)


@pytest.mark.parametrize("address", GUESSES)
async def test_a_guessed_address_is_an_unknown_one(address: str) -> None:
    async with site_with_secrets() as site:
        guessed = await ask(site, address)
        unknown = await ask(site, re.sub(r"zebra|qqqq|wwww|oooo", "mars", address))
    assert guessed.status == unknown.status == 404
    same = [re.sub(r"zebra|mars|\w+qqqq|\w+wwww|\w+oooo", "", each.text) for each in (guessed, unknown)]
    assert same[0] == same[1]
    assert_tells_nothing(address, guessed)


async def test_the_whole_is_judged_without_what_is_private() -> None:
    """Its outage and its critical incident are nobody else's: no headline and no sum tells of them."""
    async with site_with_secrets(news=FakeNews(secrets_told().incidents[1:2])) as site:
        assert "All systems operational" in (await ask(site, "/en/")).text
        status = (await ask(site, "/api/v1/status.json")).json
        metrics = (await ask(site, "/metrics")).text
    assert status["state"] == "operational"
    assert [each["key"] for each in status["clusters"]] == ["eu", "usa"]
    assert status["incidents"] == []
    assert "major_outage" not in "".join(
        line for line in metrics.splitlines() if line.endswith(" 1") and "component_state" in line
    )


async def test_open_pages_hear_nothing_of_what_is_private() -> None:
    told = FakeNews()
    async with site_with_secrets(news=told) as site:
        before = site._streams._version
        told.incidents = [incident("qqqqqqqqqqqq", "Quagga", affected={5: MAJOR})]
        await site.publisher.turn()
        assert site._streams._version == before


async def test_what_becomes_private_is_hidden_at_once_also_without_the_database(tmp_path: Path) -> None:
    seen, private = estate()
    assert private.directory is not None
    public = replace(private, directory=replace(private.directory, private={}))
    current = [public]
    of, clock = FakeReader(seen), ManualClock(NOW)
    file = tmp_path / "snapshot.json"
    more = {"readership": lambda: current[0], "clock": clock, "snapshot_file": file}
    async with running(of, news=secrets_told(), **more) as site:
        assert "Zebra" in (await ask(site, "/en/")).text
        current[0] = private
        of.away = True
        await site.publisher.turn()
        assert_tells_nothing("/en/", await ask(site, "/en/"))
    async with running(of, news=FakeNews(), **more) as site:
        assert_tells_nothing("/en/", await ask(site, "/en/"))
        assert (await ask(site, "/en/clusters/zebra")).status == 404


def test_a_stored_snapshot_knows_what_is_private(tmp_path: Path) -> None:
    seen, who = estate()
    file = SnapshotFile(tmp_path / "snapshot.json")
    told = secrets_told()
    file.store(Snapshot(seen, News(NOW, told.incidents, told.works), who))
    again = file.load()
    assert again is not None
    assert again.readership == who
    public = again.for_everybody()
    assert [each.key for each in public.overview.clusters] == ["eu", "usa"]
    assert [each.id for each in public.news.incidents] == ["pppppppppppp"]
    assert public.readership.directory is None


@settings(max_examples=60, deadline=None)
@given(
    private=st.sets(st.integers(1, 10), max_size=9),
    spoken_of=st.lists(st.sets(st.integers(1, 12), max_size=4), max_size=6),
    covered=st.sets(st.integers(1, 10), max_size=6),
    gone=st.sets(st.integers(1, 10), max_size=2),
)
def test_no_snapshot_for_others_holds_anything_private(
    private: set[int], spoken_of: list[set[int]], covered: set[int], gone: set[int]
) -> None:
    """For any estate: neither a component, nor news of one, nor a component nobody knows the privacy of."""
    seen, _ = estate()
    names = {
        each.status.id: each.status.identity for _, each in _components(seen) if each.status.id not in gone
    }
    who = readership(
        names, {each: ("holder",) if each in covered else () for each in private}, {"holder": sorted(covered)}
    )
    told = [
        incident(f"{place:012}", f"About {sorted(ids)}", affected=dict.fromkeys(ids, MAJOR))
        for place, ids in enumerate(spoken_of)
    ]
    whole = Snapshot(seen, News(NOW, told), who)

    public = whole.for_everybody()
    shown = {each.status.id for _, each in _components(public.overview)}
    assert shown == set(names) - private
    assert all(not each.component_ids & private for each in public.news.incidents)
    assert {each.id for each in public.news.incidents} == {
        each.id for each in told if not each.component_ids & private
    }
    pairs = {names[each] for each in shown}
    for _, each in _components(public.overview):
        assert all((cause.cluster_key, cause.key) in pairs for cause in each.status.because_of)
        for day in each.days:
            for event in day.events:
                assert all((cause.cluster_key, cause.key) in pairs for cause in event.because_of)

    theirs = whole.for_holder(who.holders["holder"])
    assert {each.status.id for _, each in _components(theirs.overview)} <= covered
    for each in theirs.news.incidents:
        assert each.component_ids <= covered
        original = told[int(each.id)]
        assert not original.component_ids & (private - covered), "it names what others alone may know of"


async def test_a_customers_page_shows_theirs_and_nothing_else() -> None:
    async with site_with_secrets() as site:
        page = await ask(site, HOME)
        german = await ask(site, f"/de/customers/{LINK}")
        cluster = await ask(site, f"{HOME}/clusters/zebra")
        component = await ask(site, f"{HOME}/clusters/zebra/api")
        quagga = await ask(site, f"{HOME}/incidents/qqqqqqqqqqqq")
        work = await ask(site, f"{HOME}/maintenance/wwwwwwwwwwww")
        month = await ask(site, f"{HOME}/incidents")
        report = await ask(site, f"{HOME}/agreements/premium")
    everything = (page, german, cluster, component, quagga, work, month, report)
    for answer in everything:
        assert answer.status == 200
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"].startswith("noindex")
        assert "etag" not in answer.headers
        assert 'content="noindex, nofollow"' in answer.text
        assert "USA" not in answer.text
        assert "feed.atom" not in answer.text
    # Of each cluster only the components that the agreement covers.
    assert page.text.count('<li class="component">') == 3
    assert "Nordwind &lt;GmbH&gt;" in page.text
    assert "Quagga escaped" in page.text
    assert "For everybody" in page.text
    assert "Quagga of before" not in page.text
    assert f'href="{HOME}/agreements/premium">Premium &amp; more' in page.text
    assert f'href="{HOME}/clusters/zebra"' in page.text
    assert f'href="{HOME}/incidents/qqqqqqqqqqqq"' in page.text
    assert 'href="/en/clusters' not in page.text
    assert "Größere Störung" in german.text
    assert "Quagga feeding" in work.text
    assert "Quagga escaped" in month.text
    assert "Nordwind Druck" in report.text


async def test_a_customer_cannot_look_at_anybody_elses() -> None:
    async with site_with_secrets() as site:
        for path in (
            *("clusters/usa", "clusters/usa/website", "clusters/zebra/messaging", "clusters/eu/api"),
            *("incidents/rrrrrrrrrrrr", "agreements/other", "agreements/", "history", "nowhere/at/all"),
            *("incidents/qqqqqqqqqqqq/x", "maintenance/zzzzzzzzzzzz"),
        ):
            assert (await ask(site, f"{HOME}/{path}")).status == 404, path
        other = f"/en/customers/{OTHER_LINK}"
        page = await ask(site, other)
        assert page.status == 200
        assert_tells_nothing(other, page)
        for path in ("incidents/qqqqqqqqqqqq", "maintenance/wwwwwwwwwwww", "clusters/zebra", "agreements/x"):
            assert (await ask(site, f"{other}/{path}")).status == 404, path


@pytest.mark.parametrize("token", ["c" * 39, "c" * 41, "C" * 40, "nordwind", "c" * 39 + "%00", TOKEN])
async def test_a_wrong_secret_is_an_unknown_page_that_nobody_keeps(token: str) -> None:
    async with site_with_secrets() as site:
        answer = await ask(site, f"/en/customers/{token}")
    assert answer.status == 404
    assert "Nordwind" not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "private, no-store"


async def test_a_short_secret_opens_nothing() -> None:
    seen, who = estate()
    async with running(
        FakeReader(seen), readership=lambda: who, page_links=lambda: {"nordwind": "short"}
    ) as site:
        assert (await ask(site, "/en/customers/short")).status == 404


async def test_a_customers_page_answers_without_the_database_too() -> None:
    told, clock = secrets_told(), ManualClock(NOW)
    async with site_with_secrets(news=told, clock=clock) as site:
        told.away = True
        clock.advance(600)
        await site.publisher.turn()
        for path in ("", "/clusters/zebra", "/clusters/zebra/api", "/incidents/qqqqqqqqqqqq", "/incidents"):
            page = await ask(site, f"{HOME}{path}")
            assert page.status == 200, path
            assert "was known as of" in page.text, path


async def test_a_report_links_private_incidents_behind_its_own_secret() -> None:
    """Its reader may know of them, and has nothing but this link."""
    seen, who = estate()
    of = FakeReader(seen)
    of.agreements["premium"] = agreement()
    long_ago = NOW - timedelta(days=60)
    told = FakeNews(
        [
            incident("qqqqqqqqqqqq", "Quagga escaped", affected={5: MAJOR}, began_at=long_ago),
            incident("pppppppppppp", "For everybody", affected={1: MAJOR}, began_at=long_ago),
        ]
    )
    async with running(of, readership=lambda: who, news=told) as site:
        page = (await ask(site, f"/en/agreements/{TOKEN}")).text
        one = await ask(site, f"/en/agreements/{TOKEN}/incidents/qqqqqqqqqqqq")
        assert one.status == 200
        assert "Quagga escaped" in one.text
        assert one.headers["cache-control"] == "private, no-store"
        for wrong in ("rrrrrrrrrrrr", "zzzzzzzzzzzz"):
            assert (await ask(site, f"/en/agreements/{TOKEN}/incidents/{wrong}")).status == 404
        assert (await ask(site, f"/en/agreements/{'t' * 39}/incidents/qqqqqqqqqqqq")).status == 404
    links: Mapping[str, str] = dict(re.findall(r'Incident: <a href="([^"]+)">([^<]+)', page))
    assert links.get(f"/en/agreements/{TOKEN}/incidents/qqqqqqqqqqqq") == "Quagga escaped"
    assert links.get("/en/incidents/pppppppppppp") == "For everybody"
    # The public pages of private components do not exist: nothing links to them.
    assert "/en/clusters/zebra" not in page
    assert "/en/clusters/eu/website" in page


async def test_the_same_pages_can_live_elsewhere() -> None:
    """As the console shows them to an account of the customer: under another address, with the same rules."""
    seen, who = estate()
    told = secrets_told()
    whole = Snapshot(seen, News(NOW, told.incidents, told.works), who)
    visit = Visit(
        whole,
        who.holders["nordwind"],
        SETTINGS,
        assets_of(SETTINGS, None)[0],
        "de",
        "/customer/{language}",
        NOW,
        origin="https://status.example.test",
    )
    html = await CustomerPages(FakeReader(seen), told).page(visit, "", {})
    assert html is not None
    assert 'href="/customer/de/clusters/zebra"' in html
    assert 'href="/customer/en/"' in html
    assert 'href="https://status.example.test/de/formula"' in html
    assert not re.search(r'href="/(de|en)/', html)
    assert await CustomerPages(FakeReader(seen), told).page(visit, "clusters/usa", {}) is None
