"""Answers that say what is wrong and what to do next, as problem+json (RFC 9457)."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import BatchRefused, NotFlushed, Overloaded, SourceRefused, TooLarge, WitnessAway

AGAIN_IN_S = 5
NEVER_KEPT = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Problem(Exception):  # noqa: N818  it is an answer
    """Ends a request with a status and a sentence; `more` are further members of the document."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        hint: str = "",
        more: dict[str, Any] | None = None,
        **headers: str,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = {**({"hint": hint} if hint else {}), **(more or {})}
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


def answer(
    status: HTTPStatus,
    detail: str,
    headers: dict[str, str] | None = None,
    more: dict[str, Any] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail,
        **(more or {}),
    }  # fmt: skip
    return JSONResponse(
        body, status.value, {**NEVER_KEPT, **(headers or {})}, media_type="application/problem+json"
    )


async def on_problem(request: Request, problem: Exception) -> JSONResponse:
    del request
    assert isinstance(problem, Problem)  # noqa: S101  it is registered for nothing else
    return answer(problem.status, problem.detail, problem.headers, problem.more)


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: an unknown address, a method that is not offered."""
    del request
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    return answer(status, status.description or status.phrase, dict(error.headers or {}))


async def on_bug(request: Request, error: Exception) -> JSONResponse:
    """The server logs it."""
    del request, error
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the ledger; its log says more")


def troubled(
    told: Callable[[HoldfastError], None],
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """For errors of the ledger itself. Words about its insides are `told` to the operator alone."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, HoldfastError)  # noqa: S101
        more = {"hint": error.hint} if error.hint else {}
        match error:
            case TooLarge():
                return answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error), more=more)
            case BatchRefused():
                return answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), more=more)
            case SourceRefused():
                return answer(HTTPStatus.FORBIDDEN, str(error), more=more)
            case NotFlushed() | Overloaded() | WitnessAway():
                again = {"retry-after": str(AGAIN_IN_S)}
                return answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error), again, more)
        told(error)
        again = {"retry-after": str(AGAIN_IN_S)}
        return answer(HTTPStatus.SERVICE_UNAVAILABLE, "not possible at the moment; try again", again)

    return handle
