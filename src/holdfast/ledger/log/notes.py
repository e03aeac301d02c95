"""Signed notes: a text and the signatures under it. Source: C2SP signed-note.

example.com/log
42
AAAA...=
                                            <- an empty line
— example.com/log base64(key id || signature)
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from holdfast.ledger.errors import ProofRefused

ED25519 = 0x01
COSIGNATURE_V1 = 0x04
KINDS = frozenset({ED25519, COSIGNATURE_V1})
MOST_BYTES = 1_000_000
MOST_SIGNATURES = 100
_KEY_ID_BYTES = 4
_DASH = "\u2014 "
NAME = re.compile(r"[^\s+]+")


class Signer(Protocol):
    """Holds a private key."""

    @property
    def key(self) -> "VerifierKey": ...

    def sign(self, message: bytes) -> bytes:
        """The bare signature, 64 bytes."""
        ...


class Verifies(Protocol):
    """Checks a bare signature against a public key."""

    def __call__(self, public: bytes, signature: bytes, message: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name; `kind` says what its signatures are made over."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        """Four bytes by which a signature line names its key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """As it is handed to whoever verifies: `name+id+key`."""
        return f"{self.name}+{self.id.hex()}+{canonical_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def parsed(cls, text: str) -> "VerifierKey":
        """Raises ProofRefused for anything else than a verifier key."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        content = from_canonical_base64(encoded)
        if NAME.fullmatch(name) and len(content) == 33 and content[0] in KINDS:
            key = cls(name, content[1:], content[0])
            if key.id.hex() == identity:
                return key
        raise ProofRefused("that is no verifier key", hint="it reads name+id+key")


@dataclass(frozen=True, slots=True)
class Signature:
    """A line under a note. `content` is what follows the key's id."""

    name: str
    key_id: bytes
    content: bytes

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {canonical_base64(self.key_id + self.content)}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Whether it claims to be that key's. A signature of an unknown key is ignored, never trusted."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends with a newline, and its signatures."""

    body: str
    signatures: tuple[Signature, ...]

    @property
    def text(self) -> str:
        return f"{self.body}\n{''.join(each.line for each in self.signatures)}"

    def with_signatures(self, more: Iterable[Signature]) -> "Note":
        """The same note with these too, each once."""
        return Note(self.body, tuple(dict.fromkeys((*self.signatures, *more))))

    @classmethod
    def parsed(cls, text: str) -> "Note":
        """Raises ProofRefused unless it is a note with at least one signature."""
        body, separator, lines = text.rpartition("\n\n")
        fits = len(text) <= MOST_BYTES and separator and body and lines.endswith("\n")
        if not fits or any(ord(c) < 0x20 and c != "\n" for c in text):
            raise ProofRefused("that is no signed note")
        signatures = parse_signatures(lines)
        return cls(f"{body}\n", signatures)


def signed(body: str, signer: Signer) -> Note:
    """The note with the signer's own signature."""
    key = signer.key
    return Note(body, (Signature(key.name, key.id, signer.sign(body.encode())),))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """The signature lines, at least one. Raises ProofRefused for anything else among them."""
    parts = lines.split("\n")[:-1]
    if not lines.endswith("\n") or not 0 < len(parts) <= MOST_SIGNATURES:
        raise ProofRefused("the note's signatures cannot be read")
    return tuple(_signature(part) for part in parts)


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    content = from_canonical_base64(encoded)
    if not line.startswith(_DASH) or not NAME.fullmatch(name) or len(content) <= _KEY_ID_BYTES:
        raise ProofRefused("the note's signatures cannot be read")
    return Signature(name, content[:_KEY_ID_BYTES], content[_KEY_ID_BYTES:])


def canonical_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def from_canonical_base64(text: str) -> bytes:
    """Empty for what is not base64 in its one canonical form."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return content if canonical_base64(content) == text else b""
