"""A copy opened as readers open it: below a path of a plain web server, and from disk; nothing is missing."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from copied_site import extent, ready, site_over
from playwright.async_api import Page, async_playwright
from reported import NOW, Past

from holdfast.interfaces.staticsite.exporting import copied
from holdfast.interfaces.staticsite.folder import CopyFolder

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture
async def copy(tmp_path: Path) -> Path:
    past = Past()
    await past.fill()
    await past.freeze()
    async with ready(site_over(past)) as site:
        made, _ = await copied(site, NOW, extent(2, site))
    root = tmp_path / "web" / "some" / "path"
    CopyFolder(root).replace(made.files())
    return root


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Python's own web server, which knows nothing but files."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = line.partition(" port ")[2].split()[0]
        url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            with contextlib.suppress(URLError), urlopen(url):
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Watched:
    """A page that keeps account of everything that went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure or ""))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda told: self._told(told.type, f"{told.text} ({told.location['url']})"))
        page.on(
            "response",
            lambda answer: (
                self.wrong.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None
            ),
        )

    def _failed(self, url: str, why: str) -> None:
        # Whoever clicks on before a page is complete lets go of the rest of it.
        if "ERR_ABORTED" not in why:
            self.wrong.append(f"failed: {url}: {why}")

    def _told(self, kind: str, text: str) -> None:
        if kind == "error":
            self.wrong.append(text)


async def test_a_copy_works_below_a_path_and_from_disk(copy: Path) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "no Chromium: run scripts/test-needs"
    with served(copy.parents[1]) as url:
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=chromium, args=FLAGS)
            try:
                for root in (f"{url}/some/path", copy.as_uri()):
                    page = await browser.new_page()
                    watched = Watched(page)
                    await _walked(page, root)
                    assert watched.wrong == [], root
                    await page.close()
            finally:
                await browser.close()


async def _walked(page: Page, root: str) -> None:
    """From the entrance through every kind of page by its links, as a reader does."""
    await page.goto(f"{root}/index.html")
    await page.wait_for_url("**/en/index.html")
    assert "Printcloud" in await page.title()
    colour = await page.evaluate("getComputedStyle(document.querySelector('header.top')).backgroundColor")
    assert colour != "rgba(0, 0, 0, 0)", "the stylesheet is there"
    assert await page.locator("text=This is a copy of the site").count() == 1
    await page.get_by_role("link", name="Website").first.click()
    await page.wait_for_url("**/clusters/eu/website/index.html")
    await page.get_by_role("link", name="1 year").click()
    await page.wait_for_url("**/range-1y.html")
    assert await page.locator("svg path.p50").count() == 1
    await page.get_by_role("link", name="Deutsch").click()
    await page.wait_for_url("**/de/clusters/eu/website/range-1y.html")
    await page.get_by_role("link", name="Verlauf").click()
    await page.wait_for_url("**/de/history/index.html")
    await page.get_by_role("link", name="Berichte").first.click()
    await page.wait_for_url("**/de/reports/index.html")
    assert not await page.locator("form").first.is_visible(), "nobody would answer it"
    await page.get_by_role("link", name="Okt. 2026").first.click()
    await page.wait_for_url("**/reports/eu/month-2026-10.html")
    href = await page.get_by_role("link", name="PDF").get_attribute("href")
    assert href == "month-2026-10.pdf"
    await page.get_by_role("link", name="Status").first.click()
    await page.wait_for_url("**/de/index.html")
