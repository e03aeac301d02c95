"""The JSON API of a cluster, and the printer behind it."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from printcloud.bodies import read_bounded
from printcloud.history import history_routes
from printcloud.jobs import InvalidJobError, decoded, parse_job
from printcloud.store import DatabaseAwayError, Store

log = logging.getLogger(__name__)
PRINTING_TAKES = timedelta(seconds=1)
MAX_LISTED = 200


def create_api(store: Store, cluster: str, reading: Store | None = None) -> Starlette:
    """The application. It owns the stores from now on and closes them.

    Jobs are read from `reading` where there is one: a store on any server, also on a standby.
    """
    reader = reading or store

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        printer = asyncio.create_task(run_printer(store))
        try:
            yield
        finally:
            printer.cancel()
            await asyncio.wait({printer})
            await store.close()
            await reader.close()

    async def health(_: Request) -> Response:
        try:
            depth = await store.queue_depth()
        except DatabaseAwayError:
            health = {"ok": False, "cluster": cluster, "database": "away", "queue": {"depth": None}}
            return JSONResponse(health, 503)
        return JSONResponse({"ok": True, "cluster": cluster, "database": "ok", "queue": {"depth": depth}})

    async def alive(_: Request) -> Response:
        """That this process answers, whatever its database does."""
        return JSONResponse({"ok": True, "cluster": cluster})

    async def submit(request: Request) -> Response:
        body = await read_bounded(request)
        via = "website" if request.headers.get("x-printcloud-via") == "website" else "api"
        try:
            job = await store.submit(parse_job(decoded(body)), via=via)
        except InvalidJobError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(job.as_json(), 201, headers={"location": f"/jobs/{job.id}"})

    async def listing(request: Request) -> Response:
        text = request.query_params.get("limit", "50")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LISTED):
            return JSONResponse({"error": f"limit is a whole number from 1 to {MAX_LISTED}"}, 400)
        return JSONResponse({"jobs": [job.as_json() for job in await reader.newest(int(text))]})

    async def one(request: Request) -> Response:
        try:
            job = await reader.find(uuid.UUID(request.path_params["job_id"]))
        except ValueError:
            job = None
        return JSONResponse(job.as_json()) if job else JSONResponse({"error": "no such job"}, 404)

    async def database_away(_: Request, error: Exception) -> Response:
        log.debug("a request failed: %s", error)
        return JSONResponse({"error": "the database is away"}, 503, headers={"retry-after": "2"})

    async def refused(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/alive", alive),
            Route("/jobs", submit, methods=["POST"]),
            Route("/jobs", listing),
            Route("/jobs/{job_id}", one),
            *history_routes(store),
        ],
        exception_handlers={DatabaseAwayError: database_away, HTTPException: refused},
        lifespan=lifespan,
    )


async def run_printer(store: Store) -> None:
    """Print what has waited long enough, until cancelled. Logs that the database went or came back, once."""
    away = False
    while True:
        try:
            await store.print_waiting(waited=PRINTING_TAKES)
        except DatabaseAwayError as error:
            if not away:
                log.warning("the printer waits for the database: %s", error)
            away = True
        else:
            if away:
                log.warning("the printer has its database back")
            away = False
        await asyncio.sleep(0.5)
