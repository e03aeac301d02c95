"""Accounts, sessions and tokens in memory, for tests. Everything ends with the process."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from holdfast.identity import throttling
from holdfast.identity.errors import NotThere, Unsuitable
from holdfast.identity.model import Account, Recorded, Role, Session, Token
from holdfast.identity.ports import ChangeAccount, Factor, Kept
from holdfast.identity.throttling import Attempt, Tally
from holdfast.kernel.journal import JournalEntry


class MemoryIdentity:
    """IdentityStore and Trail. `journal` holds what an auditor would read, oldest first."""

    def __init__(self) -> None:
        self.journal: list[JournalEntry] = []
        self._accounts: dict[str, Kept] = {}
        self._steps: dict[str, int] = {}
        self._codes: dict[str, dict[bytes, datetime | None]] = {}
        self._invitations: dict[str, tuple[bytes, datetime]] = {}
        self._sessions: dict[bytes, Session] = {}
        self._attempts: dict[bytes, Tally] = {}
        self._tokens: dict[bytes, Token] = {}

    async def note(self, entry: JournalEntry) -> None:
        self.journal.append(entry)

    async def entries(
        self, *, before: int | None = None, actor: str = "", event: str = "", limit: int = 50
    ) -> Sequence[Recorded]:
        found = [
            Recorded(number, entry.at, entry.actor, entry.event, entry.facts)
            for number, entry in enumerate(self.journal, start=1)
            if (before is None or number < before)
            and actor in {"", entry.actor}
            and entry.event.startswith(event)
        ]
        return found[::-1][:limit]

    async def prune(self, *, sessions_before: datetime, attempts_before: datetime) -> None:
        living = {key: each for key, each in self._sessions.items() if each.expires_at > sessions_before}
        self._sessions = living
        self._attempts = {k: each for k, each in self._attempts.items() if each.last_at >= attempts_before}

    # --- attempts

    async def attempt(self, attempts: Sequence[Attempt], now: datetime) -> datetime | None:
        tallies = [self._attempts.get(attempt.key) for attempt in attempts]
        until = throttling.pause(tallies, attempts, now)
        if until is None:
            for attempt, tally in zip(attempts, throttling.counted(tallies, attempts, now), strict=True):
                self._attempts[attempt.key] = tally
        return until

    async def absolve(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            tally = self._attempts.pop(attempt.key, None)
            left = None if tally is None else throttling.absolved(tally, attempt)
            if left is not None:
                self._attempts[attempt.key] = left

    # --- accounts

    async def accounts(self) -> Sequence[Account]:
        return sorted((each.account for each in self._accounts.values()), key=lambda account: account.name)

    async def kept(self, name: str) -> Kept | None:
        return next((each for each in self._accounts.values() if each.account.name == name), None)

    async def kept_by_id(self, account_id: str) -> Kept | None:
        return self._accounts.get(account_id)

    async def vouched_for(self, issuer: str, subject: str) -> Account | None:
        for each in self._accounts.values():
            if (each.account.issuer, each.account.subject) == (issuer, subject):
                return each.account
        return None

    async def add(self, account: Account, password_hash: str | None, entry: JournalEntry) -> None:
        taken = any(
            each.account.name == account.name
            or each.account.id == account.id
            or (account.issuer, account.subject)
            == (each.account.issuer, each.account.subject)
            != (None, None)
            for each in self._accounts.values()
        )
        if taken:
            raise Unsuitable(f"there is an account {account.name!r} already")
        self._accounts[account.id] = Kept(account, password_hash)
        self.journal.append(entry)

    async def change(self, account_id: str, decide: ChangeAccount, entry: JournalEntry) -> Account:
        kept = self._known(account_id)
        administrators = [
            each.account
            for each in self._accounts.values()
            if each.account.role is Role.ADMIN and each.account.disabled_at is None
        ]
        fresh = decide(kept.account, administrators)
        self._accounts[account_id] = replace(kept, account=fresh)
        if fresh.disabled_at is not None:
            self._end(account_id)
        self.journal.append(entry)
        return fresh

    async def invite(self, account_id: str, sha256: bytes, expires_at: datetime, entry: JournalEntry) -> None:
        self._invitations[account_id] = (sha256, expires_at)
        self.journal.append(entry)

    async def invited(self, sha256: bytes, now: datetime) -> Account | None:
        for account_id, (kept, expires_at) in self._invitations.items():
            account = self._accounts[account_id].account
            if kept == sha256 and expires_at > now and account.disabled_at is None:
                return account
        return None

    async def accept(self, sha256: bytes, password_hash: str, now: datetime, entry: JournalEntry) -> bool:
        account = await self.invited(sha256, now)
        if account is None:
            return False
        await self.set_password(account.id, password_hash, entry)
        return True

    async def set_password(
        self, account_id: str, password_hash: str, entry: JournalEntry, *, keep: bytes | None = None
    ) -> None:
        self._accounts[account_id] = replace(self._known(account_id), password_hash=password_hash)
        self._invitations.pop(account_id, None)
        self._end(account_id, keep)
        self.journal.append(entry)

    async def rehash(self, account_id: str, old: str, new: str) -> None:
        kept = self._known(account_id)
        if kept.password_hash == old:
            self._accounts[account_id] = replace(kept, password_hash=new)

    # --- second factors

    async def set_factor(self, account_id: str, factor: Factor, entry: JournalEntry) -> bool:
        kept = self._known(account_id)
        if factor.first and kept.factor_sealed is not None:
            return False
        account = replace(kept.account, has_second_factor=True)
        self._accounts[account_id] = replace(kept, account=account, factor_sealed=factor.sealed)
        self._steps[account_id] = factor.step
        self._codes[account_id] = dict.fromkeys(factor.codes)
        self._end(account_id, factor.keep)
        self.journal.append(entry)
        return True

    async def clear_factor(self, account_id: str, entry: JournalEntry) -> None:
        kept = self._known(account_id)
        account = replace(kept.account, has_second_factor=False)
        self._accounts[account_id] = replace(kept, account=account, factor_sealed=None)
        self._codes.pop(account_id, None)
        self._end(account_id)
        self.journal.append(entry)

    async def set_codes(self, account_id: str, codes: Collection[bytes], entry: JournalEntry) -> None:
        self._codes[account_id] = dict.fromkeys(codes)
        self.journal.append(entry)

    async def codes_left(self, account_id: str) -> int:
        return sum(used_at is None for used_at in self._codes.get(account_id, {}).values())

    async def use_step(self, account_id: str, step: int) -> bool:
        if self._known(account_id).factor_sealed is None or self._steps.get(account_id, -1) >= step:
            return False
        self._steps[account_id] = step
        return True

    async def use_code(self, account_id: str, sha256: bytes, now: datetime, entry: JournalEntry) -> bool:
        codes = self._codes.get(account_id, {})
        if sha256 not in codes or codes[sha256] is not None:
            return False
        codes[sha256] = now
        self.journal.append(entry)
        return True

    # --- sessions

    async def open(self, session: Session, entry: JournalEntry | None = None) -> None:
        self._sessions[session.sha256] = session
        self.journal += [entry] if entry is not None else []

    async def renew(self, sha256: bytes, fresh: Session, entry: JournalEntry | None = None) -> bool:
        if self._sessions.pop(sha256, None) is None:
            return False
        await self.open(fresh, entry)
        return True

    async def session(self, sha256: bytes) -> tuple[Session, Account] | None:
        session = self._sessions.get(sha256)
        return None if session is None else (session, self._accounts[session.account_id].account)

    async def touch(self, sha256: bytes, seen_at: datetime) -> None:
        if sha256 in self._sessions:
            self._sessions[sha256] = replace(self._sessions[sha256], seen_at=seen_at)

    async def sessions(self, account_id: str) -> Sequence[Session]:
        own = [each for each in self._sessions.values() if each.account_id == account_id]
        return sorted(own, key=lambda session: session.created_at, reverse=True)

    async def end(self, sha256: bytes, entry: JournalEntry) -> bool:
        if self._sessions.pop(sha256, None) is None:
            return False
        self.journal.append(entry)
        return True

    async def end_all(self, account_id: str, entry: JournalEntry, *, keep: bytes | None = None) -> int:
        self.journal.append(entry)
        return self._end(account_id, keep)

    # --- tokens

    async def add_token(self, token: Token, sha256: bytes, entry: JournalEntry) -> None:
        if any(each.name == token.name and each.revoked_at is None for each in self._tokens.values()):
            raise Unsuitable(f"there is a token {token.name!r} already", hint="revoke it first")
        self._tokens[sha256] = token
        self.journal.append(entry)

    async def token(self, sha256: bytes) -> Token | None:
        return self._tokens.get(sha256)

    async def tokens(self) -> Sequence[Token]:
        return sorted(self._tokens.values(), key=lambda token: token.created_at, reverse=True)

    async def revoke_token(self, token_id: str, now: datetime, entry: JournalEntry) -> bool:
        for sha256, token in self._tokens.items():
            if token.id == token_id and token.revoked_at is None:
                self._tokens[sha256] = replace(token, revoked_at=now)
                self.journal.append(entry)
                return True
        return False

    async def note_use(self, token_id: str, at: datetime) -> None:
        for sha256, token in self._tokens.items():
            if token.id == token_id:
                self._tokens[sha256] = replace(token, last_used_at=at)

    # --- inside

    def _known(self, account_id: str) -> Kept:
        if account_id not in self._accounts:
            raise NotThere("there is no such account")
        return self._accounts[account_id]

    def _end(self, account_id: str, keep: bytes | None = None) -> int:
        ending = [
            sha256
            for sha256, session in self._sessions.items()
            if session.account_id == account_id and sha256 != keep
        ]
        for sha256 in ending:
            del self._sessions[sha256]
        return len(ending)
