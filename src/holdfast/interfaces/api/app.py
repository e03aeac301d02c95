"""The REST API as an ASGI application, to be mounted at /api/v1.

Every call carries a bearer token; cookies are not looked at, so that no other site can make a browser call.
No other origin is allowed either. Every error is problem+json.
"""

import json
from functools import cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from holdfast import __version__
from holdfast.interfaces.api import (
    agreements,
    evidence,
    incidents,
    ledger_jobs,
    ledger_reports,
    maintenances,
    runs,
    series,
    status,
    subscribers,
)
from holdfast.interfaces.api.bounds import Bounds
from holdfast.interfaces.api.callers import Gate
from holdfast.interfaces.api.manual import manual
from holdfast.interfaces.api.problems import (
    KINDS,
    NOT_FOUND,
    ROOT,
    Problem,
    ProblemDetails,
    on_bug,
    on_holdfast_error,
    on_http,
    on_invalid,
    on_problem,
)
from holdfast.interfaces.api.services import Services
from holdfast.kernel.errors import HoldfastError

_DESCRIPTION = (
    "Incidents, maintenance, subscribers, status, agreements, the ledger and recovery, for programs.\n\n"
    "Every call carries a token with the scopes that the operation names: "
    "`Authorization: Bearer hf_...`. Tokens are made with `holdfast token create` or in the console.\n\n"
    "Times are RFC 3339 with an offset in requests, and in UTC in answers. Texts are Markdown. Components "
    "are named cluster/component, with * for all, or by number. Lists come in pages: `next` of one is the "
    "`cursor` of the next. Names in this document stay within v1; answers may get more fields.\n\n"
    "Errors are problem+json (RFC 9457). ETag and If-Match keep two people from overwriting each other; an "
    "Idempotency-Key lets a request be repeated safely."
)
_SCHEMAS = "#/components/schemas/{model}"
ROUTERS = (
    incidents.router,
    maintenances.router,
    series.router,
    status.router,
    agreements.router,
    subscribers.router,
    ledger_jobs.router,
    ledger_reports.router,
    runs.router,
    evidence.router,
)


def create_api(services: Services | None, *, gate: Gate | None = None) -> FastAPI:
    """The application. Without services it describes itself and answers nothing else."""
    app = FastAPI(
        title="Holdfast API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: on_problem,
            HoldfastError: on_holdfast_error,
            HTTPException: on_http,
            RequestValidationError: on_invalid,
            Exception: on_bug,
        },
    )
    app.state.services = services
    if services is not None:
        app.state.gate = gate or Gate(services.clock)
    for router in ROUTERS:
        app.include_router(router)
    own = _describing(app)
    app.router.routes.extend(own)
    app.state.offered = [*own, *(route for router in ROUTERS for route in router.routes)]
    app.add_middleware(Bounds)
    return app


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application that has its routes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=_DESCRIPTION,
        routes=app.routes,
        servers=[{"url": ROOT}],
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = ProblemDetails.model_json_schema(ref_template=_SCHEMAS)
    schemas |= problem.pop("$defs", {})
    schemas["ProblemDetails"] = problem
    return document


def _describing(app: FastAPI) -> list[Route]:
    """What it says of itself, to anybody. Made when it is asked for: that takes a while."""

    @cache
    def document() -> dict[str, Any]:
        return described(app)

    @cache
    def text() -> bytes:
        return json.dumps(document(), ensure_ascii=False).encode()

    async def openapi(_: Request) -> Response:
        return Response(text(), media_type="application/json", headers={"cache-control": "no-cache"})

    async def people(_: Request) -> Response:
        return manual(document())

    async def problem(request: Request) -> Response:
        name = request.path_params["name"]
        kind = next((each for each in KINDS if each.name == name), None)
        if kind is None:
            raise Problem(NOT_FOUND)
        told = f"{kind.status.value} {kind.title}\n{kind.hint}\n"
        return Response(told.rstrip() + "\n", media_type="text/plain")

    return [
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/", people, methods=["GET"]),
        Route("/problems/{name}", problem, methods=["GET"]),
    ]


def openapi_text() -> str:
    """The OpenAPI document, for who keeps it in a file."""
    return json.dumps(described(create_api(None)), indent=2, ensure_ascii=False) + "\n"
