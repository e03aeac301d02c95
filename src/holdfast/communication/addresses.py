"""Mail addresses that somebody typed in: brought into one form, or refused. Pure; asks no name server.

One form for one address, so that it is found again by its fingerprint and cannot be subscribed twice.
"""

import re
from urllib.parse import urlsplit

from holdfast.communication.errors import BadAddress
from holdfast.communication.model import Channel
from holdfast.communication.targets import target_of

LONGEST_MAIL = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""
LONGEST_LOCAL = 64
LONGEST_DOMAIN = 253

# RFC 5322's dot-atom. Quoted local parts and comments exist in specifications and nowhere else.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def normalised(channel: Channel, address: str, *, private: bool = False) -> str:
    """The one form of `address`; raises NotPossible. `private` as for `targets.target_of`."""
    if channel is Channel.MAIL:
        return mail_address(address)
    return target_of(address.strip(), channel, private=private).url


def mail_address(text: str) -> str:
    """`Ann@Example.ORG` as `Ann@example.org`, a domain in any script in its ASCII form (IDNA).

    The local part keeps its case: its server alone knows whether that matters.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_MAIL:
        raise BadAddress(
            "this is no mail address", hint=f"name@example.org, at most {LONGEST_MAIL} characters"
        )
    local, at, domain = text.rpartition("@")
    if not at or len(local) > LONGEST_LOCAL or not _LOCAL.fullmatch(local):
        raise BadAddress("this is no mail address that mail can be sent to", hint="such as name@example.org")
    domain = _ascii_domain(domain)
    labels = domain.split(".")
    usable = len(labels) >= 2 and all(_LABEL.fullmatch(label) for label in labels)
    if not usable or labels[-1].isdigit() or len(local) + len(domain) + 1 > LONGEST_MAIL:
        raise BadAddress("this mail address has no usable domain", hint="such as name@example.org")
    return f"{local}@{domain}"


def _ascii_domain(domain: str) -> str:
    """Empty for what is none."""
    domain = domain.rstrip(".").lower()
    if not domain.isascii():
        try:
            domain = domain[:LONGEST_DOMAIN].encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    return domain if len(domain) <= LONGEST_DOMAIN else ""


def masked(channel: Channel, address: str) -> str:
    """Enough for an operator to recognise an address, too little to use it."""
    if channel is Channel.MAIL:
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}***@{domain}"
    return f"{urlsplit(address).scheme}://{urlsplit(address).netloc}/***"
