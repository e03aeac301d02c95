"""What every request to the console must be like, and what every answer carries.

A request that changes something comes from a page of ours: by what the browser says of its origin (here), and
by the token in its form (`shell`). Either would do; neither depends on the other.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from holdfast.estate.communication import Console
from holdfast.interfaces.api.problems import refused

MOST_PATH = 512
MOST_QUERY = 4096
"""An OpenID provider's answer comes in the query."""
METHODS = frozenset({"GET", "HEAD", "POST"})
API = "/api/"
HEALTH = "/health/"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104  named, not listened on


class Guard:
    """Around the whole application. `settings` is asked anew for each request."""

    def __init__(self, app: Application, settings: Callable[[], Console]) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        api = scope["path"].startswith(API)
        trouble = trouble_with(scope, self._settings())

        async def guarded_send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, text in _HEADERS.items():
                    # The API's own pages and answers may say otherwise.
                    headers.setdefault(name, text)
                if scope["scheme"] == "https" or is_secure(self._settings()):
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        if trouble is not None and not (api and trouble[0] in {403, 405}):
            # A program with a token has no cookies that somebody else could use.
            refusal = refused(*trouble) if api else PlainTextResponse(f"{trouble[1]}\n", trouble[0])
            await refusal(scope, receive, guarded_send)
            return
        await self._app(scope, receive, guarded_send)


def trouble_with(scope: Scope, settings: Console) -> tuple[int, str] | None:
    """Status and words for a request that goes no further. Pure."""
    if len(scope["path"]) > MOST_PATH or len(scope["query_string"]) > MOST_QUERY:
        return 414, "the address is too long"
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not scope["path"].startswith(HEALTH) and not is_our_host(host, settings):
        return 421, "there is no console by that name here; see console.url"
    if scope["method"] not in METHODS:
        return 405, "only GET, HEAD and POST"
    if scope["method"] == "POST" and not is_from_us(headers, host, settings):
        return 403, "this did not come from a page of the console"
    return None


def is_our_host(host: str, settings: Console) -> bool:
    """Whether that Host header names this console: a name that was bent to our address does not."""
    listening, _, port = settings.listen.rpartition(":")
    if takes_any_host(settings):
        return True  # reached by whatever name the operator gave it
    known = {f"{each}:{port}" for each in (*_LOOPBACK, listening)}
    if settings.url is not None:
        known.add(_netloc(settings.url))
    return _without_default_port(host.lower()) in {_without_default_port(each) for each in known}


def takes_any_host(settings: Console) -> bool:
    """Whether any name is taken for this console's: it is open to others, and nobody said its name."""
    return settings.url is None and settings.listen.rpartition(":")[0] not in {*_LOOPBACK, "::1"}


def is_from_us(headers: Headers, host: str, settings: Console) -> bool:
    """Whether a page of ours sent this, by the browser's own word (Fetch Metadata, and Origin)."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in {None, "same-origin", "none"}:
        return False
    if origin is None:
        return site is not None
    known = {host.lower()} | ({_netloc(settings.url)} if settings.url is not None else set())
    return _without_default_port(_netloc(origin)) in {_without_default_port(each) for each in known}


def is_secure(settings: Console) -> bool:
    """Whether browsers reach us by https, so that cookies may insist on it."""
    return settings.url is not None and settings.url.lower().startswith("https://")


def local_path(wanted: str) -> str:
    """`wanted` where it is a path of ours, else `/`: nobody is sent anywhere else by a link to us."""
    suspicious = any(ord(each) <= 32 or each in "\\\x7f" for each in wanted)
    if not wanted.startswith("/") or wanted.startswith("//") or suspicious or len(wanted) > MOST_PATH:
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc else wanted


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _without_default_port(netloc: str) -> str:
    return netloc.removesuffix(":443").removesuffix(":80")
