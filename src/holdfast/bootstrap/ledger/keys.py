"""What `holdfast ledger key` does: private keys into files, and out of them what everybody may have."""

import os
from pathlib import Path

from holdfast.adapters.signing.ed25519 import new_key, signer_of
from holdfast.bootstrap.estates import read_estate, secret_of
from holdfast.bootstrap.ledger.opening import declared_in, origin_of
from holdfast.interfaces.cli.ledger.keys import KeyMade
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.errors import KeyRefused, ProofRefused
from holdfast.ledger.log.keys import PrivateKey, named
from holdfast.ledger.log.notes import COSIGNATURE_V1, ED25519, NAME, VerifierKey

MOST_BYTES = 4096


class LocalKeys:
    """Keys, on this machine."""

    def new(self, name: str, path: Path, *, witness: bool) -> KeyMade:
        """Raises KeyRefused for a file that is there already, or a name that is none."""
        if not NAME.fullmatch(name):
            raise KeyRefused(f"{name!r} cannot be a key's name", hint="no blanks and no +")
        key = new_key(name, COSIGNATURE_V1 if witness else ED25519)
        public = signer_of(key).key
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise KeyRefused(
                f"{path} is there already", hint="a key that was used must not be lost: take another file"
            ) from error
        except OSError as error:
            raise KeyRefused(f"{path} cannot be written: {error.strerror}") from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(key.text(public.public))
            sink.flush()
            os.fsync(sink.fileno())
        return KeyMade(str(path), public.name, public.text)

    def of_file(self, path: Path, origin: str | None) -> str:
        key = signer_of(read_key(path)).key
        return named(key, origin).text if origin else key.text

    def of_estate(self, place: Place, tenant: str) -> str:
        """That of the declared ledger: `public_key`, or the signing key's. Raises NoLedger."""
        declared = declared_in(read_estate(place.config))
        if declared.public_key is not None:
            public = VerifierKey.parsed(declared.public_key)
        else:
            public = signer_of(PrivateKey.parsed(secret_of(place.config, declared.signing_key))).key
        return named(public, origin_of(declared.name, tenant)).text


def read_key(path: Path) -> PrivateKey:
    """The private key in a file. Raises KeyRefused, also for a file that others may read."""
    try:
        with path.open(encoding="utf-8") as source:
            if os.fstat(source.fileno()).st_mode & 0o077:
                raise KeyRefused(f"{path} can be read by others", hint=f"chmod 600 {path}")
            text = source.read(MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise KeyRefused(
            f"{path} cannot be read: {error}", hint="holdfast ledger key new makes one"
        ) from error
    try:
        return PrivateKey.parsed(text)
    except ProofRefused as error:
        raise KeyRefused(f"{path}: {error}", hint=error.hint) from error
