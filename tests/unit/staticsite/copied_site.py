"""A site to be copied, and a checker that follows every link of a copy on disk."""

import asyncio
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reported import Past
from site_client import NEVER
from site_estates import FakeReader, overview

from holdfast.estate.model import Site
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.readership import readership_of
from holdfast.interfaces.staticsite.copying import File

SITE = Site(title="Printcloud", time_zone="Europe/Berlin")


@asynccontextmanager
async def ready(site: StatusSite) -> AsyncIterator[StatusSite]:
    async with site.router.lifespan_context(site):
        async with asyncio.timeout(60):
            while not site.publisher.counts.renders:  # noqa: ASYNC110 - a counter rings no bell
                await asyncio.sleep(0.005)
        yield site


def site_over(past: Past, **more: Any) -> StatusSite:
    """A whole site: two public components, one private, reports of them, an agreement behind a link."""
    more.setdefault("settings", lambda: past.inventory.estate.site)
    return create_site(
        past.reader,
        clock=past.clock,
        reports=past.desk(),
        readership=lambda: readership_of(past.inventory.estate, past.inventory.registered),
        report_links=lambda: {"premium": "t" * 40},
        rhythm=NEVER,
        **more,
    )


def large_site(past: Past, components: int = 10) -> StatusSite:
    """One with outages, maintenance, gaps and charts of every kind."""
    return create_site(
        FakeReader(overview(components)), settings=lambda: SITE, clock=past.clock, rhythm=NEVER
    )


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "action"} and value is not None and tag != "use":
                self.found.append((tag, value))
            if name == "id" and value:
                self.ids.add(value)


def dead_links(root: Path, *, live: str = "") -> list[str]:
    """Every link of every page under `root` that leads to no file of it, as a browser would read it."""
    pages: dict[str, _Links] = {}
    for path in root.rglob("*.html"):
        links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
        pages[path.relative_to(root).as_posix()] = links
    assert len(pages) > 5, "there is next to nothing to check"
    dead = []
    for page, links in pages.items():
        for _tag, href in links.found:
            parts = urlsplit(href)
            if parts.scheme and live and href.startswith(live):
                continue
            if parts.scheme or parts.netloc or parts.path.startswith("/") or parts.query:
                dead.append(f"{page}: {href}")
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
                if parts.path
                else page
            )
            if target.startswith("..") or not (root / target).is_file():
                dead.append(f"{page}: {href}")
            elif parts.fragment and target in pages and parts.fragment not in pages[target].ids:
                dead.append(f"{page}: {href} (no such place)")
    return dead


def put(files: list[File], root: Path) -> None:
    for file in files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
