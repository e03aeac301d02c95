"""The embedded server's passwords: random, one per role, each in a file that only its owner can read."""

import base64
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseUnsuitable

_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")


def password_of(folder: Path, role: Role, *, make: bool = True) -> str:
    """The password of `role`, made on first use. Its file is complete or absent, never half written."""
    path = folder / role.value
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if not make:
            raise DatabaseUnsuitable(
                f"{path}, the password of the database's owner, is gone",
                hint="put the file back from a backup; without it nobody can log in (docs/postgres.md)",
            ) from None
    password = secrets.token_urlsafe(32)
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return password


def matches(verifier: str | None, password: str) -> bool:
    """Whether a stored SCRAM verifier was made from `password` (RFC 5803; RFC 5802 section 3)."""
    parts = _VERIFIER.fullmatch(verifier or "")
    if parts is None:
        return False
    rounds, salt, stored_key, _ = parts.groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(stored_key))
