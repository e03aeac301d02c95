"""The pages that are made on request: what each address means, what it may cost, and what it answers."""

import asyncio
from datetime import datetime

from starlette.requests import Request
from starlette.routing import Route

from holdfast.availability.model import State
from holdfast.availability.views import ClusterStatus, ComponentHistory, Overview
from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.i18n import negotiated
from holdfast.interfaces.site.ports import NewsSource, StatusReader
from holdfast.interfaces.site.publisher import Edition, Publisher
from holdfast.interfaces.site.ranges import (
    DEFAULT,
    Range,
    RangeError,
    month_of,
    named_range,
    requested_range,
)
from holdfast.interfaces.site.readership import (
    Readership,
    cut_component,
    cut_month,
    public_news,
)
from holdfast.interfaces.site.reading import AwayError, GoneError, reading, told_in
from holdfast.interfaces.site.rendering import Renderer, Staleness
from holdfast.interfaces.site.reports import ReportRenderer
from holdfast.interfaces.site.responses import HTML, Answer, Headers, security_headers
from holdfast.interfaces.site.snapshot import Snapshot, last_days
from holdfast.kernel.clock import Clock

_FROM_SNAPSHOT = {"7d": 7, "30d": 30}
_SECRET = ("/agreements/", "/customers/")
"""Addresses with one of these in them are secrets."""
PRIVATE: Headers = [(b"x-robots-tag", b"noindex, nofollow")]
PRIVATE_SECURITY = security_headers(referrer="no-referrer")


class Pages:
    """The router's endpoints for people."""

    def __init__(
        self,
        reader: StatusReader,
        news: NewsSource,
        publisher: Publisher,
        cache: PageCache,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._news = news
        self._publisher = publisher
        self._cache = cache
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/", self._waiting),
            Route("/{language}", self._waiting),
            Route("/{language}/", self._waiting),
            Route("/{language}/formula", self._formula),
            Route("/{language}/history", self._history),
            Route("/{language}/history/{month}", self._history),
            Route("/{language}/history/{month}/{cluster}", self._history),
            Route("/{language}/clusters/{cluster}", self._waiting),
            Route("/{language}/clusters/{cluster}/{component}", self._component),
        ]

    async def close(self) -> None:
        await self._cache.close()

    @property
    def _edition(self) -> Edition:
        return self._publisher.edition

    # Answers that are no pages of their own

    async def refused(self, request: Request, error: Exception) -> Answer:
        """The router knows no such address."""
        return self.problem(request, getattr(error, "status_code", 404))

    async def failed(self, request: Request, _: Exception) -> Answer:
        """A page has a defect. Who asked reads that it is noted, and nothing else."""
        return self.problem(request, 500)

    def problem(
        self,
        request: Request,
        status: int,
        *,
        stale: Staleness | None = None,
        known: ComponentHistory | None = None,
    ) -> Answer:
        """A page about a problem, in the visitor's language. Never cached."""
        language = language_of(request, self._edition)
        report = ReportRenderer(self._edition.renderers[language])
        html = report.problem(status, stale=stale, known=known.status if known else None)
        headers: Headers = [(b"content-language", language.encode())]
        if status in {429, 503}:
            headers.append((b"retry-after", b"30" if status == 503 else b"5"))
        private = any(each in request.url.path for each in _SECRET)
        return Answer(
            html,
            HTML,
            status=status,
            cache="private, no-store" if private else "no-store",
            headers=headers + (PRIVATE if private else []),
            security=PRIVATE_SECURITY if private else security_headers(),
        )

    async def _waiting(self, request: Request) -> Answer:
        """A page that would be in memory: either it is unknown, or nothing has been read yet."""
        known = request.path_params.get("language", "")
        if self._edition.snapshot is None and (not known or known in self._edition.renderers):
            return self.problem(request, 503)
        return self.problem(request, 404)

    # Pages for people

    async def _component(self, request: Request) -> Answer:
        found = self._found(request)
        if found is None:
            return self.missing(request)
        renderer, overview, cluster, history = found
        now = self._clock.now()
        report = ReportRenderer(renderer)
        try:
            chosen = requested_range(request.query_params, now, renderer.t.zone)
        except RangeError as error:
            default = named_range(DEFAULT, now, renderer.t.zone)
            html = report.bad_range(history.status, cluster, default, error.reason, now)
            return html_answer(html, renderer, status=400, cache="no-store")
        stale = self._edition.stale(now)
        if stale is None:
            key = (
                "component",
                renderer,
                cluster.key,
                history.status.key,
                chosen.name,
                chosen.first,
                chosen.last,
                self._edition.mark,
            )
            try:
                return await self._cache.get(
                    key, lambda: self._component_read(renderer, cluster, history, chosen, now)
                )
            except TooBusyError:
                return self.problem(request, 429)
            except GoneError:
                return self.problem(request, 404)
            except AwayError:
                stale = Staleness(overview.at, now - overview.at)
        return await self._component_known(request, report, cluster, history, chosen, stale)

    async def _component_read(
        self,
        renderer: Renderer,
        cluster: ClusterStatus,
        known: ComponentHistory,
        chosen: Range,
        now: datetime,
    ) -> Answer:
        """As of `now`, where the range ends at the latest: what lasts until then is still going on."""
        async with reading():
            report = await self._reader.component(cluster.key, known.status.key, chosen.window)
        snapshot = self._edition.snapshot
        if report is None or snapshot is None:
            raise GoneError
        seen = cut_component(report, known, snapshot.overview if self._readership.has_secrets else None)

        def rendered() -> Answer:
            page = ReportRenderer(renderer).component
            return html_answer(
                page(seen.history, cluster, chosen, now, report=seen, snapshot=snapshot), renderer
            )

        return await asyncio.to_thread(rendered)

    async def _component_known(
        self,
        request: Request,
        report: ReportRenderer,
        cluster: ClusterStatus,
        history: ComponentHistory,
        chosen: Range,
        stale: Staleness,
    ) -> Answer:
        """What the snapshot has of it: its last days and events. Other ranges have to wait."""
        days = _FROM_SNAPSHOT.get(chosen.name)
        if days is None:
            return self.problem(request, 503, stale=stale, known=history)
        kept = last_days(history, days)
        snapshot = self._edition.snapshot or Snapshot(Overview(stale.at, State.UNKNOWN, ()))
        html = report.component(
            kept, cluster, _as_kept(chosen, kept), stale.at, stale=stale, snapshot=snapshot
        )
        renderer = self._edition.renderers[request.path_params["language"]]
        return html_answer(html, renderer, cache="no-store")

    async def _history(self, request: Request) -> Answer:
        language, cluster_key = request.path_params["language"], request.path_params.get("cluster")
        renderer, snapshot = self._edition.renderers.get(language), self._edition.snapshot
        if renderer is None or snapshot is None:
            return self.missing(request)
        overview = snapshot.overview
        cluster = next((each for each in overview.clusters if each.key == cluster_key), None)
        now = self._clock.now()
        text = request.path_params.get("month") or now.astimezone(renderer.t.zone).strftime("%Y-%m")
        first = month_of(text, now, renderer.t.zone)
        if first is None or (cluster_key and cluster is None):
            return self.problem(request, 404)

        async def made() -> Answer:
            at = self._clock.now()
            async with reading():
                month = await self._reader.month(first.year, first.month, cluster_key)
            whole = await told_in(month.window, self._edition.whole, self._news)
            news = public_news(whole, self._readership)
            month = cut_month(month, self._readership, overview)
            html = await asyncio.to_thread(ReportRenderer(renderer).month, month, overview, cluster, at, news)
            return html_answer(html, renderer)

        try:
            return await self._cache.get(("month", renderer, first, cluster_key, self._edition.mark), made)
        except TooBusyError:
            return self.problem(request, 429)
        except AwayError:
            return self.problem(request, 503, stale=self._edition.stale(now))

    async def _formula(self, request: Request) -> Answer:
        renderer = self._edition.renderers.get(request.path_params["language"])
        if renderer is None:
            return self.problem(request, 404)

        async def made() -> Answer:
            return html_answer(ReportRenderer(renderer).formula(), renderer)

        try:
            return await self._cache.get(("formula", renderer), made)
        except TooBusyError:
            return self.problem(request, 429)

    @property
    def _readership(self) -> Readership:
        """Who may know of what, as it was when the overview was read."""
        whole = self._edition.whole
        return whole.readership if whole else Readership()

    # What a request is about

    def _found(self, request: Request) -> tuple[Renderer, Overview, ClusterStatus, ComponentHistory] | None:
        edition, asked = self._edition, request.path_params
        renderer = edition.renderers.get(asked["language"])
        if renderer is None or edition.snapshot is None:
            return None
        overview = edition.snapshot.overview
        for cluster in overview.clusters:
            if cluster.key == asked["cluster"]:
                for each in cluster.components:
                    if each.status.key == asked["component"]:
                        return renderer, overview, cluster, each
        return None

    def missing(self, request: Request) -> Answer:
        """Not found; or, before the first snapshot, not known yet."""
        known = request.path_params.get("language") in self._edition.renderers
        return self.problem(request, 503 if known and self._edition.snapshot is None else 404)


def language_of(request: Request, edition: Edition) -> str:
    """The language of the address, else the one that the visitor's browser asks for."""
    prefix = request.url.path[1:].partition("/")[0]
    languages = tuple(edition.renderers)
    return (
        prefix if prefix in languages else negotiated(request.headers.get("accept-language", ""), languages)
    )


def _as_kept(chosen: Range, kept: ComponentHistory) -> Range:
    """The range with the dates that the snapshot has, which may end before today."""
    return Range(chosen.name, kept.days[0].day, kept.days[-1].day, kept.window) if kept.days else chosen


def html_answer(
    html: str,
    renderer: Renderer,
    *,
    status: int = 200,
    cache: str = "no-cache",
    headers: Headers | None = None,
    security: Headers | None = None,
) -> Answer:
    language: Headers = [(b"content-language", renderer.t.language.encode())]
    return Answer(
        html,
        HTML,
        status=status,
        cache=cache,
        headers=language + (headers or []),
        security=security or security_headers(),
        quality=4,
    )
