"""The pages behind secret links: an agreement's report, and a customer's own pages."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.routing import Route

from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.customers import CustomerPages, Visit, agreement_page
from holdfast.interfaces.site.news_rendering import NewsRenderer
from holdfast.interfaces.site.pages import PRIVATE, PRIVATE_SECURITY, Pages, html_answer
from holdfast.interfaces.site.ports import NewsSource, StatusReader
from holdfast.interfaces.site.publisher import Edition, Publisher
from holdfast.interfaces.site.ranges import month_of
from holdfast.interfaces.site.readership import Holder, incident_for
from holdfast.interfaces.site.reading import AwayError, GoneError, reading
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import Answer
from holdfast.kernel.clock import Clock

LEAST_TOKEN = 32
_QUERY = ("month", "range", "from", "to")
_LONGEST_VALUE = 32


class SecretPages:
    """The router's endpoints behind secret links."""

    def __init__(
        self,
        reader: StatusReader,
        news: NewsSource,
        publisher: Publisher,
        pages: Pages,
        cache: PageCache,
        clock: Clock,
        *,
        report_links: Callable[[], Mapping[str, str]],
        page_links: Callable[[], Mapping[str, str]],
    ) -> None:
        self._reader = reader
        self._news = news
        self._publisher = publisher
        self._pages = pages
        self._cache = cache
        self._clock = clock
        self._report_links = report_links
        self._page_links = page_links
        self._customers = CustomerPages(reader, news)

    def routes(self) -> list[Route]:
        return [
            Route("/{language}/agreements/{token}", self._agreement),
            Route("/{language}/agreements/{token}/incidents/{id}", self._incident_of_agreement),
            Route("/{language}/customers/{token}", self._customer),
            Route("/{language}/customers/{token}/{path:path}", self._customer),
        ]

    async def _kept(
        self, request: Request, key: tuple[object, ...], make: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        edition = self._publisher.edition
        try:
            return await self._cache.get((*key, edition.mark, edition.away), make)
        except TooBusyError:
            return self._pages.problem(request, 429)
        except GoneError:
            return self._pages.problem(request, 404)
        except AwayError:
            return self._pages.problem(request, 503, stale=edition.stale(self._clock.now()))

    async def _agreement(self, request: Request) -> Answer:
        edition, token = self._publisher.edition, request.path_params["token"]
        renderer = edition.renderers.get(request.path_params["language"])
        key = named_by(token, self._report_links())
        if renderer is None or key is None:
            return self._pages.problem(request, 404)
        now = self._clock.now()
        asked = request.query_params.get("month")
        this_month = now.astimezone(renderer.t.zone).date().replace(day=1)
        first = month_of(asked, now, renderer.t.zone) if asked else this_month
        if first is None:
            return self._pages.problem(request, 404)
        address = f"agreements/{token}"

        async def made() -> Answer:
            whole = self._publisher.edition.whole
            if whole is None:
                raise AwayError
            html = await agreement_page(
                self._reader,
                self._news,
                renderer,
                key,
                first,
                whole,
                address=address,
                now=now,
            )
            return _private(html, renderer)

        return await self._kept(request, ("agreement", renderer, key, first, address), made)

    async def _incident_of_agreement(self, request: Request) -> Answer:
        """An incident that only this customer may know of; one for everybody has a public page."""
        edition, token = self._publisher.edition, request.path_params["token"]
        renderer, whole = edition.renderers.get(request.path_params["language"]), edition.whole
        key = named_by(token, self._report_links())
        if renderer is None or whole is None or key is None:
            return self._pages.problem(request, 404)
        holder = next((each for each in whole.readership.holders.values() if key in each.agreements), None)
        if holder is None:
            return self._pages.problem(request, 404)
        wanted, now = request.path_params["id"], self._clock.now()

        async def made() -> Answer:
            seen = await asyncio.to_thread(whole.for_holder, holder)
            known = seen.news.incident(wanted)
            if known is None:
                async with reading():
                    found = await self._news.incident(wanted)
                known = incident_for(found, whole.readership, holder)
            if known is None:
                raise GoneError
            pages = NewsRenderer(renderer, under=f"agreements/{token}/")
            return _private(pages.incident(known, seen.overview, whole.at, edition.stale(now)), renderer)

        return await self._kept(request, ("incident of agreement", renderer, key, wanted, token), made)

    async def _customer(self, request: Request) -> Answer:
        edition, token = self._publisher.edition, request.path_params["token"]
        language, path = request.path_params["language"], request.path_params.get("path", "")
        key = named_by(token, self._page_links())
        if key is None or language not in edition.renderers:
            return self._pages.problem(request, 404)
        if edition.whole is None:
            return self._pages.problem(request, 503)
        holder = edition.whole.readership.holders.get(key)
        if holder is None:
            return self._pages.problem(request, 404)
        query = {name: request.query_params.get(name, "")[:_LONGEST_VALUE] for name in _QUERY}
        query = {name: value for name, value in query.items() if value}
        visit = _visit(edition, holder, language, token, self._clock)

        async def made() -> Answer:
            html = await self._customers.page(visit, path, query)
            if html is None:
                raise GoneError
            return _private(html, edition.renderers[language])

        known = ("customer", key, token, language, path, tuple(query.items()), edition.whole.at)
        return await self._kept(request, known, made)


def _visit(edition: Edition, holder: Holder, language: str, token: str, clock: Clock) -> Visit:
    if edition.whole is None:
        raise AwayError
    now = clock.now()
    return Visit(
        edition.whole,
        holder,
        edition.site,
        edition.assets,
        language,
        f"/{{language}}/customers/{token}",
        now,
        stale=edition.stale(now),
    )


def _private(html: str, renderer: Renderer) -> Answer:
    return html_answer(html, renderer, cache="private, no-store", headers=PRIVATE, security=PRIVATE_SECURITY)


def named_by(token: str, links: Mapping[str, str]) -> str | None:
    """Whose secret link has `token`. Takes the same time whichever it is, and for none.

    Digests are compared, so that neither content nor length of a secret shows in the time taken.
    """
    given = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
    found = None
    for key, secret in links.items():
        same = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), given)
        if same and len(secret) >= LEAST_TOKEN:
            found = key
    return found
