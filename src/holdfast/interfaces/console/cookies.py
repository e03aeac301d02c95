"""The console's cookies: few, small, out of reach for scripts, and by https out of reach for other hosts."""

from http.cookies import CookieError, SimpleCookie
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.model import Opened
from holdfast.interfaces.console.guard import is_secure

Kind = Literal["session", "visit", "device", "told", "openid"]
_YEAR_S = 365 * 86_400


def keep_session(request: Request, response: Response, opened: Opened) -> Response:
    """Hand the browser its session, and the mark by which it is known at the next login."""
    keep_cookie(request, response, "session", opened.cookie)
    if opened.device:
        keep_cookie(request, response, "device", opened.device, lasting_s=_YEAR_S)
    drop_cookie(request, response, "visit")
    return response


def keep_cookie(
    request: Request, response: Response, kind: Kind, text: str, *, lasting_s: int | None = None
) -> None:
    """Keep it in the browser: as long as that runs, or for so long.

    Lax: a link from a mail or a chat opens what it points to for who is logged in, and no foreign form or
    frame ever has it.
    """
    response.set_cookie(
        _name(request, kind),
        text,
        max_age=lasting_s,
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response, kind: Kind) -> None:
    response.delete_cookie(
        _name(request, kind), path="/", secure=_secure(request), httponly=True, samesite="lax"
    )


def cookie_of(request: Request, kind: Kind) -> str:
    """A cookie's text; empty when there is none, or when there are two: one of them was planted."""
    name = _name(request, kind)
    found: list[str] = []
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            key, _, text = part.strip().partition("=")
            if key == name:
                found.append(_unquoted(text))
    return found[0] if len(found) == 1 else ""


def _unquoted(text: str) -> str:
    try:
        return next((each.value for each in SimpleCookie(f"x={text}").values()), "")
    except CookieError:
        return ""


def _name(request: Request, kind: Kind) -> str:
    """With the prefix, no other host, subdomain or plain connection can have set it (RFC 6265bis)."""
    return f"{'__Host-' if _secure(request) else ''}hf_{kind}"


def _secure(request: Request) -> bool:
    return request.url.scheme == "https" or is_secure(request.app.state.shell.settings())
