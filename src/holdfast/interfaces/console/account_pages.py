"""What everybody does about their own account: password, second factor, recovery codes, sessions."""

import io

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from holdfast.identity.desk import IdentityDesk
from holdfast.identity.errors import LockedOut, NotThere, Refused, Unavailable, Unsuitable
from holdfast.identity.model import SessionView, Stage
from holdfast.identity.passwords import SHORTEST
from holdfast.identity.second_factor import Offer
from holdfast.interfaces.console.cookies import cookie_of, drop_cookie, keep_session
from holdfast.interfaces.console.guard import local_path
from holdfast.interfaces.console.login_pages import check_alike
from holdfast.interfaces.console.shell import (
    ConsolePage,
    address_of,
    form,
    page,
    redirect,
    session_of,
    shell_of,
)
from holdfast.kernel.errors import HoldfastError

_WRONG = (Refused, LockedOut, Unsuitable, Unavailable)


class AccountPages:
    def __init__(self, identity: IdentityDesk) -> None:
        self._identity = identity

    def pages(self) -> list[ConsolePage]:
        post, both = ("POST",), ("GET", "POST")
        return [
            ConsolePage("/account", self.account, customers=True),
            ConsolePage("/account/password", self.password, methods=both, customers=True),
            ConsolePage("/account/second-factor", self.factor, methods=both, customers=True, unfinished=True),
            ConsolePage("/account/second-factor/remove", self.remove, methods=post, customers=True),
            ConsolePage("/account/recovery-codes", self.codes, methods=both, customers=True),
            ConsolePage("/account/sessions/end", self.end_session, methods=post, customers=True),
            ConsolePage("/account/sessions/end-others", self.end_others, methods=post, customers=True),
        ]

    async def account(self, request: Request) -> Response:
        view = session_of(request)
        return page(
            request,
            "account.html",
            sessions=await self._identity.sessions(view),
            codes_left=await self._identity.factors.codes_left(view.account),
            factor_required=shell_of(request).settings().second_factor == "required",
        )

    async def password(self, request: Request) -> Response:
        if request.method == "GET":
            return page(request, "password.html", error=None, shortest=SHORTEST)
        view, fields = session_of(request), form(request)
        try:
            check_alike(fields)
            opened = await self._identity.change_password(
                view,
                fields.get("password_now", ""),
                fields.get("password", ""),
                address_of(request),
                device=cookie_of(request, "device"),
            )
        except _WRONG as error:
            return page(request, "password.html", status=400, error=error, shortest=SHORTEST)
        request.state.session = opened.view
        return keep_session(request, redirect(request, "/account"), opened)

    async def factor(self, request: Request) -> Response:
        """Set up a second factor: before anything else where one is required, or later to change it."""
        view, issuer = session_of(request), shell_of(request).site().title
        if request.method == "GET":
            return self._factor_page(request, self._identity.factors.begin(view, issuer))
        fields = form(request)
        sealed = fields.get("sealed", "")[:1000]
        try:
            if view.stage is Stage.OPEN:
                await self._prove(request, view)
            opened, codes = await self._identity.enrol(
                view, sealed, fields.get("code", "")[:20], address_of(request)
            )
        except _WRONG as error:
            return self._factor_page(request, self._offer_again(view, sealed, issuer), error)
        request.state.session = opened.view
        response = page(request, "codes.html", codes=codes, next=_onward(request))
        return keep_session(request, response, opened)

    async def remove(self, request: Request) -> Response:
        view = session_of(request)
        await self._prove(request, view)
        await self._identity.drop_factor(view)
        response = RedirectResponse("/login", 303)
        drop_cookie(request, response, "session")
        return response

    async def codes(self, request: Request) -> Response:
        view = session_of(request)
        if request.method == "GET":
            return page(request, "codes_again.html", error=None)
        try:
            await self._prove(request, view)
            codes = await self._identity.fresh_codes(view)
        except _WRONG as error:
            return page(request, "codes_again.html", status=400, error=error)
        return page(request, "codes.html", codes=codes, next="/account")

    async def end_session(self, request: Request) -> Response:
        try:
            sha256 = bytes.fromhex(form(request).get("session", ""))
        except ValueError:
            raise NotThere("there is no such session") from None
        await self._identity.end_session(session_of(request), sha256)
        return redirect(request, "/account", told="That session is over.")

    async def end_others(self, request: Request) -> Response:
        ended = await self._identity.logout_everywhere(session_of(request))
        return redirect(request, "/account", told=f"Other sessions ended: {ended}.")

    async def _prove(self, request: Request, view: SessionView) -> None:
        await self._identity.prove_password(
            view,
            form(request).get("password_now", ""),
            address_of(request),
            device=cookie_of(request, "device"),
        )

    def _offer_again(self, view: SessionView, sealed: str, issuer: str) -> Offer:
        """The same one after a mistyped code, so that the phone need not be set up twice."""
        try:
            return self._identity.factors.again(view, sealed, issuer)
        except Refused:
            return self._identity.factors.begin(view, issuer)

    def _factor_page(self, request: Request, offer: Offer, error: HoldfastError | None = None) -> Response:
        return page(
            request,
            "factor.html",
            status=200 if error is None else 400,
            error=error,
            offer=offer,
            secret=" ".join(offer.secret[at : at + 4] for at in range(0, len(offer.secret), 4)),
            drawing=drawing_of(offer.uri),
            next=_onward(request),
        )


def drawing_of(text: str) -> Markup:
    """A QR code as SVG, dark on light whatever the page's colours: scanners want it so."""
    drawn = io.BytesIO()
    segno.make(text, error="m").save(
        drawn,
        kind="svg",
        xmldecl=False,
        svgns=False,
        svgclass="qr",
        lineclass=None,
        omitsize=True,
        light="#fff",
    )
    return Markup(drawn.getvalue().decode())  # noqa: S704  segno's own markup, of numbers only


def _onward(request: Request) -> str:
    given = request.query_params.get("next", "")
    return local_path(form(request).get("next", given) if request.method == "POST" else given)
