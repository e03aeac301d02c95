"""The console's stylesheets: the site's own, the operator's colours, and what only the console needs.

And its one script, for pages that keep themselves current.
"""

import hashlib
from functools import lru_cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.interfaces.site.colours import theme

_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="1" y="1" width="30" height="30" '
    'rx="9" fill="#566373"/><path d="M11 21V11l5 4 5-4v10" fill="none" stroke="#fff" stroke-width="3" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)


@lru_cache(maxsize=8)
def stylesheets(accent: str) -> tuple[str, ...]:
    """Where a page finds them; an address changes with what it answers."""
    return tuple(f"/static/{name}.{_digest(text)}.css" for name, text in _texts(accent).items())


def script() -> str:
    """Where a page that keeps itself current finds the script that does it."""
    return f"/static/live.{_digest(_script())}.js"


def routes() -> list[Route]:
    return [Route("/static/{name}", _static), Route("/favicon.svg", _icon)]


async def _icon(_: Request) -> Response:
    return Response(_FAVICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


async def _static(request: Request) -> Response:
    shell = request.app.state.shell
    texts = _texts(shell.site().colours.accent)
    for address, text in zip(stylesheets(shell.site().colours.accent), texts.values(), strict=True):
        if address == request.url.path:
            return Response(text, media_type="text/css", headers=_FOREVER)
    if request.url.path == script():
        return Response(_script(), media_type="text/javascript", headers=_FOREVER)
    return Response("there is no such file\n", 404, media_type="text/plain")


@lru_cache(maxsize=8)
def _texts(accent: str) -> dict[str, str]:
    site = files("holdfast.interfaces.site") / "static" / "site.css"
    console = files(__package__) / "static" / "console.css"
    return {
        "site": site.read_text(encoding="utf-8"),
        "theme": theme(accent),
        "console": console.read_text(encoding="utf-8"),
    }


@lru_cache(maxsize=1)
def _script() -> str:
    return (files(__package__) / "static" / "live.js").read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
