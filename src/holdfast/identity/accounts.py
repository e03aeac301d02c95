"""Administering accounts: who may log in, and as what."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from holdfast.identity import passwords
from holdfast.identity.errors import NotAllowed, NotThere, Refused, Unsuitable
from holdfast.identity.model import Account, Actor, Invitation, Right, Role
from holdfast.identity.ports import Hashing, IdentityStore
from holdfast.identity.sessions import LONGEST_COOKIE, fresh_secret, sha256_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry

INVITATION_LASTS = timedelta(hours=72)
MOST_FULL_NAME = 100


class AccountDesk:
    """Every method but the invitations' is for actors who may administer; others get NotAllowed.

    Nobody sets another's password: an invitation lets its receiver choose one.
    """

    def __init__(self, store: IdentityStore, hashing: Hashing, clock: Clock) -> None:
        self._store = store
        self._hashing = hashing
        self._clock = clock

    async def accounts(self, actor: Actor) -> Sequence[Account]:
        """All of them, by name."""
        _administering(actor)
        return await self._store.accounts()

    async def account(self, name: str, actor: Actor) -> Account:
        """Raises NotThere."""
        _administering(actor)
        kept = await self._store.kept(passwords.name_of(name) or "")
        if kept is None:
            raise NotThere(f"there is no account {name!r}")
        return kept.account

    async def add(
        self,
        name: str,
        role: Role,
        actor: Actor,
        *,
        full_name: str = "",
        customer: str | None = None,
        password: str | None = None,
    ) -> Invitation | None:
        """Make an account: with that password, or with an invitation to choose one. Raises Unsuitable."""
        _administering(actor)
        account = _new_account(name, role, full_name, customer)
        hashed = None if password is None else await self._hashed(password, account)
        entry = self._entry(actor, "account.added", account, role=role.label, customer=customer)
        await self._store.add(account, hashed, entry)
        return await self.invite(account.name, actor) if password is None else None

    async def invite(self, name: str, actor: Actor) -> Invitation:
        """A link that sets the account's password once; one that was made before is worth nothing then."""
        account = await self.account(name, actor)
        if account.is_vouched_for:
            raise Unsuitable("this account logs in through its provider and has no password")
        secret, until = fresh_secret(), self._clock.now() + INVITATION_LASTS
        entry = self._entry(actor, "account.invited", account)
        await self._store.invite(account.id, sha256_of(secret), until, entry)
        return Invitation(account.name, secret, until)

    async def change_role(self, name: str, role: Role, actor: Actor) -> Account:
        """It counts from the account's next click on. Raises Unsuitable for the last administrator."""
        return await self._change(name, actor, "account.role_changed", role=role)

    async def disable(self, name: str, actor: Actor) -> Account:
        """End all its sessions, and let it log in no more."""
        return await self._change(name, actor, "account.disabled", disabled_at=self._clock.now())

    async def enable(self, name: str, actor: Actor) -> Account:
        return await self._change(name, actor, "account.enabled", disabled_at=None)

    async def reset_second_factor(self, name: str, actor: Actor) -> Account:
        """Remove it, its recovery codes and the account's sessions: the next login sets up another."""
        account = await self.account(name, actor)
        await self._store.clear_factor(account.id, self._entry(actor, "account.factor_reset", account))
        return replace(account, has_second_factor=False)

    async def set_password(self, name: str, password: str, actor: Actor) -> Account:
        """For the command line, where whoever asks has the database anyway. Ends the account's sessions."""
        account = await self.account(name, actor)
        if account.is_vouched_for:
            raise Unsuitable("this account logs in through its provider and has no password")
        hashed = await self._hashed(password, account)
        await self._store.set_password(
            account.id, hashed, self._entry(actor, "account.password_set", account)
        )
        return account

    # --- who was invited

    async def invited(self, secret: str) -> Account:
        """Whom that invitation is for; raises Refused when it is used, expired or replaced."""
        found = None
        if len(secret) <= LONGEST_COOKIE:
            found = await self._store.invited(sha256_of(secret), self._clock.now())
        if found is None:
            raise Refused("this invitation is not valid any more", hint="ask for another one")
        return found

    async def accept(self, secret: str, password: str) -> Account:
        """Set the invited account's password. Raises Refused and Unsuitable; the latter leaves it valid."""
        account = await self.invited(secret)
        hashed = await self._hashed(password, account)
        entry = JournalEntry(
            self._clock.now(), account.name, "account.invitation_used", {"account": account.name}
        )
        if not await self._store.accept(sha256_of(secret), hashed, self._clock.now(), entry):
            raise Refused("this invitation is not valid any more", hint="ask for another one")
        return account

    # --- inside

    async def _hashed(self, password: str, account: Account) -> str:
        trouble = passwords.trouble_with(password, account.name, account.full_name)
        if trouble is not None:
            raise Unsuitable(trouble)
        return await self._hashing.hash(passwords.prepared(password))

    async def _change(
        self,
        name: str,
        actor: Actor,
        event: str,
        *,
        role: Role | None = None,
        disabled_at: datetime | str | None = "as it is",
    ) -> Account:
        account = await self.account(name, actor)

        def changed(now: Account, administrators: Collection[Account]) -> Account:
            fresh = now
            if role is not None:
                fresh = with_role(fresh, role)
            if not isinstance(disabled_at, str):
                fresh = replace(fresh, disabled_at=disabled_at)
            check_administrated(now, fresh, administrators)
            return fresh

        facts = {} if role is None else {"from": account.role.label, "role": role.label}
        return await self._store.change(account.id, changed, self._entry(actor, event, account, **facts))

    def _entry(self, actor: Actor, event: str, account: Account, **facts: object) -> JournalEntry:
        said = {each: fact for each, fact in facts.items() if fact is not None}
        return JournalEntry(self._clock.now(), actor.name, event, {"account": account.name, **said})


def with_role(account: Account, role: Role) -> Account:
    """Raises Unsuitable for what an account of that kind cannot be."""
    if account.customer is not None and role is not Role.VIEWER:
        raise Unsuitable("a customer's account is a viewer")
    if account.is_vouched_for:
        raise Unsuitable("the role of this account comes from its provider", hint="see console.openid.roles")
    return replace(account, role=role)


def check_administrated(before: Account, after: Account, administrators: Collection[Account]) -> None:
    """Raises Unsuitable where nobody would be left who can administer."""
    was = before.may(Right.ADMINISTER)
    if was and not after.may(Right.ADMINISTER) and not any(each.id != before.id for each in administrators):
        raise Unsuitable("this is the last administrator", hint="make somebody else one first")


def _new_account(name: str, role: Role, full_name: str, customer: str | None) -> Account:
    known = passwords.name_of(name)
    if known is None:
        raise Unsuitable(
            f"{name[:100]!r} is no name for an account",
            hint="letters, digits and . _ @ + -, beginning with a letter or digit, at most 100",
        )
    shown = " ".join(full_name.split())[:MOST_FULL_NAME]
    return with_role(Account(str(uuid4()), known, shown, Role.VIEWER, customer), role)


def _administering(actor: Actor) -> None:
    if not actor.may(Right.ADMINISTER):
        raise NotAllowed(f"{actor.name} may not administer accounts")
