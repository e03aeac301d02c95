"""Sealing: AES-256-GCM under a named key, so that whoever reads a region's store reads nothing.

A sealed object is `HFS` and a byte of version, 8 bytes that tell keys apart, 12 of nonce, the ciphertext and
its tag of 16. The cipher's key is HKDF-Expand (RFC 5869) of the declared one: HMAC-SHA-256 over
`holdfast backup seal` and a byte 1; what tells keys apart is the beginning of the same over
`holdfast backup fingerprint`. What stands before the ciphertext, and the key's name, is authenticated too.
What a seal vouches for without hiding it has an HMAC-SHA-256 over the object's key, a zero byte and its
content, under the same over `holdfast backup record`: see `authentic`.

A nonce is random. At a piece of WAL each second a key lasts for longer than a century before 2^32 of them,
where NIST SP 800-38D (8.3) draws the line.
"""

import hmac
import os
from io import BytesIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
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
        self._key = _derived(key, b"holdfast backup seal")
        self._cipher = AESGCM(self._key)
        self._fingerprint = _derived(key, b"holdfast backup fingerprint")[:_FINGERPRINT_BYTES]
        self._record_key = _derived(key, b"holdfast backup record")

    def tag(self, place: str, content: bytes | memoryview = b"") -> str:
        """Proves that a holder of the key put this there: 64 digits, another result for any other place."""
        told = hmac.new(self._record_key, place.encode(errors="surrogatepass") + b"\0", "sha256")
        told.update(content)
        return told.hexdigest()

    def close(self, content: bytes) -> bytes:
        """What is to be stored: another result each time."""
        nonce = os.urandom(_NONCE_BYTES)
        head = MAGIC + self._fingerprint + nonce
        cipher = Cipher(AES(self._key), GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(self._told_with(head))
        # In place: what is made first and joined to its head later is in memory twice, and chunks are large.
        sealed = BytesIO()
        sealed.seek(len(content) + OVERHEAD_BYTES - 1)
        sealed.write(b"\0")
        with sealed.getbuffer() as room, room[_HEAD_BYTES:] as inner:
            room[:_HEAD_BYTES] = head
            cipher.update_into(content, inner)
            cipher.finalize()
            inner[-_TAG_BYTES:] = cipher.tag
        return sealed.getvalue()

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
