"""Private keys as text, and which public key stands for which log. Source: Go's package sumdb/note.

    PRIVATE+KEY+ledger.example+8f3d2a11+AQ...=

A ledger has one key. Its log over all has the ledger's name for an origin, a tenant's log that name, a slash
and the tenant: the same key under the name of each. Who holds the verifier key of the ledger can check every
log of it; who holds the one of a tenant's log only that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.notes import (
    ED25519,
    KINDS,
    NAME,
    VerifierKey,
    canonical_base64,
    from_canonical_base64,
)

SEED_BYTES = 32
_HEAD = "PRIVATE+KEY+"
_HINT = "holdfast ledger key new makes one"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A seed under a name. `repr` never shows it."""

    name: str
    seed: bytes = field(repr=False)
    kind: int = ED25519

    def text(self, public: bytes) -> str:
        """One line, for a file that nobody else may read. `public` is the key that belongs to the seed."""
        identity = VerifierKey(self.name, public, self.kind).id.hex()
        return f"{_HEAD}{self.name}+{identity}+{canonical_base64(bytes([self.kind]) + self.seed)}\n"

    @classmethod
    def parsed(cls, text: str) -> "PrivateKey":
        """Raises ProofRefused for anything else; the message holds nothing of it."""
        name, _, rest = text.strip().removeprefix(_HEAD).partition("+")
        content = from_canonical_base64(rest.partition("+")[2])
        fits = text.startswith(_HEAD) and NAME.fullmatch(name) and len(content) == SEED_BYTES + 1
        if fits and content[0] in KINDS:
            return cls(name, content[1:], content[0])
        raise ProofRefused("that is no private key of a ledger or a witness", hint=_HINT)


def named(key: VerifierKey, origin: str) -> VerifierKey:
    """The ledger's key under the origin of one of its logs."""
    return replace(key, name=origin)


def trusted_for(origin: str, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
    """The keys among these that the log of that origin may be signed with: its own, or else its ledger's.

    More than one after the key was changed. None for a log that nobody here knows.
    """
    own = [key for key in keys if key.kind == ED25519]
    parts = origin.split("/")
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        if found := [named(key, origin) for key in own if key.name == name]:
            return found
    return []


class KnownLogs(Protocol):
    """Which key, or keys, the log of an origin is trusted with, as a dictionary tells it."""

    def get(self, origin: str, /) -> VerifierKey | Sequence[VerifierKey] | None: ...


@dataclass(frozen=True, slots=True)
class LogsOf:
    """The logs of these ledgers, also those of tenants that come later; a ledger may have changed its key."""

    keys: tuple[VerifierKey, ...]

    def get(self, origin: str, /) -> Sequence[VerifierKey] | None:
        return trusted_for(origin, self.keys) or None
