"""Sealing: AES-256-GCM under a named key, so that whoever reads a region's store reads nothing.

A sealed object is `HFS` and a byte of version, 8 bytes that tell keys apart, 12 of nonce, the ciphertext and
its tag of 16. The cipher's key is HKDF-Expand (RFC 5869) of the declared one: HMAC-SHA-256 over
`holdfast backup seal` and a byte 1; what tells keys apart is the beginning of the same over
`holdfast backup fingerprint`. What stands before the ciphertext, and the key's name, is authenticated too.

A nonce is random. At a piece of WAL each second a key lasts for longer than a century before 2^32 of them,
where NIST SP 800-38D (8.3) draws the line.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from holdfast.backup.errors import Damaged, KeyMissing

KEY_BYTES = 32
MAGIC = b"HFS\x01"
_FINGERPRINT_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEAD_BYTES = len(MAGIC) + _FINGERPRINT_BYTES + _NONCE_BYTES
OVERHEAD_BYTES = _HEAD_BYTES + _TAG_BYTES
HOW = "make one: head -c32 /dev/urandom | base64"


class Seal:
    """One key, by its name. Its `repr` shows nothing. Safe to use from several threads."""

    def __init__(self, name: str, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise KeyMissing(f"the key `{name}` has {len(key)} bytes, not {KEY_BYTES}", hint=HOW)
        self.name = name
        self._cipher = AESGCM(_derived(key, b"holdfast backup seal"))
        self._fingerprint = _derived(key, b"holdfast backup fingerprint")[:_FINGERPRINT_BYTES]

    def close(self, content: bytes) -> bytes:
        """What is to be stored: another result each time."""
        nonce = os.urandom(_NONCE_BYTES)
        head = MAGIC + self._fingerprint + nonce
        return head + self._cipher.encrypt(nonce, content, self._told_with(head))

    def open(self, sealed: bytes) -> bytes:
        """What `close` was given. Raises Damaged; KeyMissing for what another key of this name sealed."""
        head = sealed[:_HEAD_BYTES]
        if len(sealed) < OVERHEAD_BYTES or not head.startswith(MAGIC):
            raise Damaged("it was not sealed by this version")
        if head[len(MAGIC) : len(MAGIC) + _FINGERPRINT_BYTES] != self._fingerprint:
            raise KeyMissing(
                f"it was sealed with another key than what `{self.name}` is now",
                hint=f"put back what backup.encryption.keys.{self.name} was; a new key takes a new name",
            )
        try:
            with memoryview(sealed) as whole:
                return self._cipher.decrypt(head[-_NONCE_BYTES:], whole[_HEAD_BYTES:], self._told_with(head))
        except InvalidTag:
            raise Damaged(f"it does not open with the key `{self.name}`: its bytes were altered") from None

    def _told_with(self, head: bytes) -> bytes:
        return head + self.name.encode()


def _derived(key: bytes, what: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, what).derive(key)
