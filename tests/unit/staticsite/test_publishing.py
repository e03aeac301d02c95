"""Copies in several places: each follows every change, and one that is away delays no other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from copied_site import ready, site_over
from copy_links import dead_links
from reported import Past, incident, renamed
from site_client import ask

from holdfast.adapters.objectstore.bucket import Bucket, open_bucket
from holdfast.bootstrap.publishing import Publishing, options_of, place_findings
from holdfast.communication.news import News
from holdfast.estate.communication import Publish
from holdfast.interfaces.site.app import StatusSite
from holdfast.interfaces.staticsite.ports import Bucket as BucketPort
from holdfast.interfaces.staticsite.publishing import Copies, Pace, PlaceNamed
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError

SOON = Pace(look_s=0.02, debounce_s=0.02, quick_s=3600, again_s=0.05, longest_again_s=0.2)
EU, USA = PlaceNamed("eu", "file:///eu"), PlaceNamed("usa", "file:///usa")


@pytest.fixture
async def past() -> Past:
    made = Past()
    await made.fill()
    await made.freeze()
    return made


class Places:
    """Two folders, either of which may be away."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.away: set[str] = set()
        self.wanted = [EU, USA]

    def open(self, place: PlaceNamed) -> BucketPort:
        return _MaybeAway(self, place.region, open_bucket(f"file://{self.root}/{place.region}", {}))

    def text(self, region: str, path: str) -> str:
        file = self.root / region / path
        return file.read_text() if file.exists() else ""


class _MaybeAway:
    def __init__(self, places: Places, region: str, bucket: Bucket) -> None:
        self._places, self._region, self._bucket = places, region, bucket

    def _look(self) -> None:
        if self._region in self._places.away:
            raise HoldfastError("the region is gone")

    async def put(self, path: str, content: bytes, *, media_type: str, cache: str) -> None:
        self._look()
        await self._bucket.put(path, content, media_type=media_type, cache=cache)

    async def get(self, path: str) -> bytes | None:
        self._look()
        return await self._bucket.get(path)

    async def delete(self, path: str) -> None:
        self._look()
        await self._bucket.delete(path)


async def until(look: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not look():  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"still not: {what}") from None


@asynccontextmanager
async def kept(site: StatusSite, places: Places, pace: Pace = SOON) -> AsyncIterator[Copies]:
    copies = Copies(site, lambda: places.wanted, places.open, SystemClock(), pace)
    running = asyncio.create_task(copies.run())
    try:
        yield copies
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_every_place_gets_a_whole_copy(past: Past, tmp_path: Path) -> None:
    places = Places(tmp_path)
    async with ready(site_over(past)) as site, kept(site, places) as copies:
        await until(lambda: _whole(copies, 2), "everything is everywhere")

    for region in ("eu", "usa"):
        assert dead_links(tmp_path / region) == []
        assert "Printcloud" in places.text(region, "de/index.html")
        assert (tmp_path / region / "en/reports/eu/month-2026-10.pdf").exists()


async def test_a_change_is_everywhere_at_once_and_one_place_that_is_away_catches_up(
    past: Past, tmp_path: Path
) -> None:
    places = Places(tmp_path)
    async with ready(site_over(past)) as site, kept(site, places) as copies:
        await until(lambda: _whole(copies, 2), "written")
        places.away.add("usa")

        renamed(past, title="Printcloud anew", time_zone="Europe/Berlin")
        await site.publisher.turn()
        await until(lambda: "Printcloud anew" in places.text("eu", "de/index.html"), "the change is in EU")
        await until(lambda: copies.standings[USA].failures >= 2, "it is tried again and again")
        assert "anew" not in places.text("usa", "de/index.html")
        assert copies.standings[EU].failures == 0
        assert dead_links(tmp_path / "eu") == []

        places.away.clear()
        await until(
            lambda: "Printcloud anew" in places.text("usa", "de/index.html"), "USA catches up by itself"
        )
        await until(lambda: copies.standings[USA].failures == 0, "it is well again")
        assert (await ask(site, "/en/")).status == 200


async def test_a_place_that_leaves_the_estate_is_left_alone(past: Past, tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.wanted = [EU]
    async with ready(site_over(past)) as site, kept(site, places) as copies:
        await until(lambda: copies.standings.get(EU) and copies.standings[EU].writes, "EU is written")
        places.wanted = [USA]
        await until(lambda: copies.standings.get(USA) and copies.standings[USA].writes, "USA is written")

        assert EU not in copies.standings
        assert (tmp_path / "eu/index.html").exists(), "nobody asked for it to be deleted"


async def test_without_places_nothing_is_made(past: Past, tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.wanted = []
    async with ready(site_over(past)) as site, kept(site, places):
        before = site.publisher.counts.renders
        await site.publisher.turn()
        await asyncio.sleep(0.2)
        assert site.publisher.counts.renders > before
        assert _is_empty(tmp_path)


def _whole(copies: Copies, places: int) -> bool:
    """Everything is in every place: pages come first, reports then."""
    return len(copies.standings) == places and all(each.writes >= 2 for each in copies.standings.values())


def _is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


async def test_while_the_database_is_away_a_copy_loses_no_page(past: Past, tmp_path: Path) -> None:
    places = Places(tmp_path)
    reader = _Switched(past)
    async with ready(site_over(past, reader=reader)) as site, kept(site, places) as copies:
        await until(lambda: _whole(copies, 2), "written")
        reader.away = True
        await site.publisher.turn()
        await until(
            lambda: "Live figures are unavailable" in places.text("eu", "en/index.html"), "the copy says so"
        )

        assert places.text("eu", "en/clusters/eu/api/range-1y.html"), "what was known stays"
        assert places.text("eu", "en/history/2026-10/index.html")
        assert dead_links(tmp_path / "eu") == []


class _Switched:
    """The reader of the past, which may be away."""

    def __init__(self, past: Past) -> None:
        self._reader = past.reader
        self.away = False

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise OSError("no database")
        return getattr(self._reader, name)


async def test_ages_are_told_to_metrics(past: Past, tmp_path: Path) -> None:
    renamed(
        past,
        title="Printcloud",
        time_zone="Europe/Berlin",
        publish=[{"region": "fra", "to": f"file://{tmp_path}/a"}, {"region": "fra", "to": "s3://b/c"}],
    )
    publishing = Publishing(tmp_path / "holdfast.yaml", past.clock, lambda: past.inventory.estate.site, SOON)
    async with ready(site_over(past, copies=publishing.ages)) as site:
        running = asyncio.create_task(publishing.run(site))
        try:
            await until(
                lambda: [each for each in publishing.ages() if each.age_s is not None], "one is written"
            )
            await until(lambda: [each for each in publishing.ages() if each.failures], "the other fails")
            past.clock.advance(90)
            told = (await ask(site, "/metrics")).text
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert f'holdfast_site_copy_age_seconds{{region="fra",to="file://{tmp_path}/a"}} 90.000' in told
    assert 'holdfast_site_copy_age_seconds{region="fra",to="s3://b/c"}' not in told, "it was never written"
    assert 'holdfast_site_copy_failing{region="fra",to="s3://b/c"} ' in told


def test_secrets_of_a_place_are_read_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET_SECRET", "hunter2")
    place = Publish.model_validate(
        {
            "region": "eu",
            "to": "s3://b",
            "options": {"secret_access_key": "env:BUCKET_SECRET", "region": "eu"},
        }
    )
    assert options_of(place, tmp_path / "holdfast.yaml") == {"secret_access_key": "hunter2", "region": "eu"}
    assert "hunter2" not in repr(place)


async def test_places_are_tried_without_writing(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    places = [
        {"region": "fra", "to": f"file://{tmp_path}/a"},
        {"region": "fra", "to": "s3://b", "options": {"secret_access_key": "env:NOT_SET"}},
    ]
    renamed(past, title="Printcloud", publish=places)
    found = await place_findings(past.inventory.estate, tmp_path / "holdfast.yaml")

    assert [(each.ok, each.subject) for each in found] == [
        (True, "copy of the site in fra"),
        (False, "copy of the site in fra"),
    ]
    assert found[0].text == "no copy yet"
    assert "NOT_SET" in found[1].text


async def test_an_incident_is_in_the_copy_without_waiting_for_the_rest(past: Past, tmp_path: Path) -> None:
    """A quick copy: its page is linked to, and every old link still leads somewhere."""
    places = Places(tmp_path)
    places.wanted = [EU]
    news = _News(past)
    async with ready(site_over(past, news=news)) as site, kept(site, places) as copies:
        await until(lambda: copies.standings.get(EU) and copies.standings[EU].writes, "EU is written")
        news.told.append(incident(7, "Printers are on strike", 1, began_at=past.clock.now()))
        await site.publisher.turn()
        await until(lambda: places.text("eu", "en/incidents/inc000000007/index.html"), "its page is there")
        await until(lambda: "on strike" in places.text("eu", "en/index.html"), "it is on the first page")

        assert dead_links(tmp_path / "eu") == []


async def test_what_becomes_private_is_gone_from_every_copy(past: Past, tmp_path: Path) -> None:
    """Its pages, its reports, its badges: whoever asks for them by their old name finds nothing."""
    places = Places(tmp_path)
    async with ready(site_over(past)) as site, kept(site, places) as copies:
        await until(lambda: places.text("usa", "en/reports/eu/api/month-2026-10.csv"), "reports are there")
        hide(past, "eu", "api")
        await site.publisher.turn()
        await until(lambda: not _about(tmp_path, "api"), "everything about it is gone")

        assert copies.standings[EU].failures == 0
    assert places.text("eu", "en/clusters/eu/website/index.html")
    assert dead_links(tmp_path / "eu") == []


def _about(folder: Path, component: str) -> list[str]:
    """What is left of a component's own files."""
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [each for each in paths if f"/eu/{component}/" in each or each.endswith(f"/eu/{component}.svg")]


def hide(past: Past, cluster: str, component: str) -> None:
    """Take a public component out of the estate that is shown."""
    estate = past.inventory.estate
    shown = estate.clusters[cluster]
    left = {key: each for key, each in shown.components.items() if key != component}
    clusters = {**estate.clusters, cluster: shown.model_copy(update={"components": left})}
    registered = past.inventory.registered
    past.inventory = replace(
        past.inventory,
        estate=estate.model_copy(update={"clusters": clusters}),
        registered=replace(
            registered,
            components={
                pair: each for pair, each in registered.components.items() if pair != (cluster, component)
            },
            checks={
                each: number for each, number in registered.checks.items() if each[:2] != (cluster, component)
            },
        ),
    )


class _News:
    """A NewsSource over a list."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self.told = list(past.incidents.incidents_told)

    def _news(self) -> News:
        return News(self._past.clock.now(), list(reversed(self.told)))

    async def news(self) -> News:
        return self._news()

    async def month(self, window: object) -> News:
        del window
        return self._news()

    async def incident(self, incident_id: str) -> object:
        return next((each for each in self.told if each.id == incident_id), None)

    async def maintenance(self, maintenance_id: str) -> None:
        del maintenance_id
