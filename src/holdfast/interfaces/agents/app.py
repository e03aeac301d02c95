"""The address that agents and services call.

    GET  /agents/v1/checks     what this vantage point has to run; ETag, 304
    POST /agents/v1/results    results of this vantage point's probes, and a receipt
    GET, POST /beat/TOKEN      a service says that it is well, or with ?status=fail that it is not
    GET  /health

An agent's token opens the first two for its own vantage point, and nothing else. It is looked up with every
call, so that a revoked one is worth nothing at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from holdfast.availability.exchange import (
    CHECKS_PATH,
    LARGEST_BODY,
    RESULTS_PATH,
    MessageError,
    decode_delivery,
    encode_receipt,
)
from holdfast.availability.ingest import Ingest
from holdfast.availability.vantage import TOKEN_PREFIX, Beats, Logins, sha256_of
from holdfast.interfaces.agents.bodies import body_of
from holdfast.interfaces.agents.limits import RateLimit
from holdfast.interfaces.agents.problems import NEVER_KEPT, Problem, on_bug, on_http, on_problem, troubled
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

LONGEST_TOKEN = 512
LONGEST_MESSAGE = 1000
LARGEST_BEAT = 64 * 1024
_GOOD, _BAD = ("ok", "up", "success"), ("fail", "down", "failure")


@dataclass(frozen=True, slots=True)
class Offer:
    """A vantage point's checks as one document, and the tag that changes with it."""

    body: bytes
    tag: str


@dataclass(frozen=True, slots=True)
class _Caller:
    vantage: str
    token_sha256: bytes


class _Agents:
    def __init__(
        self,
        logins: Logins,
        ingest: Ingest,
        beats: Beats,
        offer_of: Callable[[str], Offer | None],
        clock: Clock,
    ) -> None:
        self._logins = logins
        self._ingest = ingest
        self._beats = beats
        self._offer_of = offer_of
        self._clock = clock
        # An agent that empties its spool calls as fast as it is answered, for a while.
        self._calls = RateLimit(per_second=10, burst=60)
        self._beat_calls = RateLimit(per_second=2, burst=30)
        self._misses = RateLimit(per_second=0.2, burst=10)

    async def checks(self, request: Request) -> Response:
        caller = await self._caller(request)
        offer = self._offer(caller.vantage)
        headers = {"etag": offer.tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == offer.tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(offer.body, headers=headers, media_type="application/json")

    async def results(self, request: Request) -> Response:
        caller = await self._caller(request)
        self._offer(caller.vantage)
        body = await body_of(request, LARGEST_BODY)
        try:
            delivery = decode_delivery(body)
        except MessageError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        taken = await self._ingest.accept(caller.token_sha256, delivery)
        if taken is None:
            raise _unauthorised()
        return Response(encode_receipt(taken), headers=NEVER_KEPT, media_type="application/json")

    async def beat(self, request: Request) -> Response:
        token = request.path_params["token"]
        status = request.query_params.get("status", "ok").lower()
        if status not in (*_GOOD, *_BAD):
            raise Problem(HTTPStatus.BAD_REQUEST, "status is ok or fail")
        message = request.query_params.get("message", request.query_params.get("msg", ""))
        address, now = _address(request), self._clock.monotonic()
        token_sha256 = sha256_of(token)
        if not self._beat_calls.take(token_sha256, now):
            raise _too_often()
        if not self._misses.allows(("beat", address), now):
            raise _too_often()
        await body_of(request, LARGEST_BEAT)
        failed = status in _BAD
        if len(token) > LONGEST_TOKEN or not await self._beats.beat(
            token_sha256, failed=failed, message=message[:LONGEST_MESSAGE]
        ):
            self._misses.take(("beat", address), now)
            raise Problem(HTTPStatus.NOT_FOUND, "nobody listens for this token")
        return JSONResponse({"status": "fail" if failed else "ok"}, headers=NEVER_KEPT)

    async def health(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"}, headers=NEVER_KEPT)

    async def _caller(self, request: Request) -> _Caller:
        """Who calls, by the token. Raises Problem: 401 for one that is worth nothing, 429 for too often."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        address, now = _address(request), self._clock.monotonic()
        if scheme.lower() != "bearer" or not token.startswith(TOKEN_PREFIX) or len(token) > LONGEST_TOKEN:
            raise _unauthorised()
        token_sha256 = sha256_of(token)
        # Each guess costs a look into the database. Whoever guesses fills a few of an address's buckets, and
        # hardly ever the one of an agent behind the same proxy.
        guesser = (address, token_sha256[:1])
        if not self._misses.allows(guesser, now) or not self._calls.take(token_sha256, now):
            raise _too_often()
        vantage = await self._logins.holder_of(token_sha256, address)
        if vantage is None:
            self._misses.take(guesser, now)
            raise _unauthorised()
        return _Caller(vantage, token_sha256)

    def _offer(self, vantage: str) -> Offer:
        offer = self._offer_of(vantage)
        if offer is None:
            detail = f"the estate has no vantage point {vantage!r} any more"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        return offer


def create_agents_api(
    logins: Logins,
    ingest: Ingest,
    beats: Beats,
    *,
    offer_of: Callable[[str], Offer | None],
    clock: Clock,
    on_trouble: Callable[[HoldfastError], None],
) -> Starlette:
    """The application.

    `offer_of` gives a declared vantage point's checks, as the estate has them now. `on_trouble` is told why a
    request could not be answered.
    """
    agents = _Agents(logins, ingest, beats, offer_of, clock)
    app = Starlette(
        routes=[
            Route(CHECKS_PATH, agents.checks, methods=["GET"]),
            Route(RESULTS_PATH, agents.results, methods=["POST"]),
            Route("/beat/{token}", agents.beat, methods=["GET", "POST"]),
            Route("/health", agents.health, methods=["GET"]),
        ],
        exception_handlers={
            Problem: on_problem,
            HTTPException: on_http,
            HoldfastError: troubled(on_trouble),
            Exception: on_bug,
        },
    )
    # There is one spelling of each address: a redirect would repeat whatever host the caller named.
    app.router.redirect_slashes = False
    return app


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _unauthorised() -> Problem:
    detail = "a valid token is needed: holdfast agent add"
    return Problem(HTTPStatus.UNAUTHORIZED, detail, www_authenticate='Bearer realm="holdfast agents"')


def _too_often() -> Problem:
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many calls", retry_after="2")
