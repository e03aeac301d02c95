"""The console as an ASGI application: its own pages, those that it is given, and the API beside them."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from holdfast.estate.communication import Console
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.ports import Trail
from holdfast.interfaces.console import assets
from holdfast.interfaces.console.account_pages import AccountPages
from holdfast.interfaces.console.admin_pages import AdminPages
from holdfast.interfaces.console.gate import failed, refused, routes_of
from holdfast.interfaces.console.guard import Guard
from holdfast.interfaces.console.login_pages import Gateway, LoginPages
from holdfast.interfaces.console.shell import ConsolePage, Shell, navigation, page, session_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.vault import Vault

OVERVIEW, CUSTOMER = "/", "/customer"

log = structlog.get_logger()


def create_console(
    identity: IdentityDesk,
    trail: Trail,
    vault: Vault,
    clock: Clock,
    *,
    settings: Callable[[], Console] = Console,
    site: Callable[[], Site] = Site,
    gateway: Callable[[], Gateway | None] = lambda: None,
    customers: Callable[[], Mapping[str, str]] = dict,
    pages: Sequence[ConsolePage] = (),
    mounts: Mapping[str, Any] | None = None,
    ready: Callable[[], Awaitable[bool]] | None = None,
    metrics: Callable[[Request], Awaitable[Response]] | None = None,
    lifespan: Callable[[Any], Any] | None = None,
) -> Starlette:
    """The console over `identity`.

    `settings`, `site`, `gateway` and `customers` (names by key) are asked anew each time, so that a reload
    takes effect. `pages` come first in the navigation, and replace pages of the console's own that have the
    same path: `/` is the overview, `/customer` what an account that is bound to a customer sees. `mounts` are
    ASGI applications by path, which see to their own security: `{"/api/v1": api}`, and so does `metrics`.
    """
    given = {(each.path, method) for each in pages for method in each.methods}
    own = [
        ConsolePage(OVERVIEW, _overview),
        ConsolePage(CUSTOMER, _customer, customers=True),
        *LoginPages(identity, vault, gateway).pages(),
        *AccountPages(identity).pages(),
        *AdminPages(identity, trail, customers).pages(),
    ]
    everything = [*pages, *(each for each in own if not {(each.path, m) for m in each.methods} & given)]
    routes: list[BaseRoute] = [
        *assets.routes(),
        Route("/health/live", _live),
        Route("/health/ready", _readiness(ready)),
        *([Route("/metrics", metrics)] if metrics is not None else ()),
        *(_mounted(path, app) for path, app in (mounts or {}).items()),
        *routes_of(everything),
    ]
    app = GuardedConsole(
        settings,
        routes=routes,
        exception_handlers={HTTPException: refused, Exception: failed},
        lifespan=lifespan,
    )
    # A redirect would repeat the Host header.
    app.router.redirect_slashes = False
    app.state.shell = Shell(identity, clock, settings, site, everything)
    return app


class GuardedConsole(Starlette):
    """With the guard around everything, also around answers about our own faults."""

    def __init__(self, settings: Callable[[], Console], **how: Any) -> None:
        super().__init__(**how)
        self._guard = Guard(super().__call__, settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._guard(scope, receive, send)
        except Exception:
            # The last edge: `failed` has answered before this came by. Outside of requests it is fatal.
            log.exception("console_broke", path=scope.get("path"))
            if scope["type"] != "http":
                raise


def _mounted(path: str, app: Any) -> Mount:
    """Everything below that path, also what has a line feed in it, is for the mounted one to refuse."""
    mount = Mount(path, app=app)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


async def _overview(request: Request) -> Response:
    view = session_of(request)
    if view.account.customer is not None:
        return RedirectResponse(CUSTOMER, 303)
    from_here = navigation(request.app.state.shell.pages, view)
    return page(request, "overview.html", ways=[each for each in from_here if each.path != OVERVIEW])


async def _customer(request: Request) -> Response:
    """A place for the customer's private page."""
    return page(request, "customer.html")


async def _live(_: Request) -> Response:
    return PlainTextResponse("live\n")


def _readiness(ready: Callable[[], Awaitable[bool]] | None) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        if ready is None or await ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    return answer
