"""What administrators do: accounts, tokens, and the audit trail."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.desk import IdentityDesk
from holdfast.identity.errors import NotThere, Unsuitable
from holdfast.identity.model import SCOPES, Invitation, Right, Role
from holdfast.identity.ports import Trail
from holdfast.identity.tokens import is_in_force
from holdfast.interfaces.console.shell import (
    ConsolePage,
    actor_of,
    form,
    page,
    redirect,
    session_of,
    shell_of,
)

TRAIL_PAGE = 50
_LASTING = {"30": 30, "90": 90, "365": 365, "": None}


class AdminPages:
    """`customers` are those of the estate in force: names by key."""

    def __init__(
        self, identity: IdentityDesk, trail: Trail, customers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._customers = customers
        self._accounts = identity.accounts
        self._tokens = identity.tokens
        self._trail = trail

    def pages(self) -> list[ConsolePage]:
        need, post, both = Right.ADMINISTER, ("POST",), ("GET", "POST")
        named = "/accounts/{name}"
        return [
            ConsolePage(
                "/accounts", self.accounts, need, title="Accounts", about="Who may log in, and as what"
            ),
            ConsolePage("/accounts/new", self.add, need, methods=both),
            ConsolePage(named, self.account, need),
            ConsolePage(f"{named}/role", self.role, need, methods=post),
            ConsolePage(f"{named}/disable", self.disable, need, methods=post),
            ConsolePage(f"{named}/enable", self.enable, need, methods=post),
            ConsolePage(f"{named}/invite", self.invite, need, methods=post),
            ConsolePage(f"{named}/second-factor-reset", self.reset_factor, need, methods=post),
            ConsolePage(
                "/tokens",
                self.tokens,
                need,
                methods=both,
                title="API tokens",
                about="What programs log in with",
            ),
            ConsolePage("/tokens/{token}/revoke", self.revoke, need, methods=post),
            ConsolePage(
                "/audit", self.audit, Right.AUDIT, title="Audit trail", about="Who did what, and when"
            ),
        ]

    # --- accounts

    async def accounts(self, request: Request) -> Response:
        return page(request, "accounts.html", accounts=await self._accounts.accounts(actor_of(request)))

    async def add(self, request: Request) -> Response:
        if request.method == "GET":
            return self._new_page(request, {})
        fields = form(request)
        given = {key: fields.get(key, "")[:200] for key in ("name", "full_name", "role", "customer")}
        try:
            if given["customer"] and given["customer"] not in self._customers():
                raise _unknown_customer()
            invitation = await self._accounts.add(
                given["name"],
                _role(given["role"]),
                actor_of(request),
                full_name=given["full_name"],
                customer=given["customer"] or None,
            )
        except Unsuitable as error:
            return self._new_page(request, given, error)
        return _invited(request, invitation)

    def _new_page(
        self, request: Request, given: Mapping[str, str], error: Unsuitable | None = None
    ) -> Response:
        status = 200 if error is None else 400
        return page(
            request,
            "account_new.html",
            status=status,
            error=error,
            given=given,
            customers=self._customers(),
        )

    async def account(self, request: Request) -> Response:
        account = await self._accounts.account(request.path_params["name"], actor_of(request))
        return page(request, "account_of.html", account=account)

    async def role(self, request: Request) -> Response:
        role = _role(form(request).get("role", ""))
        account = await self._accounts.change_role(request.path_params["name"], role, actor_of(request))
        return redirect(request, _path_of(account.name), told=f"{account.name} is now {account.role.label}.")

    async def disable(self, request: Request) -> Response:
        account = await self._accounts.disable(request.path_params["name"], actor_of(request))
        return redirect(
            request, _path_of(account.name), told=f"{account.name} is logged out and cannot log in."
        )

    async def enable(self, request: Request) -> Response:
        account = await self._accounts.enable(request.path_params["name"], actor_of(request))
        return redirect(request, _path_of(account.name), told=f"{account.name} can log in again.")

    async def invite(self, request: Request) -> Response:
        return _invited(request, await self._accounts.invite(request.path_params["name"], actor_of(request)))

    async def reset_factor(self, request: Request) -> Response:
        account = await self._accounts.reset_second_factor(request.path_params["name"], actor_of(request))
        told = f"The next login of {account.name} sets up another second factor."
        return redirect(request, _path_of(account.name), told=told)

    # --- tokens

    async def tokens(self, request: Request) -> Response:
        if request.method == "GET":
            return await self._tokens_page(request)
        fields, now = form(request), shell_of(request).clock.now()
        given: dict[str, object] = {"name": fields.get("name", "")[:100], "scopes": fields.getlist("scope")}
        try:
            scopes = {Right(each) for each in fields.getlist("scope") if each in SCOPES}
            days = _LASTING.get(fields.get("days", ""), 90)
            token, secret = await self._tokens.create(
                fields.get("name", ""),
                scopes,
                actor_of(request),
                expires_at=None if days is None else now + timedelta(days=days),
            )
        except Unsuitable as error:
            return await self._tokens_page(request, error, given)
        return page(request, "token_made.html", token=token, secret=secret)

    async def revoke(self, request: Request) -> Response:
        token = await self._tokens.revoke(request.path_params["token"], actor_of(request))
        return redirect(request, "/tokens", told=f"The token {token.name} is worth nothing any more.")

    async def _tokens_page(
        self, request: Request, error: Unsuitable | None = None, given: dict[str, object] | None = None
    ) -> Response:
        now = shell_of(request).clock.now()
        found = await self._tokens.tokens(actor_of(request))
        return page(
            request,
            "tokens.html",
            status=200 if error is None else 400,
            error=error,
            given=given or {"name": "", "scopes": ["read"]},
            in_force=[token for token in found if is_in_force(token, now)],
            over=[token for token in found if not is_in_force(token, now)][:20],
        )

    # --- the audit trail

    async def audit(self, request: Request) -> Response:
        query = request.query_params
        actor, event = query.get("actor", "").strip()[:100], query.get("event", "").strip()[:100]
        before = query.get("before", "")
        found = await self._trail.entries(
            before=int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else None,
            actor=actor,
            event=event,
            limit=TRAIL_PAGE + 1,
        )
        shown = found[:TRAIL_PAGE]
        return page(
            request,
            "audit.html",
            entries=shown,
            older=shown[-1].id if len(found) > TRAIL_PAGE else None,
            paged=bool(before),
            actor=actor,
            event=event,
            told_of=[_facts(entry.facts) for entry in shown],
        )


def _facts(facts: object) -> Sequence[tuple[str, str]]:
    if not isinstance(facts, dict):
        return []
    return [(name, _short(fact)) for name, fact in facts.items()]


def _short(fact: object) -> str:
    text = ", ".join(map(str, fact)) if isinstance(fact, list) else str(fact)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _role(label: str) -> Role:
    try:
        return Role[label.upper()]
    except KeyError:
        raise Unsuitable("choose a role") from None


def _unknown_customer() -> Unsuitable:
    return Unsuitable("the estate in force has no such customer")


def _path_of(name: str) -> str:
    return f"/accounts/{name}"


def _invited(request: Request, invitation: Invitation | None) -> Response:
    if invitation is None:
        raise NotThere("there is no invitation")
    declared = shell_of(request).settings().url
    base = (declared or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")
    return page(
        request,
        "invited.html",
        invitation=invitation,
        link=f"{base}/invitation/{invitation.secret}",
        own=invitation.account == session_of(request).account.name,
    )
