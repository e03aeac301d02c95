"""The key under which addresses and second factors are stored."""

import os
from pathlib import Path

from holdfast.adapters.vault.aes import AesVault, fresh_key
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.model import Estate

_FILE = "encryption.key"


def vault_for(estate: Estate, config: Path, data_dir: Path) -> AesVault:
    """The vault over the estate's key, or else over the data folder's own, which is made when there is none.

    Every role of one installation must have the same key: with roles on several machines, declare one.
    """
    declared = estate.communication.encryption_key
    if declared is not None:
        return AesVault.from_text(secret_of(config, declared))
    path = data_dir / "keys" / _FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(path)
    return AesVault.from_text(path.read_text(encoding="ascii"))


def _make(path: Path) -> None:
    """Make the key unless it is there. It appears whole or not at all, whoever makes it at the same time."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(fresh_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        pass  # another role was faster: its key counts
    finally:
        fresh.unlink()
