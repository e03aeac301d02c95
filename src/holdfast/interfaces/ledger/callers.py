"""Who calls, by the token of the request, which is looked up each time: a revoked one is worth nothing."""

from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request

from holdfast.interfaces.agents.limits import RateLimit
from holdfast.interfaces.ledger.problems import Problem
from holdfast.kernel.clock import Clock
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.sources import Reader, looks_like_a_token, sha256_of

LONGEST_TOKEN = 512


class Admits(Protocol):
    """Knows who comes with a token (a part of `Sources`)."""

    async def admitted(self, token: str) -> Sender | Reader | None: ...


class Callers:
    """Tells who calls, and slows down who guesses."""

    def __init__(self, sources: Admits, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        # A service that empties its spool posts as fast as it is answered.
        self._calls = RateLimit(per_second=200, burst=1000)
        self._misses = RateLimit(per_second=0.2, burst=10)

    async def sender(self, request: Request) -> Sender:
        """The source whose token it is. Raises Problem: 401, 403 for a reader's, 429."""
        caller = await self._caller(request)
        if not isinstance(caller, Sender):
            raise Problem(HTTPStatus.FORBIDDEN, "the token is a reader's, it adds nothing")
        return caller

    async def reader(self, request: Request, tenant: str) -> Reader:
        """Who may read this tenant's log. Raises Problem: 401, 403 (another tenant's, a source's), 429."""
        caller = await self._caller(request)
        if not isinstance(caller, Reader):
            raise Problem(HTTPStatus.FORBIDDEN, "the token is a source's, it reads nothing")
        if caller.tenant != tenant:
            raise Problem(HTTPStatus.FORBIDDEN, "the token is another tenant's")
        return caller

    async def _caller(self, request: Request) -> Sender | Reader:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) > LONGEST_TOKEN or not looks_like_a_token(token):
            raise _unauthorised()
        address, now = request.client.host if request.client else "", self._clock.monotonic()
        token_sha256 = sha256_of(token)
        # Each guess costs a look into the database. Whoever guesses fills a few of an address's buckets, and
        # hardly ever the one of a source behind the same proxy.
        guesser = (address, token_sha256[:1])
        if not self._misses.allows(guesser, now) or not self._calls.take(token_sha256, now):
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many calls", retry_after="2")
        caller = await self._sources.admitted(token)
        if caller is None:
            self._misses.take(guesser, now)
            raise _unauthorised()
        return caller


def _unauthorised() -> Problem:
    detail = "a valid token is needed"
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        detail,
        hint="holdfast ledger source add makes a source and its token",
        www_authenticate='Bearer realm="holdfast ledger"',
    )
