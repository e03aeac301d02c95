"""A customer's own pages: the site, made of nothing but what that customer may see.

    ""                           the overall page: their components, incidents, maintenance, agreements
    clusters/eu, clusters/eu/api one cluster, one component
    incidents, incidents/ID      and maintenance/ID
    agreements/KEY               the report of an agreement

The site serves them by secret link; the console serves the same to an account that belongs to the customer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from holdfast.availability.views import ClusterStatus
from holdfast.communication.model import Maintenance
from holdfast.communication.news import News
from holdfast.estate.model import Site
from holdfast.interfaces.site.news_rendering import NewsRenderer
from holdfast.interfaces.site.ports import NewsSource, StatusReader
from holdfast.interfaces.site.ranges import (
    RangeError,
    month_of,
    named_range,
    requested_range,
    within_month,
)
from holdfast.interfaces.site.readership import (
    Holder,
    Readership,
    cut_component,
    cut_statement,
    holders_news,
    incident_for,
)
from holdfast.interfaces.site.reading import GoneError, reading, told_in
from holdfast.interfaces.site.rendering import Assets, Frame, Renderer, Staleness
from holdfast.interfaces.site.reports import ReportRenderer
from holdfast.interfaces.site.snapshot import DAYS, Snapshot, last_days
from holdfast.interfaces.site.telling import Links
from holdfast.kernel.windows import month_window

_FROM_SNAPSHOT = {"7d": 7, "30d": 30}


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks, in which language, at what was read when; `home` is where the pages live.

    `home` holds the language in braces: `/{language}/customers/SECRET`. `origin` is the public site's, for
    pages that live elsewhere; empty on the site itself. `account` is where who is logged in finds their own
    page. `stale` says that the database is away.
    """

    whole: Snapshot
    holder: Holder
    site: Site
    assets: Assets
    language: str
    home: str
    now: datetime
    origin: str = ""
    account: str = ""
    stale: Staleness | None = None

    @property
    def frame(self) -> Frame:
        return Frame(
            self.home, private=True, customer=self.holder.name, site=self.origin, account=self.account
        )


async def read_whole(
    reader: StatusReader, news: NewsSource, readership: Callable[[], Readership]
) -> Snapshot:
    """What a visit needs, read now: for who keeps no snapshot of its own. Raises AwayError."""
    async with reading():
        overview, told = await reader.overview(days=DAYS), await news.news()
        return Snapshot(overview, told, readership())


class CustomerPages:
    """Makes each page as HTML. None: there is no such page for this customer."""

    def __init__(self, reader: StatusReader, news: NewsSource) -> None:
        self._reader = reader
        self._news = news

    async def page(self, visit: Visit, path: str, query: Mapping[str, str]) -> str | None:
        """The page at `path` below the visit's home. Raises AwayError where the snapshot does not have it."""
        seen = await asyncio.to_thread(visit.whole.for_holder, visit.holder)
        renderer = Renderer(visit.language, visit.site, visit.assets, visit.frame)
        making = _Making(visit, seen, renderer, self._reader, self._news)
        made: Awaitable[str | None]
        match path.strip("/").split("/"):
            case [""]:
                made = making.overall()
            case ["incidents"]:
                made = making.month(query.get("month"))
            case ["incidents", incident_id]:
                made = making.incident(incident_id)
            case ["maintenance", maintenance_id]:
                made = making.maintenance(maintenance_id)
            case ["clusters", cluster]:
                made = making.cluster(cluster)
            case ["clusters", cluster, component]:
                made = making.component(cluster, component, query)
            case ["agreements", key]:
                made = making.agreement(key, query.get("month"))
            case _:
                return None
        return await made


@dataclass(frozen=True, slots=True)
class _Making:
    """One page being made: `seen` is all that may be on it."""

    visit: Visit
    seen: Snapshot
    renderer: Renderer
    reader: StatusReader
    source: NewsSource

    async def overall(self) -> str:
        return await asyncio.to_thread(
            self.renderer.overall,
            self.seen.overview,
            self.visit.stale,
            self.seen.news,
            {f"{self.renderer.home}/agreements/{key}": name for key, name in self._agreements.items()},
        )

    @property
    def _agreements(self) -> Mapping[str, str]:
        return self.visit.holder.agreements

    def _cluster(self, key: str) -> ClusterStatus | None:
        return next((each for each in self.seen.overview.clusters if each.key == key), None)

    async def cluster(self, key: str) -> str | None:
        cluster = self._cluster(key)
        if cluster is None:
            return None
        make = self.renderer.cluster
        return await asyncio.to_thread(make, self.seen.overview, cluster, self.visit.stale, self.seen.news)

    async def component(self, cluster_key: str, key: str, query: Mapping[str, str]) -> str | None:
        cluster = self._cluster(cluster_key)
        known = (
            next((each for each in cluster.components if each.status.key == key), None) if cluster else None
        )
        if cluster is None or known is None:
            return None
        now, zone = self.visit.now, self.renderer.t.zone
        try:
            chosen = requested_range(query, now, zone)
        except RangeError:
            chosen = named_range("30d", now, zone)
        page = ReportRenderer(self.renderer).component
        if self.visit.stale is not None:
            kept = last_days(known, _FROM_SNAPSHOT.get(chosen.name, 30))
            return page(kept, cluster, chosen, self.seen.at, stale=self.visit.stale, snapshot=self.seen)
        async with reading():
            report = await self.reader.component(cluster_key, key, chosen.window)
        if report is None:
            return None
        seen = cut_component(report, known, self.seen.overview)
        return await asyncio.to_thread(
            lambda: page(seen.history, cluster, chosen, now, report=seen, snapshot=self.seen)
        )

    async def incident(self, incident_id: str) -> str | None:
        known = self.seen.news.incident(incident_id)
        if known is None:
            async with reading(away=self.visit.stale is not None):
                found = await self.source.incident(incident_id)
            known = incident_for(found, self.visit.whole.readership, self.visit.holder)
        if known is None:
            return None
        pages = NewsRenderer(self.renderer)
        return pages.incident(known, self.seen.overview, self.seen.at, self.visit.stale)

    async def maintenance(self, maintenance_id: str) -> str | None:
        known: Maintenance | None = self.seen.news.maintenance_of(maintenance_id)
        if known is None:
            async with reading(away=self.visit.stale is not None):
                found = await self.source.maintenance(maintenance_id)
            told = News(maintenance=[found] if found else [])
            cut = holders_news(told, self.visit.whole.readership, self.visit.holder).maintenance
            known = cut[0] if cut else None
        if known is None:
            return None
        pages = NewsRenderer(self.renderer)
        return pages.maintenance(known, self.seen.overview, self.seen.at, self.visit.stale)

    async def month(self, text: str | None) -> str | None:
        first = self._first_of(text)
        if first is None:
            return None
        window = month_window(first.year, first.month, self.renderer.t.zone)
        whole = await told_in(window, self.visit.whole, self.source, away=self.visit.stale is not None)
        news = holders_news(whole, self.visit.whole.readership, self.visit.holder)
        pages = NewsRenderer(self.renderer)
        return pages.month(news, self.seen.overview, first, self.seen.at, self.visit.stale)

    async def agreement(self, key: str, text: str | None) -> str | None:
        first = self._first_of(text)
        if first is None or key not in self._agreements:
            return None
        return await agreement_page(
            self.reader,
            self.source,
            self.renderer,
            key,
            first,
            self.visit.whole,
            address=f"agreements/{key}",
            now=self.visit.now,
        )

    def _first_of(self, text: str | None) -> date | None:
        now, zone = self.visit.now, self.renderer.t.zone
        return month_of(text, now, zone) if text else now.astimezone(zone).date().replace(day=1)


async def agreement_page(
    reader: StatusReader,
    source: NewsSource,
    renderer: Renderer,
    key: str,
    first: date,
    whole: Snapshot,
    *,
    address: str,
    now: datetime,
) -> str:
    """The report of an agreement over a month, at `address` below the renderer's home. Raises GoneError."""
    current = first == now.astimezone(renderer.t.zone).date().replace(day=1)
    async with reading():
        report = await reader.agreement(key, now if current else within_month(first))
    if report is None:
        raise GoneError
    news = await told_in(report.statement.window, whole, source)
    readership, customer = whole.readership, report.agreement.customer
    private = renderer.home if renderer.frame.private else f"{renderer.home}/{address}"
    links = Links(
        [each for each in news.incidents if readership.is_for(each, customer)],
        lambda each: renderer.home if readership.is_for(each) else private,
    )
    seen = cut_statement(report, readership, whole.overview)
    page = ReportRenderer(renderer).agreement
    return await asyncio.to_thread(page, seen, first, address, whole, links, now)
