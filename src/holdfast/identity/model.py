"""The words of identity, and who may do what.

A role may do all that the roles below it may. A token may do what its scopes say, and nothing else; no token
makes tokens or accounts. Nobody is trusted by address, header or age of a session.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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
    OPERATE = "operate"
    COMMAND = "command"
    ADMINISTER = "administer"


NEEDS: Mapping[Right, Role] = {
    Right.READ: Role.VIEWER,
    Right.INCIDENTS: Role.COMMUNICATOR,
    Right.MAINTENANCE: Role.COMMUNICATOR,
    Right.SUBSCRIBERS: Role.OPERATOR,
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


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: as the journal names them, and what they may."""

    name: str
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        return right in self.rights
