"""Ed25519 (RFC 8032) by `cryptography`: signers for notes, and the check of a bare signature."""

import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.ledger.log.keys import SEED_BYTES, PrivateKey
from holdfast.ledger.log.notes import ED25519, VerifierKey


class Ed25519Signer:
    """A `Signer` under a name. `seed` is the 32 bytes of the private key."""

    def __init__(self, name: str, seed: bytes, kind: int = ED25519) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(name, self._private.public_key().public_bytes_raw(), kind)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


def signer_of(key: PrivateKey) -> Ed25519Signer:
    """Signs under the name and for the purpose that the key was made for."""
    return Ed25519Signer(key.name, key.seed, key.kind)


def new_key(name: str, kind: int = ED25519) -> PrivateKey:
    """Of the system's randomness."""
    return PrivateKey(name, os.urandom(SEED_BYTES), kind)


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is that key's over the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
