"""A whole site as files: complete, free of dead links, and silent about what is private."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from copied_site import extent, large_site, put, ready, site_over
from copy_links import dead_links
from reported import ESTATE, NOW, Past, renamed
from site_client import ask

from holdfast.interfaces.site.app import create_site
from holdfast.interfaces.site.readership import readership_of
from holdfast.interfaces.staticsite.crawling import TooLarge
from holdfast.interfaces.staticsite.exporting import copied


@pytest.fixture
async def past() -> Past:
    made = Past()
    await made.fill()
    await made.freeze()
    return made


async def files_of(past: Past, months: int = 3, **more: object) -> dict[str, bytes]:
    async with ready(site_over(past, **more)) as site:
        copy, crawl = await copied(site, NOW, extent(months, site))
        assert not crawl.missing
        files = {file.path: file.content for file in copy.files()}
        assert len(files) == len(copy)
        return files


async def test_everything_that_is_public_is_there_in_every_language(past: Past) -> None:
    files = await files_of(past)

    for language in ("en", "de"):
        for page in (
            "index.html",
            "formula/index.html",
            "history/index.html",
            "history/2026-10/index.html",
            "history/2026-10/eu/index.html",
            "clusters/eu/index.html",
            "clusters/eu/api/index.html",
            "clusters/eu/website/range-7d.html",
            "clusters/eu/website/range-1y.html",
            "incidents/index.html",
            "reports/index.html",
            "reports/eu/month-2026-10.html",
            "reports/eu/api/month-2026-10.pdf",
            "reports/eu/api/month-2026-10.csv",
            "reports/eu/api/month-2026-10.json",
        ):
            assert f"{language}/{page}" in files, page
    assert {"index.html", "404.html", "favicon.svg", "robots.txt", "api/v1/status.json"} <= set(files)
    assert {"badges/eu.svg", "badges/eu/api.svg", "badges/eu.show-availability.svg"} <= set(files)
    assert files["de/reports/eu/api/month-2026-10.pdf"].startswith(b"%PDF-")
    assert json.loads(files["api/v1/status.json"])["clusters"][0]["key"] == "eu"


async def test_no_link_is_dead(past: Past, tmp_path: Path) -> None:
    files = await files_of(past)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    assert dead_links(tmp_path) == []


async def test_no_link_of_a_larger_site_is_dead(past: Past, tmp_path: Path) -> None:
    async with ready(large_site(past)) as site:
        copy, _ = await copied(site, NOW, extent(2, site))
        put(list(copy.files()), tmp_path)

    assert dead_links(tmp_path) == []
    assert (tmp_path / "en/clusters/usa/api/range-6m.html").exists()


async def test_nothing_private_is_in_a_copy(past: Past) -> None:
    files = await files_of(past)

    assert not [path for path in files if "vip" in path or "agreements" in path or "customers" in path]
    for path, content in files.items():
        assert b"ault" not in content.replace(b"efault", b""), path
        assert b"t" * 40 not in content
        assert b"Nordwind" not in content


async def test_a_copy_says_when_it_was_made(past: Past) -> None:
    files = await files_of(past)

    assert "This is a copy of the site, made 22 November 2026, 14:03 CET." in files["en/index.html"].decode()
    assert "Dies ist eine Kopie der Seite" in files["de/clusters/eu/api/index.html"].decode()


async def test_the_entrance_needs_no_server(past: Past) -> None:
    files = await files_of(past)

    assert '<meta http-equiv="refresh" content="0; url=en/index.html">' in files["index.html"].decode()
    assert '<a href="de/index.html" lang="de" hreflang="de">Deutsch</a>' in files["index.html"].decode()
    missing = files["404.html"].decode()
    assert "There is no such page" in missing
    assert "Diese Seite gibt es nicht" in missing
    assert 'href="' not in missing.replace('href="data:,"', ""), "whatever its address is, no link is wrong"
    assert '<link rel="icon" href="data:,"' in files["index.html"].decode(), "nobody asks for /favicon.ico"


async def test_links_to_what_a_copy_has_not_lead_to_the_live_site(past: Past, tmp_path: Path) -> None:
    renamed(past, title="Printcloud", time_zone="Europe/Berlin", url="https://status.example")
    files = await files_of(past)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    assert dead_links(tmp_path, live="https://status.example/") == []
    page = files["en/clusters/eu/api/index.html"].decode()
    assert 'action="https://status.example/en/clusters/eu/api"' in page
    assert "https://status.example/en/" in files["404.html"].decode()


async def test_a_copy_has_no_more_months_than_were_asked_for(past: Past) -> None:
    files = await files_of(past, months=2)

    months = {path.split("/")[2] for path in files if path.startswith("en/history/2")}
    assert months == {"2026-10", "2026-11"}


async def test_what_a_page_needs_comes_before_the_page(past: Past) -> None:
    async with ready(site_over(past)) as site:
        copy, _ = await copied(site, NOW, extent(2, site))
        order = [file.path for file in copy.files()]

    assert order[-1] == "index.html"
    styles = max(order.index(each) for each in order if each.startswith("static/"))
    pages = [order.index(each) for each in order if each.endswith(".html")]
    assert styles < min(pages)
    assert (
        order.index("en/clusters/eu/api/range-7d.html")
        < order.index("en/clusters/eu/index.html")
        < order.index("en/index.html")
    )


async def test_without_a_database_a_copy_has_what_the_snapshot_has(past: Past, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.json"
    async with ready(site_over(past, snapshot_file=snapshot)):
        async with asyncio.timeout(60):
            while not snapshot.exists():  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.005)
    past.clock.advance(timedelta(hours=3).total_seconds())
    site = create_site(
        _Away(),
        settings=lambda: ESTATE.site,
        clock=past.clock,
        snapshot_file=snapshot,
        readership=lambda: readership_of(ESTATE, past.inventory.registered),
    )
    async with ready(site):
        copy, crawl = await copied(site, past.clock.now(), extent(3, site))
        files = {file.path: file.content for file in copy.files()}
    put(list(copy.files()), tmp_path / "copy")

    assert "Live figures are unavailable" in files["en/index.html"].decode()
    assert crawl.missing, "what the snapshot has not is known to be missing"
    assert {"en/clusters/eu/index.html", "en/clusters/eu/api/range-7d.html"} <= set(files)
    assert "en/clusters/eu/api/range-1y.html" not in files
    assert dead_links(tmp_path / "copy") == []


class _Away:
    async def _away(self, *_: object, **__: object) -> object:
        raise OSError("no database")

    overview = component = month = agreement = _away


async def test_a_site_without_end_is_refused(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.interfaces.staticsite.crawling.MOST_PAGES", 20)
    async with ready(site_over(past)) as site:
        with pytest.raises(TooLarge, match="more than 20 pages"):
            await copied(site, NOW, extent(3, site))


async def test_progress_is_told(past: Past) -> None:
    told: list[tuple[int, int]] = []
    async with ready(site_over(past)) as site:
        await copied(site, NOW, extent(1, site), lambda done, known: told.append((done, known)))
        assert (await ask(site, "/en/")).status == 200

    assert told[-1][0] == told[-1][1] > 20
