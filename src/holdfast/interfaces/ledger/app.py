"""The ledger's address.

    POST /v1/records    records of the source whose token it is                       (intake.py)
    POST /v1/claims     how far a source has counted;  /v1/meters: what its devices counted  (claims.py)
    GET  /v1/logs/...   the logs for who verifies them; /v1/checkpoint: of the one over all (tiles.py)
    GET  /health        this process runs;  /health/ready: and it takes records in
    GET  /metrics       what it took in since it began

A token opens what is its source's, or its reader's, and nothing else (callers.py).
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.interfaces.agents.limits import RateLimit
from holdfast.interfaces.ledger import claims, intake, tiles
from holdfast.interfaces.ledger.figures import CONTENT_TYPE
from holdfast.interfaces.ledger.problems import (
    NEVER_KEPT,
    Problem,
    answer,
    on_bug,
    on_http,
    on_problem,
    troubled,
)
from holdfast.interfaces.ledger.services import Services
from holdfast.kernel.errors import HoldfastError

# One line for each module that has routes: `routes(services)`.
_SUBJECTS: list[Callable[[Services], list[BaseRoute]]] = [
    intake.routes,
    claims.routes,
    tiles.routes,
]


def create_ledger_app(services: Services) -> Starlette:
    """The application. Every module's `routes(services)` is in it."""
    routes: list[BaseRoute] = [
        Route("/health", _health, methods=["GET"]),
        Route("/health/ready", _ready(services), methods=["GET"]),
        Route("/metrics", _metrics(services), methods=["GET"]),
    ]
    for each in _SUBJECTS:
        routes += each(services)
    app = Starlette(
        routes=routes,
        exception_handlers={
            Problem: on_problem,
            HTTPException: on_http,
            HoldfastError: troubled(services.on_trouble),
            Exception: on_bug,
        },
    )
    # There is one spelling of each address: a redirect would repeat whatever host the caller named.
    app.router.redirect_slashes = False
    return app


async def _health(request: Request) -> Response:
    del request
    return JSONResponse({"status": "ok"}, headers=NEVER_KEPT)


def _ready(services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def ready(request: Request) -> Response:
        del request
        if trouble := await services.trouble():
            return answer(HTTPStatus.SERVICE_UNAVAILABLE, trouble)
        return JSONResponse({"status": "ok"}, headers=NEVER_KEPT)

    return ready


def _metrics(services: Services) -> Callable[[Request], Awaitable[Response]]:
    calls = RateLimit(per_second=1, burst=30)

    async def metrics(request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not calls.take((address,), services.clock.monotonic()):
            return answer(HTTPStatus.TOO_MANY_REQUESTS, "too many calls", {"retry-after": "2"})
        lines = services.figures.lines()
        for each in services.more_figures:
            try:
                lines += [text] if (text := (await each()).rstrip("\n")) else []
            except HoldfastError as error:
                services.on_trouble(error)  # what nobody knows is left out
        return Response("\n".join([*lines, "# EOF\n"]), media_type=CONTENT_TYPE, headers=NEVER_KEPT)

    return metrics
