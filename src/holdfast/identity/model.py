"""The words of identity, and who may do what.

A role may do all that the roles below it may. A token may do what its scopes say, and nothing else; no token
makes tokens or accounts. Nobody is trusted by address, header or age of a session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum


class Role(IntEnum):
    """What an account is allowed, each with all that those before it are."""

    VIEWER = 1
    COMMUNICATOR = 2
    OPERATOR = 3
    COMMANDER = 4
    ADMIN = 5

    @property
    def label(self) -> str:
        return self.name.lower()


class Right(StrEnum):
    """One thing to be allowed; also the scopes of tokens."""

    READ = "read"
    INCIDENTS = "incidents:write"
    MAINTENANCE = "maintenance:write"
    SUBSCRIBERS = "subscribers:read"
    LEDGER = "ledger:read"
    AUDIT = "audit:read"
    OPERATE = "operate"
    COMMAND = "command"
    ADMINISTER = "administer"


NEEDS: Mapping[Right, Role] = {
    Right.READ: Role.VIEWER,
    Right.INCIDENTS: Role.COMMUNICATOR,
    Right.MAINTENANCE: Role.COMMUNICATOR,
    Right.SUBSCRIBERS: Role.OPERATOR,
    Right.LEDGER: Role.VIEWER,
    Right.AUDIT: Role.ADMIN,
    Right.OPERATE: Role.OPERATOR,
    Right.COMMAND: Role.COMMANDER,
    Right.ADMINISTER: Role.ADMIN,
}


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who logs in. `customer` binds a viewer to one customer's private page.

    `issuer` and `subject` name somebody whom an OpenID provider vouches for; such an account has no password.
    """

    id: str
    name: str
    full_name: str
    role: Role
    customer: str | None = None
    has_second_factor: bool = False
    issuer: str | None = None
    subject: str | None = None
    disabled_at: datetime | None = None

    def may(self, right: Right) -> bool:
        if self.customer is not None or self.disabled_at is not None:
            return False
        return self.role >= NEEDS[right]

    @property
    def is_vouched_for(self) -> bool:
        """Logs in through a provider, and has neither password nor second factor here."""
        return self.issuer is not None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: as the journal names them, and what they may."""

    name: str
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        return right in self.rights


EVERYTHING = frozenset(Right)
SCOPES = tuple(right for right in Right if right is not Right.ADMINISTER)
"""What a token may be given: no token makes tokens or accounts."""


class Stage(StrEnum):
    """How far somebody has come with logging in."""

    CODE = "code"
    """The password was right; the second factor is awaited."""
    ENROL = "enrol"
    """The password was right; a second factor must be set up before anything else."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the estate asks of those who log in."""

    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)
    second_factor_required: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is logged in, or about to. Its cookie is known by its SHA-256 only."""

    sha256: bytes = field(repr=False)
    account_id: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """Somebody at a browser: who they are, what they may now, and how long yet.

    `csrf` must come with each form. `actor` has no rights before `stage` is OPEN.
    """

    account: Account
    actor: Actor
    csrf: str = field(repr=False)
    stage: Stage
    session: Session
    expires_at: datetime

    @property
    def confirmed(self) -> bool:
        return self.stage is Stage.OPEN


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with its cookie, and the mark by which this browser is known again at the next login."""

    cookie: str = field(repr=False)
    view: SessionView
    device: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link with which an account's password is set, once. `secret` is known this once."""

    account: str
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What a program logs in with. Its secret is known by its SHA-256 only."""

    id: str
    name: str
    scopes: frozenset[Right]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Vouched:
    """Somebody whom an OpenID provider has just vouched for."""

    issuer: str
    subject: str
    claims: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RoleByClaim:
    """Who has that value in that claim has this role."""

    claim: str
    value: str
    role: Role


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of the audit trail."""

    id: int
    at: datetime
    actor: str
    event: str
    facts: Mapping[str, object]
