"""The key that signs evidence: the estate's, or the data directory's own, which is made when there is none.

Every process that records evidence must have the same key: with roles on several machines, declare one.
"""

import os
import secrets
from pathlib import Path

from holdfast.adapters.signing.ed25519 import Ed25519Signer, new_key, signer_of
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.recovery.terms import keeping_of, origin_of_evidence
from holdfast.estate.model import Estate
from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.keys import PrivateKey
from holdfast.ledger.log.notes import VerifierKey
from holdfast.recovery.errors import EvidenceRefused

_FILE = "evidence.key"
_MOST_BYTES = 4096


def evidence_signer(estate: Estate, config: Path, data_dir: Path) -> Ed25519Signer:
    """Signs under the name of the log. Raises EvidenceRefused for a key that is none, and SecretError."""
    declared, origin = keeping_of(estate).signing_key, origin_of_evidence(estate)
    if declared is not None:
        text, where = secret_of(config, declared), "recovery.evidence.signing_key"
    else:
        path = data_dir / "keys" / _FILE
        text, where = _own(path, origin), str(path)
    try:
        return Ed25519Signer(origin, PrivateKey.parsed(text).seed)
    except ProofRefused as error:
        raise EvidenceRefused(
            f"{where} is no private key", hint="holdfast ledger key new NAME --out FILE makes one"
        ) from error


def evidence_keys(estate: Estate, config: Path, data_dir: Path) -> list[VerifierKey]:
    """What the log verifies with: the present key first, then those that signed before it, and witnesses'."""
    present, keeping = evidence_signer(estate, config, data_dir).key, keeping_of(estate)
    witness = [keeping.witness.key] if keeping.witness is not None else []
    return [present, *(VerifierKey.parsed(each) for each in (*keeping.old_keys, *witness))]


def _own(path: Path, origin: str) -> str:
    """The data directory's, made unless it is there. It appears whole or not at all, whoever makes it."""
    try:
        if not path.exists():
            _make(path, origin)
    except OSError as error:
        raise EvidenceRefused(
            f"{path} cannot be made: {error.strerror}", hint="see to the disk of the data directory"
        ) from error
    try:
        with path.open(encoding="ascii") as source:
            return source.read(_MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise EvidenceRefused(f"{path} cannot be read: {error}") from error


def _make(path: Path, origin: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = new_key(origin)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key.text(signer_of(key).key.public))
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was faster: its key counts
    finally:
        fresh.unlink()
