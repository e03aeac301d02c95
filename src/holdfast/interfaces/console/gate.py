"""Before and after a page's own code: who, whether, the form and its token, and what went wrong."""

import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from holdfast.communication import errors as communication
from holdfast.identity import errors as identity
from holdfast.identity.errors import Refused
from holdfast.identity.model import NEEDS, SessionView, Stage
from holdfast.interfaces.console.bodies import Form, read_form
from holdfast.interfaces.console.cookies import cookie_of
from holdfast.interfaces.console.shell import (
    CSRF,
    ConsolePage,
    Endpoint,
    csrf_expected,
    is_open_to,
    page,
    problem,
    sentence,
    session_or_none,
    shell_of,
)
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.ledger import errors as ledger
from holdfast.recovery import errors as recovery

_NEVER_SHOWN_AGAIN = ("password", "code", "sealed", CSRF)

log = structlog.get_logger()


def routes_of(pages: Sequence[ConsolePage]) -> list[Route]:
    return [
        Route(each.path, _guarded(each), methods=list(each.methods), name=f"{each.path} {each.methods[0]}")
        for each in pages
    ]


def _guarded(declared: ConsolePage) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        request.state.session = await _session(request)
        view = session_or_none(request)
        fields = await read_form(request) if request.method == "POST" else None
        if not declared.anonymous:
            elsewhere = _not_yet(request, declared, view, fields)
            if elsewhere is not None:
                return elsewhere
        if fields is not None:
            given = fields.get(CSRF, "").encode("utf-8", "surrogatepass")
            if not hmac.compare_digest(given, csrf_expected(request).encode()):
                return problem(
                    request,
                    403,
                    "This form is out of date.",
                    "Nothing was changed. Go back and send it again.",
                )
            request.state.form = fields
        return await _answered(request, declared.endpoint)

    return endpoint


async def _session(request: Request) -> SessionView | None:
    cookie = cookie_of(request, "session")
    if not cookie:
        return None
    try:
        return await shell_of(request).identity.session(cookie)
    except Refused:
        return None


def _not_yet(
    request: Request, declared: ConsolePage, view: SessionView | None, fields: Form | None
) -> Response | None:
    """Where who may not see this page, or not yet, goes instead."""
    if view is None and fields is not None:
        # Half an hour of writing must not be lost to a session that ended meanwhile.
        kept = [(name, text) for name, text in fields.multi_items() if text and not _is_secret(name)]
        return page(request, "logged_out.html", status=401, kept=kept, next=request.url.path)
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    onward = f"?next={quote(wanted, safe='')}" if request.method == "GET" and wanted != "/" else ""
    if view is None:
        return RedirectResponse(f"/login{onward}", 303)
    if view.stage is Stage.CODE:
        return RedirectResponse(f"/login/code{onward}", 303)
    if view.stage is Stage.ENROL:
        return None if declared.unfinished else RedirectResponse(f"/account/second-factor{onward}", 303)
    if not is_open_to(declared, view):
        if view.account.customer is not None:
            return RedirectResponse("/customer", 303)
        needed = "" if declared.right is None else f"It needs the role {NEEDS[declared.right].label}."
        return problem(request, 403, "You may not open this page.", needed)
    return None


def _is_secret(name: str) -> bool:
    return any(part in name for part in _NEVER_SHOWN_AGAIN)


async def _answered(request: Request, endpoint: Endpoint) -> Response:
    try:
        return await endpoint(request)
    except HoldfastError as error:
        return problem(request, status_of(error), sentence(str(error)), error.hint)


def status_of(error: HoldfastError) -> int:
    """The HTTP status that says the same."""
    kinds: Mapping[type[HoldfastError], int] = {
        identity.Refused: 403,
        identity.NotAllowed: 403,
        identity.LockedOut: 429,
        identity.NotThere: 404,
        communication.NotThere: 404,
        ledger.NotThere: 404,
        ledger.EntriesPruned: 404,
        communication.ChangedMeanwhile: 409,
        recovery.NotThere: 404,
        recovery.Refused: 409,
    }
    for kind, status in kinds.items():
        if isinstance(error, kind):
            return status
    return 503 if error.remedy is Remedy.TRANSIENT else 400


async def refused(request: Request, error: Exception) -> Response:
    """The router, or the reader of forms, refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) and status not in {404, 405} else ""
    request.state.session = await _session_if_possible(request)
    words = {404: "There is no such page.", 405: "This page does not take that.", 413: "That was too much."}
    return problem(request, status, words.get(status, sentence(detail) or "That did not work."))


async def failed(request: Request, error: Exception) -> Response:
    """A page has a defect. Who asked reads that it is noted, and nothing else."""
    log.error("console_page_failed", path=request.url.path, error=f"{type(error).__name__}: {error}")
    request.state.session = None
    return problem(
        request, 500, "Something went wrong here.", "It is noted. Try again, or tell an administrator."
    )


async def _session_if_possible(request: Request) -> SessionView | None:
    try:
        return await _session(request)
    except HoldfastError:
        return None
