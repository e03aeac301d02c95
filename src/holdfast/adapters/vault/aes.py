"""A vault over one key of 32 bytes: AES-256-GCM and HMAC-SHA-256, each under its own key (HKDF, RFC 5869).

A sealed text is one byte of version, 12 of nonce, the ciphertext and its tag of 16.
"""

import base64
import binascii
import hmac
import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from holdfast.kernel.errors import HoldfastError, Remedy

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12


class VaultError(HoldfastError):
    """The key is no key, or what was sealed does not open with it."""

    remedy = Remedy.NEEDS_OPERATOR


class AesVault:
    """A `Vault`. Its `repr` shows nothing."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"an encryption key has {KEY_BYTES} bytes, not {len(key)}", hint=_HOW)
        self._cipher = AESGCM(_derived(key, b"holdfast seal"))
        self._fingerprints = _derived(key, b"holdfast fingerprint")

    @classmethod
    def from_text(cls, text: str) -> "AesVault":
        """From base64. Raises VaultError, which never shows the text."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except binascii.Error:
            raise VaultError("the encryption key is not base64", hint=_HOW) from None

    def seal(self, text: str, purpose: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, text.encode(), purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> str:
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION or len(nonce) != _NONCE_BYTES:
            raise VaultError("this was not sealed by this version", hint=_OTHER)
        try:
            return self._cipher.decrypt(nonce, rest, purpose.encode()).decode()
        except InvalidTag:
            raise VaultError("what was sealed does not open: another key, or altered", hint=_OTHER) from None

    def fingerprint(self, text: str, purpose: str) -> bytes:
        return hmac.new(self._fingerprints, f"{purpose}\0{text}".encode(), sha256).digest()


def fresh_key() -> str:
    """A new key, in base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _derived(key: bytes, what: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, what).derive(key)


_HOW = "make one: head -c32 /dev/urandom | base64"
_OTHER = "is communication.encryption_key the one that was used before?"
