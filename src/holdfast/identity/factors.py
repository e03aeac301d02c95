"""Second factors: codes by the time (RFC 6238) and recovery codes on paper. Pure but for fresh randomness."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime

import pyotp

STEP_S = 30
DRIFT = 1
"""How many steps a phone's clock may be off, either way (RFC 6238, 5.2)."""
CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 4


def fresh_factor() -> str:
    """160 random bits in base32, as RFC 4226 asks."""
    return pyotp.random_base32(32)


def uri_of(secret: str, name: str, issuer: str) -> str:
    """What the QR code says."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code that is, within the drift; None for a wrong one. Looks at all of them."""
    digits = re.sub(r"\s", "", code)
    if re.fullmatch(r"[0-9]{6}", digits) is None:
        return None
    totp, middle = pyotp.TOTP(secret), int(now.timestamp()) // STEP_S
    found = None
    for step in range(middle - DRIFT, middle + DRIFT + 1):
        if step >= 0 and hmac.compare_digest(totp.generate_otp(step), digits):
            found = step
    return found


def fresh_codes() -> tuple[str, ...]:
    """Recovery codes of 79 bits: `abcd-efgh-jkmn-pqrs`."""
    return tuple(
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
        for _ in range(CODES)
    )


def code_sha256(account_id: str, code: str) -> bytes:
    """What is kept of a recovery code, however it was typed. Long and random, so a plain hash will do."""
    letters = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(f"{account_id}\0{letters}".encode("utf-8", "surrogatepass")).digest()


def looks_like_recovery(code: str) -> bool:
    return len(re.sub(r"[\s-]", "", code)) == _GROUPS * _GROUP
