"""Answers that say what is wrong, as problem+json (RFC 9457)."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from holdfast.kernel.errors import HoldfastError

AGAIN_IN_S = 5
NEVER_KEPT = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Problem(Exception):  # noqa: N818  it is an answer
    """Ends a request with a status and a sentence."""

    def __init__(self, status: HTTPStatus, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


def answer(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body: dict[str, Any] = {
        "type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail,
    }  # fmt: skip
    return JSONResponse(
        body, status.value, {**NEVER_KEPT, **(headers or {})}, media_type="application/problem+json"
    )


async def on_problem(request: Request, problem: Exception) -> JSONResponse:
    del request
    assert isinstance(problem, Problem)  # noqa: S101  it is registered for nothing else
    return answer(problem.status, problem.detail, problem.headers)


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: an unknown address, a method that is not offered."""
    del request
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    return answer(status, status.description or status.phrase, dict(error.headers or {}))


async def on_bug(request: Request, error: Exception) -> JSONResponse:
    """The server logs it."""
    del request, error
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the controller; its log says more")


def troubled(
    told: Callable[[HoldfastError], None],
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    """For when the database is away, say. The words are `told` to the operator, not to whoever calls."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, HoldfastError)  # noqa: S101
        told(error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return answer(status, "not possible at the moment; try again", {"retry-after": str(AGAIN_IN_S)})

    return handle
