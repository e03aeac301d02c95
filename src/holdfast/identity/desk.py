"""Logging in, being logged in, and logging out.

Whoever fails learns nothing but that: an unknown name costs the same work, and the same words, as a wrong
password. Every step up (password, second factor, new password) makes a new session in place of the old one.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from holdfast.identity import passwords, sessions
from holdfast.identity.accounts import AccountDesk
from holdfast.identity.errors import LockedOut, NotAllowed, NotThere, Refused, Unsuitable
from holdfast.identity.model import (
    Account,
    Actor,
    Opened,
    RoleByClaim,
    Session,
    SessionView,
    Stage,
    Terms,
    Vouched,
)
from holdfast.identity.ports import Hashing, IdentityStore, Kept
from holdfast.identity.second_factor import SecondFactors
from holdfast.identity.throttling import Attempt, attempts_at
from holdfast.identity.tokens import TokenDesk
from holdfast.identity.vouching import account_for
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.vault import Vault

NOBODY = "nobody"
"""Who fails to log in, as the journal names them: what was typed as a name may have been a password."""
_DEVICE = "known device"
_WRONG = "name or password is wrong"
_KEPT_ATTEMPTS = timedelta(days=1)


class IdentityDesk:
    """What the console and the API ask about who somebody is. `accounts` and `tokens` administer them."""

    def __init__(
        self,
        store: IdentityStore,
        vault: Vault,
        hashing: Hashing,
        clock: Clock,
        terms: Callable[[], Terms] = Terms,
    ) -> None:
        self._store = store
        self._vault = vault
        self._hashing = hashing
        self._clock = clock
        self._terms = terms
        self.accounts = AccountDesk(store, hashing, clock)
        self.tokens = TokenDesk(store, clock)
        self.factors = SecondFactors(store, vault, clock)

    # --- logging in

    async def login(self, name: str, password: str, address: str, *, device: str = "") -> Opened:
        """A session for who has that name and password: open, or waiting for the second factor.

        `device` is the mark that an earlier login left in this browser. Raises LockedOut and Refused.
        """
        wanted = passwords.name_of(name)
        kept = None if wanted is None else await self._store.kept(wanted)
        attempts = self._attempts("password", wanted or name[:200], address, device)
        await self._admit(attempts)
        usable = kept if kept is not None and kept.account.disabled_at is None else None
        if not await self._is_right(usable, password):
            await self._store.note(self._entry(NOBODY, "login.refused", address=address))
            raise Refused(_WRONG)
        assert usable is not None  # noqa: S101  what was verified was its hash
        await self._store.absolve(attempts)
        await self._rehash(usable, password)
        stage = sessions.first_stage(usable.account, self._terms())
        return await self._open(usable.account, stage, address)

    async def confirm(self, cookie: str, code: str, address: str, *, device: str = "") -> Opened:
        """An open session in place of the one that waits, for a code by the time or a recovery code."""
        view = await self.session(cookie)
        if view.stage is not Stage.CODE:
            raise Refused("there is nothing to confirm")
        account = view.account
        attempts = self._attempts("code", account.name, address, device)
        await self._admit(attempts)
        if not await self.factors.proves(account, code):
            await self._store.note(self._entry(account.name, "login.code_refused", address=address))
            raise Refused("the code is wrong, or was used before")
        await self._store.absolve(attempts)
        return await self._step_up(view, account, address)

    async def login_vouched(self, vouched: Vouched, roles: Sequence[RoleByClaim], address: str) -> Opened:
        """A session for whom a provider vouches, with the role that the claims give now.

        The first login makes the account. Nobody without a role gets in, and whoever lost theirs is out.
        """
        known = await self._store.vouched_for(vouched.issuer, vouched.subject)
        taken = {account.name for account in await self._store.accounts()} if known is None else set()
        account = account_for(vouched, roles, known, taken)
        if account is None:
            if known is not None:
                await self._store.end_all(
                    known.id, self._entry(known.name, "session.ended_all", why="no role")
                )
            await self._store.note(self._entry(NOBODY, "login.refused", address=address, why="no role"))
            raise Refused("you have no role here", hint="ask an administrator which group gives one")
        if known is None:
            entry = self._entry(account.name, "account.added", account=account.name, role=account.role.label)
            account = await self._first(account, vouched, entry)
        elif account.disabled_at is not None:
            await self._store.note(self._entry(NOBODY, "login.refused", address=address, why="disabled"))
            raise Refused("this account is disabled")
        elif account != known:
            entry = self._entry(
                account.name, "account.changed", account=account.name, role=account.role.label
            )
            fresh = account
            account = await self._store.change(
                known.id, lambda now, _: replace(now, role=fresh.role, full_name=fresh.full_name), entry
            )
        return await self._open(account, Stage.OPEN, address)

    # --- being logged in

    async def session(self, cookie: str) -> SessionView:
        """Who that cookie stands for, by what the account and the estate say now; raises Refused."""
        found = None
        if cookie and len(cookie) <= sessions.LONGEST_COOKIE:
            found = await self._store.session(sessions.sha256_of(cookie))
        now, terms = self._clock.now(), self._terms()
        if found is None or found[1].disabled_at is not None or not sessions.is_alive(found[0], now, terms):
            raise Refused("you are not logged in")
        session, account = found
        if sessions.needs_touch(session, now, terms):
            await self._store.touch(session.sha256, now)
        return sessions.view_of(cookie, session, account, terms)

    async def actor_of_token(self, token: str) -> Actor:
        """Who calls with that token, and what its scopes allow; raises Refused."""
        return await self.tokens.actor_of(token)

    async def sessions(self, view: SessionView) -> Sequence[Session]:
        """All living sessions of the same account, newest first."""
        now, terms = self._clock.now(), self._terms()
        found = await self._store.sessions(view.account.id)
        return [session for session in found if sessions.is_alive(session, now, terms)]

    async def logout(self, cookie: str) -> None:
        """End that session. Idempotent."""
        found = await self._store.session(sessions.sha256_of(cookie)) if cookie else None
        if found is not None:
            await self._store.end(found[0].sha256, self._entry(found[1].name, "session.ended"))

    async def end_session(self, view: SessionView, sha256: bytes) -> None:
        """End another session of the same account; raises NotThere."""
        own = {session.sha256 for session in await self._store.sessions(view.account.id)}
        if sha256 not in own or not await self._store.end(
            sha256, self._entry(view.account.name, "session.ended")
        ):
            raise NotThere("this session has ended already")

    async def logout_everywhere(self, view: SessionView) -> int:
        """End all sessions of the account but this one; how many there were."""
        entry = self._entry(view.account.name, "session.ended_all")
        return await self._store.end_all(view.account.id, entry, keep=view.session.sha256)

    # --- one's own password and second factor

    async def change_password(
        self, view: SessionView, old: str, new: str, address: str, *, device: str = ""
    ) -> Opened:
        """Set a new password and end all other sessions. Raises Refused, LockedOut and Unsuitable."""
        self._opened(view)
        await self.prove_password(view, old, address, device=device)
        trouble = passwords.trouble_with(new, view.account.name, view.account.full_name)
        if trouble is not None:
            raise Unsuitable(trouble)
        if new == old:
            raise Unsuitable("this is the password that you have")
        hashed = await self._hashing.hash(passwords.prepared(new))
        entry = self._entry(view.account.name, "account.password_changed", account=view.account.name)
        await self._store.set_password(view.account.id, hashed, entry, keep=view.session.sha256)
        return await self._step_up(view, view.account, address, event=None)

    async def prove_password(
        self, view: SessionView, password: str, address: str, *, device: str = ""
    ) -> None:
        """Before something weighty: is it still the same person? Raises Refused and LockedOut."""
        kept = await self._store.kept_by_id(view.account.id)
        attempts = self._attempts("password", view.account.name, address, device)
        await self._admit(attempts)
        if not await self._is_right(kept, password):
            await self._store.note(self._entry(view.account.name, "login.password_refused", address=address))
            raise Refused("the password is wrong")
        await self._store.absolve(attempts)

    async def enrol(
        self, view: SessionView, sealed: str, code: str, address: str
    ) -> tuple[Opened, Sequence[str]]:
        """Put the second factor in force that `factors.begin` offered; a new session and recovery codes.

        For somebody who just gave the password (ENROL), or proved it again (OPEN). Raises Refused.
        """
        if view.stage is Stage.CODE:
            raise Refused("confirm the login first")
        codes = await self.factors.put_in_force(view, sealed, code)
        kept = await self._store.kept_by_id(view.account.id)
        if kept is None:
            raise Refused("you are not logged in")
        event = "login.succeeded" if view.stage is Stage.ENROL else None
        return await self._step_up(view, kept.account, address, event=event), codes

    async def fresh_codes(self, view: SessionView) -> Sequence[str]:
        """Replace the recovery codes. Prove the password first."""
        self._opened(view)
        return await self.factors.fresh_codes(view.account)

    async def drop_factor(self, view: SessionView) -> None:
        """Do without a second factor, where that is allowed. Prove the password first. Ends all sessions."""
        self._opened(view)
        if self._terms().second_factor_required:
            raise NotAllowed("a second factor is required here")
        await self._store.clear_factor(
            view.account.id,
            self._entry(view.account.name, "account.factor_removed", account=view.account.name),
        )

    # --- keeping house

    async def prune(self) -> None:
        """Forget sessions that are over and attempts that no longer count."""
        now = self._clock.now()
        await self._store.prune(sessions_before=now, attempts_before=now - _KEPT_ATTEMPTS)

    def device_of(self, account: str, nonce: str) -> str:
        """The mark of a browser that was logged in: worth nothing but a counter of its own."""
        return f"{nonce}.{self._vault.fingerprint(f'{account}/{nonce}', _DEVICE).hex()}"

    # --- inside

    async def _first(self, account: Account, vouched: Vouched, entry: JournalEntry) -> Account:
        """The account of somebody's first login, also when there are two of them at once."""
        try:
            await self._store.add(account, None, entry)
        except Unsuitable:
            known = await self._store.vouched_for(vouched.issuer, vouched.subject)
            if known is None:
                raise
            return known
        return account

    def _attempts(self, kind: str, name: str, address: str, device: str) -> tuple[Attempt, ...]:
        # What was typed as a name may be anything, also what has no bytes.
        known = name.encode("utf-8", "replace").decode()
        nonce = device.partition(".")[0]
        genuine = nonce.isascii() and device.isascii() and bool(nonce)
        genuine = genuine and hmac.compare_digest(device, self.device_of(known, nonce))
        return attempts_at(kind, known, address, nonce if genuine else None)

    async def _admit(self, attempts: Sequence[Attempt]) -> None:
        until = await self._store.attempt(attempts, self._clock.now())
        if until is not None:
            raise LockedOut(until)

    async def _is_right(self, kept: Kept | None, password: str) -> bool:
        """The same work whether or not there is anything to compare with."""
        hashed = None if kept is None else kept.password_hash
        fits = len(password) <= passwords.LONGEST and passwords.has_bytes(password)
        return await self._hashing.verify(
            hashed if fits else None, passwords.prepared(password) if fits else ""
        )

    async def _rehash(self, kept: Kept, password: str) -> None:
        if kept.password_hash is not None and self._hashing.outdated(kept.password_hash):
            fresh = await self._hashing.hash(passwords.prepared(password))
            await self._store.rehash(kept.account.id, kept.password_hash, fresh)

    async def _open(self, account: Account, stage: Stage, address: str) -> Opened:
        cookie, session = self._fresh(account, stage, address)
        is_open = stage is Stage.OPEN
        await self._store.open(session, self._succeeded(account, address) if is_open else None)
        return self._opened_as(cookie, session, account)

    async def _step_up(
        self, view: SessionView, account: Account, address: str, *, event: str | None = "login.succeeded"
    ) -> Opened:
        """A new session in place of this one: an id that somebody planted or saw before is worth nothing."""
        cookie, session = self._fresh(account, Stage.OPEN, address)
        entry = None if event is None else self._entry(account.name, event, address=address)
        if not await self._store.renew(view.session.sha256, session, entry):
            raise Refused("you are not logged in")
        return self._opened_as(cookie, session, account)

    def _fresh(self, account: Account, stage: Stage, address: str) -> tuple[str, Session]:
        cookie = sessions.fresh_secret()
        return cookie, sessions.fresh(cookie, account, stage, self._clock.now(), self._terms(), address)

    def _opened_as(self, cookie: str, session: Session, account: Account) -> Opened:
        view = sessions.view_of(cookie, session, account, self._terms())
        device = self.device_of(account.name, sessions.fresh_secret()) if view.confirmed else ""
        return Opened(cookie, view, device)

    def _opened(self, view: SessionView) -> None:
        if not view.confirmed:
            raise Refused("confirm the login first")

    def _succeeded(self, account: Account, address: str) -> JournalEntry:
        return self._entry(account.name, "login.succeeded", address=address)

    def _entry(self, actor: str, event: str, **facts: object) -> JournalEntry:
        return JournalEntry(self._clock.now(), actor, event, _without_nothing(facts))


def _without_nothing(facts: Mapping[str, object]) -> Mapping[str, object]:
    return {name: fact for name, fact in facts.items() if fact not in ("", None)}
