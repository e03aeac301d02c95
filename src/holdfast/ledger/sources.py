"""Who the ledger is for and who may add to it: tenants, their sources, and the tokens of both.

A tenant has a log of its own. A **source** is a device, a client (a print service that posts for many
devices), or an importer that reads files. A token belongs to one source of one tenant and can add to nothing
else; a reader's token reads one tenant and adds nothing. A token is known by its SHA-256 only: it is long and
random, so that a plain hash is as good as a slow one.

Nothing is taken away: a source or token that was revoked stays in the list, and its entries in the log.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.intake.reading import Sender

TOKEN_PREFIX = "hfl_"  # noqa: S105  what a leaked one is recognised by
LONGEST_NAME = 200
MOST_KEEP_DAYS = 36_500
NOTED_EVERY = timedelta(minutes=1)
"""How exactly it is noted when a token was last used: a row that is written with every request costs more."""

_TOKEN = re.compile(r"hfl_[A-Za-z0-9_-]{43}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")


class SourceKind(StrEnum):
    """What a source is. An importer's records get their numbers here, all others bring their own."""

    DEVICE = "device"
    CLIENT = "client"
    IMPORTER = "importer"


class Scope(StrEnum):
    """What a token is good for."""

    POST = "post"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`keep_days` is for how long entries are kept; None: as the estate says. `time_zone` cuts its days."""

    key: str
    name: str
    time_zone: str
    keep_days: int | None
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Source:
    """One that adds to a tenant's log, or did until it was revoked."""

    tenant: str
    key: str
    kind: SourceKind
    name: str
    added_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceToken:
    """A token without its secret. `source` is None for a reader's."""

    id: int
    tenant: str
    source: str | None
    scope: Scope
    name: str
    added_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class Reader(NamedTuple):
    """Who reads, as its token says: this tenant and no other. `name` is what the access trail calls it."""

    tenant: str
    token_id: int
    name: str


class Sources(Protocol):
    """Where they are kept. Every change writes the journal, in the same transaction."""

    async def tenants(self) -> Sequence[Tenant]:
        """All, by key."""
        ...

    async def tenant(self, key: str) -> Tenant | None: ...

    async def add_tenant(
        self, key: str, name: str, time_zone: str, keep_days: int | None, *, actor: str
    ) -> Tenant:
        """Raises Unsuitable when the key is taken."""
        ...

    async def change_tenant(
        self, key: str, *, name: str, time_zone: str, keep_days: int | None, actor: str
    ) -> Tenant:
        """Raises NotThere."""
        ...

    async def sources(self, tenant: str | None = None) -> Sequence[Source]:
        """A tenant's, or everybody's, by tenant and key."""
        ...

    async def source(self, tenant: str, key: str) -> Source | None: ...

    async def add_source(self, tenant: str, key: str, kind: SourceKind, name: str, *, actor: str) -> Source:
        """Raises NotThere for an unknown tenant, Unsuitable when the key is taken, also by a revoked one."""
        ...

    async def revoke_source(self, tenant: str, key: str, *, actor: str) -> bool:
        """It and its tokens add nothing from now on. False when they did not before."""
        ...

    async def tokens(self, tenant: str | None = None) -> Sequence[SourceToken]:
        """A tenant's, or everybody's, oldest first, also those that are worth nothing any more."""
        ...

    async def add_token(
        self, tenant: str, source: str | None, name: str, token_sha256: bytes, *, actor: str
    ) -> SourceToken:
        """A token of the source, or a reader's. Raises NotThere for a tenant or source not in force."""
        ...

    async def revoke_token(self, token_id: int, *, actor: str) -> bool:
        """It is worth nothing from now on. False when it was worth nothing before."""
        ...

    async def admitted(self, token: str) -> Sender | Reader | None:
        """Who comes with it; None for one that is not in force. What looks like no token asks nobody."""
        ...


def fresh_token() -> str:
    """256 random bits, with the prefix by which a leaked one is recognised."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def looks_like_a_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def sha256_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def tenant_key(text: str) -> str:
    """The key of a new tenant. Raises Unsuitable for one that could not stand in a log's name."""
    if _TENANT.fullmatch(text) is None:
        raise Unsuitable(
            f"{text!r} is no key for a tenant", hint="lower-case letters, digits and -, at most 63"
        )
    return text


def source_key(text: str) -> str:
    """The key of a new source. Raises Unsuitable."""
    if _SOURCE.fullmatch(text) is None:
        raise Unsuitable(
            f"{text!r} is no key for a source", hint="letters, digits and . _ : @ -, at most 200"
        )
    return text


def name_of(text: str) -> str:
    """A name for people, on one line. Raises Unsuitable."""
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Unsuitable(f"a name needs 1 to {LONGEST_NAME} characters that can be printed")
    return name


def zone_of(text: str) -> str:
    """A time zone by its name in the tz database. Raises Unsuitable for one that is not there."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Unsuitable(f"{text!r} is no time zone", hint="such as Europe/Berlin, or UTC") from error
    return text


def keep_days_of(keep: timedelta | None) -> int | None:
    """For how long entries are kept, in whole days. Raises Unsuitable for less than one."""
    if keep is None:
        return None
    days, rest = divmod(keep, timedelta(days=1))
    if rest or not 1 <= days <= MOST_KEEP_DAYS:
        raise Unsuitable(
            "entries are kept for whole days, at least one", hint="such as 90d, or 520w for ten years"
        )
    return days
