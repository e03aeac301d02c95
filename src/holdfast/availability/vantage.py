"""Vantage points as they log in, and services that call in by themselves: the ports of both.

A token is known by its SHA-256 only. It is long and random, so that a plain hash is as good as a slow one.
"""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

TOKEN_PREFIX = "hfa_"  # noqa: S105  what a leaked one is recognised by
SHORTEST_BEAT_TOKEN = 16
EAR_LASTS = timedelta(seconds=20)
"""How long it counts that somebody listens for beats, once that was said."""


def fresh_token() -> str:
    """A token that nobody can guess, with the prefix by which a leaked one is recognised."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def sha256_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class VantageLogin:
    """A vantage point that may log in, or could until it was revoked."""

    key: str
    added_at: datetime
    revoked_at: datetime | None = None
    last_seen_at: datetime | None = None
    last_address: str = ""


class Logins(Protocol):
    """Which vantage points may log in."""

    async def add(self, key: str, token_sha256: bytes, actor: str) -> None:
        """Let `key` in with this token from now on. One that it had before is worth nothing any more."""
        ...

    async def revoke(self, key: str, actor: str) -> bool:
        """Let it in no more, at once; False when it could not get in anyway."""
        ...

    async def logins(self) -> Sequence[VantageLogin]:
        """Everybody who was ever added, by key."""
        ...

    async def holder_of(self, token_sha256: bytes, address: str) -> str | None:
        """The vantage point that may use this token now, or None. Notes that it was here, and from where."""
        ...


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest call of a service: how long ago, and whether it said that something failed."""

    age: timedelta
    failed: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is known by one token. `listening`: for how long without a break; None when nobody listens now."""

    listening: timedelta | None
    newest: Beat | None = None


class Beats(Protocol):
    """Where calls are kept. All ages are by the store's own clock."""

    async def listen_for(self, tokens_sha256: Collection[bytes]) -> None:
        """From now on take beats by exactly these tokens. Repeating it changes nothing."""
        ...

    async def keep_ear_open(self) -> None:
        """Say that beats can arrive; it counts for EAR_LASTS."""
        ...

    async def beat(self, token_sha256: bytes, *, failed: bool, message: str) -> bool:
        """Keep a beat; False when nobody listens for this token."""
        ...

    async def pulse(self, token_sha256: bytes) -> Pulse | None:
        """What is known by this token, or None when nobody listens for it."""
        ...
