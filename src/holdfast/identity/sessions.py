"""When a session is alive, what its secrets are, and what it opens. Pure but for fresh randomness.

A cookie is 32 random bytes; its SHA-256 finds the session, and another hash of it is the token that each form
carries. Neither tells the other, and the database has neither.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from holdfast.identity.model import NEEDS, Account, Actor, Session, SessionView, Stage, Terms

PENDING = timedelta(minutes=10)
"""How long somebody may take between password and second factor."""
SLACK = timedelta(minutes=1)
"""How far the clocks of two consoles may be apart."""
LONGEST_COOKIE = 128


def fresh_secret() -> str:
    """43 characters that nobody can guess."""
    return secrets.token_urlsafe(32)


def sha256_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def csrf_of(cookie: str) -> str:
    """The token of a session's forms: who has it read the page, and who read it cannot make the cookie."""
    return hashlib.sha256(b"csrf\0" + cookie.encode("utf-8", "surrogatepass")).hexdigest()


def fresh(cookie: str, account: Account, stage: Stage, now: datetime, terms: Terms, address: str) -> Session:
    """A new session. Before it is open it does not last."""
    is_open = stage is Stage.OPEN
    lasting = terms.longest if is_open else min(PENDING, terms.longest)
    return Session(
        sha256_of(cookie), account.id, now, now, now + lasting, now if is_open else None, address[:100]
    )


def ends_at(session: Session, terms: Terms) -> datetime:
    """The end if nothing more happens: idle or absolute, and by the terms in force now."""
    return min(session.expires_at, session.created_at + terms.longest, session.seen_at + terms.idle)


def is_alive(session: Session, now: datetime, terms: Terms) -> bool:
    """One that was made in the future was made by a clock that was wrong, and ends as well."""
    return session.created_at - SLACK <= now < ends_at(session, terms)


def needs_touch(session: Session, now: datetime, terms: Terms) -> bool:
    """Whether to note that it is in use: not with every click, and whichever way the clock went."""
    return abs(now - session.seen_at) >= min(timedelta(minutes=1), terms.idle / 4)


def stage_of(session: Session, account: Account, terms: Terms) -> Stage:
    """An account that lost its second factor, where one is required, sets up another before anything else."""
    must_have = terms.second_factor_required and not account.is_vouched_for
    if must_have and not account.has_second_factor:
        return Stage.ENROL
    return Stage.CODE if session.confirmed_at is None else Stage.OPEN


def first_stage(account: Account, terms: Terms) -> Stage:
    """Where somebody stands after the right password."""
    if account.has_second_factor:
        return Stage.CODE
    return Stage.ENROL if terms.second_factor_required else Stage.OPEN


def view_of(cookie: str, session: Session, account: Account, terms: Terms) -> SessionView:
    stage = stage_of(session, account, terms)
    return SessionView(
        account, actor_of(account, stage), csrf_of(cookie), stage, session, ends_at(session, terms)
    )


def actor_of(account: Account, stage: Stage) -> Actor:
    """What they may do by the role that they have now; nothing before they are known for sure."""
    rights = frozenset(right for right in NEEDS if account.may(right)) if stage is Stage.OPEN else frozenset()
    return Actor(account.name, rights)
