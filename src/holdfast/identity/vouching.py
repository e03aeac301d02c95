"""What becomes of somebody whom a provider vouches for. Pure."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from holdfast.identity.model import Account, Role, RoleByClaim, Vouched
from holdfast.identity.passwords import NAME

_FULL_NAME = 100


def role_by(claims: Mapping[str, object], roles: Sequence[RoleByClaim]) -> Role | None:
    """The role of the first rule that fits: its claim is that value, or a list that holds it."""
    for rule in roles:
        claimed = claims.get(rule.claim)
        if claimed == rule.value or (isinstance(claimed, list | tuple) and rule.value in claimed):
            return rule.role
    return None


def account_for(
    vouched: Vouched, roles: Sequence[RoleByClaim], known: Account | None, taken: Collection[str]
) -> Account | None:
    """The account as it should be now; None for somebody without a role.

    A new one never takes a name that is there: names are claims, and who somebody is are issuer and subject.
    """
    role = role_by(vouched.claims, roles)
    if role is None:
        return None
    full_name = _full_name(vouched.claims)
    if known is not None:
        return replace(known, role=role, full_name=full_name or known.full_name)
    who = f"{vouched.issuer}\0{vouched.subject}"
    return Account(
        str(uuid5(NAMESPACE_URL, who)),
        _name(vouched, taken),
        full_name,
        role,
        issuer=vouched.issuer,
        subject=vouched.subject,
    )


def _name(vouched: Vouched, taken: Collection[str]) -> str:
    mark = hashlib.sha256(f"{vouched.issuer}\0{vouched.subject}".encode()).hexdigest()[:8]
    for claim in ("preferred_username", "email", "nickname"):
        claimed = vouched.claims.get(claim)
        if not isinstance(claimed, str):
            continue
        name = re.sub(r"[^a-z0-9._@+-]+", "-", unicodedata.normalize("NFKC", claimed).lower())[:80]
        name = name.lstrip("._@+-")
        if NAME.fullmatch(name):
            return name if name not in taken else f"{name}-{mark}"
    return f"openid-{mark}"


def _full_name(claims: Mapping[str, object]) -> str:
    claimed = claims.get("name")
    return " ".join(claimed.split())[:_FULL_NAME] if isinstance(claimed, str) else ""
