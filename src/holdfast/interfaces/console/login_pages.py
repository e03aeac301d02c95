"""Logging in and out: name and password, second factor, invitation, and the way through a provider."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from holdfast.identity.desk import IdentityDesk
from holdfast.identity.errors import LockedOut, NotThere, Refused, Unavailable, Unsuitable
from holdfast.identity.model import Opened, RoleByClaim, Stage
from holdfast.identity.passwords import SHORTEST
from holdfast.identity.ports import Departure, Provider
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.cookies import cookie_of, drop_cookie, keep_cookie, keep_session
from holdfast.interfaces.console.guard import local_path
from holdfast.interfaces.console.shell import (
    ConsolePage,
    address_of,
    form,
    page,
    problem,
    redirect,
    session_or_none,
    shell_of,
)
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault

RETURN = "/login/openid/return"
_WAY = "way to a provider"
_WAY_LASTS_S = 600


@dataclass(frozen=True, slots=True)
class Gateway:
    """The provider as the estate has it now, and which claims give which role."""

    provider: Provider
    roles: Sequence[RoleByClaim]


class LoginPages:
    """`gateway` is asked anew for each login; None while the estate names no provider."""

    def __init__(self, identity: IdentityDesk, vault: Vault, gateway: Callable[[], Gateway | None]) -> None:
        self._identity = identity
        self._vault = vault
        self._gateway = gateway

    def pages(self) -> list[ConsolePage]:
        both = ("GET", "POST")
        return [
            ConsolePage("/login", self.login, methods=both, anonymous=True),
            ConsolePage("/login/code", self.code, methods=both, anonymous=True),
            ConsolePage("/login/openid", self.depart, anonymous=True),
            ConsolePage(RETURN, self.arrive, anonymous=True),
            ConsolePage("/logout", self.logout, methods=("POST",), anonymous=True),
            ConsolePage("/invitation/{secret}", self.invitation, methods=both, anonymous=True),
        ]

    async def login(self, request: Request) -> Response:
        view = session_or_none(request)
        if request.method == "GET":
            if view is not None and view.confirmed:
                return redirect(request, _next(request))
            return self._login_page(request)
        fields = form(request)
        try:
            opened = await self._identity.login(
                fields.get("name", ""),
                fields.get("password", ""),
                address_of(request),
                device=cookie_of(request, "device"),
            )
        except (Refused, LockedOut, Unavailable) as error:
            return self._login_page(request, error, name=fields.get("name", "")[:100])
        return await self._welcome(request, opened)

    async def code(self, request: Request) -> Response:
        view = session_or_none(request)
        if view is None or view.stage is not Stage.CODE:
            return redirect(request, "/login" if view is None else _next(request))
        if request.method == "GET":
            return page(request, "code.html", next=_next(request), error=None)
        try:
            opened = await self._identity.confirm(
                cookie_of(request, "session"),
                form(request).get("code", "")[:100],
                address_of(request),
                device=cookie_of(request, "device"),
            )
        except (Refused, LockedOut) as error:
            status = 429 if isinstance(error, LockedOut) else 403
            return page(request, "code.html", status=status, next=_next(request), error=error)
        return await self._welcome(request, opened)

    async def logout(self, request: Request) -> Response:
        await self._identity.logout(cookie_of(request, "session"))
        response = RedirectResponse("/login", 303)
        drop_cookie(request, response, "session")
        return response

    async def invitation(self, request: Request) -> Response:
        """Opening the link changes nothing: what looks at links before people do must not use it up."""
        secret = request.path_params["secret"]
        account = await self._identity.accounts.invited(secret)
        if request.method == "GET":
            return page(request, "invitation.html", error=None, account=account, shortest=SHORTEST)
        fields = form(request)
        try:
            check_alike(fields)
            await self._identity.accounts.accept(secret, fields.get("password", ""))
        except (Unsuitable, Unavailable) as error:
            return page(
                request, "invitation.html", status=400, error=error, account=account, shortest=SHORTEST
            )
        return self._login_page(request, name=account.name, welcome=True)

    # --- through a provider

    async def depart(self, request: Request) -> Response:
        gateway = self._gateway()
        if gateway is None:
            raise NotThere("there is no other way to log in")
        departure = await gateway.provider.depart(_return_to(request))
        way = {
            "state": departure.state,
            "nonce": departure.nonce,
            "verifier": departure.verifier,
            "next": _next(request),
            "until": shell_of(request).clock.now().timestamp() + _WAY_LASTS_S,
        }
        response = RedirectResponse(departure.url, 303)
        sealed = self._vault.seal(json.dumps(way), _WAY).hex()
        keep_cookie(request, response, "openid", sealed, lasting_s=_WAY_LASTS_S)
        return response

    async def arrive(self, request: Request) -> Response:
        """Where the provider sends the browser back: to the one that departed, and once."""
        try:
            response = await self._arrived(request)
        except (Refused, Unavailable, LockedOut) as error:
            status = 503 if isinstance(error, Unavailable) else 403
            response = problem(
                request,
                status,
                f"You could not be logged in: {error}.",
                error.hint or "Begin again from the login page.",
                back="/login",
            )
        drop_cookie(request, response, "openid")
        return response

    async def _arrived(self, request: Request) -> Response:
        gateway, way = self._gateway(), self._way(request)
        if gateway is None or way is None or way["until"] < shell_of(request).clock.now().timestamp():
            raise Refused("this login was not begun in this browser, or took too long")
        departure = Departure("", way["state"], way["nonce"], way["verifier"])
        answer = {key: text for key, text in request.query_params.multi_items() if len(text) <= 4096}
        vouched = await gateway.provider.arrive(answer, departure, _return_to(request))
        opened = await self._identity.login_vouched(vouched, gateway.roles, address_of(request))
        await self._identity.logout(cookie_of(request, "session"))
        return keep_session(request, redirect(request, local_path(way["next"])), opened)

    def _way(self, request: Request) -> Mapping[str, Any] | None:
        try:
            way: Mapping[str, Any] = json.loads(
                self._vault.open(bytes.fromhex(cookie_of(request, "openid")), _WAY)
            )
        except (HoldfastError, ValueError):
            return None
        return way

    # --- inside

    async def _welcome(self, request: Request, opened: Opened) -> Response:
        """On to the next step, with the new session; what this browser had before is over."""
        await self._identity.logout(cookie_of(request, "session"))
        wanted = _next(request)
        onward = f"?next={quote(wanted, safe='')}" if wanted != "/" else ""
        path = {
            Stage.CODE: f"/login/code{onward}",
            Stage.ENROL: f"/account/second-factor{onward}",
            Stage.OPEN: wanted,
        }[opened.view.stage]
        return keep_session(request, redirect(request, path), opened)

    def _login_page(
        self, request: Request, error: HoldfastError | None = None, *, name: str = "", welcome: bool = False
    ) -> Response:
        status = {LockedOut: 429, Unavailable: 503, Refused: 403}.get(type(error), 200)
        gateway = self._gateway()
        return page(
            request,
            "login.html",
            status=status,
            error=error,
            name=name,
            welcome=welcome,
            next=_next(request),
            onward=quote(_next(request), safe=""),
            provider=None if gateway is None else gateway.provider.name,
        )


def check_alike(fields: Form) -> None:
    """Raises Unsuitable when a new password was not typed twice alike."""
    if fields.get("password", "") != fields.get("password_again", ""):
        raise Unsuitable("the two passwords differ")


def _next(request: Request) -> str:
    """Where somebody wanted to go: a path of ours, whatever the link said."""
    given = request.query_params.get("next", "")
    if request.method == "POST":
        given = form(request).get("next", given)
    path = local_path(given)
    return "/" if path.startswith(("/login", "/logout")) else path


def _return_to(request: Request) -> str:
    """Our own address for the provider: as declared, since it must be registered there."""
    declared = shell_of(request).settings().url
    base = declared or f"{request.url.scheme}://{request.url.netloc}"
    return base.rstrip("/") + RETURN
