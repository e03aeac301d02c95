"""What identity needs of the world: a place for accounts, a hash for passwords, a provider."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from holdfast.identity.model import Account, Recorded, Session, Token, Vouched
from holdfast.identity.throttling import Attempt
from holdfast.kernel.journal import JournalEntry

ChangeAccount = Callable[[Account, Collection[Account]], Account]
"""What becomes of an account, given it and all the administrators that are not disabled. May raise."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An account with what proves who somebody is. It never leaves this context."""

    account: Account
    password_hash: str | None = field(default=None, repr=False)
    factor_sealed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor to be kept. `step` is the time step that is used by now."""

    sealed: bytes = field(repr=False)
    step: int
    codes: Collection[bytes] = field(repr=False)
    keep: bytes = field(repr=False)
    first: bool = False


class Attempts(Protocol):
    """Counts attempts before they are made, so that many at once count as many."""

    async def attempt(self, attempts: Sequence[Attempt], now: datetime) -> datetime | None:
        """Count this attempt for each of them; or count nothing and say until when one of them must pause."""
        ...

    async def absolve(self, attempts: Sequence[Attempt]) -> None:
        """It succeeded: forget what is counted, or take this one back, as each attempt says."""
        ...


class Accounts(Protocol):
    """Accounts. Everything that changes one is journalled in the same transaction."""

    async def accounts(self) -> Sequence[Account]:
        """All of them, by name."""
        ...

    async def kept(self, name: str) -> Kept | None: ...

    async def kept_by_id(self, account_id: str) -> Kept | None: ...

    async def vouched_for(self, issuer: str, subject: str) -> Account | None: ...

    async def add(self, account: Account, password_hash: str | None, entry: JournalEntry) -> None:
        """Raises Unsuitable for a name, or an issuer and subject, that is there already."""
        ...

    async def change(self, account_id: str, decide: ChangeAccount, entry: JournalEntry) -> Account:
        """Change role, name, customer or disabling. One that ends up disabled has no sessions left.

        Changes of administrators follow each other. Raises NotThere, and what `decide` raises.
        """
        ...

    async def invite(self, account_id: str, sha256: bytes, expires_at: datetime, entry: JournalEntry) -> None:
        """A new invitation replaces the one before."""
        ...

    async def invited(self, sha256: bytes, now: datetime) -> Account | None:
        """Whose password that invitation sets; None when it is used, expired, or its account is disabled."""
        ...

    async def accept(self, sha256: bytes, password_hash: str, now: datetime, entry: JournalEntry) -> bool:
        """Use an invitation, once, and end the account's sessions."""
        ...

    async def set_password(
        self, account_id: str, password_hash: str, entry: JournalEntry, *, keep: bytes | None = None
    ) -> None:
        """Set it, end the account's sessions but the one to keep, and its invitation. Raises NotThere."""
        ...

    async def rehash(self, account_id: str, old: str, new: str) -> None:
        """The same password under newer parameters; nothing when it has changed meanwhile."""
        ...


class Factors(Protocol):
    """Second factors and recovery codes."""

    async def set_factor(self, account_id: str, factor: Factor, entry: JournalEntry) -> bool:
        """Put a second factor in force, with its recovery codes, and end all sessions but the one to keep.

        False, and nothing done, when it was to be the first one and there is one by now.
        """
        ...

    async def clear_factor(self, account_id: str, entry: JournalEntry) -> None:
        """Remove it, its recovery codes and all sessions of the account. Raises NotThere."""
        ...

    async def set_codes(self, account_id: str, codes: Collection[bytes], entry: JournalEntry) -> None:
        """Replace the recovery codes."""
        ...

    async def codes_left(self, account_id: str) -> int: ...

    async def use_step(self, account_id: str, step: int) -> bool:
        """False when that time step, or a later one, was used before."""
        ...

    async def use_code(self, account_id: str, sha256: bytes, now: datetime, entry: JournalEntry) -> bool:
        """Use a recovery code, once."""
        ...


class Sessions(Protocol):
    async def open(self, session: Session, entry: JournalEntry | None = None) -> None: ...

    async def renew(self, sha256: bytes, fresh: Session, entry: JournalEntry | None = None) -> bool:
        """Put `fresh` in its place; False when it is gone already."""
        ...

    async def session(self, sha256: bytes) -> tuple[Session, Account] | None:
        """With the account as it is now."""
        ...

    async def touch(self, sha256: bytes, seen_at: datetime) -> None: ...

    async def sessions(self, account_id: str) -> Sequence[Session]:
        """Of one account, newest first."""
        ...

    async def end(self, sha256: bytes, entry: JournalEntry) -> bool:
        """False, and nothing journalled, when there is no such session."""
        ...

    async def end_all(self, account_id: str, entry: JournalEntry, *, keep: bytes | None = None) -> int: ...


class Tokens(Protocol):
    async def add_token(self, token: Token, sha256: bytes, entry: JournalEntry) -> None:
        """Raises Unsuitable when a token of that name is in force."""
        ...

    async def token(self, sha256: bytes) -> Token | None: ...

    async def tokens(self) -> Sequence[Token]:
        """All of them, newest first."""
        ...

    async def revoke_token(self, token_id: str, now: datetime, entry: JournalEntry) -> bool:
        """False, and nothing journalled, when it is unknown or revoked already."""
        ...

    async def note_use(self, token_id: str, at: datetime) -> None: ...


class IdentityStore(Attempts, Accounts, Factors, Sessions, Tokens, Protocol):
    """All of it: they share their storage."""

    async def note(self, entry: JournalEntry) -> None:
        """Journal something that changed nothing."""
        ...

    async def prune(self, *, sessions_before: datetime, attempts_before: datetime) -> None:
        """Forget sessions that ended, and attempts last made, before then."""
        ...


class Trail(Protocol):
    """The journal as auditors read it."""

    async def entries(
        self, *, before: int | None = None, actor: str = "", event: str = "", limit: int = 50
    ) -> Sequence[Recorded]:
        """Newest first, of ids below `before`. `event` may be the beginning of one: `incident.`."""
        ...


class Hashing(Protocol):
    """A slow hash for passwords, in bounded memory. Raises Unavailable when too many wait for it."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, hashed: str | None, password: str) -> bool:
        """False, after the same work, when there is no hash to compare with."""
        ...

    def outdated(self, hashed: str) -> bool:
        """Whether it was made with other parameters than those of now."""
        ...


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a browser is sent to log in at a provider, and what must be remembered until it comes back."""

    url: str
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class Provider(Protocol):
    """An OpenID Connect provider. Raises Unavailable while it is away, Refused for what does not hold."""

    @property
    def name(self) -> str: ...

    async def depart(self, return_to: str) -> Departure: ...

    async def arrive(self, answer: Mapping[str, str], departure: Departure, return_to: str) -> Vouched:
        """Whom the provider vouches for, by the query with which the browser came back."""
        ...
