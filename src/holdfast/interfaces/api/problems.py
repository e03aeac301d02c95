"""Every error of the API as problem+json (RFC 9457), each of a kind that has an address of its own.

What a problem says is for whoever calls. Why a database is away or what broke inside is for the log.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from holdfast.communication import errors as communication
from holdfast.identity import errors as identity
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.ledger import errors as ledger
from holdfast.recovery import errors as recovery

ROOT = "/api/v1"
MEDIA_TYPE = "application/problem+json"
AGAIN_IN_S = 5
MOST_FAULTS = 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its name in addresses, its status, its title, and what to do about it."""

    name: str
    status: HTTPStatus
    title: str
    hint: str = ""

    @property
    def type(self) -> str:
        return f"{ROOT}/problems/{self.name}"


BAD_REQUEST = Kind("bad-request", HTTPStatus.BAD_REQUEST, "The request cannot be read")
UNAUTHORISED = Kind(
    "unauthorised", HTTPStatus.UNAUTHORIZED, "A valid token is needed", "Authorization: Bearer TOKEN"
)
NOT_ALLOWED = Kind("not-allowed", HTTPStatus.FORBIDDEN, "This token may not do that")
NOT_FOUND = Kind("not-found", HTTPStatus.NOT_FOUND, "There is nothing of that name")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "Not with this method")
TOO_SLOW = Kind("too-slow", HTTPStatus.REQUEST_TIMEOUT, "The body took too long")
CONFLICT = Kind("conflict", HTTPStatus.CONFLICT, "Not possible as things are now")
CHANGED_MEANWHILE = Kind(
    "changed-meanwhile", HTTPStatus.CONFLICT, "Somebody else changed it meanwhile", "read it again"
)
PRECONDITION_FAILED = Kind(
    "precondition-failed",
    HTTPStatus.PRECONDITION_FAILED,
    "It is not as it was when it was read",
    "read it again, and send its ETag as If-Match",
)
MISDIRECTED = Kind("misdirected", HTTPStatus.MISDIRECTED_REQUEST, "There is no API by that host's name here")
TOO_LARGE = Kind("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
TOO_LONG = Kind("address-too-long", HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long")
UNSUPPORTED = Kind(
    "unsupported-media-type",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "Only plain JSON is read here",
    "Content-Type: application/json",
)
INVALID = Kind("invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not as described")
KEY_REUSED = Kind(
    "idempotency-key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "This idempotency key was used for something else",
    "a new key for each new request; the same key only to repeat one",
)
TOO_OFTEN = Kind("too-often", HTTPStatus.TOO_MANY_REQUESTS, "Too many calls", "wait, and call less often")
INTERNAL = Kind("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "A fault of the server", "its log says more")
UNAVAILABLE = Kind(
    "unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Not possible at the moment", "try again in a moment"
)

KINDS = (
    BAD_REQUEST,
    UNAUTHORISED,
    NOT_ALLOWED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    MISDIRECTED,
    CONFLICT,
    CHANGED_MEANWHILE,
    PRECONDITION_FAILED,
    TOO_LARGE,
    TOO_LONG,
    UNSUPPORTED,
    INVALID,
    KEY_REUSED,
    TOO_OFTEN,
    INTERNAL,
    UNAVAILABLE,
)
ALWAYS = (
    BAD_REQUEST,
    UNAUTHORISED,
    NOT_ALLOWED,
    TOO_SLOW,
    TOO_LARGE,
    TOO_LONG,
    UNSUPPORTED,
    INVALID,
    TOO_OFTEN,
    UNAVAILABLE,
)
"""What any call may meet."""
_BY_STATUS = {each.status: each for each in reversed(KINDS)}


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="`body`, `query`, `path` or `header`, and a JSON pointer into it")
    detail: str


class ProblemDetails(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="the kind of problem: a path that says more", examples=[NOT_FOUND.type])
    title: str = Field(examples=[NOT_FOUND.title])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(description="what is wrong in this case", examples=["there is no incident 'abc'"])
    hint: str = Field(description="what to do next; may be empty")
    errors: list[Fault] = Field(default=[], description="of a request that is not as described: each fault")


class Problem(Exception):  # noqa: N818  it is an answer
    """Ends a request with a problem."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        hint: str = "",
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail or kind.title
        self.hint = hint or kind.hint
        self.errors = errors
        self.headers = dict(headers or {})


def answer(problem: Problem) -> Response:
    """The problem as a response. ASCII: half a surrogate pair that somebody sent can still be quoted."""
    told = ProblemDetails(
        type=problem.kind.type,
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        hint=problem.hint,
        errors=list(problem.errors),
    )
    body = json.dumps(told.model_dump(), ensure_ascii=True).encode()
    return Response(
        body, problem.kind.status, {"cache-control": "no-store", **problem.headers}, media_type=MEDIA_TYPE
    )


def described(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """These kinds as OpenAPI responses, and those that every call may meet."""
    told = responses(*kinds, *ALWAYS)
    return dict(sorted(told.items()))


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    told: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        if kind.status.value in told:
            told[kind.status.value]["description"] += f"; or: {kind.title.lower()}"
        else:
            content = {MEDIA_TYPE: {"schema": schema}}
            told[kind.status.value] = {"description": kind.title, "content": content}
    return told


def problem_of(error: HoldfastError) -> Problem:
    """What an error of ours is to whoever calls."""
    text, hint = str(error), error.hint
    match error:
        case communication.NotThere() | identity.NotThere() | ledger.NotThere() | ledger.EntriesPruned():
            return Problem(NOT_FOUND, text, hint=hint)
        case recovery.NotThere():
            return Problem(NOT_FOUND, text, hint=hint)
        case recovery.PlaybookWrong():
            return Problem(INVALID, text, hint=hint)
        case recovery.Refused():
            return Problem(CONFLICT, text, hint=hint)
        case ledger.Unsuitable():
            return Problem(INVALID, text, hint=hint)
        case communication.ChangedMeanwhile():
            return Problem(CHANGED_MEANWHILE, text, hint=hint)
        case communication.NotPossible():
            return Problem(CONFLICT, text, hint=hint)
        case identity.Refused():
            return unauthorised()
        case identity.LockedOut():
            return too_often()
        case identity.NotAllowed():
            return Problem(NOT_ALLOWED, text, hint=hint)
    if error.remedy is Remedy.TRANSIENT:
        _log.warning("api_call_not_possible", error=text)
        return Problem(UNAVAILABLE, headers={"retry-after": str(AGAIN_IN_S)})
    _log.error("api_call_failed", error=text, hint=hint)
    return Problem(INTERNAL)


def unauthorised() -> Problem:
    """The same for a token that is missing, wrong, expired or revoked."""
    return Problem(UNAUTHORISED, headers={"www-authenticate": 'Bearer realm="holdfast"'})


def too_often() -> Problem:
    return Problem(TOO_OFTEN, headers={"retry-after": str(AGAIN_IN_S)})


def refused(status: int, detail: str) -> Response:
    """The answer to a request that whatever stands before the API refuses."""
    return answer(Problem(_BY_STATUS.get(HTTPStatus(status), BAD_REQUEST), detail))


async def on_problem(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101  it is registered for nothing else
    return answer(problem)


async def on_holdfast_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HoldfastError)  # noqa: S101
    problem = problem_of(error)
    if problem.kind is CHANGED_MEANWHILE and "if-match" in request.headers:
        problem = Problem(PRECONDITION_FAILED, problem.detail)
    return answer(problem)


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: an unknown address, a method that is not offered, a torn body."""
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _BY_STATUS.get(HTTPStatus(error.status_code), BAD_REQUEST)
    if kind is METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted(_methods(request)))
        return answer(Problem(kind, f"offered here: {allowed}", headers={"allow": allowed}))
    return answer(Problem(kind))


def _methods(request: Request) -> set[str]:
    """All that are offered at this address: the framework names those of its first route only."""
    routes: Sequence[Route] = request.app.state.offered
    at_it = [each for each in routes if each.matches(request.scope)[0] is not Match.NONE]
    return {method for each in at_it for method in each.methods or ()}


async def on_invalid(_: Request, error: Exception) -> Response:
    """A request that its description does not allow. What was sent is not repeated: it may hold a secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = error.errors()
    if any(each["loc"][:1] == ("path",) for each in found):
        return answer(Problem(NOT_FOUND))
    if any(each["type"] == "json_invalid" for each in found):
        return answer(Problem(BAD_REQUEST, "the body is not JSON"))
    faults = [Fault(where=_pointer(each["loc"]), detail=str(each["msg"])) for each in found[:MOST_FAULTS]]
    detail = f"{faults[0].where}: {faults[0].detail}" if faults else ""
    return answer(Problem(INVALID, detail, errors=faults))


def _pointer(where: Sequence[Any]) -> str:
    root, *path = (str(each)[:80] for each in where)
    return root + "".join("/" + each.replace("~", "~0").replace("/", "~1") for each in path)


async def on_bug(request: Request, error: Exception) -> Response:
    _log.error("api_call_broke", path=request.scope.get("path", "")[:200], error=repr(error)[:500])
    return answer(Problem(INTERNAL))
