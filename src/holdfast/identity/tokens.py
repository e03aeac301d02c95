"""Tokens: what programs log in with. They begin with `hf_`, so that a leaked one is recognised."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from holdfast.identity.errors import NotAllowed, NotThere, Refused, Unsuitable
from holdfast.identity.model import SCOPES, Actor, Right, Token
from holdfast.identity.ports import IdentityStore
from holdfast.identity.sessions import fresh_secret, sha256_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry

PREFIX = "hf_"
_FORM = re.compile(r"hf_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,59}")
_NOTED_EVERY = timedelta(minutes=1)


class TokenDesk:
    """Only who may administer makes, sees and revokes tokens; no token may."""

    def __init__(self, store: IdentityStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(
        self, name: str, scopes: Collection[Right], actor: Actor, *, expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        """A token and its secret, which is kept nowhere. Raises Unsuitable and NotAllowed."""
        _administering(actor)
        now, name = self._clock.now(), " ".join(name.split())
        if _NAME.fullmatch(name) is None:
            raise Unsuitable("a token needs a name", hint="letters, digits, blanks and . _ @ + -, at most 60")
        if not scopes or not set(scopes) <= set(SCOPES):
            raise Unsuitable("a token needs a scope", hint=f"there are: {', '.join(SCOPES)}")
        if expires_at is not None and expires_at <= now:
            raise Unsuitable("this token would have expired already")
        secret = PREFIX + fresh_secret()
        token = Token(str(uuid4()), name, frozenset(scopes), now, actor.name, expires_at)
        facts: dict[str, object] = {"token": name, "scopes": sorted(scopes)}
        if expires_at is not None:
            facts["expires_at"] = expires_at.isoformat()
        await self._store.add_token(token, sha256_of(secret), self._entry(actor, "token.created", facts))
        return token, secret

    async def tokens(self, actor: Actor) -> Sequence[Token]:
        """All of them, newest first, also those that are worth nothing any more."""
        _administering(actor)
        return await self._store.tokens()

    async def revoke(self, token_id: str, actor: Actor) -> Token:
        """It is worth nothing from now on. Raises NotThere when it was worth nothing before."""
        _administering(actor)
        found = next((each for each in await self._store.tokens() if each.id == token_id), None)
        now = self._clock.now()
        if found is None or not await self._store.revoke_token(
            found.id, now, self._entry(actor, "token.revoked", {"token": found.name})
        ):
            raise NotThere("there is no such token in force")
        return found

    async def actor_of(self, secret: str) -> Actor:
        """Who calls with it. Raises Refused, which says no more than that."""
        token = None
        if _FORM.fullmatch(secret) is not None:
            token = await self._store.token(sha256_of(secret))
        now = self._clock.now()
        if token is None or token.revoked_at is not None or _expired(token, now):
            raise Refused("this token is not valid")
        if token.last_used_at is None or abs(now - token.last_used_at) >= _NOTED_EVERY:
            await self._store.note_use(token.id, now)
        return Actor(f"token {token.name}", token.scopes & frozenset(SCOPES))

    def _entry(self, actor: Actor, event: str, facts: dict[str, object]) -> JournalEntry:
        return JournalEntry(self._clock.now(), actor.name, event, facts)


def is_in_force(token: Token, now: datetime) -> bool:
    return token.revoked_at is None and not _expired(token, now)


def _expired(token: Token, now: datetime) -> bool:
    return token.expires_at is not None and now >= token.expires_at


def _administering(actor: Actor) -> None:
    if not actor.may(Right.ADMINISTER):
        raise NotAllowed(f"{actor.name} may not administer tokens")
