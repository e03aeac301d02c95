"""What machines ask for: metrics, health, badges, and the word to robots."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from holdfast.interfaces.site.badges import badge
from holdfast.interfaces.site.events import Streams
from holdfast.interfaces.site.metrics import CopyAge, metrics
from holdfast.interfaces.site.pages import Pages
from holdfast.interfaces.site.publisher import Publisher
from holdfast.interfaces.site.responses import Answer
from holdfast.interfaces.site.statuspage import NOT_FOUND, NOT_YET
from holdfast.kernel.clock import Clock

_LIVE_WITHIN_S = 120.0
_ROBOTS = Answer("User-agent: *\nDisallow: /events\nDisallow: /metrics\n", "text/plain; charset=utf-8")


class Machines:
    """The router's endpoints for machines. They answer from memory: none of them reads the database."""

    def __init__(
        self,
        publisher: Publisher,
        pages: Pages,
        clock: Clock,
        streams: Streams,
        requests: Counter[tuple[str, int]],
        copies: Callable[[], Sequence[CopyAge]] = tuple,
    ) -> None:
        self._publisher = publisher
        self._pages = pages
        self._clock = clock
        self._streams = streams
        self._requests = requests
        self._copies = copies

    def routes(self) -> list[Route]:
        return [
            Route("/robots.txt", self._robots),
            Route("/metrics", self._metrics),
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/api/v2/{path:path}", self._statuspage),
            Route("/badges/{cluster}.svg", self._badge),
            Route("/badges/{cluster}/{component}.svg", self._badge),
        ]

    async def _robots(self, _: Request) -> Answer:
        return _ROBOTS

    async def _metrics(self, _: Request) -> Answer:
        return metrics(
            self._publisher.edition,
            self._publisher.counts,
            self._requests,
            len(self._streams),
            self._clock.now(),
            self._copies(),
        )

    async def _statuspage(self, _: Request) -> Answer:
        """What is there is in memory, and was answered before this was asked."""
        return NOT_FOUND if self._publisher.edition.snapshot else NOT_YET

    async def _live(self, _: Request) -> Answer:
        idle_s = self._clock.monotonic() - self._publisher.counts.turned_at
        return _json({"live": idle_s < _LIVE_WITHIN_S}, 200 if idle_s < _LIVE_WITHIN_S else 503)

    async def _ready(self, _: Request) -> Answer:
        edition = self._publisher.edition
        age = (self._clock.now() - edition.snapshot.at).total_seconds() if edition.snapshot else None
        told = {"ready": age is not None, "snapshot_age_s": age, "database_away": edition.away}
        return _json(told, 503 if age is None else 200)

    async def _badge(self, request: Request) -> Answer:
        edition = self._publisher.edition
        cluster_key, key = request.path_params["cluster"], request.path_params.get("component")
        asked = request.query_params.get("lang", "")
        renderer = edition.renderers.get(asked) or next(iter(edition.renderers.values()))
        clusters = edition.snapshot.overview.clusters if edition.snapshot else ()
        for cluster in clusters:
            if cluster.key == cluster_key:
                chosen = [each for each in cluster.components if key in {None, each.status.key}]
                if chosen:
                    name = f"{cluster.name} {chosen[0].status.name}" if key else cluster.name
                    stale = edition.stale(self._clock.now())
                    availability = request.query_params.get("show") == "availability"
                    return badge(
                        name,
                        chosen,
                        renderer.words,
                        availability=availability,
                        stale=bool(stale and stale.loud),
                    )
        return self._pages.problem(request, 404)


def _json(told: object, status: int) -> Answer:
    return Answer(msgspec.json.encode(told), "application/json", status=status, cache="no-store")
