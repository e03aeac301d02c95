"""Accounts and tokens as the command line administers them: who has the database needs no login."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from holdfast.adapters.hashing.argon import Argon2
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.identity import PostgresIdentity
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.running import url_of
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.identity.accounts import AccountDesk
from holdfast.identity.errors import NotThere, Unsuitable
from holdfast.identity.model import EVERYTHING, SCOPES, Account, Actor, Invitation, Right, Role, Token
from holdfast.identity.tokens import TokenDesk, is_in_force
from holdfast.interfaces.cli.admitting import AccountOutcome, AccountRequest, AccountShown, TokenShown
from holdfast.kernel.clock import SystemClock

ACTOR = Actor(command_line(), EVERYTHING)


class AccountCommands:
    """Over a pool of the console's login."""

    def __init__(self, pool: Pool, estate: Estate) -> None:
        self._clock = SystemClock()
        store = PostgresIdentity(pool)
        self._accounts = AccountDesk(store, Argon2(), self._clock)
        self._tokens = TokenDesk(store, self._clock)
        self._estate = estate

    async def do(self, request: AccountRequest) -> AccountOutcome:
        """Take one step. Raises HoldfastError for what does not fit."""
        name, desk = request.name, self._accounts
        invitation: Invitation | None = None
        match request.step:
            case "add":
                self._check_customer(request.customer)
                invitation = await desk.add(
                    name,
                    role_named(request.role),
                    ACTOR,
                    full_name=request.full_name,
                    customer=request.customer,
                    password=request.password,
                )
            case "role":
                await desk.change_role(name, role_named(request.role), ACTOR)
            case "disable":
                await desk.disable(name, ACTOR)
            case "enable":
                await desk.enable(name, ACTOR)
            case "invite":
                invitation = await desk.invite(name, ACTOR)
            case "password":
                await desk.set_password(name, request.password or "", ACTOR)
            case "second-factor-reset":
                await desk.reset_second_factor(name, ACTOR)
        outcome = AccountOutcome(_shown(await desk.account(name, ACTOR)))
        if invitation is None:
            return outcome
        link = f"{self._console()}/invitation/{invitation.secret}"
        return replace(outcome, invitation=link, invitation_until=invitation.expires_at)

    async def accounts(self) -> Sequence[AccountShown]:
        return [_shown(each) for each in await self._accounts.accounts(ACTOR)]

    async def create_token(
        self, name: str, scopes: Sequence[str], lasting: timedelta | None
    ) -> tuple[TokenShown, str]:
        """The token, and its secret, which is kept nowhere."""
        expires_at = None if lasting is None else self._clock.now() + lasting
        rights = [_scope(each) for each in scopes]
        token, secret = await self._tokens.create(name, rights, ACTOR, expires_at=expires_at)
        return self._shown(token), secret

    async def tokens(self) -> Sequence[TokenShown]:
        return [self._shown(each) for each in await self._tokens.tokens(ACTOR)]

    async def revoke_token(self, name: str) -> None:
        """By its name, or its id. Raises NotThere when none of that name is in force."""
        for token in await self._tokens.tokens(ACTOR):
            if name in {token.name, token.id} and token.revoked_at is None:
                await self._tokens.revoke(token.id, ACTOR)
                return
        raise NotThere(f"no token {name!r} is in force", hint="holdfast token list")

    def _shown(self, token: Token) -> TokenShown:
        return TokenShown(
            token.id,
            token.name,
            tuple(sorted(token.scopes)),
            token.created_at,
            token.created_by,
            token.expires_at,
            token.revoked_at,
            token.last_used_at,
            is_in_force(token, self._clock.now()),
        )

    def _console(self) -> str:
        declared = self._estate.console
        return (declared.url or url_of(declared.listen)).rstrip("/")

    def _check_customer(self, customer: str | None) -> None:
        if customer is not None and customer not in self._estate.customers:
            hint = did_you_mean(customer, self._estate.customers, otherwise="declare it under `customers`")
            raise NotThere(f"the estate in force has no customer {customer!r}", hint=hint)


def role_named(label: str) -> Role:
    """Raises Unsuitable."""
    known = {role.label: role for role in Role}
    if label not in known:
        raise Unsuitable(f"there is no role {label!r}", hint=f"there are: {', '.join(known)}")
    return known[label]


def _scope(label: str) -> Right:
    if label not in SCOPES:
        raise Unsuitable(f"there is no scope {label!r}", hint=f"there are: {', '.join(SCOPES)}")
    return Right(label)


def _shown(account: Account) -> AccountShown:
    return AccountShown(
        account.name,
        account.full_name,
        account.role.label,
        account.customer,
        account.has_second_factor,
        account.is_vouched_for,
        account.disabled_at,
    )
