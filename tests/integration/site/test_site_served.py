"""The site over real sockets: streams, compression, shutting down, and a browser that stays up to date."""

import asyncio
import re

import brotli
from playwright.async_api import Page, async_playwright
from site_client import TOKEN
from site_estates import overview
from site_news import MAJOR, edited, incident, maintenance
from site_served import ServedSite

from holdfast.availability.model import State

BROWSER = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROKEN = {("eu", "api"): State.MAJOR_OUTAGE}


async def ask(port: int, address: str, *headers: str) -> tuple[str, bytes]:
    """Head and body of one answer, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {address} HTTP/1.1", "host: x", "connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode(), body


async def test_pages_travel_compressed(served: ServedSite) -> None:
    head, body = await ask(served.port, "/de/", "accept-encoding: br, gzip")
    assert head.startswith("HTTP/1.1 200")
    assert "content-encoding: br" in head
    assert "Alle Systeme betriebsbereit" in brotli.decompress(body).decode()
    etag = re.search(r"etag: (.*)", head)
    assert etag
    head, body = await ask(served.port, "/de/", f"if-none-match: {etag[1].strip()}")
    assert head.startswith("HTTP/1.1 304")
    assert body == b""


async def test_a_stream_hears_of_a_change_and_ends_with_the_server(served: ServedSite) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-type: text/event-stream" in head
        await reader.readuntil(b"retry: 5000")
        served.reader.now_overview = overview(10, states=BROKEN)
        await served.site.publisher.turn()
        await reader.readuntil(b"event: changed")
        await served.stop()
        await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_who_hangs_up_frees_the_place(served: ServedSite) -> None:
    for _ in range(40):  # more than one address may hold at a time
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(60):
            while len(served.site._streams):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def headline(page: Page) -> str:
    return (await page.inner_text("h1")).strip()


async def test_an_open_page_follows_without_losing_its_place(served: ServedSite, chromium: str) -> None:
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium, args=BROWSER)
        page = await browser.new_page(viewport={"width": 390, "height": 700})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        async with page.expect_request("**/events"):
            await page.goto(f"{served.url}/en/")
        assert await headline(page) == "All systems operational"
        await page.evaluate("window.sameDocument = true")
        await page.click("#c-usa > summary")  # the reader closed a cluster ...
        await page.focus("#c-eu2 > summary")  # ... stands on another ...
        await page.evaluate("scrollTo(0, 300)")  # ... and has scrolled
        async with asyncio.timeout(60):
            while not len(served.site._streams):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        served.reader.now_overview = overview(10, states=BROKEN)
        await served.site.publisher.turn()
        # Not `wait_for_function`: it evaluates text in the page, which the site's policy rightly forbids.
        await page.wait_for_selector("h1:has-text('Major outage: EU API')")
        assert await page.evaluate("window.sameDocument")
        assert await page.evaluate("document.querySelector('#c-usa').open") is False
        assert await page.evaluate("document.activeElement.parentElement.id") == "c-eu2"
        assert await page.evaluate("scrollY") == 300
        assert "Major outage: EU API" in await page.inner_text("#news")
        assert "Major outage" in await page.title()
        assert complaints == []
        await browser.close()


async def test_no_page_is_wider_than_a_small_phone(served: ServedSite, chromium: str) -> None:
    served.reader.now_overview = overview(10, states=BROKEN, maintained=("usa", "website"), sample=True)
    long = f"It is `{'x' * 200}` and https://example.test/{'y' * 200}\n\n    {'z' * 300}\n"
    wide = incident(title="Donaudampfschifffahrtsgesellschaft" * 4, body=long, affected={1: MAJOR, 2: MAJOR})
    served.news.incidents = [edited(wide)]
    served.news.works = [maintenance(title="Instandhaltungsmaßnahme" * 6, body=long)]
    await served.site.publisher.turn()
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium, args=BROWSER)
        context = await browser.new_context(viewport={"width": 320, "height": 640}, java_script_enabled=False)
        page = await context.new_page()
        for address in (
            "/de/",
            "/de/clusters/eu",
            "/de/clusters/eu/api",
            "/de/clusters/eu/api?range=1y",
            "/de/clusters/eu/api?from=x",
            "/de/history",
            "/de/formula",
            "/de/incidents",
            "/de/incidents/abcdefghijkl",
            "/de/maintenance/mmmmmmmmmmmm",
            f"/de/agreements/{TOKEN}",
            "/de/nowhere",
        ):
            await page.goto(served.url + address)
            size = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert size == [320, 320], address
        await browser.close()
