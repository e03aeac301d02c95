"""How a receiver knows that a message is from us: signatures as Standard Webhooks defines them (1.0.0).

The signed text is `<id>.<timestamp>.<body>`, the signature HMAC-SHA-256 in base64 behind `v1,`. The id stays
the same when a message is sent again, so that a receiver can tell that it has it already.
"""

import base64
import hmac
from hashlib import sha256
from uuid import UUID

from holdfast.kernel.vault import Vault

_PURPOSE = "subscription signature"
_PREFIX = "whsec_"


def signing_secret(vault: Vault, subscription_id: str) -> str:
    """The secret that one subscription's messages are signed with. Derived, so it is kept nowhere."""
    key = vault.fingerprint(str(UUID(subscription_id)), _PURPOSE)
    return _PREFIX + base64.b64encode(key).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. `timestamp` is in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, sha256).digest()
    return "v1," + base64.b64encode(signed).decode()
