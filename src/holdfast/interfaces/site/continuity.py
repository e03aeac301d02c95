"""The public continuity page: what is promised of backups and recovery beside what was measured."""

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
from holdfast.recovery.continuity import ClusterDrills

Promises = Callable[[], Awaitable[Sequence[ClusterPromise]]]
Drills = Callable[[], Awaitable[Sequence[ClusterDrills]]]


async def no_promises() -> Sequence[ClusterPromise]:
    """Nothing is published."""
    return ()


async def no_drills() -> Sequence[ClusterDrills]:
    """None is published."""
    return ()


class ContinuityPages:
    """The router's endpoint for continuity."""

    def __init__(
        self,
        promises: Promises,
        drills: Drills,
        publisher: Publisher,
        pages: Pages,
        cache: PageCache,
        clock: Clock,
    ) -> None:
        self._promises = promises
        self._drills = drills
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
                promises, drills = await self._promises(), await self._drills()
            return html_answer(await asyncio.to_thread(_rendered, renderer, promises, drills), renderer)

        try:
            return await self._cache.get(("continuity", renderer), made)
        except TooBusyError:
            return self._pages.problem(request, 429)
        except AwayError:
            return self._pages.problem(request, 503, stale=stale)


def _rendered(renderer: Renderer, promises: Sequence[ClusterPromise], drills: Sequence[ClusterDrills]) -> str:
    at = max([*(each.at for each in promises), *(each.at for each in drills)], default=None)
    return renderer.page(
        "continuity.html", "continuity", section="formula", promises=promises, drills=drills, at=at
    )
