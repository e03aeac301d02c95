"""What the command line asks about accounts and tokens, and what it is told."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

AccountStep = Literal["add", "role", "disable", "enable", "invite", "password", "second-factor-reset"]


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """One step with one account. A password is read from a prompt or a pipe, never from the arguments."""

    step: AccountStep
    name: str
    role: str = ""
    full_name: str = ""
    customer: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AccountShown:
    name: str
    full_name: str
    role: str
    customer: str | None = None
    second_factor: bool = False
    single_sign_on: bool = False
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountOutcome:
    """The account as it is now; `invitation` is a link that works once and is shown this once."""

    account: AccountShown
    invitation: str | None = field(default=None, repr=False)
    invitation_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenShown:
    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    in_force: bool = True
