"""The public continuity page: what is promised of backups beside what was measured of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.routing import Route

from holdfast.backup.recoverable.promises import ClusterPromise
from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.pages import Pages, html_answer
from holdfast.interfaces.site.publisher import Publisher
from holdfast.interfaces.site.reading import AwayError, reading
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import Answer
from holdfast.kernel.clock import Clock

Promises = Callable[[], Awaitable[Sequence[ClusterPromise]]]


async def no_promises() -> Sequence[ClusterPromise]:
    """Nothing is published."""
    return ()


class ContinuityPages:
    """The router's endpoint for continuity."""

    def __init__(
        self, promises: Promises, publisher: Publisher, pages: Pages, cache: PageCache, clock: Clock
    ) -> None:
        self._promises = promises
        self._publisher = publisher
        self._pages = pages
        self._cache = cache
        self._clock = clock

    def routes(self) -> list[Route]:
        return [Route("/{language}/continuity", self._continuity)]

    async def _continuity(self, request: Request) -> Answer:
        edition = self._publisher.edition
        renderer = edition.renderers.get(request.path_params["language"])
        if renderer is None:
            return self._pages.problem(request, 404)
        stale = edition.stale(self._clock.now())

        async def made() -> Answer:
            async with reading(away=stale is not None):
                promises = await self._promises()
            return html_answer(await asyncio.to_thread(_rendered, renderer, promises), renderer)

        try:
            return await self._cache.get(("continuity", renderer), made)
        except TooBusyError:
            return self._pages.problem(request, 429)
        except AwayError:
            return self._pages.problem(request, 503, stale=stale)


def _rendered(renderer: Renderer, promises: Sequence[ClusterPromise]) -> str:
    at = max((each.at for each in promises), default=None)
    return renderer.page("continuity.html", "continuity", section="formula", promises=promises, at=at)
