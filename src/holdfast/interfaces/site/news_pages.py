"""The public pages of incidents and maintenance, and the feeds of parts of the estate."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import Route

from holdfast.communication.news import News
from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.feed_shelf import calendar_answer
from holdfast.interfaces.site.feeds import feeds_of
from holdfast.interfaces.site.news_rendering import NewsRenderer
from holdfast.interfaces.site.pages import Pages, html_answer
from holdfast.interfaces.site.ports import NewsSource
from holdfast.interfaces.site.publisher import Edition, Publisher
from holdfast.interfaces.site.ranges import month_of
from holdfast.interfaces.site.readership import Readership, public_news
from holdfast.interfaces.site.reading import AwayError, reading, told_in
from holdfast.interfaces.site.rendering import Renderer, Staleness
from holdfast.interfaces.site.responses import Answer
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.interfaces.site.telling import about
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import month_window

_FEEDS = {("feed", "atom"), ("feed", "rss"), ("maintenance", "ics")}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request found in memory: the edition's parts that a page is made of."""

    renderer: Renderer
    snapshot: Snapshot
    readership: Readership
    stale: Staleness | None
    edition: Edition


class NewsPages:
    """The router's endpoints for incidents, maintenance and partial feeds."""

    def __init__(
        self, news: NewsSource, publisher: Publisher, pages: Pages, cache: PageCache, clock: Clock
    ) -> None:
        self._news = news
        self._publisher = publisher
        self._pages = pages
        self._cache = cache
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/{language}/incidents", self._month),
            Route("/{language}/incidents/{id}", self._incident),
            Route("/{language}/maintenance/{id}", self._maintenance),
            Route("/{language}/clusters/{cluster}/{file}.{kind}", self._feed),
            Route("/{language}/clusters/{cluster}/{component}/{file}.{kind}", self._feed),
        ]

    def _asked(self, request: Request) -> _Asked | None:
        edition = self._publisher.edition
        renderer = edition.renderers.get(request.path_params["language"])
        if renderer is None or edition.snapshot is None or edition.whole is None:
            return None
        return _Asked(
            renderer,
            edition.snapshot,
            edition.whole.readership,
            edition.stale(self._clock.now()),
            edition,
        )

    async def _kept(
        self, request: Request, asked: _Asked, what: tuple[object, ...], make: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The page from the cache, which keeps it under all that is told: a change shows at once."""
        key = (*what, asked.renderer, asked.edition.mark, asked.stale is not None)
        try:
            return await self._cache.get(key, make)
        except TooBusyError:
            return self._pages.problem(request, 429)
        except AwayError:
            return self._pages.problem(request, 503, stale=asked.stale)

    async def _incident(self, request: Request) -> Answer:
        asked, wanted = self._asked(request), request.path_params["id"]
        if asked is None or not _is_id(wanted):
            return self._pages.missing(request)

        async def made() -> Answer:
            known = asked.snapshot.news.incident(wanted)
            if known is None:
                async with reading(away=asked.stale is not None):
                    known = await self._news.incident(wanted)
            if known is None or not asked.readership.is_for(known):
                return self._pages.problem(request, 404)
            if known.id != wanted:
                return redirect(f"{asked.renderer.home}/incidents/{known.id}")
            page = NewsRenderer(asked.renderer).incident
            html = await asyncio.to_thread(
                page, known, asked.snapshot.overview, asked.snapshot.at, asked.stale
            )
            return html_answer(html, asked.renderer)

        return await self._kept(request, asked, ("incident", wanted), made)

    async def _maintenance(self, request: Request) -> Answer:
        asked, wanted = self._asked(request), request.path_params["id"]
        if asked is None or not _is_id(wanted):
            return self._pages.missing(request)

        async def made() -> Answer:
            known = asked.snapshot.news.maintenance_of(wanted)
            if known is None:
                async with reading(away=asked.stale is not None):
                    known = await self._news.maintenance(wanted)
            if known is None or not asked.readership.is_for(known):
                return self._pages.problem(request, 404)
            page = NewsRenderer(asked.renderer).maintenance
            html = await asyncio.to_thread(
                page, known, asked.snapshot.overview, asked.snapshot.at, asked.stale
            )
            return html_answer(html, asked.renderer)

        return await self._kept(request, asked, ("maintenance", wanted), made)

    async def _month(self, request: Request) -> Answer:
        asked = self._asked(request)
        if asked is None:
            return self._pages.missing(request)
        now, zone = self._clock.now(), asked.renderer.t.zone
        text = request.query_params.get("month") or now.astimezone(zone).strftime("%Y-%m")
        first = month_of(text, now, zone)
        if first is None:
            return self._pages.problem(request, 404)
        window = month_window(first.year, first.month, zone)

        async def made() -> Answer:
            whole = asked.edition.whole
            news = public_news(
                await told_in(window, whole, self._news, away=asked.stale is not None), asked.readership
            )
            page = NewsRenderer(asked.renderer).month
            html = await asyncio.to_thread(
                page, news, asked.snapshot.overview, first, asked.snapshot.at, asked.stale
            )
            return html_answer(html, asked.renderer)

        return await self._kept(request, asked, ("incidents", first), made)

    async def _feed(self, request: Request) -> Answer:
        """From memory alone: a feed is asked for every few minutes by every one who follows it."""
        asked, kind = self._asked(request), request.path_params["kind"]
        cluster_key, key = request.path_params["cluster"], request.path_params.get("component")
        if asked is None or (request.path_params["file"], kind) not in _FEEDS:
            return self._pages.missing(request)
        overview = asked.snapshot.overview
        cluster = next((each for each in overview.clusters if each.key == cluster_key), None)
        chosen = (
            [each.status for each in cluster.components if key in {None, each.status.key}] if cluster else []
        )
        if cluster is None or not chosen:
            return self._pages.problem(request, 404)
        name = f"{cluster.name} {chosen[0].name}" if key else cluster.name
        path = f"/clusters/{cluster_key}/{key}" if key else f"/clusters/{cluster_key}"

        async def made() -> Answer:
            news: News = about(asked.snapshot.news, {each.id for each in chosen})
            if kind == "ics":
                work = news.maintenance
                return await asyncio.to_thread(calendar_answer, work, overview, asked.renderer, name)
            part = Snapshot(overview, news)
            made_of_both = await asyncio.to_thread(feeds_of, part, asked.renderer, path, name)
            return made_of_both[kind]

        return await self._kept(request, asked, ("feed", kind, cluster_key, key), made)


def redirect(path: str) -> Answer:
    """To another page of this site. The address is relative: an absolute one would repeat the Host header."""
    return Answer(
        "", "text/plain; charset=utf-8", status=302, cache="no-cache", headers=[(b"location", path.encode())]
    )


def _is_id(text: str) -> bool:
    """What ids look like: anything else is not worth asking for."""
    return len(text) == 12 and text.isascii() and text.isalnum() and text == text.lower()
