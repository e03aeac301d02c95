"""Makes a copy of a running site, or of what one remembers: crawl, rewrite, write."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.interfaces.site.app import StatusSite
from holdfast.interfaces.site.publisher import Edition
from holdfast.interfaces.staticsite.addresses import Address, Depth, Extent
from holdfast.interfaces.staticsite.copying import Copy
from holdfast.interfaces.staticsite.crawling import AT_ONCE, Crawl, Shown, crawled
from holdfast.interfaces.staticsite.folder import Written

STATUSPAGE = (
    "summary",
    "status",
    "components",
    "incidents",
    "incidents/unresolved",
    "scheduled-maintenances",
    "scheduled-maintenances/upcoming",
    "scheduled-maintenances/active",
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to. `at` is how old the site's knowledge is; `live`: the database answered."""

    folder: Path
    written: Written
    at: datetime
    live: bool
    left_out: int


def seeds_of(edition: Edition) -> Iterator[Address]:
    """Where a crawl begins: every entrance, and what no page links to."""
    for language in edition.renderers:
        yield Address(f"/{language}/")
    yield Address("/favicon.svg")
    yield Address("/robots.txt")
    yield Address("/api/v1/status.json")
    for name in STATUSPAGE:
        yield Address(f"/api/v2/{name}.json")
    clusters = edition.snapshot.overview.clusters if edition.snapshot else ()
    badges = [each.key for each in clusters]
    badges += [f"{each.key}/{one.status.key}" for each in clusters for one in each.components]
    for name in badges:
        yield Address(f"/badges/{name}.svg")
        yield Address(f"/badges/{name}.svg", (("show", "availability"),))


async def copied(
    site: StatusSite,
    now: datetime,
    extent: Extent,
    shown: Shown = lambda *_: None,
    *,
    known: Mapping[Address, str] | None = None,
    at_once: int = AT_ONCE,
) -> tuple[Copy, Crawl]:
    """The copy of what the site shows now. The site's own edition must be there.

    `known` are the files that the copy has besides what a crawl of this depth looks at, by address.
    """
    edition = site.publisher.edition
    seeds = [each for each in seeds_of(edition) if extent.covers(each)]
    crawl = await crawled(site, extent, seeds, shown, at_once)
    return Copy(crawl, edition.site, extent.languages, now, known), crawl


def extent_of(
    edition: Edition, now: datetime, *, months: int, report_months: int, depth: Depth = Depth.ALL
) -> Extent:
    """The extent of a copy of this edition, which must be there."""
    languages = tuple(edition.renderers)
    today = edition.renderers[languages[0]].t.local(now).date()
    return Extent(languages, today, months, report_months, depth)
