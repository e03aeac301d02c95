"""A site to be copied."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from reported import NOW, Past
from site_client import NEVER
from site_estates import FakeReader, overview

from holdfast.estate.model import Site
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.readership import readership_of
from holdfast.interfaces.staticsite.addresses import Extent
from holdfast.interfaces.staticsite.copying import File
from holdfast.interfaces.staticsite.exporting import extent_of

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
        more.pop("reader", past.reader),
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


def put(files: list[File], root: Path) -> None:
    for file in files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


def extent(months: int, site: StatusSite) -> Extent:
    return extent_of(site.publisher.edition, NOW, months=months, report_months=months)
