"""The public status site as an ASGI application.

A request passes, in this order: bounds and method; pages in memory (`Publisher`); event streams; and only
then the router, for pages that are made on request. All but streams are complete answers (`Answer`).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from holdfast.estate.model import Site
from holdfast.interfaces.reports.desk import NoReports, ReportSource
from holdfast.interfaces.reports.pages import ReportRoutes
from holdfast.interfaces.site.cache import PageCache
from holdfast.interfaces.site.continuity import ContinuityPages, Drills, Promises, no_drills, no_promises
from holdfast.interfaces.site.events import Streams
from holdfast.interfaces.site.form_pages import Subscribing, without_secrets
from holdfast.interfaces.site.i18n import negotiated
from holdfast.interfaces.site.machines import Machines
from holdfast.interfaces.site.metrics import CopyAge
from holdfast.interfaces.site.news_pages import NewsPages
from holdfast.interfaces.site.pages import Pages
from holdfast.interfaces.site.ports import Changes, NewsSource, NoNews, StatusReader, no_changes
from holdfast.interfaces.site.publisher import Publisher, Rhythm
from holdfast.interfaces.site.readership import Readership
from holdfast.interfaces.site.responses import Answer
from holdfast.interfaces.site.secret_pages import SecretPages
from holdfast.interfaces.site.subscribe import subscribe_pages, takes_forms
from holdfast.kernel.clock import Clock

MOST_PATH = 512
MOST_QUERY = 1024
_log = structlog.get_logger(__name__)
_PLAIN = "text/plain; charset=utf-8"
_NOT_ALLOWED = Answer(
    "only GET and HEAD\n", _PLAIN, status=405, cache="no-store", headers=[(b"allow", b"GET, HEAD")]
)
_TOO_LONG = Answer("the address is too long\n", _PLAIN, status=414, cache="no-store")


class StatusSite(Starlette):
    """The site. Its lifespan runs the publisher; `close_streams` lets a server shut down without waiting."""

    def __init__(
        self,
        publisher: Publisher,
        streams: Streams,
        pages: Pages,
        routes: list[Route],
        requests: Counter[tuple[str, int]],
        closing: Sequence[Callable[[], Awaitable[None]]] = (),
        takes_forms: Callable[[str], bool] = lambda _: False,
    ) -> None:
        super().__init__(
            routes=routes,
            # Starlette would have responses here; an answer is sent the same way.
            exception_handlers={HTTPException: pages.refused, Exception: pages.failed},  # type: ignore[dict-item]
            lifespan=self._life,
        )
        # A redirect would repeat the Host header, which anybody can forge.
        self.router.redirect_slashes = False
        self.publisher = publisher
        self._streams = streams
        self._pages = pages
        self._requests = requests
        self._closing = (pages.close, *closing)
        self._takes_forms = takes_forms

    def close_streams(self) -> None:
        """End all event streams and accept no more. For the moment when the server begins to shut down."""
        self._streams.close()

    @contextlib.asynccontextmanager
    async def _life(self, _: Starlette) -> AsyncIterator[None]:
        publishing = asyncio.create_task(self.publisher.run())
        try:
            yield
        finally:
            self.close_streams()
            publishing.cancel()
            await asyncio.gather(publishing, *(close() for close in self._closing), return_exceptions=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"} and not (
            scope["method"] == "POST" and self._takes_forms(scope["path"])
        ):
            self._requests["refused", 405] += 1
            await _NOT_ALLOWED(scope, receive, send)
            return
        path: str = scope["path"]
        edition = self.publisher.edition
        answer = edition.pages.get(path)
        if answer is None and path == "/":
            answer = edition.pages.get(f"/{negotiated(accepted_language(scope), tuple(edition.renderers))}/")
        if answer is not None:
            self._requests["memory", 200] += 1
            await answer(scope, receive, send)
        elif len(path) > MOST_PATH or len(scope["query_string"]) > MOST_QUERY:
            self._requests["refused", 414] += 1
            await _TOO_LONG(scope, receive, send)
        elif path == "/events":
            await self._streams(scope, receive, send)
        else:
            await self._routed(scope, receive, send)

    async def _routed(self, scope: Any, receive: Any, send: Any) -> None:
        status = 0

        async def counting_send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await super().__call__(scope, receive, counting_send)
        except Exception:  # noqa: BLE001
            # The last edge. The router has answered with `Pages.failed` before it let this pass.
            _log.exception("site_page_failed", path=without_secrets(scope["path"]))
        finally:
            self._requests["made", status] += 1


def accepted_language(scope: Any) -> str:
    """The Accept-Language header, empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"accept-language":
            return bytes(value[:256]).decode("latin-1")
    return ""


def create_site(
    reader: StatusReader,
    *,
    settings: Callable[[], Site],
    clock: Clock,
    news: NewsSource | None = None,
    reports: ReportSource | None = None,
    copies: Callable[[], Sequence[CopyAge]] = tuple,
    readership: Callable[[], Readership] = Readership,
    changes: Changes = no_changes,
    snapshot_file: Path | None = None,
    report_links: Callable[[], Mapping[str, str]] = dict,
    page_links: Callable[[], Mapping[str, str]] = dict,
    logo_folder: Path | None = None,
    rhythm: Rhythm | None = None,
    subscribing: Subscribing | None = None,
    promises: Promises = no_promises,
    drills: Drills = no_drills,
) -> StatusSite:
    """The site over `reader`.

    `settings`, `readership`, `report_links` (agreement key to secret token) and `page_links` (customer key to
    secret token) are asked anew each time, so that a reload takes effect. `logo_folder` is where `site.logo`
    is looked up: the estate file's folder. Without `subscribing` nobody subscribes here. `promises` and
    `drills` are what the continuity page shows.
    """
    news = news or NoNews()
    cache = PageCache(clock)
    streams = Streams()
    requests: Counter[tuple[str, int]] = Counter()
    publisher = Publisher(
        reader,
        settings,
        clock,
        streams,
        news=news,
        readership=readership,
        changes=changes,
        snapshot_file=snapshot_file,
        logo_folder=logo_folder,
        rhythm=rhythm or Rhythm(),
        subscribable=(lambda: bool(subscribing.channels())) if subscribing else bool,
    )
    pages = Pages(reader, news, publisher, cache, clock)
    told = NewsPages(news, publisher, pages, cache, clock)
    secret = SecretPages(
        reader,
        news,
        publisher,
        pages,
        cache,
        clock,
        report_links=report_links,
        page_links=page_links,
    )
    machines = Machines(publisher, pages, clock, streams, requests, copies)
    reporting = ReportRoutes(
        reports or NoReports(), publisher, pages, clock, report_links=report_links, page_links=page_links
    )
    continuity = ContinuityPages(promises, drills, publisher, pages, cache, clock)
    routes = [
        *continuity.routes(),
        *machines.routes(),
        *told.routes(),
        *reporting.routes(),
        *secret.routes(),
        *pages.routes(),
    ]
    if subscribing is not None:
        routes = [*subscribe_pages(subscribing, publisher, readership, clock, page_links), *routes]
    takes = takes_forms if subscribing is not None else lambda _: False
    return StatusSite(publisher, streams, pages, routes, requests, [reporting.close], takes)
