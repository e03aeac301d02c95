"""Passwords as PostgreSQL takes them: SCRAM-SHA-256 (RFC 5802, RFC 7677) and MD5. No I/O.

The iteration count is the server's to choose, and the work is done between two turns of the event loop: it
has an upper bound here, unlike in libpq.
"""

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata

from holdfast.adapters.probes.errors import AttemptFailed

MOST_ITERATIONS = 100_000
MECHANISM = b"SCRAM-SHA-256"
_FIRST = re.compile(rb"r=([\x21-\x2b\x2d-\x7e]{1,200}),s=([A-Za-z0-9+/=]{1,200}),i=([0-9]{1,7})")


class Scram:
    """One login: three messages out of two answers. A second challenge is refused: hashing takes time."""

    def __init__(self, password: str, nonce: str) -> None:
        self._password = _prepared(password)
        self._nonce = nonce.encode("ascii")
        self._first = b"n=,r=" + self._nonce
        self._expected = b""

    def first(self) -> bytes:
        return b"n,," + self._first

    def answer(self, challenge: bytes) -> bytes:
        """The final message. Raises AttemptFailed for a challenge that is not one."""
        match = _FIRST.fullmatch(challenge)
        if self._expected or match is None or not match[1].startswith(self._nonce) or match[1] == self._nonce:
            raise AttemptFailed("the server's login is not SCRAM")
        iterations = int(match[3])
        if not 1 <= iterations <= MOST_ITERATIONS:
            raise AttemptFailed("the server asks for too many rounds of hashing")
        try:
            salt = base64.b64decode(match[2], validate=True)
        except binascii.Error as error:
            raise AttemptFailed("the server's login is not SCRAM") from error
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = _keyed(salted, b"Client Key")
        bare = b"c=biws,r=" + match[1]
        said = b",".join((self._first, challenge, bare))
        signature = _keyed(hashlib.sha256(client_key).digest(), said)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._expected = b"v=" + base64.b64encode(_keyed(_keyed(salted, b"Server Key"), said))
        return bare + b",p=" + base64.b64encode(proof)

    def confirms(self, final: bytes) -> bool:
        """Whether the server knows the password too."""
        return bool(self._expected) and hmac.compare_digest(final, self._expected)


def md5_answer(user: str, password: str, salt: bytes) -> bytes:
    """What a server with MD5 passwords asks for."""
    inner = hashlib.md5(_raw(password) + user.encode(), usedforsecurity=False).hexdigest()
    outer = hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
    return b"md5" + outer.encode()


def _prepared(password: str) -> bytes:
    """Normalised as SASLprep does (RFC 4013) with what passwords hold."""
    return _raw(unicodedata.normalize("NFKC", password))


def _raw(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
